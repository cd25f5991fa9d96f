//! When a container starts again: its own policy, and rules by the code that it ended with.
//!
//! Knows: the rules and what they come to. Refuses to know: who starts it.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::Errors;

const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
const ALL: &str = "RestartAllContainers";
const MOST_RULES: usize = 20;
const MOST_CODES: usize = 255;

/// Checks the policy and the rules of a container.
pub(super) fn validate(container: &Value, path: &Path, errors: &mut Errors) {
    let rules = json::list(container, &["restartPolicyRules"]);
    match json::at(container, &["restartPolicy"]).and_then(Value::as_str) {
        None if !rules.is_empty() => {
            let why = "must specify restartPolicy when restart rules are used";
            errors.push(FieldError::required(&path.child("restartPolicy"), why));
        }
        Some(policy) if !POLICIES.contains(&policy) => {
            let at = path.child("restartPolicy");
            errors.push(FieldError::not_supported(&at, policy, &POLICIES));
        }
        _ => {}
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > MOST_RULES {
        errors.push(FieldError::too_many(&path, rules.len(), MOST_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        known(rule, "action", &["Restart", ALL], &path, errors);
        let at = path.child("exitCodes");
        let Some(codes) = json::at(rule, &["exitCodes"]) else {
            errors.push(FieldError::required(&at, "must be specified"));
            continue;
        };
        known(codes, "operator", &["In", "NotIn"], &at, errors);
        let count = json::list(codes, &["values"]).len();
        if count > MOST_CODES {
            errors.push(FieldError::too_many(&at.child("values"), count, MOST_CODES));
        }
    }
}

/// A field that must be one of those known; what is missing is none of them.
fn known(value: &Value, field: &str, known: &[&str], path: &Path, errors: &mut Errors) {
    let text = json::text(value, &[field]);
    if !known.contains(&text) {
        errors.push(FieldError::not_supported(&path.child(field), text, known));
    }
}

/// Whether any container may have all of the pod start again.
pub(crate) fn may_restart_all(spec: &Value) -> bool {
    let lists = ["containers", "initContainers"];
    lists.iter().flat_map(|list| json::list(spec, &[list])).any(|container| {
        let rules = json::list(container, &["restartPolicyRules"]);
        rules.iter().any(|rule| json::text(rule, &["action"]) == ALL)
    })
}

/// Whether a container of a pod with this policy starts again after it ended with a code: its rules say so, its own policy
/// or the pod's.
pub(crate) fn restarts(container: &Value, pod: &str, code: i64) -> bool {
    let own = json::at(container, &["restartPolicy"]).and_then(Value::as_str);
    let by = |policy: &str| match policy {
        "OnFailure" => code != 0,
        "Never" => false,
        _ => true,
    };
    let Some(policy) = own else { return by(pod) };
    let rules = json::list(container, &["restartPolicyRules"]);
    let first = rules.iter().find(|rule| fits(rule, code));
    if first.is_some_and(|rule| json::text(rule, &["action"]) == "Restart") {
        return true;
    }
    by(if POLICIES.contains(&policy) { policy } else { pod })
}

fn fits(rule: &Value, code: i64) -> bool {
    let Some(codes) = json::at(rule, &["exitCodes"]) else { return false };
    let listed = json::list(codes, &["values"]).iter().any(|one| one.as_i64() == Some(code));
    match json::text(codes, &["operator"]) {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}
