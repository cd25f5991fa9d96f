//! The pods of a job, and what of them may change while it does not run.
//!
//! Knows: placement and resources, which a suspended job leaves to whoever lets it go on. Refuses to know: who that is.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::conditions::holds;
use crate::check::Errors;

/// Checks that the template is what it was, or that the change is one a suspended job may have.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut Errors) {
    let template = |job: &Value| json::at(job, &["spec", "template"]).cloned().unwrap_or_default();
    let (new_template, mut allowed) = (template(new), template(old));
    if suspended(old) {
        allow(&new_template, &mut allowed);
    }
    if new_template != allowed {
        let at = Path::new("spec").child("template");
        errors.push(FieldError::invalid(&at, &new_template, "field is immutable"));
    }
}

/// Whether nothing of a job runs, and nothing will before somebody says so.
fn suspended(job: &Value) -> bool {
    let active = json::int(job, &["status", "active"]).unwrap_or(0);
    let started = json::at(job, &["status", "startTime"]).is_some();
    json::flag(job, &["spec", "suspend"]) && active == 0 && (!started || holds(job, "Suspended"))
}

/// Takes over from a template what may differ.
fn allow(new: &Value, old: &mut Value) {
    let none = Value::Null;
    let metadata = new.get("metadata").unwrap_or(&none);
    for field in ["annotations", "labels"] {
        json::keep(json::child(old, "metadata"), metadata, field);
    }
    let spec = new.get("spec").unwrap_or(&none);
    let before = json::child(old, "spec");
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        json::keep(before, spec, field);
    }
    affinity(spec, before);
    for list in ["containers", "initContainers"] {
        let theirs = json::list(spec, &[list]);
        for (container, theirs) in json::list_mut(before, &[list]).iter_mut().zip(theirs) {
            if json::at(container, &["name"]) == json::at(theirs, &["name"]) {
                json::keep(container, theirs, "resources");
            }
        }
    }
}

/// Affinity to nodes may differ; the rest of it goes only if there was none.
fn affinity(new: &Value, old: &mut Value) {
    let wanted = json::at(new, &["affinity", "nodeAffinity"]).cloned();
    let affinity = json::child(old, "affinity");
    match wanted {
        Some(wanted) => json::set(affinity, "nodeAffinity", wanted),
        None => json::remove(affinity, "nodeAffinity"),
    }
    if json::unset(old, "affinity") && json::at(new, &["affinity"]).is_none() {
        json::remove(old, "affinity");
    }
}
