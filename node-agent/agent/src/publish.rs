//! Writing a pod's status and deleting it in the API.
//!
//! Knows: preconditions and which fields are written. Refuses to know: what the status says.

use http::Method;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use leme_client::{Client, Error, JSON, Resource};
use leme_node_core::spec;
use leme_node_core::status::OWN_CONDITIONS;
use serde_json::{Value, json};

/// Fields that the agent owns: absent means "remove".
const FIELDS: &[&str] = &[
    "phase",
    "reason",
    "message",
    "qosClass",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

/// Why a status was not written.
#[derive(Debug)]
pub enum Failed {
    /// The API does not take what it says, and will not when it is told again.
    Refused(String),
    /// It could not be asked.
    Unreachable(String),
}

fn pods() -> Resource {
    Resource::namespaced("v1", "Pod", "pods")
}

/// Writes the status of the pod with this UID. A pod that is gone or replaced needs none.
pub async fn write(client: Client, pod: &Pod, status: &PodStatus) -> Result<(), Failed> {
    let id = spec::identity(pod);
    let mut fields = match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Failed::Refused("status is not an object".to_owned())),
        Err(error) => return Err(Failed::Refused(error.to_string())),
    };
    for field in FIELDS {
        fields.entry(*field).or_insert(Value::Null);
    }
    let mut metadata = json!({"uid": id.uid});
    // Conditions of others are in the list that is replaced: write only over the version they were read from.
    let foreign =
        |c: &k8s_openapi::api::core::v1::PodCondition| !OWN_CONDITIONS.contains(&c.type_.as_str());
    if status.conditions.iter().flatten().any(foreign) {
        metadata["resourceVersion"] = pod.metadata.resource_version.clone().into();
    }
    let patch = json!({"metadata": metadata, "status": fields});
    match client.merge(&pods().object(&id.namespace, &id.name, "status"), &patch).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(Error::Status { code: 422, message, .. }) => Err(Failed::Refused(message)),
        Err(error) => Err(Failed::Unreachable(error.to_string())),
    }
}

/// Deletes the pod with this UID for good.
pub async fn delete(client: Client, pod: &Pod) -> Result<(), String> {
    let id = spec::identity(pod);
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
        "gracePeriodSeconds": 0, "preconditions": {"uid": id.uid}});
    let path = pods().object(&id.namespace, &id.name, "");
    match client.call::<Value>(Method::DELETE, &path, JSON, Some(&options)).await {
        Ok(_) => Ok(()),
        // Gone, or another pod has the name: either way this one does not exist.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
