//! Security contexts of pods and containers.
//!
//! Knows: which settings make sense by themselves. Refuses to know: who may use them.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};

const MAX_ID: i64 = i32::MAX as i64;
const SECCOMP: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// Checks the security context of a pod.
pub(super) fn validate_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    let path = path.child("securityContext");
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        check::in_range(context, field, &path, 0, MAX_ID, errors);
    }
    for (index, group) in json::list(context, &["supplementalGroups"]).iter().enumerate() {
        if let Some(group) = group.as_i64().filter(|group| !(0..=MAX_ID).contains(group)) {
            let why = format!("must be between 0 and {MAX_ID}, inclusive");
            errors.push(FieldError::invalid(
                &path.child("supplementalGroups").index(index),
                group,
                &why,
            ));
        }
    }
    check::one_of(context, "fsGroupChangePolicy", &path, &["Always", "OnRootMismatch"], errors);
    seccomp(context, &path, errors);
    sysctls(spec, context, &path.child("sysctls"), errors);
    if json::flag(spec, &["shareProcessNamespace"]) && json::flag(spec, &["hostPID"]) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(
            &path.child("shareProcessNamespace"),
            &Value::Bool(true),
            why,
        ));
    }
}

/// Kernel parameters that belong to a namespace, by name or by what the name begins with.
const SYSCTLS: [(&str, &str); 5] = [
    ("kernel.sem", "hostIPC"),
    ("kernel.shm", "hostIPC"),
    ("kernel.msg", "hostIPC"),
    ("fs.mqueue.", "hostIPC"),
    ("net.", "hostNetwork"),
];

fn sysctls(spec: &Value, context: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, sysctl) in json::list(context, &["sysctls"]).iter().enumerate() {
        let at = path.index(index).child("name");
        let name = json::text(sysctl, &["name"]);
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !names::is_sysctl(name) {
            errors.push(FieldError::invalid(&at, name, &names::sysctl_rule()));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        let dotted = dotted(name);
        let shared = SYSCTLS.iter().find(|(known, _)| match *known {
            "kernel.sem" => dotted == *known,
            prefix => dotted.starts_with(prefix),
        });
        if let Some((_, host)) = shared.filter(|(_, host)| json::flag(spec, &[host])) {
            let why = format!("may not be specified when '{host}' is true");
            errors.push(FieldError::invalid(&at, name, &why));
        }
    }
}

/// The name with dots between its parts: where a slash comes first, slashes and dots have changed roles.
fn dotted(name: &str) -> String {
    if !name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/')) {
        return name.to_owned();
    }
    let swapped = name.chars().map(|c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    });
    swapped.collect()
}

/// Checks the security context of a container.
pub(super) fn validate_container(container: &Value, path: &Path, errors: &mut Errors) {
    let Some(context) = json::at(container, &["securityContext"]) else { return };
    let path = path.child("securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        check::in_range(context, field, &path, 0, MAX_ID, errors);
    }
    check::one_of(context, "procMount", &path, &["Default", "Unmasked"], errors);
    seccomp(context, &path, errors);
    if json::at(context, &["allowPrivilegeEscalation"]) != Some(&Value::Bool(false)) {
        return;
    }
    if json::flag(context, &["privileged"]) {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(&path, context, why));
    }
    if json::list(context, &["capabilities", "add"]).iter().any(|name| name == "CAP_SYS_ADMIN") {
        let why =
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(&path, context, why));
    }
}

fn seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = json::at(context, &["seccompProfile"]) else { return };
    let path = path.child("seccompProfile");
    check::required_one_of(profile, "type", &path, &SECCOMP, errors);
    let local = json::text(profile, &["localhostProfile"]);
    let at = path.child("localhostProfile");
    if json::text(profile, &["type"]) == "Localhost" {
        if local.is_empty() {
            errors.push(FieldError::required(&at, "must be set when seccomp type is Localhost"));
        } else {
            check::descending_path(local, &at, errors);
        }
    } else if !local.is_empty() {
        errors.push(FieldError::invalid(
            &at,
            local,
            "can only be set when seccomp type is Localhost",
        ));
    }
}
