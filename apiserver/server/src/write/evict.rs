//! POST of an Eviction: a pod is deleted at the wish of somebody who empties its node.
//!
//! Knows: what the body asks for, and that a budget is charged before the pod goes. Refuses to know: what a budget allows.

use leme_admission::Facts;
use leme_admission::eviction::{self, Ground};
use leme_kinds::{EVICTION, Subresource};
use leme_meta::Status;
use leme_meta::quote;
use leme_registry::{DeleteOptions, json};
use serde_json::Value;

use super::create::carried_out;
use super::options;
use super::{Change, Input, WriteOptions};
use crate::admit;
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::request::{ResourceRequest, Verb};

/// How often a pod is looked at that changes meanwhile, as upstream has it.
const TRIES: usize = 20;

impl Api {
    /// POST of an Eviction to the object that it names.
    pub(super) async fn evict(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let bytes = body::to_json(&body::media_type(&input.headers), input.body)?;
        let (mut value, _) = options::parsed(&bytes)?;
        let mut delete = asked(request, &value)?;
        // A dry run must not become a real one because the client said so in one place only.
        delete.dry_run |= options.dry_run;
        admit::post(self, request, delete.dry_run, &mut value)?;
        let gone = || Status::not_found(&request.gvr(), &request.name);
        for _ in 1..TRIES {
            let (options, ground) = self.disrupt(request, &delete).await?;
            match self.evict_object(request, &options).await {
                // It has changed since: its budget is asked anew.
                Err(status) if status.code == 409 && ground == Ground::AsSeen => {}
                done => {
                    done?.ok_or_else(gone)?;
                    return carried_out(request, &input.wanted);
                }
            }
        }
        self.evict_object(request, &self.disrupt(request, &delete).await?.0)
            .await?
            .ok_or_else(gone)?;
        carried_out(request, &input.wanted)
    }

    /// Takes a disruption of the budget of a pod, if it has one: the options that the pod may be deleted by, and on what
    /// ground.
    async fn disrupt(
        &self,
        request: &ResourceRequest,
        delete: &DeleteOptions,
    ) -> Result<(DeleteOptions, Ground), Status> {
        let mut options = delete.clone();
        let budgets = self.admission.facts().list(&eviction::BUDGETS, &request.namespace)?;
        let Some(pod) = self.stored(&request.key()).await? else {
            return Ok((options, Ground::Nothing));
        };
        let ground = eviction::ground(&pod.value, &budgets)?;
        match &ground {
            Ground::Nothing => {}
            Ground::AsSeen => {
                options.resource_version.get_or_insert(pod.revision.to_string());
            }
            Ground::Budget(name) => {
                let of = eviction::BUDGETS;
                let row = leme_kinds::by_resource(of.group, of.version, of.plural)
                    .ok_or_else(Status::no_such_path)?;
                let mut update = ResourceRequest::of(Verb::Update, row, &request.namespace, name);
                update.subresource = Some(Subresource::Status);
                let now = jiff::Timestamp::now();
                // A budget that is gone forbids nothing.
                self.change(&update, delete.dry_run, |stored, _| {
                    let status = eviction::disrupted(&stored.value, &request.name, now)?;
                    let mut budget = stored.value.clone();
                    json::set(&mut budget, "status", status);
                    Ok(Change::Put(budget))
                })
                .await?;
            }
        }
        Ok((options, ground))
    }
}

/// The options of the delete that an Eviction asks for.
fn asked(request: &ResourceRequest, body: &Value) -> Result<DeleteOptions, Status> {
    let refused = |why: &str| {
        Status::bad_request(format!(
            "Eviction in version \"v1\" cannot be handled as a Eviction: {why}"
        ))
    };
    let (kind, api_version) = (json::text(body, &["kind"]), json::text(body, &["apiVersion"]));
    if !matches!((kind, api_version), ("" | "Eviction", "" | "policy/v1" | "policy/v1beta1")) {
        return Err(refused(&format!(
            "no kind {kind} is registered for version {api_version}",
            kind = quote(&kind),
            api_version = quote(&api_version)
        )));
    }
    let found = leme_meta::schema::check(leme_kinds::schemas(), EVICTION.schema, body);
    if let Some(wrong) = found.type_errors.first() {
        return Err(refused(&wrong.decoded));
    }
    let named = json::text(body, &["metadata", "name"]);
    if named != request.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let namespace = json::text(body, &["metadata", "namespace"]);
    if !namespace.is_empty() && namespace != request.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    DeleteOptions::from_json(body.get("deleteOptions").unwrap_or(&Value::Null))
}
