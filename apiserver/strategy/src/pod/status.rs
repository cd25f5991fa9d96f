//! `status` of a pod: what whoever runs it may say.
//!
//! Knows: what stays as it was, and what cannot be. Refuses to know: what runs.

use std::collections::HashSet;

use leme_meta::{FieldError, Path, json_string};
use leme_registry::meta::Raw;
use leme_registry::{Context, json, meta, names};
use serde_json::{Value, json};

use super::devices;
use crate::check::{self, Errors};
use crate::ip;
use crate::pod_spec::{annotations, restarts};

/// Lists of statuses, each with the containers it is about.
pub(super) const LISTS: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

pub(super) fn prepare(new: &mut Value, old: &Value, _: &Context) {
    if let Some(metadata) = old.get("metadata") {
        json::keep(json::child(new, "metadata"), metadata, "ownerReferences");
    }
    if let Some(class) = json::at(old, &["status", "qosClass"]) {
        json::default(json::child(new, "status"), "qosClass", class.clone());
    }
    addresses(json::child(new, "status"));
    keep_observed(new, old);
}

/// The one address of a pod is the first of all. Where both are said, the one counts: older programs know no other.
fn addresses(status: &mut Value) {
    let first = json::list(status, &["podIPs"]).first().map_or("", |one| json::text(one, &["ip"]));
    let one = json::text(status, &["podIP"]);
    if one == first {
        return;
    }
    if one.is_empty() {
        let first = first.to_owned();
        json::set(status, "podIP", first);
    } else {
        let all = json!([{ "ip": one }]);
        json::set(status, "podIPs", all);
    }
}

/// A status says of which generation it is, unless it does not know: then it says what the earlier one said.
fn keep_observed(new: &mut Value, old: &Value) {
    const FIELD: &str = "observedGeneration";
    let unknown = |value: &Value| json::int(value, &[FIELD]).unwrap_or(0) == 0;
    if let Some(old) = old.get("status").filter(|old| !unknown(old))
        && unknown(json::child(new, "status"))
    {
        json::keep(json::child(new, "status"), old, FIELD);
    }
    // Nothing says that there is one condition of a type.
    let mut before: Vec<&Value> = json::list(old, &["status", "conditions"]).iter().collect();
    for condition in json::list_mut(new, &["status", "conditions"]) {
        let kind = json::text(condition, &["type"]);
        let Some(at) = before.iter().position(|old| json::text(old, &["type"]) == kind) else {
            continue;
        };
        let old = before.remove(at);
        if unknown(condition) && !unknown(old) {
            json::keep(condition, old, FIELD);
        }
    }
}

pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let at = Path::new("metadata").child("annotations");
    let [now, before] = [new, old].map(|pod| json::at(pod, &["metadata", "annotations"]));
    let mut errors = annotations::validate_update(now, before, &at);
    errors.extend(annotations::validate(now, &new["spec"], &at));
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    conditions(status, &path.child("conditions"), &mut errors);
    nominated(status, old, &path.child("nominatedNodeName"), &mut errors);
    generation(status, &path, &mut errors);
    errors.extend(meta::immutable(new, old, &["status", "qosClass"]));
    for (list, containers) in LISTS {
        ended(status, old, list, containers, &path.child(list), &mut errors);
    }
    devices::validate(new, &path, &mut errors);
    all_addresses(status, old, "podIPs", &path, &mut errors);
    let first = json::list(status, &["hostIPs"]).first().map(|one| json::text(one, &["ip"]));
    if let Some(first) = first.filter(|first| *first != json::text(status, &["hostIP"])) {
        let at = path.child("hostIPs").index(0).child("ip");
        errors.push(FieldError::invalid(&at, first, "must be equal to `hostIP`"));
    }
    all_addresses(status, old, "hostIPs", &path, &mut errors);
    for (list, _) in LISTS {
        users(new, list, &path.child(list), &mut errors);
    }
    devices::health(new, &path, &mut errors);
    errors
}

const BELOW_ZERO: &str = "must be a non-negative integer";

fn generation(of: &Value, path: &Path, errors: &mut Errors) {
    if let Some(number) = json::int(of, &["observedGeneration"]).filter(|number| *number < 0) {
        errors.push(FieldError::invalid(&path.child("observedGeneration"), number, BELOW_ZERO));
    }
}

