//! `ephemeralcontainers`: containers are added to a pod that runs.
//!
//! Knows: that nothing else of the pod changes so, and that what was added stays as it is. Refuses to know: what such a
//! container may have.

use leme_meta::{FieldError, Path, quote};
use leme_registry::{Part, json};
use serde_json::Value;

use crate::check::Errors;
use crate::internal;

const FIELD: &str = "ephemeralContainers";

pub(super) const PART: Part = Part {
    prepare,
    refuse: |_, old| {
        let path = Path::new("[]");
        super::is_static(old).then(|| {
            FieldError::forbidden(&path, "static pods do not support ephemeral containers")
        })
    },
    validate,
    reach: &[&["spec", FIELD]],
};

fn prepare(new: &mut Value, old: &Value) {
    let mut spec = old.get("spec").cloned().unwrap_or(Value::Null);
    if let Some(asked) = new.get("spec") {
        json::keep(&mut spec, asked, FIELD);
    }
    json::set(new, "spec", spec);
    json::keep(new, old, "status");
}

fn validate(new: &Value, old: &Value) -> Errors {
    let at = Path::new("metadata").child("annotations");
    let [now, before] = [new, old].map(|pod| json::at(pod, &["metadata", "annotations"]));
    let mut errors = crate::pod_spec::annotations::validate_update(now, before, &at);
    let path = Path::new("spec").child(FIELD);
    // The last of a name counts, as in a map.
    let new = json::list(new, &["spec", FIELD]);
    for old in json::list(old, &["spec", FIELD]) {
        let name = json::text(old, &["name"]);
        let (what, changes) = match new.iter().rfind(|new| json::text(new, &["name"]) == name) {
            Some(new) if new == old => continue,
            Some(new) => ("changed", internal::changes("EphemeralContainer", old, new)),
            None => ("removed", String::new()),
        };
        let name = quote(name);
        let why = format!("existing ephemeral containers {name} may not be {what}\n{changes}");
        errors.push(FieldError::forbidden(&path, &why));
    }
    errors
}
