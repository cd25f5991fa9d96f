//! The rules for `metav1.Condition`.
//!
//! Knows: what a condition must say of itself. Refuses to know: which conditions a kind has.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};

const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_RULE: &str = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";

/// All that is wrong with a list of conditions.
pub(crate) fn validate(conditions: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let name = json::text(condition, &["type"]);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path, name));
        }
        one(condition, &path, errors);
    }
}

fn one(condition: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("type");
    match json::text(condition, &["type"]) {
        "" => errors.push(FieldError::required(&at, "is required")),
        name => check::named(&at, name, &names::qualified_name(name), errors),
    }
    check::required_one_of(condition, "status", path, &["False", "True", "Unknown"], errors);
    let generation = json::int(condition, &["observedGeneration"]).filter(|number| *number < 0);
    if let Some(generation) = generation {
        let why = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, why));
    }
    check::required(condition, "lastTransitionTime", path, errors);
    let reason = check::required(condition, "reason", path, errors);
    if !reason.is_empty() && !is_reason(reason) {
        let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
        let why = names::regex_error(REASON_RULE, REASON, &examples);
        errors.push(FieldError::invalid(&path.child("reason"), reason, &why));
    }
    for (field, max) in [("reason", 1 << 10), ("message", 32 << 10)] {
        if json::text(condition, &[field]).len() > max {
            errors.push(FieldError::too_long(&path.child(field), max));
        }
    }
}

fn is_reason(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().last().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || matches!(byte, b',' | b':'))
}
