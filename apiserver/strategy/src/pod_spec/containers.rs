//! Containers: names, images, ports, mounts, and what only some of them may have.
//!
//! Knows: one pod's lists of containers. Refuses to know: what their environment and probes mean.

use std::collections::{BTreeSet, HashMap, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::{
    PULL_POLICIES, claims, env, ephemeral, probes, resources, restarts, security, volumes,
};
use crate::check::{self, Errors};

/// What of its pod a container may name.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Volumes by name.
    pub(super) mountable: &'a HashMap<&'a str, &'a Value>,
    /// Names of claims to devices.
    pub(super) claims: &'a BTreeSet<&'a str>,
}

/// Checks all containers of a pod spec.
pub(super) fn validate(spec: &Value, path: &Path, parts: Parts, pod: bool, errors: &mut Errors) {
    let scope = Scope {
        parts,
        pod,
        host_users: json::at(spec, &["hostUsers"]) != Some(&Value::Bool(false)),
        restarts: json::text(spec, &["restartPolicy"]) != "Never",
        grace: json::int(spec, &["terminationGracePeriodSeconds"]),
    };
    let list = json::list(spec, &["containers"]);
    let field = path.child("containers");
    if list.is_empty() {
        errors.push(FieldError::required(&field, ""));
    }
    let mut seen = HashSet::new();
    let mut host_ports = HashSet::new();
    for (index, container) in list.iter().enumerate() {
        let path = field.index(index);
        common(container, &path, &scope, errors);
        unique(container, &path, &mut seen, errors);
        probes::validate_container(container, &path, scope.grace, errors);
        restarts::validate(container, &path, errors);
    }
    for (index, container) in list.iter().enumerate() {
        unique_host_ports(container, &field.index(index), &mut host_ports, errors);
    }
    init(spec, path, &scope, &mut seen, errors);
    ephemeral::validate(
        spec,
        path,
        |container, path, errors| {
            common(container, path, &Scope { pod: true, ..scope }, errors);
        },
        errors,
    );
}

fn init<'a>(
    spec: &'a Value,
    path: &Path,
    scope: &Scope,
    seen: &mut HashSet<&'a str>,
    errors: &mut Errors,
) {
    let field = path.child("initContainers");
    for (index, container) in json::list(spec, &["initContainers"]).iter().enumerate() {
        let path = field.index(index);
        common(container, &path, scope, errors);
        restarts::validate(container, &path, errors);
        unique(container, &path, seen, errors);
        // Each by itself, for they run one by one. Upstream names the first of them.
        unique_host_ports(container, &field.index(0), &mut HashSet::new(), errors);
        if json::text(container, &["restartPolicy"]) == "Always" {
            probes::validate_container(container, &path, scope.grace, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if json::at(container, &[field]).is_some() {
                let why = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        for (index, policy) in json::list(container, &["resizePolicy"]).iter().enumerate() {
            if json::text(policy, &["restartPolicy"]) == RESTARTED {
                let at = path.child("resizePolicy").index(index).child("restartPolicy");
                let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.push(FieldError::invalid(&at, RESTARTED, why));
            }
        }
    }
}

/// What a container may be that is given more or less.
const RESTARTED: &str = "RestartContainer";

/// What containers of one pod have in common.
#[derive(Clone, Copy)]
struct Scope<'a> {
    parts: Parts<'a>,
    pod: bool,
    host_users: bool,
    restarts: bool,
    grace: Option<i64>,
}

fn unique<'a>(container: &'a Value, path: &Path, seen: &mut HashSet<&'a str>, errors: &mut Errors) {
    let name = json::text(container, &["name"]);
    if !name.is_empty() && !seen.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
}

fn common(container: &Value, path: &Path, scope: &Scope, errors: &mut Errors) {
    check::required_name(container, "name", path, names::dns1123_label, errors);
    let image = check::required(container, "image", path, errors);
    if scope.pod && image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.child("image"), image, why));
    }
    let policies = ["FallbackToLogsOnError", "File"];
    check::required_one_of(container, "terminationMessagePolicy", path, &policies, errors);
    ports(container, path, errors);
    env::validate(container, path, errors);
    volumes::validate_mounts(container, path, scope.parts.mountable, errors);
    volumes::validate_devices(container, path, scope.parts.mountable, errors);
    check::required_one_of(container, "imagePullPolicy", path, &PULL_POLICIES, errors);
    let resources = container.get("resources").unwrap_or(&Value::Null);
    resources::validate(resources, &path.child("resources"), errors);
    claims::named(resources, scope.parts.claims, &path.child("resources"), errors);
    resize(container, &path.child("resizePolicy"), scope.restarts, errors);
    security::validate_container(container, path, scope.host_users, errors);
}

/// Checks how a container meets a change of its resources. Upstream names the list where the element belongs.
fn resize(container: &Value, path: &Path, restarts: bool, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, policy) in json::list(container, &["resizePolicy"]).iter().enumerate() {
        let resource = json::text(policy, &["resourceName"]);
        if !seen.insert(resource) {
            errors.push(FieldError::duplicate(&path.index(index), resource));
        }
        let wanted = json::text(policy, &["restartPolicy"]);
        let policies = ["NotRequired", RESTARTED];
        if resource.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !["cpu", "memory"].contains(&resource) {
            errors.push(FieldError::not_supported(path, resource, &["cpu", "memory"]));
        }
        if wanted.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if !policies.contains(&wanted) {
            errors.push(FieldError::not_supported(path, wanted, &policies));
        }
        if !restarts && wanted != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(path, wanted, why));
        }
    }
}

/// Checks that ports on the host's network are the host's. In a template they may be left to the pod.
pub(super) fn ports_of_host(spec: &Value, path: &Path, pod: bool, errors: &mut Errors) {
    for (index, container) in json::list(spec, &["containers"]).iter().enumerate() {
        let path = path.child("containers").index(index).child("ports");
        for (index, port) in json::list(container, &["ports"]).iter().enumerate() {
            let number = json::int(port, &["containerPort"]).unwrap_or(0);
            let host = json::int(port, &["hostPort"]).unwrap_or(0);
            if (pod || host != 0) && host != number {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(&path.index(index).child("hostPort"), host, why));
            }
        }
    }
}

fn ports(container: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, port) in json::list(container, &["ports"]).iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = json::text(port, &["name"]);
        if !name.is_empty() {
            let wrong = names::port_name(name);
            check::named(&path.child("name"), name, &wrong, errors);
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        let number = json::int(port, &["containerPort"]).unwrap_or(0);
        if number == 0 {
            errors.push(FieldError::required(&path.child("containerPort"), ""));
        } else {
            check::port_number(port, "containerPort", &path, errors);
        }
        let host = json::int(port, &["hostPort"]).unwrap_or(0);
        if host != 0 {
            check::port_number(port, "hostPort", &path, errors);
        }
        check::required_one_of(port, "protocol", &path, &["SCTP", "TCP", "UDP"], errors);
    }
}

fn unique_host_ports(
    container: &Value,
    path: &Path,
    seen: &mut HashSet<String>,
    errors: &mut Errors,
) {
    for (index, port) in json::list(container, &["ports"]).iter().enumerate() {
        let number = json::int(port, &["hostPort"]).unwrap_or(0);
        if number == 0 {
            continue;
        }
        let text = format!(
            "{}/{}/{number}",
            json::text(port, &["protocol"]),
            json::text(port, &["hostIP"])
        );
        if !seen.insert(text.clone()) {
            errors.push(FieldError::duplicate(
                &path.child("ports").index(index).child("hostPort"),
                &text,
            ));
        }
    }
}
