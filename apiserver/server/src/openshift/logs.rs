//! Logs of rollouts and builds: those of a pod of theirs.
//!
//! Knows: which pod, and how long one is waited for. Refuses to know: how a log comes from a node.

use leme_meta::quote;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use leme_kinds::Subresource;
use leme_meta::{FieldError, Gvk, Path, Status};
use leme_registry::json;
use leme_strategy::deployment_config::request::{latest_version, rollout_name};
use serde_json::Value;

use super::apps::phase;
use super::rollout_log::log_of;
use super::{build_log, kind};
use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::query::Query;
use crate::request::{ResourceRequest, Verb};

/// How long a rollout is waited for, and a build.
const ROLLOUT: Duration = Duration::from_secs(60);
const BUILD: Duration = Duration::from_secs(30);
/// Changes taken from the cache at a time.
const BATCH: usize = 64;

const NO_LOGS: &str = "No logs are available.";
/// What is for the rollout and not for its pod.
pub(super) const OWN: [&str; 3] = ["nowait", "version", "previous"];

/// The version that is asked for, if one is, and whether the one before the newest is.
fn asked(
    request: &ResourceRequest,
    options: &str,
    what: &str,
) -> Result<(Option<i64>, bool), Status> {
    let version = request.query.int("version")?;
    let previous = request.query.flag("previous");
    let mut errors = Vec::new();
    if let Some(version) = version.filter(|version| *version <= 0) {
        let why = format!("{what} version must be greater than 0");
        errors.push(FieldError::invalid(&Path::new("version"), version, &why));
    }
    if version.is_some() && previous {
        let why = "cannot use previous when a version is specified";
        errors.push(FieldError::invalid(&Path::new("previous"), &Value::Bool(true), why));
    }
    if errors.is_empty() {
        return Ok((version, previous));
    }
    let group = request.kind.group.to_string();
    let kind = Gvk { group, version: "v1".to_owned(), kind: options.to_owned() };
    Err(Status::invalid(&kind, "", &errors))
}

/// Which rollout of a configuration is meant.
fn chosen(name: &str, latest: i64, asked: Option<i64>, previous: bool) -> Result<i64, Status> {
    let why = match asked {
        _ if latest == 0 => {
            format!("no deployment exists for deploymentConfig {name}", name = quote(&name))
        }
        None if previous && latest < 2 => {
            format!(
                "no previous deployment exists for deploymentConfig {name}",
                name = quote(&name)
            )
        }
        None => return Ok(if previous { latest - 1 } else { latest }),
        Some(version) if version > latest => {
            format!("invalid version for deploymentConfig {name}: {version}", name = quote(&name))
        }
        Some(version) => return Ok(version),
    };
    Err(Status::bad_request(why))
}

/// Whose words are a log.
enum Speaker {
    /// Those of a container of a pod, of the only one if none is named.
    Pod(String, Option<String>),
    /// Those of a rollout itself.
    Rollout(Value),
    /// Those of all containers of a build's pod, one after the other.
    Build(String),
}

fn nothing_yet() -> Answer {
    answer::with_body(200, "text/plain", Body::empty())
}

impl Api {
    /// GET of the log of a rollout or a build.
    pub(crate) async fn openshift_log(
        self: &Arc<Self>,
        request: &ResourceRequest,
        parts: Parts,
    ) -> Result<Answer, Status> {
        self.catch_up(None).await?;
        let found = match &*request.kind.plural {
            "builds" => self.pod_of_build(request).await?.map(Speaker::Build),
            _ => self.speaker_of_rollout(request).await?,
        };
        let (pod, container) = match found {
            None => return Ok(nothing_yet()),
            Some(Speaker::Pod(pod, container)) => (pod, container),
            Some(Speaker::Rollout(rollout)) => return self.rollout_log(request, &rollout),
            Some(Speaker::Build(pod)) => {
                return build_log::answer(self, request, &pod).await;
            }
        };
        let mut query = Query::default();
        for (name, value) in request.query.pairs().filter(|(name, _)| !OWN.contains(name)) {
            query = query.with(name, value);
        }
        if let Some(container) = container.filter(|_| !query.has("container")) {
            query = query.with("container", &container);
        }
        let pods = kind("", "pods")?;
        let log = ResourceRequest {
            subresource: Some(Subresource::Log),
            query,
            ..ResourceRequest::of(Verb::Get, pods, &request.namespace, &pod)
        };
        self.log(&log, parts).await
    }

    /// Waits until an object is as wanted; what it was last, if that takes too long.
    pub(super) async fn wait_for(
        &self,
        (kind, namespace, name): (&leme_kinds::Kind, &str, &str),
        patience: Duration,
        enough: impl Fn(&Value) -> bool + Send,
    ) -> Result<Result<Value, Option<Value>>, Status> {
        let (stopping, prefix) = (self.lifetime.stop_token(), kind.prefix(None));
        let mut late = std::pin::pin!(tokio::time::sleep(patience));
        loop {
            // What changes while it is looked at is told of.
            let changes = self.cache.watch(&prefix, self.cache.revision());
            let mut changes = changes.map_err(crate::answer::read_failed)?;
            let object = self.known(kind, namespace, name)?;
            if let Some(object) = &object
                && enough(object)
            {
                return Ok(Ok(object.clone()));
            }
            tokio::select! {
                _ = changes.next_batch(BATCH) => {}
                () = &mut late => return Ok(Err(object)),
                () = stopping.cancelled() => return Ok(Err(object)),
            }
        }
    }

