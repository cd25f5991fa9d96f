//! Annotations that mean something for a pod.
//!
//! Knows: their keys and what each may hold. Refuses to know: whether anybody still looks at them.

use leme_meta::{FieldError, Path, quote};
use leme_registry::json;
use serde_json::Value;

use super::visit;
use crate::check::{self, Errors};

/// The mark of a pod that its node made, and not somebody who asked the API.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Checks the annotations of a pod or template with this spec.
pub(crate) fn validate(annotations: Option<&Value>, spec: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    let map = annotations.unwrap_or(&Value::Null);
    let text = |key: &str| json::at(map, &[key]).and_then(Value::as_str);
    if let Some(value) = text(MIRROR).filter(|_| json::text(spec, &["nodeName"]).is_empty()) {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), value, why));
    }
    if let Some(cost) = text(DELETION_COST).filter(|cost| !is_cost(cost)) {
        let at = path.key(DELETION_COST);
        errors.push(FieldError::invalid(&at, cost, "must be a 32bit integer"));
    }
    for (key, profile) in json::pairs(map) {
        if key == SECCOMP || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(profile, &path.child(key), &mut errors);
        }
    }
    for (key, profile) in json::pairs(map) {
        let Some(name) = key.strip_prefix(APP_ARMOR) else { continue };
        let at = path.key(key);
        if !visit(spec, path).iter().any(|(container, _)| json::text(container, &["name"]) == name)
        {
            errors.push(FieldError::invalid(&at, name, "container not found"));
        }
        let known = matches!(profile, "" | "runtime/default" | "unconfined");
        if !known && !profile.starts_with("localhost/") {
            let why = format!("invalid AppArmor profile name: {}", quote(profile));
            errors.push(FieldError::invalid(&at, profile, &why));
        }
    }
    errors
}

/// Annotations that say how a pod was started: none of them comes, goes or changes later. Each with what it is called.
const OF_START: [(&str, &str); 2] =
    [(APP_ARMOR, "AppArmor annotations"), (MIRROR, "mirror pod annotation")];

/// Checks that those annotations stay.
pub(crate) fn validate_update(new: Option<&Value>, old: Option<&Value>, path: &Path) -> Errors {
    let (now, before) = (new.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null));
    let mut errors = Vec::new();
    let mut refuse = |key: &str, what: &str| {
        let shown = OF_START.iter().find(|(start, _)| match *start {
            MIRROR => key == MIRROR,
            start => key.starts_with(start),
        });
        if let Some((_, shown)) = shown {
            errors.push(FieldError::forbidden(&path.key(key), &format!("may not {what} {shown}")));
        }
    };
    for (key, value) in json::pairs(before) {
        if json::text(now, &[key]) != value || now.get(key).is_none() {
            refuse(key, "remove or update");
        }
    }
    for (key, _) in json::pairs(now).filter(|(key, _)| before.get(key).is_none()) {
        refuse(key, "add");
    }
    errors
}

/// Whether a text is a number as upstream writes it: no plus sign, no leading zeros.
fn is_cost(text: &str) -> bool {
    let first = text.starts_with(|first: char| first == '-' || matches!(first, '1'..='9'));
    (first || text == "0") && text.parse::<i32>().is_ok()
}

fn seccomp(profile: &str, path: &Path, errors: &mut Errors) {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => {}
        other => match other.strip_prefix("localhost/") {
            Some(file) => check::descending_path(file, path, errors),
            None => {
                let why = "must be a valid seccomp profile";
                errors.push(FieldError::invalid(path, other, why));
            }
        },
    }
}
