//! Quantities of resources: canonical form, requests from limits, requests within limits.
//!
//! Knows: the names of standard resources. Refuses to know: how much any node has.

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors, NOT_NEGATIVE};

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// A quantity from JSON: text, or a bare number.
pub(crate) fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// Whether a value is a quantity below zero.
pub(crate) fn is_negative(value: &Value) -> bool {
    parse(value).is_some_and(|quantity| quantity.is_negative())
}

/// Writes every quantity of a map in canonical form; what cannot be parsed stays.
pub(crate) fn canonical(parent: &mut Value, path: &[&str]) {
    if let Some(Value::Object(map)) = json::at_mut(parent, path) {
        map.values_mut().for_each(canonical_value);
    }
}

/// Writes one quantity in canonical form; what cannot be parsed stays.
pub(crate) fn canonical_field(parent: &mut Value, path: &[&str]) {
    if let Some(value) = json::at_mut(parent, path) {
        canonical_value(value);
    }
}

fn canonical_value(value: &mut Value) {
    if let Some(quantity) = parse(value) {
        *value = Value::String(quantity.to_string());
    }
}

/// Sets each request that is missing to its limit.
pub(super) fn requests_from_limits(container: &mut Value) {
    let Some(Value::Object(limits)) = json::at(container, &["resources", "limits"]).cloned() else {
        return;
    };
    let requests = json::child(json::child(container, "resources"), "requests");
    for (name, limit) in limits {
        json::default(requests, &name, limit);
    }
    if json::unset(&container["resources"], "requests") {
        json::remove(json::child(container, "resources"), "requests");
    }
}

/// Checks the resources of a container.
pub(crate) fn validate(resources: &Value, path: &Path, errors: &mut Errors) {
    let requests = path.child("requests");
    for (name, limit) in json::entries(resources, &["limits"]) {
        let at = path.child("limits").key(name);
        resource_name(name, &at, errors);
        amount(name, limit, &at, errors);
    }
    for (name, request) in json::entries(resources, &["requests"]) {
        let at = requests.key(name);
        resource_name(name, &at, errors);
        amount(name, request, &at, errors);
        let Some(limit) = json::at(resources, &["limits", name]).and_then(parse) else {
            if !overcommit(name) {
                errors.push(FieldError::required(
                    &path.child("limits"),
                    "Limit must be set for non overcommitable resources",
                ));
            }
            continue;
        };
        let Some(request) = parse(request) else { continue };
        let shown = request.to_string();
        if !overcommit(name) && request != limit {
            let why = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&requests, &shown, &why));
        } else if request > limit {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&requests, &shown, &why));
        }
    }
}

/// Whether more of a resource may be promised than there is.
fn overcommit(name: &str) -> bool {
    CONTAINER.contains(&name) || (name.contains("kubernetes.io/") && !name.starts_with("requests."))
}

fn resource_name(name: &str, path: &Path, errors: &mut Errors) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        check::named(path, name, &wrong, errors);
    } else if !name.contains('/') && !CONTAINER.contains(&name) && !name.starts_with("hugepages-") {
        errors.push(FieldError::invalid(path, name, "must be a standard resource for containers"));
    }
}

fn amount(name: &str, value: &Value, path: &Path, errors: &mut Errors) {
    let Some(quantity) = parse(value) else { return };
    let shown = quantity.to_string();
    if is_negative(value) {
        errors.push(FieldError::invalid(path, &shown, NOT_NEGATIVE));
    }
    if !overcommit(name) && shown.ends_with('m') {
        errors.push(FieldError::invalid(path, &shown, "must be an integer"));
    }
}

/// What a typed decoder says of a quantity map, if one of its values is none.
pub(crate) fn decode(map: Option<&Value>) -> Result<(), String> {
    for (_, value) in json::entries(map.unwrap_or(&Value::Null), &[]) {
        decode_one(Some(value))?;
    }
    Ok(())
}

/// What a typed decoder says of a value that is no quantity.
pub(crate) fn decode_one(value: Option<&Value>) -> Result<(), String> {
    match value.filter(|value| !value.is_null()) {
        Some(value) if parse(value).is_none() => Err(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// The same for all containers and volumes of a pod spec.
pub(crate) fn decode_pod_spec(spec: &Value) -> Result<(), String> {
    decode(spec.get("overhead"))?;
    for field in ["initContainers", "containers"] {
        for container in json::list(spec, &[field]) {
            decode(json::at(container, &["resources", "limits"]))?;
            decode(json::at(container, &["resources", "requests"]))?;
        }
    }
    for volume in json::list(spec, &["volumes"]) {
        decode_one(json::at(volume, &["emptyDir", "sizeLimit"]))?;
    }
    Ok(())
}
