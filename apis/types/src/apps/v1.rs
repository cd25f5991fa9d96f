//! apps.openshift.io/v1: deployment configurations.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ObjectReference, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use crate::kind::{kind, nullable};

kind! {
    /// An application that is rolled out by triggers.
    DeploymentConfig, "apps.openshift.io", "deploymentconfigs", DeploymentConfigSpec, DeploymentConfigStatus
}

/// What a deployment configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentConfigSpec {
    /// How long a pod must be ready to count as available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// Whether nothing is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Number of pods.
    #[serde(deserialize_with = "nullable")]
    pub replicas: i32,
    /// How many old replication controllers are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Labels of the pods.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// How it is done.
    #[serde(deserialize_with = "nullable")]
    pub strategy: DeploymentStrategy,
    /// What the pods look like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
    /// Whether pods run only while a deployment does.
    #[serde(deserialize_with = "nullable")]
    pub test: bool,
    /// What starts it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<DeploymentTriggerPolicy>,
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStrategy {
    /// How long a deployer may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<i64>,
    /// Annotations of the pods that do the work.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// How `Custom` does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_params: Option<CustomDeploymentStrategyParams>,
    /// Labels of the pods that do the work.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How `Recreate` does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recreate_params: Option<RecreateDeploymentStrategyParams>,
    /// Resources of the pod that does the work.
    #[serde(deserialize_with = "nullable")]
    pub resources: ResourceRequirements,
    /// How `Rolling` does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_params: Option<RollingDeploymentStrategyParams>,
    /// Which sort it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// A deployer of one's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomDeploymentStrategyParams {
    /// Command, not run by a shell.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvVar>,
    /// Image of the deployer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// All old pods go before new ones come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecreateDeploymentStrategyParams {
    /// Runs when no pod is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mid: Option<LifecycleHook>,
    /// Runs after pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post: Option<LifecycleHook>,
    /// Runs before pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre: Option<LifecycleHook>,
    /// How long to wait before giving up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
}

/// Something that runs around a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleHook {
    /// A pod to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_new_pod: Option<ExecNewPodHook>,
    /// What follows a failure: `Abort`, `Retry` or `Ignore`.
    #[serde(deserialize_with = "nullable")]
    pub failure_policy: String,
    /// Images to tag.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub tag_images: Vec<TagImageHook>,
}

/// A pod that runs as a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecNewPodHook {
    /// Command, not run by a shell.
    #[serde(deserialize_with = "nullable")]
    pub command: Vec<String>,
    /// Container.
    #[serde(deserialize_with = "nullable")]
    pub container_name: String,
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Volumes of the template that the pod gets.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
}

/// An image that is tagged as a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagImageHook {
    /// Container.
    #[serde(deserialize_with = "nullable")]
    pub container_name: String,
    /// Where the image goes.
    #[serde(deserialize_with = "nullable")]
    pub to: ObjectReference,
}

/// Pods are replaced bit by bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingDeploymentStrategyParams {
    /// How long to wait between looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<i64>,
    /// How many pods there may be above the number wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrString>,
    /// How many pods may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrString>,
    /// Runs after pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post: Option<LifecycleHook>,
    /// Runs before pods are replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre: Option<LifecycleHook>,
    /// How long to wait before giving up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// How long to wait between pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_period_seconds: Option<i64>,
}

/// Something that starts a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentTriggerPolicy {
    /// The image of `ImageChange`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_change_params: Option<DeploymentTriggerImageChangeParams>,
    /// Which sort it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// The image that starts a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentTriggerImageChangeParams {
    /// Whether a new image is rolled out by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<bool>,
    /// Containers that get the image.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub container_names: Vec<String>,
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ObjectReference,
    /// The image last rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_triggered_image: Option<String>,
}

/// How far a deployment configuration is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentConfigStatus {
    /// Pods that are available.
    #[serde(deserialize_with = "nullable")]
    pub available_replicas: i32,
    /// Conditions.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<DeploymentCondition>,
    /// Why the last deployment happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<DeploymentDetails>,
    /// Number of the last deployment.
    #[serde(deserialize_with = "nullable")]
    pub latest_version: i64,
    /// The generation that this status is about.
    #[serde(deserialize_with = "nullable")]
    pub observed_generation: i64,
    /// Pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Number of pods.
    #[serde(deserialize_with = "nullable")]
    pub replicas: i32,
    /// Pods that are not available.
    #[serde(deserialize_with = "nullable")]
    pub unavailable_replicas: i32,
    /// Pods of the last deployment.
    #[serde(deserialize_with = "nullable")]
    pub updated_replicas: i32,
}

/// A condition of a deployment configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCondition {
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "nullable")]
    pub status: String,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// Why a deployment happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentDetails {
    /// All causes.
    #[serde(deserialize_with = "nullable")]
    pub causes: Vec<DeploymentCause>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One reason for a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCause {
    /// The image that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_trigger: Option<DeploymentCauseImageTrigger>,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// The image that caused a deployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentCauseImageTrigger {
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ObjectReference,
}

/// A request to deploy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentRequest {
    /// API version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Triggers to leave alone.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub exclude_triggers: Vec<String>,
    /// Whether to deploy even if nothing changed.
    #[serde(deserialize_with = "nullable")]
    pub force: bool,
    /// Kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether triggers are resolved first.
    #[serde(deserialize_with = "nullable")]
    pub latest: bool,
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
}
