//! What starts a build, and what started one.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::source::SourceRevision;
use crate::kind::nullable;

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
