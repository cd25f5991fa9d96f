//! What the tags of an ImageStream have named, newest first.
//!
//! Knows: when an event is a new one, and which tags follow another. Refuses to know: why an image was tagged.

use leme_meta::quote;
use leme_registry::json;
use serde_json::{Value, json};

/// The tag that is meant where none is named.
pub(crate) const DEFAULT_TAG: &str = "latest";

/// The history of a tag.
pub(crate) fn of<'a>(stream: &'a Value, tag: &str) -> Option<&'a Value> {
    json::list(stream, &["status", "tags"]).iter().find(|one| json::text(one, &["tag"]) == tag)
}

/// What a tag names now.
pub(crate) fn latest<'a>(stream: &'a Value, tag: &str) -> Option<&'a Value> {
    let tag = if tag.is_empty() { DEFAULT_TAG } else { tag };
    json::list(of(stream, tag)?, &["items"]).first()
}

/// A tag as the spec has it.
pub(crate) fn spec_tag<'a>(stream: &'a Value, tag: &str) -> Option<&'a Value> {
    json::list(stream, &["spec", "tags"]).iter().find(|one| json::text(one, &["name"]) == tag)
}

/// The history of a tag to be changed, made if there is none; they are kept sorted.
pub(crate) fn of_mut<'a>(stream: &'a mut Value, tag: &str) -> &'a mut Value {
    let status = json::child(stream, "status");
    let mut tags = json::list(status, &["tags"]).to_vec();
    if !tags.iter().any(|one| json::text(one, &["tag"]) == tag) {
        tags.push(json!({ "tag": tag, "items": null }));
    }
    tags.sort_by(|one, other| json::text(one, &["tag"]).cmp(json::text(other, &["tag"])));
    let at = tags.iter().position(|one| json::text(one, &["tag"]) == tag).unwrap_or(0);
    json::set(status, "tags", tags);
    &mut status["tags"][at]
}

/// Adds what a tag names from now on; what only says the same again in other words takes the place of what was said. Whether
/// anything changed.
pub(crate) fn add(stream: &mut Value, tag: &str, next: &Value) -> bool {
    let history = of_mut(stream, tag);
    let mut items = json::list(history, &["items"]).to_vec();
    let same = |field: &str| {
        items.first().is_some_and(|last| {
            last.get(field).unwrap_or(&Value::Null) == next.get(field).unwrap_or(&Value::Null)
        })
    };
    let (reference, image) = (same("dockerImageReference"), same("image"));
    if reference && image && same("generation") {
        return false;
    }
    match items.first_mut().filter(|_| reference || image) {
        Some(last) => {
            for field in ["image", "dockerImageReference", "generation"] {
                json::keep(last, next, field);
            }
        }
        None => items.insert(0, next.clone()),
    }
    json::set(history, "items", items);
    json::remove(history, "conditions");
    true
}

/// Adds the same to every tag of the stream that follows a tag of it.
pub(crate) fn follow(stream: &mut Value, tag: &str, event: &Value) {
    let own = (
        json::text(stream, &["metadata", "namespace"]).to_owned(),
        json::text(stream, &["metadata", "name"]).to_owned(),
    );
    let follows = |spec: &&Value| {
        let Some(from) = json::at(spec, &["from"]) else { return false };
        let namespace = json::text(from, &["namespace"]);
        let name = json::text(from, &["name"]);
        let (of, followed) = name.split_once(':').unwrap_or((&own.1, name));
        json::text(from, &["kind"]) == "ImageStreamTag"
            && (namespace.is_empty() || namespace == own.0)
            && of == own.1
            && followed == tag
    };
    let following: Vec<String> = json::list(stream, &["spec", "tags"])
        .iter()
        .filter(follows)
        .map(|spec| json::text(spec, &["name"]).to_owned())
        .collect();
    for name in following {
        add(stream, &name, event);
    }
}

/// Whether an image has this id, or one that begins so.
pub fn is_image(image: &str, id: &str) -> bool {
    let hex = image.split_once(':').is_some_and(|(_, hex)| hex.starts_with(id));
    image.starts_with(id) || hex
}

/// The event of the only image of a stream with an id.
pub(crate) fn by_id(stream: &Value, id: &str) -> Result<Value, String> {
    let items = json::list(stream, &["status", "tags"])
        .iter()
        .flat_map(|history| json::list(history, &["items"]))
        .filter(|item| is_image(json::text(item, &["image"]), id));
    let mut found: Vec<&Value> = Vec::new();
    for item in items {
        if !found.iter().any(|one| one.get("image") == item.get("image")) {
            found.push(item);
        }
    }
    let kind = "imagestreamimage.image.openshift.io";
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => Err(format!("{kind} {id} not found", id = quote(&id))),
        many => {
            let mut names: Vec<&str> =
                many.iter().map(|item| json::text(item, &["image"])).collect();
            names.sort_unstable();
            Err(format!(
                "Operation cannot be fulfilled on {kind} {id}: multiple images match the prefix {id}: {}",
                names.join(", "),
                id = quote(&id)
            ))
        }
    }
}

/// How an image of a tag is pulled: from where it is, or through the registry of the stream, as the tag wishes.
pub(crate) fn pull_spec(stream: &Value, tag: &str, event: &Value) -> String {
    let reference = json::text(event, &["dockerImageReference"]);
    let policy =
        spec_tag(stream, tag).map_or("", |spec| json::text(spec, &["referencePolicy", "type"]));
    let repository = json::text(stream, &["status", "dockerImageRepository"]);
    match json::text(event, &["image"]) {
        image if policy == "Local" && !image.is_empty() && !repository.is_empty() => {
            format!("{repository}@{image}")
        }
        _ => reference.to_owned(),
    }
}
