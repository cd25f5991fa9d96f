//! Imports of remote images into a stream: what is asked for, and what is said of what could not be had.
//!
//! Knows: the questions and the conditions of a failure. Refuses to know: registries.

use leme_meta::{FieldError, Path, Status};
use leme_registry::json;
use serde_json::{Value, json};

use super::write::set_tag;
use crate::check::Errors;
use crate::image_reference;
use crate::image_stream::{default_tag, history, import_mode};

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

/// Answers an import of which nothing could be had: each image, and the repository, with a Status of its own.
pub fn failed(import: &mut Value, why: &dyn Fn(&str) -> Status) {
    let answer = |from: &Value| why(json::text(from, &["from", "name"])).to_json();
    let images = json::list(import, &["spec", "images"]);
    let answers: Vec<Value> = images
        .iter()
        .map(|image| {
            let tag = json::text(image, &["to", "name"]);
            json!({ "status": answer(image), "image": null, "tag": tag })
        })
        .collect();
    let repository = json::at(import, &["spec", "repository"]).map(answer);
    let mut status = json!({});
    if !answers.is_empty() {
        status["images"] = answers.into();
    }
    if let Some(repository) = repository {
        status["repository"] = json!({ "status": repository });
    }
    json::set(import, "status", status);
}

/// The stream with what an import came to: its tags are in the spec, and the conditions say why they name nothing new.
pub fn recorded(stream: &Value, import: &Value, now: &str) -> Value {
    let mut stream = stream.clone();
    let generation = json::int(&stream, &["metadata", "generation"]).unwrap_or(0) + 1;
    let images = json::list(import, &["spec", "images"]);
    let answers = json::list(import, &["status", "images"]);
    for (wish, answer) in images.iter().zip(answers) {
        let Some(tag) = json::at(wish, &["to"]).map(|to| json::text(to, &["name"])) else {
            continue;
        };
        let condition = json!({
            "type": "ImportSuccess", "status": "False", "generation": generation,
            "reason": json::text(answer, &["status", "reason"]),
            "message": json::text(answer, &["status", "message"]),
            "lastTransitionTime": now,
        });
        let known = history::of(&stream, tag).is_some_and(|of| {
            json::list(of, &["conditions"]).iter().any(|one| {
                ["type", "status", "reason", "message"]
                    .iter()
                    .all(|field| one.get(field) == condition.get(field))
            })
        });
        if !known {
            json::set(history::of_mut(&mut stream, tag), "conditions", vec![condition]);
            for spec in json::list_mut(json::child(&mut stream, "spec"), &["tags"]) {
                if json::text(spec, &["name"]) == tag {
                    json::set(spec, "generation", 0);
                }
            }
        }
        if history::spec_tag(&stream, tag).is_none() {
            let mut spec = json!({ "from": wish["from"], "generation": 0 });
            for field in ["importPolicy", "referencePolicy"] {
                json::keep(&mut spec, wish, field);
            }
            set_tag(&mut stream, tag, Some(spec));
        }
    }
    let annotations = json::child(json::child(&mut stream, "metadata"), "annotations");
    json::set(annotations, "openshift.io/image.dockerRepositoryCheck", now);
    stream
}
