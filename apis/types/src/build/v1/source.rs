//! Where the source of a build comes from.

use k8s_openapi::api::core::v1::{LocalObjectReference, ObjectReference};
use serde::{Deserialize, Serialize};

use crate::kind::nullable;

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
