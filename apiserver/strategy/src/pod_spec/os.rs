//! The operating system that a pod is for, and what the other one has no use for.
//!
//! Knows: the fields of each. Refuses to know: what any node runs.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::visit;
use crate::check::Errors;

const KNOWN: [&str; 2] = ["linux", "windows"];

/// Fields of a pod that Windows has no use for, each with what it stands in.
const OF_POD: [(&str, &str); 15] = [
    ("securityContext", "appArmorProfile"),
    ("securityContext", "seLinuxOptions"),
    ("", "hostUsers"),
    ("", "hostPID"),
    ("", "hostIPC"),
    ("securityContext", "seccompProfile"),
    ("securityContext", "fsGroup"),
    ("securityContext", "fsGroupChangePolicy"),
    ("securityContext", "sysctls"),
    ("", "shareProcessNamespace"),
    ("securityContext", "runAsUser"),
    ("securityContext", "runAsGroup"),
    ("securityContext", "supplementalGroups"),
    ("securityContext", "supplementalGroupsPolicy"),
    ("securityContext", "seLinuxChangePolicy"),
];

/// The same of the security context of a container.
const OF_CONTAINER: [&str; 10] = [
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// Checks the operating system of a pod spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(os) = json::at(spec, &["os"]) else { return };
    let at = path.child("os");
    match json::text(os, &["name"]) {
        "" => errors.push(FieldError::required(&at.child("name"), "cannot be empty")),
        "linux" => linux(spec, path, errors),
        "windows" => windows(spec, path, errors),
        other => errors.push(FieldError::not_supported(&at, other, &KNOWN)),
    }
}

fn linux(spec: &Value, path: &Path, errors: &mut Errors) {
    let pod = std::iter::once((spec, path.clone()));
    for (level, path) in pod.chain(visit(spec, path)) {
        if json::at(level, &["securityContext", "windowsOptions"]).is_some() {
            let at = path.child("securityContext").child("windowsOptions");
            errors
                .push(FieldError::forbidden(&at, "windows options cannot be set for a linux pod"));
        }
    }
}

fn windows(spec: &Value, path: &Path, errors: &mut Errors) {
    let why = "cannot be set for a windows pod";
    for (parent, field) in OF_POD {
        let (level, at) = match parent {
            "" => (Some(spec), path.clone()),
            parent => (json::at(spec, &[parent]), path.child(parent)),
        };
        let unset = match level.and_then(|level| json::at(level, &[field])) {
            None => true,
            // Of these, upstream cannot tell what is not asked for from what is not said.
            Some(Value::Bool(false)) => matches!(field, "hostPID" | "hostIPC"),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if !unset {
            errors.push(FieldError::forbidden(&at.child(field), why));
        }
    }
    for (container, path) in visit(spec, path) {
        for field in OF_CONTAINER {
            if json::at(container, &["securityContext", field]).is_some() {
                let at = path.child("securityContext").child(field);
                errors.push(FieldError::forbidden(&at, why));
            }
        }
    }
}
