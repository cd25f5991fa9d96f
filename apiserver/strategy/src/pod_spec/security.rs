//! Security contexts of pods and containers.
//!
//! Knows: which settings make sense by themselves. Refuses to know: who may use them.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use super::{visit, windows};
use crate::check::{self, Errors, go_field};

const MAX_ID: i64 = i32::MAX as i64;
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// Checks the security context of a pod.
pub(super) fn validate_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    let path = path.child("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
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
    if json::flag(spec, &["shareProcessNamespace"]) && json::flag(spec, &["hostPID"]) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(
            &path.child("shareProcessNamespace"),
            &Value::Bool(true),
            why,
        ));
    }
    sysctls(spec, context, &path.child("sysctls"), errors);
    check::one_of(context, "fsGroupChangePolicy", &path, &["Always", "OnRootMismatch"], errors);
    seccomp(context, &path, errors);
    windows::validate(context, &path, errors);
    app_armor(context, &path, errors);
    check::one_of(context, "supplementalGroupsPolicy", &path, &["Merge", "Strict"], errors);
    check::one_of(context, "seLinuxChangePolicy", &path, &["Recursive"], errors);
}

/// Checks what a pod shares with its host against what it keeps for itself.
pub(super) fn host(spec: &Value, path: &Path, errors: &mut Errors) {
    host_process(spec, path, errors);
    if json::at(spec, &["hostUsers"]) != Some(&Value::Bool(false)) {
        return;
    }
    // Upstream's names of the fields in these messages are not those in JSON.
    for (field, shown) in
        [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")]
    {
        if json::flag(spec, &[field]) {
            errors.push(FieldError::forbidden(&path.child(shown), NOT_OWN_USERS));
        }
    }
    for (container, at) in visit(spec, path) {
        if !json::list(container, &["volumeDevices"]).is_empty() {
            errors.push(FieldError::forbidden(&at.child("volumeDevices"), NOT_OWN_USERS));
        }
    }
}

const NOT_OWN_USERS: &str = "when `hostUsers` is false";

/// Windows containers that are processes of the host are so together, and on its network.
fn host_process(spec: &Value, path: &Path, errors: &mut Errors) {
    let asked = ["securityContext", "windowsOptions", "hostProcess"];
    let of = |level: &Value| json::at(level, &asked).and_then(Value::as_bool);
    let (pod, containers) = (of(spec), visit(spec, path));
    for (container, at) in &containers {
        if let (Some(pod), Some(own)) = (pod, of(container))
            && pod != own
        {
            let at = asked.iter().fold(at.clone(), |at, field| at.child(field));
            let why =
                format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.push(FieldError::invalid(&at, &Value::Bool(own), &why));
        }
    }
    let on_host = |container: &Value| of(container).or(pod) == Some(true);
    let count = containers.iter().filter(|(container, _)| on_host(container)).count();
    if count > 0 && count != containers.len() {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.push(FieldError::invalid(path, "", why));
    }
    if count > 0 && !json::flag(spec, &["hostNetwork"]) {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.push(FieldError::invalid(&path.child("hostNetwork"), &Value::Bool(false), why));
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
pub(super) fn validate_container(
    container: &Value,
    path: &Path,
    host_users: bool,
    errors: &mut Errors,
) {
    let Some(context) = json::at(container, &["securityContext"]) else { return };
    let path = path.child("securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        check::in_range(context, field, &path, 0, MAX_ID, errors);
    }
    check::one_of(context, "procMount", &path, &["Default", "Unmasked"], errors);
    if host_users && json::text(context, &["procMount"]) == "Unmasked" {
        let why = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(&path.child("procMount"), "Unmasked", why));
    }
    seccomp(context, &path, errors);
    if json::at(context, &["allowPrivilegeEscalation"]) == Some(&Value::Bool(false)) {
        escalation(context, &path, errors);
    }
    windows::validate(context, &path, errors);
    app_armor(context, &path, errors);
}

/// Checks a container that shall not gain rights for rights that it has from the start.
fn escalation(context: &Value, path: &Path, errors: &mut Errors) {
    if json::flag(context, &["privileged"]) {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path, shown(context), why));
    }
    if json::list(context, &["capabilities", "add"]).iter().any(|name| name == "CAP_SYS_ADMIN") {
        let why =
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(path, shown(context), why));
    }
}

