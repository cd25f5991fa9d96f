//! What becomes of a stream when one of its tags is written as an object.
//!
//! Knows: which tags of spec and status each write touches. Refuses to know: how the stream is stored, and what its new tags
//! come to name.

use leme_meta::Status;
use leme_registry::json;
use serde_json::{Value, json};

use super::view::resource;
use crate::image_stream::history;

/// The stream with a new tag; 409 if its spec has it already. `resource` is what is refused.
pub fn created(
    stream: &Value,
    tag: &str,
    spec: Option<&Value>,
    plural: &str,
) -> Result<Value, Status> {
    if history::spec_tag(stream, tag).is_some() {
        let name = format!("{}:{tag}", json::text(stream, &["metadata", "name"]));
        return Err(Status::already_exists(&resource(plural), &name));
    }
    let mut stream = stream.clone();
    if let Some(spec) = spec {
        set_tag(&mut stream, tag, Some(spec.clone()));
    }
    Ok(stream)
}

/// The stream with a tag as an ImageStreamTag has it, or as an ImageTag has it.
pub fn updated(stream: &Value, tag: &str, object: &Value) -> Result<Value, Status> {
    let mut new = stream.clone();
    if json::text(object, &["kind"]) == "ImageTag" {
        set_tag(&mut new, tag, json::at(object, &["spec"]).cloned());
        return Ok(new);
    }
    let spec = json::at(object, &["tag"]).or_else(|| history::spec_tag(stream, tag)).cloned();
    let Some(mut spec) = spec else {
        let text = |field: &str| json::text(stream, &["metadata", field]);
        return Err(Status::bad_request(format!(
            "imagestreamtag {tag} is not a spec tag in imagestream {}/{}, cannot be updated",
            text("namespace"),
            text("name")
        )));
    };
    json::remove(&mut spec, "annotations");
    if let Some(annotations) = json::at(object, &["metadata", "annotations"]) {
        json::set(&mut spec, "annotations", annotations.clone());
    }
    set_tag(&mut new, tag, Some(spec));
    Ok(new)
}

/// The stream without a tag; nothing if it has none of that name.
pub fn deleted(stream: &Value, tag: &str) -> Option<Value> {
    let known = history::spec_tag(stream, tag).is_some() || history::of(stream, tag).is_some();
    if !known {
        return None;
    }
    let mut stream = stream.clone();
    set_tag(&mut stream, tag, None);
    let status = json::child(&mut stream, "status");
    let mut tags = json::list(status, &["tags"]).to_vec();
    tags.retain(|one| json::text(one, &["tag"]) != tag);
    json::set(status, "tags", tags);
    Some(stream)
}

/// The stream in which a tag names an image that was put there, and so do those that follow the tag.
pub fn pushed(stream: &Value, tag: &str, image: &str, reference: &str, now: &str) -> Value {
    let mut stream = stream.clone();
    let generation = json::int(&stream, &["metadata", "generation"]).unwrap_or(1);
    let event = json!({
        "created": now, "dockerImageReference": reference, "image": image, "generation": generation,
    });
    if history::add(&mut stream, tag, &event) {
        history::follow(&mut stream, tag, &event);
    }
    stream
}

/// Sets or removes a tag of the spec; they are kept sorted.
pub(super) fn set_tag(stream: &mut Value, tag: &str, spec: Option<Value>) {
    let parent = json::child(stream, "spec");
    let mut tags = json::list(parent, &["tags"]).to_vec();
    tags.retain(|one| json::text(one, &["name"]) != tag);
    if let Some(mut spec) = spec {
        json::set(&mut spec, "name", tag);
        tags.push(spec);
    }
    tags.sort_by(|one, other| json::text(one, &["name"]).cmp(json::text(other, &["name"])));
    json::set(parent, "tags", tags);
}
