//! The apps group, and what its kinds have in common.
//!
//! Knows: selectors and the templates they must match, counts of pods. Refuses to know: how any of them rolls out.

use leme_meta::quote;
use leme_meta::selector::LabelSelector;
use leme_meta::{FieldError, Path};
use leme_registry::json;
use leme_registry::meta::Raw;
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec;

pub(crate) mod controller_revision;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod replica_set;
pub(crate) mod stateful_set;

/// Checks that there is a selector and that it selects something. `kind` is how its message names the kind.
fn selector(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let at = path.child("selector");
    let Some(selector) = json::at(spec, &["selector"]) else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    pod_spec::selector(selector, &at, errors);
    selects(selector, kind, &at, errors);
}

/// Checks that a selector is not empty.
fn selects(selector: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    if json::unset(selector, "matchLabels") && json::unset(selector, "matchExpressions") {
        let why = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(path, selector, &why));
    }
}

/// The selector of a spec as it is applied.
fn read_selector(spec: &Value) -> Result<LabelSelector, String> {
    LabelSelector::from_json(spec.get("selector").unwrap_or(&Value::Null))
}

/// Checks that pods of the template are selected.
fn matching(selector: &LabelSelector, spec: &Value, path: &Path, errors: &mut Errors) {
    let labels = json::at(spec, &["template", "metadata", "labels"]).unwrap_or(&Value::Null);
    if !selector.matches(|key| labels.get(key).and_then(Value::as_str)) {
        let at = path.child("template").child("metadata").child("labels");
        let why = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&at, labels, why));
    }
}

/// Checks that the pods of a template go on for ever. `kind` is how its message names the kind.
fn endless(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let at = path.child("template").child("spec");
    let policy = json::text(spec, &["template", "spec", "restartPolicy"]);
    if policy != "Always" {
        errors.push(FieldError::not_supported(&at.child("restartPolicy"), policy, &["Always"]));
    }
    if json::at(spec, &["template", "spec", "activeDeadlineSeconds"]).is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(FieldError::forbidden(&at.child("activeDeadlineSeconds"), &why));
    }
}

/// Checks selector and template of a ReplicaSet, and of a Deployment that makes some.
fn replicated(spec: &Value, path: &Path, errors: &mut Errors) {
    selector(spec, "deployment", path, errors);
    let Ok(selector) = read_selector(spec) else {
        let given = spec.get("selector").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid(&path.child("selector"), given, "invalid label selector"));
        return;
    };
    matching(&selector, spec, path, errors);
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_spec::validate_template(template, &path.child("template")));
    endless(spec, "ReplicaSet", path, errors);
}

/// Checks counts that may not be greater than others: which, than which, and how the message names the other.
fn within(status: &Value, pairs: &[(&str, &str, &str)], path: &Path, errors: &mut Errors) {
    let count = |field: &str| json::int(status, &[field]).unwrap_or(0);
    for (field, _, name) in pairs.iter().filter(|(field, most, _)| count(field) > count(most)) {
        let why = format!("cannot be greater than {name}");
        errors.push(FieldError::invalid(&path.child(field), count(field), &why));
    }
}

/// Checks that the count of names that were taken already does not go back.
fn collisions(new: &Value, old: &Value, errors: &mut Errors) {
    let count = |object| json::int(object, &["status", "collisionCount"]);
    if count(new) < count(old) {
        let at = Path::new("status").child("collisionCount");
        let why = "cannot be decremented";
        errors.push(FieldError::invalid(&at, count(new).unwrap_or(0), why));
    }
}

/// A strategy of an unknown type, as a message shows it.
fn unknown_strategy(name: &str, rolling: Option<&Value>) -> Raw<String> {
    let shown = rolling.map(|rolling| {
        let limit = |field: &str| rolling.get(field).unwrap_or(&Value::from(0)).to_string();
        let limits = [("MaxUnavailable", limit("maxUnavailable")), ("MaxSurge", limit("maxSurge"))];
        check::go_struct(&limits).0
    });
    strategy_of(name, shown)
}

/// A strategy with what it says of rolling updates.
fn strategy_of(name: &str, rolling: Option<String>) -> Raw<String> {
    let rolling = rolling.unwrap_or_else(|| "null".to_owned());
    check::go_struct(&[("Type", quote(&name)), ("RollingUpdate", rolling)])
}
