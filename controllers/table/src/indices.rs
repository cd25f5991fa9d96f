//! What the caches are looked up by besides names: nodes, controllers, jobs that wait, Services.
//!
//! Knows: the values of each index. Refuses to know: who looks there.

use k8s_openapi::api::apps::v1::{ControllerRevision, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_lister::Index;
use leme_plan::build::Build;
use leme_plan::common::{controller_of, has_finalizer};
use leme_plan::{deployment_config, endpointslice, job, pods};

/// Pods by the name of their node; those without one by the empty name.
pub const NODE: &str = "node";
/// Pods, ReplicationControllers, ReplicaSets, ControllerRevisions and jobs by the uid of their controller; all but jobs also without one, by
/// [`uncontrolled`].
pub const CONTROLLER: &str = "controller";
/// Pods that wait to be counted, by the namespace and name of their job, as `namespace/name`.
pub const TRACKED: &str = "tracked";
/// Pods that belong to a rollout itself by its namespace and name, as `namespace/name`.
pub const HELPER: &str = "helper";
/// Builds by the namespace and name of their configuration, as `namespace/name`.
pub const CONFIG: &str = "config";
/// EndpointSlices by [`of_service`].
pub const SERVICE: &str = "service";

pub(crate) const PODS: &[Index<Pod>] = &[
    (NODE, |pod| Some(pods::node_name(pod).to_owned())),
    (CONTROLLER, |pod| Some(controller_or_none(&pod.metadata))),
    (TRACKED, |pod| {
        let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == "Job")?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
        has_finalizer(&pod.metadata, job::TRACKING).then(|| format!("{namespace}/{}", owner.name))
    }),
    (HELPER, |pod| {
        let rollout = pod.metadata.labels.as_ref()?.get(deployment_config::HELPER_OF)?;
        Some(format!("{}/{rollout}", pod.metadata.namespace.as_deref().unwrap_or("")))
    }),
];

pub(crate) const BUILDS: &[Index<Build>] = &[(CONFIG, |build| {
    let namespace = build.metadata.namespace.as_deref().unwrap_or("");
    Some(build.config()).filter(|name| !name.is_empty()).map(|name| format!("{namespace}/{name}"))
})];

pub(crate) const JOBS: &[Index<Job>] =
    &[(CONTROLLER, |job| controller_of(&job.metadata).map(|owner| owner.uid.clone()))];

pub(crate) const REVISIONS: &[Index<ControllerRevision>] =
    &[(CONTROLLER, |revision| Some(controller_or_none(&revision.metadata)))];

pub(crate) const ROLLOUTS: &[Index<ReplicationController>] =
    &[(CONTROLLER, |one| Some(controller_or_none(&one.metadata)))];

pub(crate) const SETS: &[Index<ReplicaSet>] =
    &[(CONTROLLER, |set| Some(controller_or_none(&set.metadata)))];

fn controller_or_none(meta: &ObjectMeta) -> String {
    match controller_of(meta) {
        Some(owner) => owner.uid.clone(),
        None => uncontrolled(meta.namespace.as_deref().unwrap_or("")),
    }
}

pub(crate) const SLICES: &[Index<EndpointSlice>] = &[(SERVICE, |slice| {
    let name = slice.metadata.labels.as_ref()?.get(endpointslice::SERVICE_NAME)?;
    Some(of_service(slice.metadata.namespace.as_deref().unwrap_or(""), name))
})];

/// The value in [`CONTROLLER`] of what nobody controls in a namespace; no uid has a slash.
pub fn uncontrolled(namespace: &str) -> String {
    format!("{namespace}/")
}

/// The value in [`SERVICE`] of the slices of a Service, whoever wrote them.
pub fn of_service(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}
