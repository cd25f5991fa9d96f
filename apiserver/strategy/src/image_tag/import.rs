//! Imports of remote images into a stream: what is asked for.
//!
//! Knows: what is left out of a question, and what is wrong with one. Refuses to know: registries, and what comes of it.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::{Value, json};

use crate::check::Errors;
use crate::image_reference;
use crate::image_stream::{default_tag, import_mode};

/// Fills what an import leaves out: an image goes to the tag it has.
pub(super) fn default(import: &mut Value) {
    let spec = json::child(import, "spec");
    json::default(spec, "import", false);
    if let Some(repository) = json::at_mut(spec, &["repository"]) {
        policies(repository);
    }
    for image in json::list_mut(spec, &["images"]) {
        let from = json::text(image, &["from", "name"]).to_owned();
        let tag = image_reference::parse(&from).ok().and_then(|reference| reference.tag);
        if let Some(tag) = tag.filter(|_| json::at(image, &["to"]).is_none()) {
            json::set(image, "to", json!({ "name": tag }));
        }
        policies(image);
    }
}

/// The policies of an import are those of a tag; what it is from says its kind.
fn policies(part: &mut Value) {
    let from = part.get("from").cloned();
    default_tag(part);
    if let Some(from) = from {
        json::set(part, "from", from);
    }
}

/// All that is wrong with an import.
pub(super) fn validate(import: &Value) -> Errors {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    let docker = |from: &Value| json::text(from, &["from", "kind"]) == "DockerImage";
    let kind = |of: &Value, at: &Path, errors: &mut Errors| {
        let (at, kind) = (at.child("from").child("kind"), json::text(of, &["from", "kind"]));
        errors.push(FieldError::invalid(&at, kind, "only DockerImage is supported"));
    };
    let images = json::list(import, &["spec", "images"]);
    for (index, image) in images.iter().enumerate() {
        let at = spec.child("images").index(index);
        if docker(image) {
            self::image(image, &at, &mut errors);
        } else {
            kind(image, &at, &mut errors);
        }
        import_mode(image, &at, &mut errors);
    }
    let repository = json::at(import, &["spec", "repository"]);
    if let Some(part) = repository {
        let at = spec.child("repository");
        if docker(part) {
            self::repository(part, &at.child("from").child("name"), &mut errors);
        } else {
            kind(part, &at, &mut errors);
        }
        import_mode(part, &at, &mut errors);
    }
    if images.is_empty() && repository.is_none() {
        let why = "you must specify at least one image or a repository import";
        errors.push(FieldError::invalid(&spec.child("images"), &Value::Null, why));
    }
    errors
}

fn image(image: &Value, at: &Path, errors: &mut Errors) {
    if json::at(image, &["to"]).is_some_and(|to| json::text(to, &["name"]).is_empty()) {
        let why = "the name of the target tag must be specified";
        errors.push(FieldError::invalid(&at.child("to").child("name"), "", why));
    }
    let at = at.child("from").child("name");
    match json::text(image, &["from", "name"]) {
        "" => errors.push(FieldError::required(&at, "")),
        // Older clients look streams up so.
        "*" => {}
        name => {
            if let Err(why) = image_reference::parse(name) {
                errors.push(FieldError::invalid(&at, name, why));
            }
        }
    }
}

fn repository(part: &Value, at: &Path, errors: &mut Errors) {
    let name = json::text(part, &["from", "name"]);
    if name.is_empty() {
        errors.push(FieldError::required(at, "container image references require a name"));
        return;
    }
    match image_reference::parse(name) {
        Err(why) => errors.push(FieldError::invalid(at, name, why)),
        Ok(reference) if reference.tag.is_some() || reference.digest.is_some() => {
            let why = "you must specify an image repository, not a tag or ID";
            errors.push(FieldError::invalid(at, name, why));
        }
        Ok(_) => {}
    }
}
