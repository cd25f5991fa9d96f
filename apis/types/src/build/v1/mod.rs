//! build.openshift.io/v1: build configurations and builds.

mod source;
mod strategy;
mod trigger;

pub use source::*;
pub use strategy::*;
pub use trigger::*;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    EnvVar, LocalObjectReference, ObjectReference, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Serialize};

use crate::kind::{kind, nullable};

kind! {
    /// How an image is built, and when.
    BuildConfig, "build.openshift.io", "buildconfigs", BuildConfigSpec, BuildConfigStatus
}

kind! {
    /// One build of an image.
    Build, "build.openshift.io", "builds", BuildSpec, BuildStatus
}

/// What a build configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildConfigSpec {
    /// How long a build may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_deadline_seconds: Option<i64>,
    /// How many failed builds are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_builds_history_limit: Option<i32>,
    /// Whether the cluster's trusted certificates are mounted.
    #[serde(rename = "mountTrustedCA", skip_serializing_if = "Option::is_none")]
    pub mount_trusted_ca: Option<bool>,
    /// Nodes that may run the build.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// What comes out of the build.
    #[serde(deserialize_with = "nullable")]
    pub output: BuildOutput,
    /// What runs in the image before it is pushed.
    #[serde(deserialize_with = "nullable")]
    pub post_commit: BuildPostCommitSpec,
    /// Resources of the pod that does the work.
    #[serde(deserialize_with = "nullable")]
    pub resources: ResourceRequirements,
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// `Serial`, `SerialLatestOnly` or `Parallel`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_policy: Option<String>,
    /// Service account of the build's pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// What is built.
    #[serde(deserialize_with = "nullable")]
    pub source: BuildSource,
    /// How it is done.
    #[serde(deserialize_with = "nullable")]
    pub strategy: BuildStrategy,
    /// How many good builds are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successful_builds_history_limit: Option<i32>,
    /// What starts it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<BuildTriggerPolicy>,
}

/// Where an image goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildOutput {
    /// Labels of the image.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub image_labels: Vec<ImageLabel>,
    /// Secret to push the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_secret: Option<LocalObjectReference>,
    /// Where the image goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<ObjectReference>,
}

/// A label of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageLabel {
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What runs in an image before it is pushed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildPostCommitSpec {
    /// Arguments.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Command, not run by a shell.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Script for `/bin/sh -ic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

/// What a build configuration did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildConfigStatus {
    /// What the image triggers last saw.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub image_change_triggers: Vec<ImageChangeTriggerStatus>,
    /// Number of the last build.
    #[serde(deserialize_with = "nullable")]
    pub last_version: i64,
}

/// What a build does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildSpec {
    /// How long a build may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_deadline_seconds: Option<i64>,
    /// Whether the cluster's trusted certificates are mounted.
    #[serde(rename = "mountTrustedCA", skip_serializing_if = "Option::is_none")]
    pub mount_trusted_ca: Option<bool>,
    /// Nodes that may run the build.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// What comes out of the build.
    #[serde(deserialize_with = "nullable")]
    pub output: BuildOutput,
    /// What runs in the image before it is pushed.
    #[serde(deserialize_with = "nullable")]
    pub post_commit: BuildPostCommitSpec,
    /// Resources of the pod that does the work.
    #[serde(deserialize_with = "nullable")]
    pub resources: ResourceRequirements,
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Service account of the build's pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// What is built.
    #[serde(deserialize_with = "nullable")]
    pub source: BuildSource,
    /// How it is done.
    #[serde(deserialize_with = "nullable")]
    pub strategy: BuildStrategy,
    /// What started the build.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub triggered_by: Vec<BuildTriggerCause>,
}

/// How far a build is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildStatus {
    /// Whether someone asked it to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<bool>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// Conditions.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<BuildCondition>,
    /// The configuration it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ObjectReference>,
    /// How long it took, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<i64>,
    /// The last lines of the log of a failed build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_snippet: Option<String>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What comes out of the build.
    #[serde(deserialize_with = "nullable")]
    pub output: BuildStatusOutput,
    /// Pull specification of what it pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_docker_image_reference: Option<String>,
    /// `New`, `Pending`, `Running`, `Complete`, `Failed`, `Error` or `Cancelled`.
    #[serde(deserialize_with = "nullable")]
    pub phase: String,
    /// Why, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it did, and how long that took.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageInfo>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<Time>,
}

/// A condition of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildCondition {
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

/// What a build pushed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildStatusOutput {
    /// What was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<BuildStatusOutputTo>,
}

/// The image that a build pushed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildStatusOutputTo {
    /// Digest of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
}

/// A stage of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageInfo {
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<i64>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// Its steps.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepInfo>,
}

/// A step of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepInfo {
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_milliseconds: Option<i64>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
}

/// A request to build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildRequest {
    /// API version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// The input that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<BinaryBuildSource>,
    /// Changes to a docker build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_strategy_options: Option<DockerStrategyOptions>,
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// The image it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// Kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The number that the last build must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_version: Option<i64>,
    /// Metadata.
    #[serde(deserialize_with = "nullable")]
    pub metadata: ObjectMeta,
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Changes to a source build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_strategy_options: Option<SourceStrategyOptions>,
    /// What started the build.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub triggered_by: Vec<BuildTriggerCause>,
    /// The image that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_by_image: Option<ObjectReference>,
}