fn conditions(status: &Value, path: &Path, errors: &mut Errors) {
    for (index, condition) in json::list(status, &["conditions"]).iter().enumerate() {
        let at = path.index(index);
        generation(condition, &at, errors);
        let kind = json::text(condition, &["type"]);
        if !["PodScheduled", "Ready", "Initialized"].contains(&kind) {
            check::named(&at.child("Type"), kind, &names::qualified_name(kind), errors);
        }
    }
}

/// The node that a pod is meant for: one that has a node needs no other.
fn nominated(status: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(status, &["nominatedNodeName"]);
    if name.is_empty() || name == json::text(old, &["status", "nominatedNodeName"]) {
        return;
    }
    check::named(path, name, &names::dns1123_subdomain(name), errors);
    if !json::text(old, &["spec", "nodeName"]).is_empty() {
        let why = "may not be set on pods that are already bound to a node";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// What has ended stays so, where nothing starts it again.
fn ended(
    status: &Value,
    old: &Value,
    list: &str,
    containers: &str,
    path: &Path,
    errors: &mut Errors,
) {
    let spec = old.get("spec").unwrap_or(&Value::Null);
    let added = containers == "ephemeralContainers";
    if !added && restarts::may_restart_all(spec) {
        return;
    }
    let now = json::first_by_name(json::list(status, &[list]));
    let of = json::first_by_name(json::list(spec, &[containers]));
    for (index, before) in json::list(old, &["status", list]).iter().enumerate() {
        let name = json::text(before, &["name"]);
        let Some(end) = json::at(before, &["state", "terminated"]) else { continue };
        let Some(now) = now.get(name) else { continue };
        let code = json::int(end, &["exitCode"]).unwrap_or(0);
        let policy = json::text(spec, &["restartPolicy"]);
        let restarts =
            !added && of.get(name).is_some_and(|one| restarts::restarts(one, policy, code));
        if json::at(now, &["state", "terminated"]).is_none() && !restarts {
            let why = "may not be transitioned to non-terminated state";
            errors.push(FieldError::forbidden(&path.index(index).child("state"), why));
        }
    }
}

/// Checks a list of addresses: one of each family at most. Those that were there may stay, however they are written.
fn all_addresses(status: &Value, old: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let path = path.child(field);
    let texts = |list| -> Vec<&str> {
        json::list(list, &[field]).iter().map(|one| json::text(one, &["ip"])).collect()
    };
    let (list, before) = (texts(status), texts(old.get("status").unwrap_or(&Value::Null)));
    for (index, text) in list.iter().enumerate().filter(|(_, text)| !before.contains(text)) {
        if let Some(why) = ip::wrong_ip(text) {
            errors.push(FieldError::invalid(&path.index(index), *text, why));
        }
    }
    let families: Option<HashSet<bool>> =
        list.iter().map(|text| ip::sloppy(text).map(|address| address.is_ipv4())).collect();
    if list.len() > 2 || list.len() == 2 && families.is_none_or(|families| families.len() < 2) {
        let shown: Vec<String> =
            list.iter().map(|text| format!("{{\"IP\":{}}}", json_string(text))).collect();
        let shown = Raw(format!("[{}]", shown.join(",")));
        let why = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid(&path, shown, why));
    }
}

/// Checks whom containers run as.
fn users(pod: &Value, list: &str, path: &Path, errors: &mut Errors) {
    const MAX: i64 = i32::MAX as i64;
    let windows = json::text(pod, &["spec", "os", "name"]) == "windows";
    for (index, status) in json::list(pod, &["status", list]).iter().enumerate() {
        let Some(user) = json::at(status, &["user", "linux"]) else { continue };
        let path = path.index(index).child("user").child("linux");
        if windows {
            errors.push(FieldError::forbidden(&path, "cannot be set for a windows pod"));
            continue;
        }
        for field in ["uid", "gid"] {
            check::in_range(user, field, &path, 0, MAX, errors);
        }
        for (index, group) in json::list(user, &["supplementalGroups"]).iter().enumerate() {
            if let Some(group) = group.as_i64().filter(|group| !(0..=MAX).contains(group)) {
                let why = format!("must be between 0 and {MAX}, inclusive");
                let at = path.child("supplementalGroups").index(index);
                errors.push(FieldError::invalid(&at, group, &why));
            }
        }
    }
}
