//! Short names of images that mean an ImageStream of their namespace: they are replaced by the image that the tag names now, so
//! that all pods of one object run the same one.
//!
//! Knows: where objects say images, and which streams are meant by name. Refuses to know: how tags come to name images.

use leme_meta::Status;
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::{Facts, PlugIn, Seen};

const STREAMS: Seen = Seen { group: "image.openshift.io", version: "v1", plural: "imagestreams" };
/// The annotation by which an object wishes that its names are looked up, whatever the stream says.
const ANNOTATION: &str = "alpha.image.policy.openshift.io/resolve-names";
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Group and resource of what has pods, and where their metadata and `spec` are.
const PODS: [(&str, &str, &[&str]); 9] = [
    ("", "pods", &[]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps.openshift.io", "deploymentconfigs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
];

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "image.openshift.io/ImagePolicy",
    about: |asked: &Asked| {
        let writes = matches!(asked.operation, Operation::Create | Operation::Update);
        writes && asked.subresource.is_empty() && place(asked).is_some()
    },
    sees: &[STREAMS],
    mutate: |asked, new, old, facts| {
        let Some(path) = place(asked) else { return Ok(()) };
        let wished = wishes(new) || json::at(new, path).is_some_and(wishes);
        let Some(pods) = json::at_mut(new, path) else { return Ok(()) };
        for list in LISTS {
            for container in json::list_mut(pods, &["spec", list]) {
                let image = json::text(container, &["image"]);
                if is_old(old, path, list, container) {
                    continue;
                }
                if let Some(found) = resolved(asked.namespace, image, wished, facts)? {
                    json::set(container, "image", found);
                }
            }
        }
        Ok(())
    },
    ..PlugIn::NONE
};

fn place(asked: &Asked) -> Option<&'static [&'static str]> {
    let is_it = |(group, plural, _): &&(&str, &str, &[&str])| {
        (*group, *plural) == (&*asked.kind.group, &*asked.kind.plural)
    };
    PODS.iter().find(is_it).map(|(_, _, path)| *path)
}

fn wishes(object: &Value) -> bool {
    json::text(object, &["metadata", "annotations", ANNOTATION]) == "*"
}

/// Whether a container had its image before.
fn is_old(old: Option<&Value>, path: &[&str], list: &str, container: &Value) -> bool {
    let Some(pods) = old.and_then(|old| json::at(old, path)) else { return false };
    json::list(pods, &["spec", list]).iter().any(|before| {
        before.get("name") == container.get("name") && before.get("image") == container.get("image")
    })
}

/// The image that a name means, if it is a stream's that says so, or that is wished.
fn resolved(
    namespace: &str,
    image: &str,
    wished: bool,
    facts: &dyn Facts,
) -> Result<Option<String>, Status> {
    if image.contains('/') || image.trim().is_empty() {
        return Ok(None);
    }
    let (name, id) = image.split_once('@').map_or((image, None), |(name, id)| (name, Some(id)));
    let (name, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let Some(stream) = facts.get(&STREAMS, namespace, name)? else { return Ok(None) };
    if !wished && !json::flag(&stream, &["spec", "lookupPolicy", "local"]) {
        return Ok(None);
    }
    let histories = json::list(&stream, &["status", "tags"]);
    let found = match id {
        None => histories
            .iter()
            .find(|history| json::text(history, &["tag"]) == tag)
            .and_then(|history| json::list(history, &["items"]).first().map(|item| (tag, item))),
        Some(id) => histories
            .iter()
            .flat_map(|history| {
                let tag = json::text(history, &["tag"]);
                json::list(history, &["items"]).iter().map(move |item| (tag, item))
            })
            .find(|(_, item)| json::text(item, &["image"]) == id),
    };
    Ok(found.map(|(tag, item)| pull_spec(&stream, tag, item)).filter(|spec| !spec.is_empty()))
}

/// How an image of a tag is pulled: from where it is, or through the registry of the stream, as the tag wishes.
fn pull_spec(stream: &Value, tag: &str, item: &Value) -> String {
    let mut tags = json::list(stream, &["spec", "tags"]).iter();
    let spec = tags.find(|spec| json::text(spec, &["name"]) == tag);
    let policy = spec.map_or("", |spec| json::text(spec, &["referencePolicy", "type"]));
    let repository = json::text(stream, &["status", "dockerImageRepository"]);
    match json::text(item, &["image"]) {
        image if policy == "Local" && !image.is_empty() && !repository.is_empty() => {
            format!("{repository}@{image}")
        }
        _ => json::text(item, &["dockerImageReference"]).to_owned(),
    }
}
