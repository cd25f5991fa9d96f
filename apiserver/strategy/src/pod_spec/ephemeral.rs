//! Containers that are added to a running pod to look at it.
//!
//! Knows: what they may not have, and what they may name. Refuses to know: what is checked of every container.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::Errors;

/// What such a container may not have, for nothing of the pod may come to rest on it.
const NOT_THEIRS: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

const WHY: &str = "cannot be set for an Ephemeral Container";

/// Checks the list of a pod spec; `common` is what is checked of every container.
pub(super) fn validate(
    spec: &Value,
    path: &Path,
    common: impl Fn(&Value, &Path, &mut Errors),
    errors: &mut Errors,
) {
    let field = path.child("ephemeralContainers");
    let names = |field| json::list(spec, &[field]).iter().map(|one| json::text(one, &["name"]));
    let others: HashSet<&str> = names("containers").chain(names("initContainers")).collect();
    let mut seen = others.clone();
    for (index, container) in json::list(spec, &["ephemeralContainers"]).iter().enumerate() {
        let path = field.index(index);
        common(container, &path, errors);
        let name = json::text(container, &["name"]);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        let target = json::text(container, &["targetContainerName"]);
        if !target.is_empty() && !others.contains(target) {
            errors.push(FieldError::not_found(&path.child("targetContainerName"), target));
        }
        for field in NOT_THEIRS.iter().filter(|field| has(container, field)) {
            errors.push(FieldError::forbidden(&path.child(field), WHY));
        }
        for (index, mount) in json::list(container, &["volumeMounts"]).iter().enumerate() {
            let path = path.child("volumeMounts").index(index);
            for field in ["subPath", "subPathExpr"] {
                if !json::text(mount, &[field]).is_empty() {
                    errors.push(FieldError::forbidden(&path.child(field), WHY));
                }
            }
        }
    }
}

/// Whether a field says anything: every container has resources, empty where nothing is asked.
fn has(container: &Value, field: &str) -> bool {
    match json::at(container, &[field]) {
        Some(Value::Object(map)) if field == "resources" => !map.values().all(Value::is_null),
        Some(value) => !value.is_null(),
        None => false,
    }
}
