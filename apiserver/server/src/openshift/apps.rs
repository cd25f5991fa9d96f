//! What is asked of a DeploymentConfig by a path below it.
//!
//! Knows: which objects each request reads, and that a rollback writes nothing. Refuses to know: when there is a next
//! rollout and what it holds.

use leme_meta::Status;
use leme_meta::quote;
use leme_registry::{Target, json};
use leme_strategy::deployment_config::{INSTANTIATE, request as asked};
use serde_json::{Value, json};

use super::{below, kind, put};
use crate::answer::Answer;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::write::{Change, Input, WriteOptions, written};

impl Api {
    /// Finds image streams as the cache has them.
    pub(super) fn stream(&self, namespace: &str, name: &str) -> Option<Value> {
        let streams = kind("image.openshift.io", "imagestreams").ok()?;
        self.known(streams, namespace, name).ok().flatten()
    }

    fn rollout(&self, namespace: &str, name: &str) -> Option<Value> {
        let controllers = kind("", "replicationcontrollers").ok()?;
        self.known(controllers, namespace, name).ok().flatten()
    }

    /// POST of the request for the next rollout.
    pub(super) async fn instantiate_rollout(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let decoded = below::decoded(request, &input, options, &["name"])?;
        let config = ResourceRequest {
            instead: Some(&INSTANTIATE),
            ..ResourceRequest::of(Verb::Update, &request.kind, &request.namespace, &request.name)
        };
        let context = self.context(&config, options);
        self.catch_up(None).await?;
        let mut asked_for = false;
        let done = self
            .change(&config, options.dry_run, |stored, reservation| {
                let streams = |namespace: &str, name: &str| self.stream(namespace, name);
                let rollouts = |namespace: &str, name: &str| self.rollout(namespace, name);
                let body = &decoded.value;
                match asked::instantiate(&stored.value, body, &streams, &rollouts)? {
                    Some(new) => {
                        asked_for = true;
                        put(&context, (Target::Main, options.writer()), new, stored, reservation)
                    }
                    None => {
                        asked_for = false;
                        Ok(Change::Unchanged)
                    }
                }
            })
            .await?
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        let shown = if asked_for {
            done.object().value
        } else {
            let name = &request.name;
            let why =
                format!("deployment config {name} cannot be instantiated", name = quote(&name));
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "message": why, "code": 204 })
        };
        written(request, input.wanted, 201, shown.into(), &decoded.warnings)
    }

    /// POST of the request for a rollback: answered with what the client is to write.
    pub(super) async fn roll_back(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let decoded = below::decoded(request, &input, options, &["name"])?;
        let name = match below::is_unset(&decoded.value, &["name"]) {
            true => "",
            false => &request.name,
        };
        self.catch_up(None).await?;
        let config = self.known(&request.kind, &request.namespace, name)?;
        let rollouts = |namespace: &str, name: &str| self.rollout(namespace, name);
        let shown = asked::rollback(config.as_ref(), &decoded.value, &rollouts)?;
        written(request, input.wanted, 201, shown.into(), &decoded.warnings)
    }
}

/// The phase that a rollout is in.
pub(super) fn phase(rollout: &Value) -> &str {
    json::text(rollout, &["metadata", "annotations", "openshift.io/deployment.phase"])
}
