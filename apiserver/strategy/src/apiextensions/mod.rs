//! CustomResourceDefinitions.
//!
//! Knows: defaults, what a client may not decide, and the life of stored versions. Refuses to know: how definitions are
//! served.

pub(crate) mod custom;
mod fields;
mod spec;
mod version;
mod view;
mod warnings;

use leme_kinds::naming;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::{Map, Value, json};

use crate::check::Errors;
pub use spec::conformant;
use view::View;

pub(crate) static STRATEGY: Strategy = Strategy {
    decode,
    default,
    prepare_create: |new, _| {
        json::set(new, "status", json!({}));
        remember_storage(new);
    },
    prepare_update: |new, old, _| {
        json::keep(new, old, "status");
        remember_storage(new);
    },
    validate_create: |new| validate(new, None),
    validate_update: |new, old| validate(new, Some(old)),
    validate_status: |new, _| status(new),
    // A deletion only begins with a request: the objects go first.
    held: |definition| json::at(definition, &["metadata", "deletionTimestamp"]).is_none(),
    mark_deleting,
    warn: warnings::warn,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

/// What a decoder of typed structs refuses inside fields that the table does not describe.
fn decode(definition: &Value) -> Result<(), String> {
    for version in json::list(definition, &["spec", "versions"]) {
        if let Some(schema) = json::at(version, &["schema", "openAPIV3Schema"]) {
            fields::decode(schema)?;
        }
    }
    Ok(())
}

fn default(definition: &mut Value) {
    let spec = json::child(definition, "spec");
    let names = json::child(spec, "names");
    let kind = json::text(names, &["kind"]).to_owned();
    if !kind.is_empty() {
        json::default(names, "singular", kind.to_lowercase());
        json::default(names, "listKind", format!("{kind}List"));
    }
    if json::at(spec, &["conversion"]).is_none() {
        json::set(spec, "conversion", json!({ "strategy": "None" }));
    }
    let service = json::at_mut(spec, &["conversion", "webhook", "clientConfig", "service"]);
    if let Some(service) = service.filter(|service| service.is_object())
        && json::at(service, &["port"]).is_none()
    {
        json::set(service, "port", 443);
    }
    if json::list(definition, &["status", "storedVersions"]).is_empty() {
        remember_storage(definition);
    }
}

/// Keeps a deleted definition until its objects are gone.
fn mark_deleting(definition: &mut Value) {
    let metadata = json::child(definition, "metadata");
    let mut finalizers = json::list(metadata, &["finalizers"]).to_vec();
    if !finalizers.iter().any(|name| name == naming::CLEANUP) {
        finalizers.push(naming::CLEANUP.into());
        json::set(metadata, "finalizers", finalizers);
    }
    let now = json::text(metadata, &["deletionTimestamp"]).to_owned();
    naming::mark(definition, &now);
}

/// Adds the version that objects are stored in to those that some are stored in.
fn remember_storage(definition: &mut Value) {
    let storage = json::list(definition, &["spec", "versions"])
        .iter()
        .find(|version| json::flag(version, &["storage"]))
        .map(|version| json::text(version, &["name"]).to_owned());
    let status = json::child(definition, "status");
    let mut stored = json::list(status, &["storedVersions"]).to_vec();
    if let Some(storage) = storage.filter(|name| !stored.iter().any(|known| known == name)) {
        stored.push(storage.into());
        json::set(status, "storedVersions", stored);
    }
}

fn validate(new: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let spec = new.get("spec").unwrap_or(&Value::Null);
    if old.is_none() {
        let name = json::text(new, &["metadata", "name"]);
        let (plural, group) =
            (json::text(spec, &["names", "plural"]), json::text(spec, &["group"]));
        if name != format!("{plural}.{group}") {
            let why = "must be spec.names.plural+\".\"+spec.group";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, why));
        }
    }
    errors.extend(spec::validate(&View::of(spec), old));
    errors.extend(old.map(|old| spec::immutable(new, old)).unwrap_or_default());
    errors.extend(status(new));
    errors.extend(stored_versions(new));
    errors.extend(spec::approval(new, old));
    let unpruned = |object: &Value| json::flag(object, &["spec", "preserveUnknownFields"]);
    if unpruned(new) && !old.is_some_and(unpruned) {
        let at = Path::new("spec").child("preserveUnknownFields");
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(FieldError::invalid(&at, &Value::Bool(true), why));
    }
    errors
}

fn status(definition: &Value) -> Errors {
    let accepted = json::at(definition, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
    names_fit(accepted, &Path::new("status").child("acceptedNames"))
}

/// All that is wrong with names, those that are missing excepted.
fn names_fit(stated: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    for field in ["plural", "singular", "kind", "listKind"] {
        let text = json::text(stated, &[field]);
        let kind = matches!(field, "kind" | "listKind");
        let wrong = names::dns1035_label(&if kind { text.to_lowercase() } else { text.to_owned() });
        if !text.is_empty() && !wrong.is_empty() {
            let mixed = "may have mixed case, but should otherwise match: ";
            let why = format!("{}{}", if kind { mixed } else { "" }, wrong.join(","));
            errors.push(FieldError::invalid(&path.child(field), text, &why));
        }
    }
    let kind = json::text(stated, &["kind"]);
    if !kind.is_empty() && kind == json::text(stated, &["listKind"]) {
        let why = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), kind, why));
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in json::list(stated, &[field]).iter().enumerate() {
            let name = name.as_str().unwrap_or("");
            let wrong = names::dns1035_label(name);
            if !wrong.is_empty() {
                let at = path.child(field).index(index);
                errors.push(FieldError::invalid(&at, name, &wrong.join(",")));
            }
        }
    }
    errors
}

/// That every version which objects may be stored in is still there.
fn stored_versions(definition: &Value) -> Errors {
    let path = Path::new("status").child("storedVersions");
    let stored = json::list(definition, &["status", "storedVersions"]);
    let all = json::at(definition, &["status", "storedVersions"]).unwrap_or(&Value::Null);
    if stored.is_empty() {
        return vec![FieldError::invalid(&path, all, "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let versions = json::list(definition, &["spec", "versions"]);
    for version in versions.iter().filter(|version| json::flag(version, &["storage"])) {
        let name = json::text(version, &["name"]);
        if !stored.iter().any(|known| known == name) {
            let why = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(&path, all, &why));
        }
    }
    let mut missing = Map::new();
    for (index, name) in stored.iter().enumerate() {
        let known = versions.iter().any(|version| version.get("name") == Some(name));
        if let Some(name) = name.as_str().filter(|_| !known) {
            missing.insert(name.to_owned(), index.into());
        }
    }
    for (name, index) in missing {
        let at = path.index(index.as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0));
        let why = format!(
            "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
        );
        errors.push(FieldError::invalid(&at, &name, &why));
    }
    errors
}
