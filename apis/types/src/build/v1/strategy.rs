//! How a build is done.

use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ConfigMapVolumeSource, EnvVar, LocalObjectReference, ObjectReference,
    SecretVolumeSource,
};
use serde::{Deserialize, Serialize};

use crate::kind::nullable;

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
