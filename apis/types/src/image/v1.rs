//! image.openshift.io/v1: image streams.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use crate::kind::{kind, nullable};

kind! {
    /// Tags that point at images, with their history.
    ImageStream, "image.openshift.io", "imagestreams", ImageStreamSpec, ImageStreamStatus
}

/// What an image stream asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStreamSpec {
    /// The repository that the stream stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image_repository: Option<String>,
    /// Who may name the stream.
    #[serde(deserialize_with = "nullable")]
    pub lookup_policy: ImageLookupPolicy,
    /// Tags.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagReference>,
}

/// Who may name a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageLookupPolicy {
    /// Whether pods may name the stream as if it were an image.
    #[serde(deserialize_with = "nullable")]
    pub local: bool,
}

/// What a tag should point at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagReference {
    /// Annotations.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the tag points at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<ObjectReference>,
    /// Generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// How the image is imported.
    #[serde(deserialize_with = "nullable")]
    pub import_policy: TagImportPolicy,
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Whether the tag only points, with nothing imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<bool>,
    /// How pods name the image.
    #[serde(deserialize_with = "nullable")]
    pub reference_policy: TagReferencePolicy,
}

/// How a tag is imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagImportPolicy {
    /// `Legacy` or `PreserveOriginal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_mode: Option<String>,
    /// Whether the registry may be without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Whether it is imported again from time to time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<bool>,
}

/// How pods name the image of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagReferencePolicy {
    /// `Source` or `Local`.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// What an image stream points at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStreamStatus {
    /// The repository that the stream stands for.
    #[serde(deserialize_with = "nullable")]
    pub docker_image_repository: String,
    /// The repository as it is reached from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_docker_image_repository: Option<String>,
    /// Tags.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<NamedTagEventList>,
}

/// The history of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedTagEventList {
    /// Conditions.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<TagEventCondition>,
    /// What the tag pointed at, the newest first.
    #[serde(deserialize_with = "nullable")]
    pub items: Vec<TagEvent>,
    /// The tag.
    #[serde(deserialize_with = "nullable")]
    pub tag: String,
}

/// A condition of a tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagEventCondition {
    /// Generation.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
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

/// What a tag pointed at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TagEvent {
    /// When it was tagged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
    /// Pull specification.
    #[serde(deserialize_with = "nullable")]
    pub docker_image_reference: String,
    /// Generation.
    #[serde(deserialize_with = "nullable")]
    pub generation: i64,
    /// Image.
    #[serde(deserialize_with = "nullable")]
    pub image: String,
}
