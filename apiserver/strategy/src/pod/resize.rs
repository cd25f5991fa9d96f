//! `resize`: the containers of a pod that runs get more or less of CPU and memory.
//!
//! Knows: that nothing else of the pod changes so. Refuses to know: whether its node can carry it out; that one says so.

use leme_meta::{FieldError, Path};
use leme_registry::{Part, json};
use serde_json::{Value, json};

use super::qos_class;
use crate::check::Errors;

const LISTS: [&str; 2] = ["containers", "initContainers"];
const ONLY: &str = "only cpu and memory resources are mutable";
/// What of a container such an update is about.
const OF_CONTAINER: [&str; 2] = ["resources", "resizePolicy"];

pub(super) const PART: Part = Part {
    prepare,
    refuse: |_, old| {
        let why = match json::text(old, &["spec", "os", "name"]) {
            _ if super::is_static(old) => "static pods cannot be resized",
            "windows" => "windows pods cannot be resized",
            _ => return None,
        };
        Some(FieldError::forbidden(&Path::new("[]"), why))
    },
    validate,
    reach: &[
        &["spec", "containers", "*", "resources"],
        &["spec", "containers", "*", "resizePolicy"],
        &["spec", "initContainers", "*", "resources"],
        &["spec", "initContainers", "*", "resizePolicy"],
        &["spec", "resources"],
    ],
};

fn prepare(new: &mut Value, old: &Value) {
    json::keep(new, old, "status");
    if !same_number(new, old) {
        return;
    }
    let mut spec = old.get("spec").cloned().unwrap_or(Value::Null);
    for list in LISTS {
        let asked = json::list(new, &["spec", list]);
        let kept = json::list_mut(&mut spec, &[list]);
        let renamed = |(one, other): (&Value, &Value)| one.get("name") != other.get("name");
        if kept.iter().zip(asked).any(|(one, other)| renamed((one, other))) {
            kept.clone_from_slice(asked);
            continue;
        }
        for (container, asked) in kept.iter_mut().zip(asked) {
            OF_CONTAINER.iter().for_each(|field| json::keep(container, asked, field));
        }
    }
    if let Some(asked) = new.get("spec") {
        json::keep(&mut spec, asked, "resources");
    }
    json::set(new, "spec", spec);
}

fn same_number(new: &Value, old: &Value) -> bool {
    let count = |pod, list| json::list(pod, &["spec", list]).len();
    LISTS.iter().all(|list| count(new, list) == count(old, list))
}

fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    if !same_number(new, old) {
        for list in LISTS {
            if json::list(new, &["spec", list]).len() != json::list(old, &["spec", list]).len() {
                let why = "pod updates may not add or remove containers";
                errors.push(FieldError::forbidden(&path.child(list), why));
            }
        }
        return errors;
    }
    class_and_node(new, old, &path, &mut errors);
    let pairs = |list| {
        let old = json::list(old, &["spec", list]).iter();
        json::list(new, &["spec", list]).iter().zip(old).enumerate()
    };
    let sidecars = pairs("initContainers").filter(|(_, (_, old))| is_sidecar(old));
    for (list, (index, (new, old))) in sidecars
        .map(|one| ("initContainers", one))
        .chain(pairs("containers").map(|one| ("containers", one)))
    {
        let at = path.child(list).index(index).child("resources");
        removed(new, old, "", &at, &mut errors);
    }
    whole(&new["spec"], &old["spec"], &path, &mut errors);
    for (_, (new, old)) in pairs("containers") {
        if put_back(new, old) != bare(old) {
            errors.push(FieldError::forbidden(&path, ONLY));
        }
    }
    for (_, (new, old)) in pairs("initContainers") {
        let (changed, why) = match is_sidecar(new) {
            true => (
                put_back(new, old) != bare(old),
                "only cpu and memory resources for sidecar containers are mutable",
            ),
            false => {
                (bare(new) != bare(old), "resources for non-sidecar init containers are immutable")
            }
        };
        if changed {
            errors.push(FieldError::forbidden(&path, why));
        }
    }
    if errors.is_empty() && put_back(&rest(new), &rest(old)) != bare(&rest(old)) {
        errors.push(FieldError::forbidden(&path, ONLY));
    }
    errors
}

/// The class of the pod stays, and its node says what containers were given: one that does not cannot give them other amounts.
fn class_and_node(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let class = json::text(old, &["status", "qosClass"]);
    let before = if class.is_empty() { qos_class(&old["spec"]) } else { class };
    if before != qos_class(&new["spec"]) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(path, class, why));
    }
    let mut running = json::list(old, &["status", "containerStatuses"]).iter();
    let running = running.find(|status| json::at(status, &["state", "running"]).is_some());
    if running.is_some_and(|status| json::at(status, &["resources"]).is_none()) {
        let why = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn is_sidecar(container: &Value) -> bool {
    json::text(container, &["restartPolicy"]) == "Always"
}

/// The spec of a pod without its lists of containers, which are looked at one by one.
fn rest(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or(Value::Null);
    LISTS.iter().for_each(|list| json::remove(&mut spec, list));
    spec
}

/// Of what a pod has as a whole, CPU and memory may change.
fn whole(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("resources");
    if json::at(old, &["resources"]).is_some() && json::at(new, &["resources"]).is_none() {
        errors.push(FieldError::forbidden(&at, "pod-level resources cannot be removed"));
        return;
    }
    removed(new, old, "pod-level ", &at, errors);
    let only = |spec: &Value| json!({ "resources": spec.get("resources") });
    let (new, old) = (only(new), only(old));
    if put_back(&new, &old) != bare(&old) {
        let why = "only cpu and memory resources are mutable at pod-level";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// What was asked for may change, but not go.
fn removed(new: &Value, old: &Value, whose: &str, path: &Path, errors: &mut Errors) {
    for kind in ["requests", "limits"] {
        let has = |name: &str| json::at(new, &["resources", kind, name]).is_some();
        if json::entries(old, &["resources", kind]).any(|(name, _)| !has(name)) {
            let why = format!("{whose}resource {kind} cannot be removed");
            errors.push(FieldError::forbidden(&path.child(kind), &why));
        }
    }
}

/// Something with resources as it was before, but for what is neither CPU nor memory.
fn put_back(new: &Value, old: &Value) -> Value {
    let mut new = new.clone();
    if json::at(&new, &["resources"]).is_none() && json::at(old, &["resources"]).is_none() {
        return new;
    }
    let resources = json::child(&mut new, "resources");
    json::remove(resources, "claims");
    for kind in ["requests", "limits"] {
        let Some(before) = json::at(old, &["resources", kind]) else {
            json::remove(resources, kind);
            continue;
        };
        let list = json::child(resources, kind);
        for name in ["cpu", "memory"] {
            json::keep(list, before, name);
        }
    }
    bare(&new)
}

/// The same without what is empty: a list that has nothing says as much as none.
fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(Value::Object(resources)) = value.get_mut("resources") {
        resources.retain(|_, list| match list {
            Value::Object(map) => !map.is_empty(),
            Value::Array(list) => !list.is_empty(),
            other => !other.is_null(),
        });
    }
    if value.get("resources").is_some_and(|one| one.as_object().is_some_and(|map| map.is_empty())) {
        json::remove(&mut value, "resources");
    }
    value
}
