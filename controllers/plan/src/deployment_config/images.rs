//! Images that a configuration follows.
//!
//! Knows: which tags are followed, and what of a configuration changes with them. Refuses to know: what a tag names.

use std::sync::Arc;

use serde_json::{Value, json};

use super::config::{DeploymentConfig, ImageChange};
use crate::image_stream::{self, ImageStream};

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
        let stream = image_stream::find(streams, namespace, name);
        let Some(image) = stream.and_then(|stream| stream.image(tag)) else {
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
