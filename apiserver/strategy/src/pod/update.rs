//! What an update of a pod may change: little, for it runs.
//!
//! Knows: the fields that may change, and more of those of a pod that waits at a gate. Refuses to know: who acts on it.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::{Value, json};

use crate::check::Errors;
use crate::{internal, pod_spec};

const ONLY: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let at = Path::new("metadata").child("annotations");
    let [now, before] = [new, old].map(|pod| json::at(pod, &["metadata", "annotations"]));
    let mut errors = pod_spec::annotations::validate_update(now, before, &at);
    for field in ["containers", "initContainers"] {
        if json::list(new, &["spec", field]).len() != json::list(old, &["spec", field]).len() {
            let why = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(field), why));
            return errors;
        }
    }
    errors.extend(deadline(new, old, &path.child("activeDeadlineSeconds")));
    tolerations(new, old, &path.child("tolerations"), &mut errors);
    gates(new, old, &path.child("schedulingGates"), &mut errors);
    let before = old.get("spec").unwrap_or(&Value::Null);
    let mut spec = munged(new, before);
    if !json::list(before, &["schedulingGates"]).is_empty() {
        waiting(&mut spec, before, &path, &mut errors);
    }
    if spec != *before {
        let changes = internal::changes("PodSpec", before, &spec);
        errors.push(FieldError::forbidden(&path, &format!("{ONLY}\n{changes}")));
    }
    errors
}

fn deadline(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let read = |pod| json::int(pod, &["spec", "activeDeadlineSeconds"]);
    match (read(new), read(old)) {
        (Some(new), Some(old)) if new > old => {
            Some(FieldError::invalid(path, new, "must be less than or equal to previous value"))
        }
        (None, Some(_)) => Some(FieldError::invalid(
            path,
            &Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => None,
    }
}

fn tolerations(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        json::remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let now: HashSet<Value> = json::list(new, &["spec", "tolerations"]).iter().map(bare).collect();
    if json::list(old, &["spec", "tolerations"])
        .iter()
        .any(|toleration| !now.contains(&bare(toleration)))
    {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Gates open, and none is put up.
fn gates(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let of = |pod| json::list(pod, &["spec", "schedulingGates"]);
    let known: HashSet<&str> = of(old).iter().map(|gate| json::text(gate, &["name"])).collect();
    for (index, gate) in of(new).iter().enumerate() {
        let name = json::text(gate, &["name"]);
        if !known.contains(name) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(&path.index(index).child("name"), &why));
        }
    }
}

/// The spec of `new` with all that may change put back to what it was `before`.
fn munged(new: &Value, before: &Value) -> Value {
    let mut spec = new.get("spec").cloned().unwrap_or(Value::Null);
    for field in ["containers", "initContainers"] {
        let old = json::list(before, &[field]);
        for (container, old) in json::list_mut(&mut spec, &[field]).iter_mut().zip(old) {
            json::keep(container, old, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        json::keep(&mut spec, before, field);
    }
    let grace = |spec: &Value| json::int(spec, &["terminationGracePeriodSeconds"]);
    if grace(before).is_some_and(|grace| grace < 0) && grace(&spec) == Some(1) {
        json::keep(&mut spec, before, "terminationGracePeriodSeconds");
    }
    spec
}

/// Puts back what a pod that waits at a gate may say anew of its node: it may ask for more than before, never for less.
fn waiting(spec: &mut Value, before: &Value, path: &Path, errors: &mut Errors) {
    let gone = json::entries(before, &["nodeSelector"])
        .any(|(key, value)| json::at(spec, &["nodeSelector", key]) != Some(value));
    if gone {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let empty = &json!({});
        let shown = spec.get("nodeSelector").unwrap_or(empty);
        errors.push(FieldError::invalid(&path.child("nodeSelector"), shown, why));
    }
    json::keep(spec, before, "nodeSelector");
    let [new, old] = [&*spec, before].map(|spec| json::at(spec, &["affinity", "nodeAffinity"]));
    if new == old {
        return;
    }
    required(new, old, &path.child("affinity").child("nodeAffinity"), errors);
    let old = old.cloned();
    let affinity = json::child(spec, "affinity");
    json::remove(affinity, "nodeAffinity");
    let others = affinity.as_object().is_some_and(|map| map.values().any(|one| !one.is_null()));
    match old {
        Some(old) => json::set(affinity, "nodeAffinity", old),
        None if !others && json::at(before, &["affinity"]).is_none() => {
            json::remove(spec, "affinity");
        }
        None => {}
    }
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

fn required(new: Option<&Value>, old: Option<&Value>, path: &Path, errors: &mut Errors) {
    let terms = |of: Option<&Value>| -> Vec<Value> {
        of.map_or(Vec::new(), |of| json::list(of, &[REQUIRED, "nodeSelectorTerms"]).to_vec())
    };
    let (new, old) = (terms(new), terms(old));
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if old.len() != new.len() && !old.is_empty() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(&path, &Value::Array(new), why));
        return;
    }
    for (index, (new, old)) in new.iter().zip(&old).enumerate() {
        if !only_adds(new, old) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(&path.index(index), new, why));
        }
    }
}

fn only_adds(new: &Value, old: &Value) -> bool {
    let fields = ["matchExpressions", "matchFields"];
    let lists = |term, field| json::list(term, &[field]);
    let empty = |term| fields.iter().all(|field| lists(term, *field).is_empty());
    // A term that fits no node would come to fit some.
    (!empty(old) || empty(new))
        && fields.iter().all(|field| lists(new, *field).starts_with(lists(old, *field)))
}
