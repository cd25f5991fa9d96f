//! Writing a pod's status and deleting it in the API.
//!
//! Knows: preconditions and which fields are written. Refuses to know: what the status says.

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use leme_node_core::spec;
use leme_node_core::status::OWN_CONDITIONS;

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
];

/// Why a status was not written.
#[derive(Debug)]
pub enum Failed {
    /// The API does not take what it says, and will not when it is told again.
    Refused(String),
    /// It could not be asked.
    Unreachable(String),
}

/// Writes the status of the pod with this UID. A pod that is gone or replaced needs none.
pub async fn write(client: Client, pod: &Pod, status: &PodStatus) -> Result<(), Failed> {
    let id = spec::identity(pod);
    let mut fields = match serde_json::to_value(status) {
        Ok(serde_json::Value::Object(fields)) => fields,
        Ok(_) => return Err(Failed::Refused("status is not an object".to_owned())),
        Err(error) => return Err(Failed::Refused(error.to_string())),
    };
    for field in FIELDS {
        fields.entry(*field).or_insert(serde_json::Value::Null);
    }
    let mut metadata = serde_json::json!({"uid": id.uid});
    // Conditions of others are in the list that is replaced: write only over the version they were read from.
    let foreign =
        |c: &k8s_openapi::api::core::v1::PodCondition| !OWN_CONDITIONS.contains(&c.type_.as_str());
    if status.conditions.iter().flatten().any(foreign) {
        metadata["resourceVersion"] = pod.metadata.resource_version.clone().into();
    }
    let patch = serde_json::json!({"metadata": metadata, "status": fields});
    let api: Api<Pod> = Api::namespaced(client, &id.namespace);
    let result = api.patch_status(&id.name, &PatchParams::default(), &Patch::Merge(patch)).await;
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 422 => {
            Err(Failed::Refused(answer.message.clone()))
        }
        Err(error) => Err(Failed::Unreachable(error.to_string())),
    }
}

/// Deletes the pod with this UID for good.
pub async fn delete(client: Client, pod: &Pod) -> Result<(), String> {
    let id = spec::identity(pod);
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(id.uid), resource_version: None }),
        ..DeleteParams::default()
    };
    let api: Api<Pod> = Api::namespaced(client, &id.namespace);
    match api.delete(&id.name, &params).await {
        Ok(_) => Ok(()),
        // Gone, or another pod has the name: either way this one does not exist.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
