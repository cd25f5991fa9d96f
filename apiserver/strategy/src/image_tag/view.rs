//! What is shown of a stream's tags and images.
//!
//! Knows: every field of each view. Refuses to know: where streams and images come from.

use leme_kinds::Kind;
use leme_meta::{Gvr, Status, schema};
use leme_registry::json;
use serde_json::{Value, json};

use crate::image_stream::history;

/// The group's name.
const GROUP: &str = "image.openshift.io";
/// The resources by their names.
pub const STREAMS: &str = "imagestreams";
/// See [`STREAMS`].
pub const IMAGES: &str = "images";
/// See [`STREAMS`].
pub const STREAM_TAGS: &str = "imagestreamtags";
/// See [`STREAMS`].
pub const TAGS: &str = "imagetags";

pub(super) fn resource(plural: &str) -> Gvr {
    Gvr { group: GROUP.to_owned(), version: "v1".to_owned(), resource: plural.to_owned() }
}

fn name_of(stream: &Value, tag: &str) -> String {
    format!("{}:{tag}", json::text(stream, &["metadata", "name"]))
}

/// The image that a tag names; 404 if it names none.
pub fn tagged_image<'a>(stream: &'a Value, tag: &str, kind: &Kind) -> Result<&'a str, Status> {
    let image = history::latest(stream, tag).map_or("", |event| json::text(event, &["image"]));
    match image {
        "" => Err(Status::not_found(&kind.gvr(), &name_of(stream, tag))),
        image => Ok(image),
    }
}

/// A tag as an ImageStreamTag, with its image if it is known. Where `empty` is false, one that names no image is none.
pub fn stream_tag(
    stream: &Value,
    tag: &str,
    image: Option<&Value>,
    empty: bool,
) -> Result<Value, Status> {
    let metadata = |field: &str| json::at(stream, &["metadata", field]);
    let latest = history::latest(stream, tag);
    let event = latest.filter(|event| !json::text(event, &["image"]).is_empty());
    if event.is_none() && !empty {
        return Err(Status::not_found(&resource(STREAM_TAGS), &name_of(stream, tag)));
    }
    let nothing = json!({ "created": metadata("creationTimestamp") });
    let event = event.unwrap_or(&nothing);
    let mut shown = json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1",
        "metadata": { "name": name_of(stream, tag), "creationTimestamp": event.get("created") },
        "generation": json::int(event, &["generation"]).unwrap_or(0),
        "lookupPolicy": json::at(stream, &["spec", "lookupPolicy"]).cloned().unwrap_or(json!({})),
        "tag": null,
        "image": shown_image(image),
    });
    for field in ["namespace", "labels", "resourceVersion", "uid"] {
        if let Some(content) = metadata(field) {
            shown["metadata"][field] = content.clone();
        }
    }
    if let Some(conditions) = history::of(stream, tag).and_then(|of| json::at(of, &["conditions"]))
    {
        json::set(&mut shown, "conditions", conditions.clone());
    }
    if let Some(spec) = history::spec_tag(stream, tag) {
        if let Some(annotations) = json::at(spec, &["annotations"]).filter(|map| map.is_object()) {
            shown["metadata"]["annotations"] = annotations.clone();
            if image.is_some() {
                let own = json::child(json::child(&mut shown["image"], "metadata"), "annotations");
                for (key, text) in json::entries(annotations, &[]) {
                    json::set(own, key, text.clone());
                }
            }
        }
        shown["tag"] = spec.clone();
    }
    if image.is_none() {
        let name = json::text(event, &["image"]);
        shown["image"]["metadata"]["name"] = name.into();
        if name.is_empty() {
            json::remove(json::child(&mut shown["image"], "metadata"), "name");
        }
    }
    match history::pull_spec(stream, tag, event) {
        reference if reference.is_empty() => {
            json::remove(json::child(&mut shown, "image"), "dockerImageReference");
        }
        reference => json::set(json::child(&mut shown, "image"), "dockerImageReference", reference),
    }
    Ok(complete(shown, "ImageStreamTag"))
}

/// A tag as an ImageTag. Where `empty` is false, one that neither spec nor status has is none.
pub fn tag(stream: &Value, tag: &str, image: Option<&Value>, empty: bool) -> Result<Value, Status> {
    let spec = history::spec_tag(stream, tag);
    let status = history::of(stream, tag);
    if spec.is_none() && status.is_none() && !empty {
        return Err(Status::not_found(&resource(TAGS), &name_of(stream, tag)));
    }
    let mut shown = json!({
        "kind": "ImageTag", "apiVersion": "image.openshift.io/v1",
        "metadata": json::at(stream, &["metadata"]).cloned().unwrap_or(json!({})),
        "spec": spec, "status": status, "image": null,
    });
    let metadata = json::child(&mut shown, "metadata");
    json::remove(metadata, "managedFields");
    json::set(metadata, "name", name_of(stream, tag));
    if let (Some(image), Some(event)) = (image, history::latest(stream, tag)) {
        shown["image"] = shown_image(Some(image));
        shown["image"]["dockerImageReference"] = history::pull_spec(stream, tag, event).into();
    }
    Ok(complete(shown, "ImageTag"))
}

/// An image as one of a stream.
pub fn image_of_stream(stream: &Value, id: &str, image: &Value) -> Value {
    let text = |path: &[&str]| json::text(stream, path);
    let mut shown = json!({
        "kind": "ImageStreamImage", "apiVersion": "image.openshift.io/v1",
        "metadata": {
            "name": format!("{}@{id}", text(&["metadata", "name"])),
            "namespace": text(&["metadata", "namespace"]),
            "creationTimestamp": json::at(image, &["metadata", "creationTimestamp"]),
        },
        "image": shown_image(Some(image)),
    });
    if let Some(annotations) = json::at(stream, &["metadata", "annotations"]) {
        shown["metadata"]["annotations"] = annotations.clone();
    }
    complete(shown, "ImageStreamImage")
}

/// An image within another object: without what its manifest and configuration say word by word.
fn shown_image(image: Option<&Value>) -> Value {
    let Some(mut image) = image.cloned() else { return json!({ "metadata": {} }) };
    for field in ["dockerImageManifest", "dockerImageConfig", "kind", "apiVersion"] {
        json::remove(&mut image, field);
    }
    json::remove(json::child(&mut image, "metadata"), "managedFields");
    image
}

fn complete(mut shown: Value, kind: &str) -> Value {
    if let Some(kind) = leme_kinds::by_kind(GROUP, "v1", kind) {
        schema::apply_defaults(leme_kinds::schemas(), &kind.schema, &mut shown);
    }
    shown
}
