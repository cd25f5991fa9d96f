//! ImageStreams as controllers read them: what a tag names now, and where a stream's own registry keeps it.
//!
//! Knows: which of two references a tag wishes. Refuses to know: how tags come to name images.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

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
#[serde(default)]
struct Spec {
    tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tag {
    name: String,
    reference_policy: Policy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    #[serde(rename = "type")]
    type_: String,
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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    docker_image_reference: String,
    image: String,
}

kind!(ImageStream, "image.openshift.io", "v1", "imagestreams", NamespaceResourceScope);

impl ImageStream {
    /// What a tag names now: where the image is, or as the registry of the stream has it, if the tag wishes that.
    pub fn image(&self, tag: &str) -> Option<String> {
        let history = self.status.tags.iter().flatten().find(|one| one.tag == tag)?;
        let item = history.items.as_ref()?.first()?;
        let local = self
            .spec
            .tags
            .iter()
            .any(|one| one.name == tag && one.reference_policy.type_ == "Local");
        let repository = &self.status.docker_image_repository;
        let image = match local && !item.image.is_empty() && !repository.is_empty() {
            true => format!("{repository}@{}", item.image),
            false => item.docker_image_reference.clone(),
        };
        (!image.is_empty()).then_some(image)
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
