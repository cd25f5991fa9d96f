//! ImageStreams as controllers read them: what a tag names now, and where a stream's own registry keeps it.
//!
//! Knows: which of two references a tag wishes. Refuses to know: how tags come to name images.

use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::kind::kind;

/// An ImageStream, as far as its tags name images.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageStream {
    /// Its metadata.
    pub metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    docker_image_repository: String,
    tags: Vec<Tag>,
}

/// A tag as it is wished.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) from: Option<ObjectReference>,
    pub(crate) generation: Option<i64>,
    pub(crate) reference: bool,
    pub(crate) import_policy: Value,
    pub(crate) reference_policy: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    docker_image_repository: String,
    tags: Option<Vec<History>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    tag: String,
    items: Option<Vec<Item>>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    generation: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    docker_image_reference: String,
    image: String,
    generation: i64,
}

kind!(ImageStream, "image.openshift.io", "v1", "imagestreams", NamespaceResourceScope);

/// The one of these in a namespace and of a name.
pub(crate) fn find<'a>(
    streams: &'a [Arc<ImageStream>],
    namespace: &str,
    name: &str,
) -> Option<&'a Arc<ImageStream>> {
    streams.iter().find(|stream| {
        let meta = &stream.metadata;
        (meta.namespace.as_deref(), meta.name.as_deref()) == (Some(namespace), Some(name))
    })
}

impl ImageStream {
    /// What a tag names now: where the image is, or as the registry of the stream has it, if the tag wishes that.
    pub fn image(&self, tag: &str) -> Option<String> {
        let history = self.status.tags.iter().flatten().find(|one| one.tag == tag)?;
        let item = history.items.as_ref()?.first()?;
        let local = self
            .spec
            .tags
            .iter()
            .any(|one| one.name == tag && one.reference_policy["type"] == "Local");
        let repository = &self.status.docker_image_repository;
        let image = match local && !item.image.is_empty() && !repository.is_empty() {
            true => format!("{repository}@{}", item.image),
            false => item.docker_image_reference.clone(),
        };
        (!image.is_empty()).then_some(image)
    }

    /// Its tags as they are wished.
    pub(crate) fn tags(&self) -> &[Tag] {
        &self.spec.tags
    }

    /// The repository elsewhere that it stands for; empty if it is none.
    pub(crate) fn wanted_repository(&self) -> &str {
        &self.spec.docker_image_repository
    }

    /// The newest generation in which a tag was looked at, with or without success.
    pub(crate) fn seen(&self, tag: &str) -> i64 {
        let history = self.status.tags.iter().flatten().find(|one| one.tag == tag);
        let item = history.and_then(|history| history.items.as_ref()?.first());
        let conditions = history.and_then(|history| history.conditions.as_ref());
        let failed = conditions.into_iter().flatten().map(|one| one.generation);
        failed.chain(item.map(|item| item.generation)).max().unwrap_or(0)
    }

    /// Where the stream's own registry keeps its images; empty while there is none.
    pub fn repository(&self) -> &str {
        &self.status.docker_image_repository
    }

    /// Where an image of the stream is, by its name or the beginning of it; of several that are the newest of some tag.
    pub fn image_by_id(&self, id: &str) -> Option<String> {
        let tags = self.status.tags.iter().flatten();
        let items = tags.flat_map(|tag| tag.items.iter().flatten());
        let mut found = items.filter(|item| {
            item.image == id || item.image.strip_prefix("sha256:").is_some_and(|hex| hex == id)
        });
        found.next().map(|item| item.docker_image_reference.clone())
    }
}
