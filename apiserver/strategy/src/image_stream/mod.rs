//! ImageStreams.
//!
//! Knows: tags of the spec and their generations, and which images they name by now. Refuses to know: remote registries.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta};
use serde_json::{Value, json};

use crate::check::Errors;
use crate::image_reference;

mod follow;
pub(crate) mod history;

pub(crate) const STRATEGY: Strategy = Strategy {
    name,
    default,
    prepare_create: |stream, ctx: &Context| {
        json::set(stream, "status", json!({}));
        prepare_new(stream, ctx);
    },
    prepare_update: |new, old, ctx| {
        json::keep(new, old, "status");
        prepare_update(new, old, ctx);
    },
    prepare_status: |new, old, ctx| {
        repository_of(new, ctx);
        follow::observed(new, old);
    },
    allocate: follow::resolve,
    validate,
    validate_status,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static SERVED: Strategy = STRATEGY;

/// The same for the server itself, which writes spec and status at once.
pub static INTERNAL: Strategy = Strategy {
    prepare_create: prepare_new,
    prepare_update,
    unconditional_update: true,
    ..STRATEGY
};

fn prepare_new(stream: &mut Value, ctx: &Context) {
    repository_of(stream, ctx);
    for tag in json::list_mut(json::child(stream, "spec"), &["tags"]) {
        json::set(tag, "generation", 1);
    }
}

fn prepare_update(new: &mut Value, old: &Value, ctx: &Context) {
    repository_of(new, ctx);
    let mut tags = json::list(new, &["status", "tags"]).to_vec();
    let before = tags.len();
    tags.retain(|tag| !json::unset(tag, "items") || !json::unset(tag, "conditions"));
    if tags.len() < before {
        json::set(json::child(new, "status"), "tags", tags);
    }
    follow::generations(new, old);
}

/// A stream is a repository of the cluster's registry; where there is none, it stands for the repository it names.
fn repository_of(stream: &mut Value, ctx: &Context) {
    let repository = match ctx.registry_host {
        Some(host) => {
            let text = |field: &str| json::text(stream, &["metadata", field]);
            format!("{host}/{}/{}", text("namespace"), text("name"))
        }
        None => json::text(stream, &["spec", "dockerImageRepository"]).to_owned(),
    };
    json::set(json::child(stream, "status"), "dockerImageRepository", repository);
}

fn default(stream: &mut Value) {
    let spec = json::child(stream, "spec");
    let lookup = json::child(spec, "lookupPolicy");
    json::default(lookup, "local", false);
    json::list_mut(spec, &["tags"]).iter_mut().for_each(default_tag);
}

/// Fills what a tag leaves out.
pub(crate) fn default_tag(tag: &mut Value) {
    json::default(json::child(tag, "referencePolicy"), "type", "Source");
    let policy = json::child(tag, "importPolicy");
    json::default(policy, "importMode", "Legacy");
    if let Some(from) = tag.get_mut("from").filter(|from| from.is_object()) {
        json::default(from, "kind", "DockerImage");
    }
}

/// A name is a component of the repository that the stream stands for.
pub(crate) fn name(name: &str, prefix: bool) -> Vec<String> {
    let mut wrong = meta::segment_name(name, prefix);
    // What is generated follows the dash that a prefix may end with.
    let whole = name.strip_suffix('-').filter(|_| prefix).unwrap_or(name);
    if wrong.is_empty() && !image_reference::is_component(whole) {
        wrong.push(r#"must match "[a-z0-9]+(?:[._-][a-z0-9]+)*""#.to_owned());
    }
    wrong
}

fn validate(stream: &Value) -> Errors {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    let name = json::text(stream, &["metadata", "name"]);
    let namespace = json::text(stream, &["metadata", "namespace"]);
    if namespace.len() + name.len() + 1 > 255 {
        let at = Path::new("metadata").child("name");
        let why = "'namespace/name' cannot be longer than 255 characters";
        errors.push(FieldError::invalid(&at, name, why));
    }
    repository(stream, &spec.child("dockerImageRepository"), &mut errors);
    let mut seen = HashSet::new();
    for (index, tag) in json::list(stream, &["spec", "tags"]).iter().enumerate() {
        let at = spec.child("tags").index(index).child("name");
        let name = json::text(tag, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    // Upstream holds tags by name, and names them so.
    for tag in json::list(stream, &["spec", "tags"]) {
        let at = spec.child("tags").key(json::text(tag, &["name"]));
        self::tag(tag, &at, &mut errors);
    }
    errors
}

/// Images that a tag has come to name must be named in full; what stood there before may stay.
fn validate_status(new: &Value, old: &Value) -> Errors {
    let mut errors = Vec::new();
    let tags = |stream| json::list(stream, &["status", "tags"]).iter();
    let items = |tag| json::list(tag, &["items"]).iter();
    let reference = |item| json::text(item, &["dockerImageReference"]);
    let before: HashSet<&str> = tags(old).flat_map(items).map(reference).collect();
    for tag in tags(new) {
        let path = Path::new("status").child("tags").key(json::text(tag, &["tag"]));
        for (index, text) in items(tag).map(reference).enumerate() {
            if let Err(why) = image_reference::parse(text)
                && !before.contains(text)
            {
                let at = path.child("items").index(index).child("dockerImageReference");
                errors.push(FieldError::invalid(&at, text, why));
            }
        }
    }
    errors
}

fn repository(stream: &Value, path: &Path, errors: &mut Errors) {
    let text = json::text(stream, &["spec", "dockerImageRepository"]);
    if text.is_empty() {
        return;
    }
    match image_reference::parse(text) {
        Err(why) => errors.push(FieldError::invalid(path, text, why)),
        Ok(reference) => {
            for (_, why) in [
                (reference.tag, "the repository name may not contain a tag"),
                (reference.digest, "the repository name may not contain an ID"),
            ]
            .iter()
            .filter(|(part, _)| part.is_some())
            {
                errors.push(FieldError::invalid(path, text, why));
            }
        }
    }
}

/// All that is wrong with a tag.
pub(crate) fn tag(tag: &Value, path: &Path, errors: &mut Errors) {
    if let Some(from) = json::at(tag, &["from"]) {
        source(from, json::flag(tag, &["importPolicy", "scheduled"]), path, errors);
    }
    let policy = json::text(tag, &["referencePolicy", "type"]);
    if !["Source", "Local"].contains(&policy) {
        let at = path.child("referencePolicy").child("type");
        errors.push(FieldError::invalid(&at, policy, r#"valid values are "Source", "Local""#));
    }
    import_mode(tag, path, errors);
}

/// What is wrong with the way in which something is imported.
pub(crate) fn import_mode(of: &Value, path: &Path, errors: &mut Errors) {
    let mode = json::text(of, &["importPolicy", "importMode"]);
    if !["", "Legacy", "PreserveOriginal"].contains(&mode) {
        let at = path.child("importPolicy").child("importMode");
        let why = "invalid import mode, valid modes are '', 'Legacy', 'PreserveOriginal'";
        errors.push(FieldError::invalid(&at, mode, why));
    }
}

fn source(from: &Value, scheduled: bool, path: &Path, errors: &mut Errors) {
    let at = path.child("from").child("name");
    let name = json::text(from, &["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    match json::text(from, &["kind"]) {
        "DockerImage" if name.is_empty() => {}
        "DockerImage" => {
            if let Err(why) = image_reference::parse(name) {
                errors.push(FieldError::invalid(&at, name, why));
            }
        }
        "ImageStreamImage" | "ImageStreamTag" if scheduled => {
            let why =
                "only tags pointing to Docker repositories may be scheduled for background import";
            let at = path.child("importPolicy").child("scheduled");
            errors.push(FieldError::invalid(&at, &Value::Bool(true), why));
        }
        "ImageStreamImage" | "ImageStreamTag" => {}
        _ => {
            let why = "valid values are 'DockerImage', 'ImageStreamImage', 'ImageStreamTag'";
            errors.push(FieldError::required(&path.child("from").child("kind"), why));
        }
    }
}
