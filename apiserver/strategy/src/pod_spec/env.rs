//! The environment of a container: variables and where their values come from.
//!
//! Knows: sources of values. Refuses to know: the values.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields that a pod has but that variables may not name; a subset of upstream's conversion table.
const OTHER_FIELDS: [&str; 6] = [
    "metadata.annotations",
    "metadata.labels",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
    "status.nominatedNodeName",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks `env` and `envFrom` of a container.
pub(super) fn validate(container: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in json::list(container, &["env"]).iter().enumerate() {
        let path = path.child("env").index(index);
        check::required_name(variable, "name", &path, names::env_var_name, errors);
        if json::at(variable, &["valueFrom"]).is_some() {
            value_from(variable, &path.child("valueFrom"), errors);
        }
    }
    for (index, source) in json::list(container, &["envFrom"]).iter().enumerate() {
        let path = path.child("envFrom").index(index);
        check::optional_name(source, "prefix", &path, names::env_var_name, errors);
        let sources: Vec<&str> = check::set_fields(source, &["prefix"]);
        match sources.as_slice() {
            [] => errors.push(FieldError::invalid(
                &path,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            [one] => check::required_name(
                &source[*one],
                "name",
                &path.child(one),
                names::dns1123_subdomain,
                errors,
            ),
            _ => errors.push(FieldError::invalid(
                &path,
                "",
                "may not have more than one field specified at a time",
            )),
        }
    }
}

fn value_from(variable: &Value, path: &Path, errors: &mut Errors) {
    let source = &variable["valueFrom"];
    if let Some(field) = json::at(source, &["fieldRef"]) {
        field_ref(field, &path.child("fieldRef"), &ENV_FIELDS, errors);
    }
    if let Some(resource) = json::at(source, &["resourceFieldRef"]) {
        resource_ref(resource, &path.child("resourceFieldRef"), errors);
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = json::at(source, &[field]) {
            let path = path.child(field);
            check::required_name(key, "name", &path, names::dns1123_subdomain, errors);
            check::required_name(key, "key", &path, names::config_map_key, errors);
        }
    }
    let sources = check::set_fields(source, &[]).len();
    if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(path, "", why));
    } else if !json::text(variable, &["value"]).is_empty() {
        errors.push(FieldError::invalid(
            path,
            "",
            "may not be specified when `value` is not empty",
        ));
    } else if sources > 1 {
        errors.push(FieldError::invalid(
            path,
            "",
            "may not have more than one field specified at a time",
        ));
    }
}

/// Checks a reference to a field of the pod; `known` may be named, as may labels and annotations by key.
pub(super) fn field_ref(field: &Value, path: &Path, known: &[&str], errors: &mut Errors) {
    check::required(field, "apiVersion", path, errors);
    let text = check::required(field, "fieldPath", path, errors);
    if text.is_empty() {
        return;
    }
    let at = path.child("fieldPath");
    if let Some((map, key)) = text.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        match map {
            "metadata.annotations" => {
                check::named(&at, key, &names::qualified_name(&key.to_lowercase()), errors)
            }
            "metadata.labels" => check::named(&at, key, &names::qualified_name(key), errors),
            _ => errors.push(FieldError::invalid(&at, map, "does not support subscript")),
        }
    } else if !known.contains(&text) {
        if OTHER_FIELDS.contains(&text) || ENV_FIELDS.contains(&text) {
            errors.push(FieldError::not_supported(&at, text, known));
        } else {
            let why = format!("error converting fieldPath: field label not supported: {text}");
            errors.push(FieldError::invalid(&at, text, &why));
        }
    }
}

/// Checks a reference to a resource of a container.
pub(super) fn resource_ref(resource: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(resource, "resource", path, errors);
    let huge = text.starts_with("limits.hugepages-") || text.starts_with("requests.hugepages-");
    if !text.is_empty() && !RESOURCES.contains(&text) && !huge {
        errors.push(FieldError::not_supported(&path.child("resource"), text, &RESOURCES));
    }
}