    async fn speaker_of_rollout(
        &self,
        request: &ResourceRequest,
    ) -> Result<Option<Speaker>, Status> {
        let (version, previous) = asked(request, "DeploymentLogOptions", "deployment")?;
        let name = &request.name;
        let config = self.known(&request.kind, &request.namespace, name)?;
        let config = config.ok_or_else(|| {
            let mut resource = request.gvr();
            resource.resource = "deploymentconfig".to_owned();
            Status::not_found(&resource, name)
        })?;
        let version = chosen(name, latest_version(&config), version, previous)?;
        let target = rollout_name(&config, version);
        let controllers = kind("", "replicationcontrollers")?;
        let place = (&**controllers, request.namespace.as_str(), target.as_str());
        let rollout = self.wait_for(place, ROLLOUT, |_| true).await?;
        let mut rollout = rollout.map_err(|_| Status::not_found(&controllers.gvr(), &target))?;
        let waits = |rollout: &Value| matches!(phase(rollout), "New" | "Pending");
        if waits(&rollout) {
            if request.query.flag("nowait") {
                return Ok(None);
            }
            let begun = self.wait_for(place, ROLLOUT, |rollout| !waits(rollout)).await?;
            rollout = begun.map_err(|_| {
                Status::timeout(
                    "The get operation against ReplicationController could not be completed at this time, please try again.",
                    2,
                )
            })?;
        }
        if phase(&rollout) == "Complete" {
            // Who is done has no pod of its own any more: what it rolled out speaks.
            return self
                .pod_of_controller(&rollout, &request.namespace)
                .map(|pod| Some(Speaker::Pod(pod, None)));
        }
        if !log_of(&rollout).is_empty() {
            return Ok(Some(Speaker::Rollout(rollout)));
        }
        Ok(Some(Speaker::Pod(format!("{target}-deploy"), None)))
    }

    /// A pod that a controller selects, one that runs before others.
    fn pod_of_controller(&self, rollout: &Value, namespace: &str) -> Result<String, Status> {
        let pods = kind("", "pods")?;
        let snapshot = self.cache.snapshot(&pods.prefix(None)).ok_or_else(Status::no_such_path)?;
        let mut found: Vec<(bool, String)> = Vec::new();
        for object in snapshot.range(&pods.prefix(Some(namespace)), "") {
            let selected = json::entries(rollout, &["spec", "selector"])
                .all(|(key, value)| object.index.label(key) == value.as_str());
            if selected {
                let pod = crate::table::decoded(object)?;
                let waits = json::text(&pod, &["status", "phase"]) != "Running";
                found.push((waits, json::text(&pod, &["metadata", "name"]).to_owned()));
            }
        }
        found.sort();
        let first = found.into_iter().next();
        first
            .map(|(_, name)| name)
            .ok_or_else(|| Status::internal("timed out waiting for the condition"))
    }

    async fn pod_of_build(&self, request: &ResourceRequest) -> Result<Option<String>, Status> {
        let (_, previous) = asked(request, "BuildLogOptions", "build")?;
        let mut build = self.must(&request.kind, &request.namespace, &request.name)?;
        if previous {
            let annotation =
                |key: &str| json::text(&build, &["metadata", "annotations", key]).to_owned();
            let number: i64 = annotation("openshift.io/build.number").parse().unwrap_or(0);
            let before = format!("{}-{}", annotation("openshift.io/build-config.name"), number - 1);
            build = self.must(&request.kind, &request.namespace, &before)?;
        }
        let name = json::text(&build, &["metadata", "name"]).to_owned();
        let phase = |build: &Value| json::text(build, &["status", "phase"]).to_owned();
        let waits = |build: &Value| matches!(phase(build).as_str(), "New" | "Pending");
        match phase(&build).as_str() {
            "New" | "Pending" if request.query.flag("nowait") => return Ok(None),
            "New" | "Pending" => {
                let place = (&*request.kind, request.namespace.as_str(), name.as_str());
                let begun = self.wait_for(place, BUILD, |build| !waits(build)).await?;
                let late = || {
                    let message = format!("timed out waiting for build {name} to start after 30s");
                    Status::timeout(message, 1)
                };
                build = begun.map_err(|_| late())?;
                let why = match phase(&build).as_str() {
                    "Error" => "encountered an error",
                    "Cancelled" => "was cancelled",
                    _ => "",
                };
                if !why.is_empty() {
                    return Err(Status::bad_request(format!("build {name} {why}: {NO_LOGS}")));
                }
            }
            "Cancelled" => {
                return Err(Status::bad_request(format!("build {name} was cancelled. {NO_LOGS}")));
            }
            "Error" => {
                let why = format!("build {name} is in an error state. {NO_LOGS}");
                return Err(Status::bad_request(why));
            }
            _ => {}
        }
        let pods = kind("", "pods")?;
        let pod_name = format!("{name}-build");
        let pod = self.known(pods, &request.namespace, &pod_name)?;
        match pod {
            Some(_) => Ok(Some(pod_name)),
            None => Err(Status::bad_request(format!(
                "pod {pod_name} not found",
                pod_name = quote(&pod_name)
            ))),
        }
    }
}
