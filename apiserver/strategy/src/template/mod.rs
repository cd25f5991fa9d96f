//! Templates, what is made of them, and the records of a broker.
//!
//! Knows: what the three kinds must say. Refuses to know: how the objects of an instance come to be.

mod generate;
mod legacy;
pub(crate) mod process;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use crate::certificates::requester;
use crate::check::{self, Errors};

pub(crate) static TEMPLATE: Strategy = Strategy {
    validate_create: |template| parameters(template, &Path::default()),
    unconditional_update: false,
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static INSTANCE: Strategy = Strategy {
    prepare_create: |new, context| {
        json::remove(new, "status");
        requester(json::child(json::child(new, "spec"), "requester"), context);
    },
    validate_create: instance,
    validate_update: |new, old| {
        if new.get("spec") == old.get("spec") {
            return Vec::new();
        }
        vec![FieldError::forbidden(&Path::new("spec"), "field is immutable")]
    },
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static BROKER_INSTANCE: Strategy =
    Strategy { validate: broker_instance, unconditional_update: false, ..Strategy::PLAIN };

/// All that is wrong with the parameters of a template.
pub(crate) fn parameters(template: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    for (index, parameter) in json::list(template, &["parameters"]).iter().enumerate() {
        let at = path.child("parameters").index(index);
        let name = check::required(parameter, "name", &at, &mut errors);
        if !name.is_empty() && !name.bytes().all(is_word) {
            let why = r"does not match ^[a-zA-Z0-9\_]+$";
            errors.push(FieldError::invalid(&at.child("name"), name, why));
        }
    }
    errors
}

/// What names of parameters are made of.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn instance(instance: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = instance.get("spec").unwrap_or(&Value::Null);
    let template = spec.get("template").unwrap_or(&Value::Null);
    let mut errors = embedded(template, &path.child("template"));
    if let Some(secret) = json::at(spec, &["secret"]) {
        let at = path.child("secret");
        check::required_name(secret, "name", &at, names::dns1123_subdomain, &mut errors);
    }
    if let Some(requester) = json::at(spec, &["requester"]) {
        check::required(requester, "username", &path.child("requester"), &mut errors);
    }
    errors
}

/// A template inside another object needs neither a name nor a namespace.
fn embedded(template: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    let at = path.child("metadata");
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    check::optional_name(metadata, "name", &at, names::dns1123_subdomain, &mut errors);
    check::optional_name(metadata, "namespace", &at, names::dns1123_label, &mut errors);
    errors.extend(meta::labels(metadata.get("labels"), &at.child("labels")));
    errors.extend(meta::annotations(metadata.get("annotations"), &at.child("annotations")));
    errors.extend(parameters(template, path));
    errors
}

fn broker_instance(instance: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    for (field, kind) in [("templateInstance", "TemplateInstance"), ("secret", "Secret")] {
        let reference = json::at(instance, &["spec", field]).unwrap_or(&Value::Null);
        let at = path.child(field);
        let named = check::required(reference, "kind", &at, &mut errors);
        if !named.is_empty() && named != kind {
            let why = format!("must be {kind}");
            errors.push(FieldError::invalid(&at.child("kind"), named, &why));
        }
        check::required_name(reference, "name", &at, names::dns1123_subdomain, &mut errors);
        check::required_name(reference, "namespace", &at, names::dns1123_label, &mut errors);
    }
    for id in json::list(instance, &["spec", "bindingIDs"]) {
        let id = id.as_str().unwrap_or("");
        if !is_uuid(id) {
            let at = path.child("bindingIDs");
            errors.push(FieldError::invalid(&at, id, "is not a valid UUID"));
        }
    }
    errors
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
