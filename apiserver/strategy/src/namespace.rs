//! Namespaces and ServiceAccounts.
//!
//! Knows: the phase and the finalizers in the spec. Refuses to know: what a namespace holds.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::project;

/// Label that every namespace carries, its value being the name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer of the namespace controller.
const FINALIZER: &str = "kubernetes";

/// Of a namespace that is written as a project.
pub(crate) static PROJECT: Strategy = Strategy {
    name: project::name,
    validate: |namespace| [validate(namespace), project::validate(namespace)].concat(),
    validate_update: project::validate_update,
    returns_deleted: false,
    ..KEPT
};

pub(crate) static PROJECT_REQUEST: Strategy =
    Strategy { name: project::name, validate: project::validate, ..Strategy::PLAIN };

pub(crate) static NAMESPACE: Strategy =
    Strategy { finalize: Some(finalize), validate_status, ..KEPT };

const KEPT: Strategy = Strategy {
    name: meta::label_name,
    default: |namespace| {
        let name = json::text(namespace, &["metadata", "name"]).to_owned();
        if !name.is_empty() {
            json::set(json::child(json::child(namespace, "metadata"), "labels"), NAME_LABEL, name);
        }
    },
    prepare_create,
    prepare_update: |new, old, _| {
        json::keep(new, old, "status");
        json::keep(new, old, "spec");
    },
    validate,
    held: |namespace| !json::list(namespace, &["spec", "finalizers"]).is_empty(),
    mark_deleting: |namespace| {
        json::set(json::child(namespace, "status"), "phase", "Terminating");
        json::remove(json::child(namespace, "metadata"), "deletionGracePeriodSeconds");
    },
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static SERVICE_ACCOUNT: Strategy = Strategy { returns_deleted: true, ..Strategy::PLAIN };

fn prepare_create(namespace: &mut Value, _: &Context) {
    let spec = json::child(namespace, "spec");
    let mut finalizers = json::list(spec, &["finalizers"]).to_vec();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.into());
    }
    json::set(spec, "finalizers", finalizers);
    json::set(namespace, "status", json!({ "phase": "Active" }));
}

fn finalize(new: &Value, old: &Value) -> Value {
    let mut kept = old.clone();
    let finalizers = json::list(new, &["spec", "finalizers"]);
    if finalizers.is_empty() {
        json::remove(json::child(&mut kept, "spec"), "finalizers");
    } else {
        json::set(json::child(&mut kept, "spec"), "finalizers", finalizers.to_vec());
    }
    kept
}

fn validate(namespace: &Value) -> Errors {
    let mut errors = Vec::new();
    for (index, finalizer) in json::list(namespace, &["spec", "finalizers"]).iter().enumerate() {
        let text = finalizer.as_str().unwrap_or("");
        let at = Path::new("spec").child("finalizers").index(index);
        let wrong = names::qualified_name(text);
        check::named(&at, text, &wrong, &mut errors);
        if wrong.is_empty() && !text.contains('/') && !meta::STANDARD_FINALIZERS.contains(&text) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&at, text, why));
        }
    }
    errors
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let phase = json::text(new, &["status", "phase"]);
    let at = Path::new("status").child("Phase");
    if json::at(old, &["metadata", "deletionTimestamp"]).is_some() {
        if phase != "Terminating" {
            let why = "may only be 'Terminating' if `deletionTimestamp` is not empty";
            return vec![FieldError::invalid(&at, phase, why)];
        }
    } else if phase != "Active" {
        return vec![FieldError::invalid(
            &at,
            phase,
            "may only be 'Active' if `deletionTimestamp` is empty",
        )];
    }
    Vec::new()
}
