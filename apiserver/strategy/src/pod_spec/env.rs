//! The environment of a container: variables and where their values come from.
//!
//! Knows: sources of values. Refuses to know: the values.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::resources;
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
    // Upstream names the list where an element belongs that has no source, or several.
    let all = path.child("envFrom");
    for (index, source) in json::list(container, &["envFrom"]).iter().enumerate() {
        let path = all.index(index);
        check::optional_name(source, "prefix", &path, names::env_var_name, errors);
        let sources: Vec<&str> = check::set_fields(source, &["prefix"]);
        match sources.as_slice() {
            [] => errors.push(FieldError::invalid(
                &all,
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
                &all,
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
        resource_ref(resource, &path.child("resourceFieldRef"), false, errors);
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = json::at(source, &[field]) {
            let path = path.child(field);
            let name = json::text(key, &["name"]);
            check::named(&path.child("name"), name, &names::dns1123_subdomain(name), errors);
            check::required_name(key, "key", &path, names::config_map_key, errors);
        }
    }
    if let Some(file) = json::at(source, &["fileKeyRef"]) {
        file_key(file, &path.child("fileKeyRef"), errors);
    }
    let sources = check::set_fields(source, &[]).len();
    if sources == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
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

/// Checks a reference to a variable in a file of a volume.
fn file_key(file: &Value, path: &Path, errors: &mut Errors) {
    check::required_name(file, "key", path, names::env_var_name, errors);
    check::required_name(file, "volumeName", path, names::dns1123_label, errors);
    let text = check::required(file, "path", path, errors);
    check::no_back_steps(text, &path.child("path"), errors);
}

/// Checks a reference to a field of the pod; `known` may be named, as may labels and annotations by key.
pub(super) fn field_ref(field: &Value, path: &Path, known: &[&str], errors: &mut Errors) {
    if check::required(field, "apiVersion", path, errors).is_empty() {
        return;
    }
    let text = check::required(field, "fieldPath", path, errors);
    if text.is_empty() {
        return;
    }
    let at = path.child("fieldPath");
    let unknown =
        |why: String| FieldError::invalid(&at, text, &format!("error converting fieldPath: {why}"));
    let version = json::text(field, &["apiVersion"]);
    if version != "v1" {
        errors.push(unknown(format!("unsupported pod version: {version}")));
    } else if let Some((map, key)) = text.strip_suffix("']").and_then(|rest| rest.split_once("['"))
    {
        match map {
            "metadata.annotations" => {
                check::named(path, key, &names::qualified_name(&key.to_lowercase()), errors)
            }
            "metadata.labels" => check::named(path, key, &names::qualified_name(key), errors),
            _ => errors.push(unknown(format!("field label does not support subscript: {text}"))),
        }
    } else if !known.contains(&text) {
        if OTHER_FIELDS.contains(&text) || ENV_FIELDS.contains(&text) {
            errors.push(FieldError::not_supported(&at, text, known));
        } else {
            errors.push(unknown(format!("field label not supported: {text}")));
        }
    }
}

/// Units that an amount of each resource may be told in: what its name begins with after `limits.` or `requests.`, and
/// how it is called.
const DIVISORS: [(&str, &str, &[&str]); 4] = [
    ("cpu", "cpu", &["1m", "1"]),
    ("memory", "memory", &BYTES),
    ("ephemeral-storage", "local ephemeral storage", &BYTES),
    ("hugepages-", "hugepages", &BYTES),
];
const BYTES: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Checks a reference to a resource of a container, which in a volume must be named.
pub(super) fn resource_ref(resource: &Value, path: &Path, volume: bool, errors: &mut Errors) {
    let text = json::text(resource, &["resource"]);
    let name = text.strip_prefix("limits.").or_else(|| text.strip_prefix("requests."));
    let huge = name.is_some_and(|name| name.starts_with("hugepages-"));
    if volume && json::text(resource, &["containerName"]).is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if text.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&text) && !huge {
        errors.push(FieldError::not_supported(&path.child("resource"), text, &RESOURCES));
    }
    let divisor = resource.get("divisor").and_then(resources::parse);
    let Some(divisor) = divisor.filter(|divisor| !divisor.is_zero()) else { return };
    let row = DIVISORS.iter().find(|(known, _, _)| {
        name.is_some_and(|name| name == *known || huge && name.starts_with(known))
    });
    if let Some((_, said, units)) = row
        && !units.contains(&divisor.to_string().as_str())
    {
        let units = units.join(if *said == "cpu" { " and " } else { ", " });
        let why = format!("only divisor's values {units} are supported with the {said} resource");
        errors.push(FieldError::invalid(&path.child("divisor"), text, &why));
    }
}