/// Fields of a struct, by upstream's names and by those of JSON.
type Fields = &'static [(&'static str, &'static str)];

/// Fields of a security context in upstream's order and by its names, with those of the structs among them.
const SHOWN: [(&str, &str, Fields); 12] = [
    ("Capabilities", "capabilities", &[("Add", "add"), ("Drop", "drop")]),
    ("Privileged", "privileged", &[]),
    (
        "SELinuxOptions",
        "seLinuxOptions",
        &[("User", "user"), ("Role", "role"), ("Type", "type"), ("Level", "level")],
    ),
    (
        "WindowsOptions",
        "windowsOptions",
        &[
            ("GMSACredentialSpecName", "gmsaCredentialSpecName"),
            ("GMSACredentialSpec", "gmsaCredentialSpec"),
            ("RunAsUserName", "runAsUserName"),
            ("HostProcess", "hostProcess"),
        ],
    ),
    ("RunAsUser", "runAsUser", &[]),
    ("RunAsGroup", "runAsGroup", &[]),
    ("RunAsNonRoot", "runAsNonRoot", &[]),
    ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", &[]),
    ("AllowPrivilegeEscalation", "allowPrivilegeEscalation", &[]),
    ("ProcMount", "procMount", &[]),
    ("SeccompProfile", "seccompProfile", PROFILE),
    ("AppArmorProfile", "appArmorProfile", PROFILE),
];
const PROFILE: Fields = &[("Type", "type"), ("LocalhostProfile", "localhostProfile")];

/// A security context as upstream shows it.
fn shown(context: &Value) -> meta::Raw<String> {
    let of = |field: &str, fields: Fields| match json::at(context, &[field]) {
        Some(inner) if !fields.is_empty() => {
            // There, a text is never absent.
            let texts = field == "seLinuxOptions";
            let fields: Vec<(&str, String)> = fields
                .iter()
                .map(|(name, field)| match json::at(inner, &[field]) {
                    None if texts => (*name, "\"\"".to_owned()),
                    _ => (*name, go_field(inner, &[field])),
                })
                .collect();
            check::go_struct(&fields).0
        }
        _ => go_field(context, &[field]),
    };
    let fields = SHOWN.map(|(name, field, fields)| (name, of(field, fields)));
    check::go_struct(&fields)
}

fn seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = json::at(context, &["seccompProfile"]) else { return };
    let path = path.child("seccompProfile");
    profile_type(profile, &path, "type is required when seccompProfile is set", errors);
    let local = json::at(profile, &["localhostProfile"]).and_then(Value::as_str);
    let at = path.child("localhostProfile");
    match (json::text(profile, &["type"]), local) {
        ("Localhost", None) => {
            errors.push(FieldError::required(&at, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(local)) => check::descending_path(local, &at, errors),
        (_, Some(_)) => {
            let shown = check::go_struct(&[
                ("Type", go_field(profile, &["type"])),
                ("LocalhostProfile", go_field(profile, &["localhostProfile"])),
            ]);
            let why = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(&at, shown, why));
        }
        (_, None) => {}
    }
}

fn profile_type(profile: &Value, path: &Path, missing: &str, errors: &mut Errors) {
    if json::text(profile, &["type"]).is_empty() {
        errors.push(FieldError::required(&path.child("type"), missing));
    }
    check::one_of(profile, "type", path, &PROFILES, errors);
}

/// Longest name of a profile of the node's.
const MAX_PROFILE: usize = 4095;

fn app_armor(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = json::at(context, &["appArmorProfile"]) else { return };
    let path = path.child("appArmorProfile");
    let at = path.child("localhostProfile");
    let local = json::at(profile, &["localhostProfile"]).and_then(Value::as_str);
    profile_type(profile, &path, "type is required when appArmorProfile is set", errors);
    match (json::text(profile, &["type"]), local) {
        ("Localhost", None | Some("")) => {
            errors.push(FieldError::required(&at, "must be set when AppArmor type is Localhost"));
        }
        ("Localhost", Some(local)) => {
            if local.trim() != local {
                errors.push(FieldError::invalid(&at, local, "must not be padded with whitespace"));
            }
            if local.len() > MAX_PROFILE {
                errors.push(FieldError::too_long(&at, MAX_PROFILE));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(local)) => {
            let why = "can only be set when AppArmor type is Localhost";
            errors.push(FieldError::invalid(&at, local, why));
        }
        _ => {}
    }
}
