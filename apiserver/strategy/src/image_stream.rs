//! ImageStreams.
//!
//! Knows: tags of the spec and their generations. Refuses to know: what images they name today.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json};
use serde_json::{Value, json};

use crate::check::Errors;

const SOURCES: [&str; 3] = ["DockerImage", "ImageStreamImage", "ImageStreamTag"];

pub(crate) static STRATEGY: Strategy = Strategy {
    default,
    prepare_create: |stream, _: &Context| {
        json::set(stream, "status", json!({ "dockerImageRepository": "" }));
        for tag in json::list_mut(json::child(stream, "spec"), &["tags"]) {
            json::set(tag, "generation", 1);
        }
    },
    prepare_update,
    validate,
    validate_update: |_, _| Vec::new(),
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn default(stream: &mut Value) {
    let spec = json::child(stream, "spec");
    let lookup = json::child(spec, "lookupPolicy");
    json::default(lookup, "local", false);
    for tag in json::list_mut(spec, &["tags"]) {
        json::default(json::child(tag, "referencePolicy"), "type", "Source");
        let policy = json::child(tag, "importPolicy");
        json::default(policy, "importMode", "Legacy");
        if let Some(from) = tag.get_mut("from").filter(|from| from.is_object()) {
            json::default(from, "kind", "DockerImage");
        }
    }
}

/// A tag that changed, or whose generation was set to 0, gets the stream's next generation.
fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    json::keep(new, old, "status");
    let next = json::int(old, &["metadata", "generation"]).unwrap_or(0) + 1;
    let before = json::first_by_name(json::list(old, &["spec", "tags"]));
    let bare = |tag: &Value| {
        let mut tag = tag.clone();
        json::remove(&mut tag, "generation");
        tag
    };
    for tag in json::list_mut(json::child(new, "spec"), &["tags"]) {
        let same = before.get(json::text(tag, &["name"]));
        let again = json::int(tag, &["generation"]) == Some(0);
        match same {
            Some(&old) if bare(old) == bare(tag) && !again => json::keep(tag, old, "generation"),
            _ => json::set(tag, "generation", next),
        }
    }
}

fn validate(stream: &Value) -> Errors {
    let path = Path::new("spec").child("tags");
    let mut errors = Vec::new();
    let name = json::text(stream, &["metadata", "name"]);
    let namespace = json::text(stream, &["metadata", "namespace"]);
    if namespace.len() + name.len() + 1 > 255 {
        let at = Path::new("metadata").child("name");
        let why = "'namespace/name' cannot be longer than 255 characters";
        errors.push(FieldError::invalid(&at, name, why));
    }
    let mut seen = HashSet::new();
    for (index, tag) in json::list(stream, &["spec", "tags"]).iter().enumerate() {
        let at = path.index(index);
        let name = json::text(tag, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        let Some(from) = json::at(tag, &["from"]) else { continue };
        let kind = json::text(from, &["kind"]);
        if !SOURCES.contains(&kind) {
            let why = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'";
            errors.push(FieldError::invalid(&at.child("from").child("kind"), kind, why));
        }
        if json::text(from, &["name"]).is_empty() {
            errors.push(FieldError::required(&at.child("from").child("name"), ""));
        }
        if json::flag(tag, &["importPolicy", "scheduled"]) && kind != "DockerImage" {
            let why =
                "only tags pointing to Docker repositories may be scheduled for background import";
            let at = at.child("importPolicy").child("scheduled");
            errors.push(FieldError::invalid(&at, &Value::Bool(true), why));
        }
    }
    errors
}
