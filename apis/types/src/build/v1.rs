//! build.openshift.io/v1: build configurations and builds.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EnvVar, LocalObjectReference, ObjectReference,
    ResourceRequirements, SecretVolumeSource,
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

/// A revision of the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceRevision {
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSourceRevision>,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// A commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GitSourceRevision {
    /// Who wrote it.
    #[serde(deserialize_with = "nullable")]
    pub author: SourceControlUser,
    /// Commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Who committed it.
    #[serde(deserialize_with = "nullable")]
    pub committer: SourceControlUser,
    /// What the commit says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceControlUser {
    /// Electronic mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Where the source of a build comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildSource {
    /// What the client sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<BinaryBuildSource>,
    /// Config maps that are put in the source.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<ConfigMapBuildSource>,
    /// The directory of the source that is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_dir: Option<String>,
    /// Text of a Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// A repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitBuildSource>,
    /// Images that files are taken from.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ImageSource>,
    /// Secrets that are put in the source.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretBuildSource>,
    /// Secret to fetch the source with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_secret: Option<LocalObjectReference>,
    /// Which sort it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// Source that the client sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BinaryBuildSource {
    /// The file that the input is written to; an archive is unpacked if it is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_file: Option<String>,
}

/// A config map in the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapBuildSource {
    /// The config map.
    #[serde(deserialize_with = "nullable")]
    pub config_map: LocalObjectReference,
    /// Where it is put, relative to the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_dir: Option<String>,
}

/// Source of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GitBuildSource {
    /// Proxy for HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<String>,
    /// Proxy for HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_proxy: Option<String>,
    /// Hosts without a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<String>,
    /// Branch, tag or commit.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<String>,
    /// Where the repository is.
    #[serde(deserialize_with = "nullable")]
    pub uri: String,
}

/// Files of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageSource {
    /// Names of build stages that the image stands in for.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub r#as: Vec<String>,
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ObjectReference,
    /// What is copied.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ImageSourcePath>,
    /// Secret to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<LocalObjectReference>,
}

/// A path of an image and where it goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageSourcePath {
    /// Where it is put, relative to the working directory.
    #[serde(deserialize_with = "nullable")]
    pub destination_dir: String,
    /// Path in the image.
    #[serde(deserialize_with = "nullable")]
    pub source_path: String,
}

/// A secret in the source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretBuildSource {
    /// Where it is put, relative to the working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_dir: Option<String>,
    /// Secret.
    #[serde(deserialize_with = "nullable")]
    pub secret: LocalObjectReference,
}

/// How an image is built.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildStrategy {
    /// By an image of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_strategy: Option<CustomBuildStrategy>,
    /// By a Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_strategy: Option<DockerBuildStrategy>,
    /// By a pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jenkins_pipeline_strategy: Option<JenkinsPipelineBuildStrategy>,
    /// By a builder image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_strategy: Option<SourceBuildStrategy>,
    /// Which sort it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

/// A build by an image of one's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomBuildStrategy {
    /// Version of the Build that the builder is given.
    #[serde(rename = "buildAPIVersion", skip_serializing_if = "Option::is_none")]
    pub build_api_version: Option<String>,
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Whether the builder sees the container engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose_docker_socket: Option<bool>,
    /// Whether the image is pulled even if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ObjectReference,
    /// Secret to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<LocalObjectReference>,
    /// Secrets that the builder gets.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretSpec>,
}

/// A secret of a builder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretSpec {
    /// Where it is mounted.
    #[serde(deserialize_with = "nullable")]
    pub mount_path: String,
    /// The secret.
    #[serde(deserialize_with = "nullable")]
    pub secret_source: LocalObjectReference,
}

/// A build by a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerBuildStrategy {
    /// Arguments of the Dockerfile.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub build_args: Vec<EnvVar>,
    /// Path of the Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile_path: Option<String>,
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Whether the image is pulled even if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// The image it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// How layers are squashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_optimization_policy: Option<String>,
    /// Whether cached layers are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache: Option<bool>,
    /// Secret to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<LocalObjectReference>,
    /// Volumes.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<BuildVolume>,
}

/// A volume of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildVolume {
    /// Where it is mounted.
    #[serde(deserialize_with = "nullable")]
    pub mounts: Vec<BuildVolumeMount>,
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Where it comes from.
    #[serde(deserialize_with = "nullable")]
    pub source: BuildVolumeSource,
}

/// A mount of a build's volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildVolumeMount {
    /// Path in the build.
    #[serde(deserialize_with = "nullable")]
    pub destination_path: String,
}

/// What a build's volume holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildVolumeSource {
    /// A config map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A volume of a driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
    /// A secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// A build by a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JenkinsPipelineBuildStrategy {
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Text of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jenkinsfile: Option<String>,
    /// Path of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jenkinsfile_path: Option<String>,
}

/// A build by a builder image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceBuildStrategy {
    /// Environment.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Whether the image is pulled even if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ObjectReference,
    /// Whether what an earlier build left is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental: Option<bool>,
    /// Secret to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<LocalObjectReference>,
    /// Where the scripts are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scripts: Option<String>,
    /// Volumes.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<BuildVolume>,
}

/// Something that starts a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildTriggerPolicy {
    /// A call from Bitbucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitbucket: Option<WebHookTrigger>,
    /// A call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic: Option<WebHookTrigger>,
    /// A call from GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github: Option<WebHookTrigger>,
    /// A call from GitLab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab: Option<WebHookTrigger>,
    /// A new image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_change: Option<ImageChangeTrigger>,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// A call that starts a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WebHookTrigger {
    /// Whether the caller may set the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_env: Option<bool>,
    /// Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The secret that the caller must know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_reference: Option<SecretLocalReference>,
}

/// A secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretLocalReference {
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
}

/// An image that starts a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageChangeTrigger {
    /// The image it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// The image that last started a build.
    #[serde(rename = "lastTriggeredImageID", skip_serializing_if = "Option::is_none")]
    pub last_triggered_image_id: Option<String>,
    /// Whether nothing is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
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

/// What an image trigger last saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageChangeTriggerStatus {
    /// The image it is about.
    #[serde(deserialize_with = "nullable")]
    pub from: ImageStreamTagReference,
    /// When it last started a build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_trigger_time: Option<Time>,
    /// The image that last started a build.
    #[serde(rename = "lastTriggeredImageID", skip_serializing_if = "Option::is_none")]
    pub last_triggered_image_id: Option<String>,
}

/// A tag of an image stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStreamTagReference {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
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

/// What started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BuildTriggerCause {
    /// A call from Bitbucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitbucket_web_hook: Option<BitbucketWebHookCause>,
    /// A call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic_web_hook: Option<GenericWebHookCause>,
    /// A call from GitHub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github_web_hook: Option<GitHubWebHookCause>,
    /// A call from GitLab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab_web_hook: Option<GitLabWebHookCause>,
    /// A new image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_change_build: Option<ImageChangeCause>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A call from Bitbucket that started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BitbucketWebHookCause {
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A call that started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GenericWebHookCause {
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A call from GitHub that started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GitHubWebHookCause {
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A call from GitLab that started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GitLabWebHookCause {
    /// The revision of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<SourceRevision>,
    /// Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An image that started a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageChangeCause {
    /// Reference to the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ref: Option<ObjectReference>,
    /// Image.
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
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

/// Changes to a docker build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerStrategyOptions {
    /// Arguments of the Dockerfile.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub build_args: Vec<EnvVar>,
    /// Whether cached layers are ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache: Option<bool>,
}

/// Changes to a source build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceStrategyOptions {
    /// Whether what an earlier build left is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incremental: Option<bool>,
}
