//! POST of an Eviction: a pod is deleted at the wish of somebody who empties its node.
//!
//! Knows: what the body asks for. Refuses to know: budgets; there are none that could forbid it.

use leme_meta::Status;
use leme_registry::{DeleteOptions, json};
use serde_json::Value;

use super::create::carried_out;
use super::options;
use super::{Input, WriteOptions};
use crate::answer::Answer;
use crate::api::Api;
use crate::body;
use crate::request::ResourceRequest;

/// The type of the body.
const EVICTION: &str = "io.k8s.api.policy.v1.Eviction";

impl Api {
    /// POST of an Eviction to the object that it names.
    pub(super) async fn evict(
        &self,
        request: &ResourceRequest,
        input: Input,
        options: &WriteOptions,
    ) -> Result<Answer, Status> {
        let bytes = body::to_json(&body::media_type(&input.headers), input.body)?;
        let (value, _) = options::parsed(&bytes)?;
        let mut delete = asked(request, &value)?;
        // A dry run must not become a real one because the client said so in one place only.
        delete.dry_run |= options.dry_run;
        self.evict_object(request, &delete)
            .await?
            .ok_or_else(|| Status::not_found(&request.gvr(), &request.name))?;
        carried_out(request, &input.wanted)
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
            "no kind {kind:?} is registered for version {api_version:?}"
        )));
    }
    let found = leme_meta::schema::check(leme_kinds::schemas(), EVICTION, body);
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
