//! IngressClasses.
//!
//! Knows: names of controllers, where their parameters may stand. Refuses to know: controllers.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// Greatest length of the name of a controller.
const MAX_CONTROLLER: usize = 250;

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |class| {
        if let Some(parameters) = json::at_mut(class, &["spec", "parameters"])
            && parameters.get("scope").is_none_or(Value::is_null)
        {
            json::set(parameters, "scope", "Cluster");
        }
    },
    validate,
    validate_update: |new, old| {
        meta::immutable(new, old, &["spec", "controller"]).into_iter().collect()
    },
    generation: Some(Strategy::spec_changed),
    ..Strategy::PLAIN
};

fn validate(class: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = class.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let controller = check::required(spec, "controller", &path, &mut errors);
    if !controller.is_empty() {
        let at = path.child("controller");
        if controller.len() > MAX_CONTROLLER {
            errors.push(FieldError::too_long(&at, MAX_CONTROLLER));
        }
        check::domain_prefixed_path(controller, &at, &mut errors);
    }
    if let Some(parameters) = json::at(spec, &["parameters"]) {
        let at = path.child("parameters");
        reference(parameters, &at, &mut errors);
        scope(parameters, &at, &mut errors);
    }
    errors
}

/// Checks a reference to an object of any kind by name.
pub(super) fn reference(reference: &Value, path: &Path, errors: &mut Errors) {
    if let Some(group) = json::at(reference, &["apiGroup"]).and_then(Value::as_str) {
        check::named(&path.child("apiGroup"), group, &names::dns1123_subdomain(group), errors);
    }
    for field in ["kind", "name"] {
        check::required_name(reference, field, path, names::path_segment_name, errors);
    }
}

fn scope(parameters: &Value, path: &Path, errors: &mut Errors) {
    let namespace = json::at(parameters, &["namespace"]);
    let at = path.child("namespace");
    match json::text(parameters, &["scope"]) {
        "Namespace" => match namespace {
            None => {
                let why = "`parameters.scope` is set to 'Namespace'";
                errors.push(FieldError::required(&at, why));
            }
            Some(namespace) => {
                let text = namespace.as_str().unwrap_or("");
                check::named(&at, text, &names::dns1123_label(text), errors);
            }
        },
        "Cluster" if namespace.is_some() => {
            errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'"));
        }
        "Cluster" => {}
        other => {
            let known = ["Cluster", "Namespace"];
            errors.push(FieldError::not_supported(&path.child("scope"), other, &known));
        }
    }
}
