//! Images that a configuration follows: what a tag of an ImageStream names now.
//!
//! Knows: which tags are followed, and what of a configuration changes with them. Refuses to know: how tags come to name
//! images.

use std::sync::Arc;

use crate::kind::kind;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};

use super::config::{DeploymentConfig, ImageChange};

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
    fn image(&self, tag: &str) -> Option<String> {
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
}

/// The namespace and name of the ImageStream that a trigger follows, and its tag.
fn source<'a>(
    config: &'a DeploymentConfig,
    params: &'a ImageChange,
) -> (&'a str, &'a str, &'a str) {
    let own = config.metadata.namespace.as_deref().unwrap_or("");
    let namespace = params.from.namespace.as_deref().filter(|one| !one.is_empty()).unwrap_or(own);
    let name = params.from.name.as_deref().unwrap_or("");
    let (stream, tag) = name.split_once(':').unwrap_or((name, "latest"));
    (namespace, stream, tag)
}

fn followed(config: &DeploymentConfig) -> impl Iterator<Item = (usize, &ImageChange)> {
    let triggers = config.spec.triggers.iter().enumerate();
    triggers
        .filter(|(_, trigger)| trigger.type_ == "ImageChange")
        .filter_map(|(index, trigger)| Some((index, trigger.image_change_params.as_ref()?)))
        .filter(|(_, params)| params.automatic)
}

/// The namespaces and names of the ImageStreams that a configuration follows.
pub fn streams_of(config: &DeploymentConfig) -> impl Iterator<Item = (&str, &str)> {
    followed(config).map(|(_, params)| {
        let (namespace, name, _) = source(config, params);
        (namespace, name)
    })
}

/// The patch that gives a configuration the images that its tags name now; `None` if it has them.
pub(super) fn resolved(config: &DeploymentConfig, streams: &[Arc<ImageStream>]) -> Option<Value> {
    let spec = &config.whole["spec"];
    let mut triggers = spec["triggers"].clone();
    let mut lists =
        ["containers", "initContainers"].map(|list| (list, spec["template"]["spec"][list].clone()));
    let mut changed = false;
    for (index, params) in followed(config) {
        let (namespace, name, tag) = source(config, params);
        let named = |stream: &&Arc<ImageStream>| {
            let meta = &stream.metadata;
            meta.namespace.as_deref() == Some(namespace) && meta.name.as_deref() == Some(name)
        };
        let Some(image) = streams.iter().find(named).and_then(|stream| stream.image(tag)) else {
            continue;
        };
        if image == params.last_triggered_image {
            continue;
        }
        changed = true;
        triggers[index]["imageChangeParams"]["lastTriggeredImage"] = image.as_str().into();
        for container in lists.iter_mut().filter_map(|(_, list)| list.as_array_mut()).flatten() {
            let name = container["name"].as_str().unwrap_or("");
            if params.container_names.iter().any(|one| one == name) {
                container["image"] = image.as_str().into();
            }
        }
    }
    if !changed {
        return None;
    }
    let mut patch = json!({ "spec": { "triggers": triggers } });
    for (name, list) in lists.into_iter().filter(|(_, list)| list.is_array()) {
        patch["spec"]["template"]["spec"][name] = list;
    }
    Some(patch)
}
