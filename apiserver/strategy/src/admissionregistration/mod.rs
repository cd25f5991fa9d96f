//! What takes part in admission: webhooks and policies.
//!
//! Knows: which requests they want to see, and how that is said. Refuses to know: whether anything asks them, and what
//! an expression means: none is compiled here.

mod mutating;
mod policy;
mod rules;
mod webhook;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
pub(crate) use mutating::{MUTATING_BINDING, MUTATING_POLICY};
pub(crate) use policy::{BINDING, POLICY};
use serde_json::Value;
pub(crate) use webhook::{MUTATING, VALIDATING, service};

use crate::check::{self, Errors};

/// Sets a field that is not there. What is there and empty stays, and is told so.
fn fill(value: &mut Value, field: &str, filler: impl Into<Value>) {
    if json::at(value, &[field]).is_none() {
        json::set(value, field, filler);
    }
}

/// What two strategies and all webhooks leave open: which like requests match, and in which namespaces.
fn default_match(value: &mut Value) {
    fill(value, "matchPolicy", "Equivalent");
    json::child(value, "namespaceSelector");
    json::child(value, "objectSelector");
}

/// A field that, if it is there, is one of those known; empty counts as there.
fn known(value: &Value, field: &str, path: &Path, known: &[&str], errors: &mut Errors) {
    if let Some(text) = json::at(value, &[field]).and_then(Value::as_str)
        && !known.contains(&text)
    {
        errors.push(FieldError::not_supported(&path.child(field), text, known));
    }
}

const FAILURE: &[&str] = &["Fail", "Ignore"];
const MATCH: &[&str] = &["Equivalent", "Exact"];

/// Conditions by name, each an expression.
fn match_conditions(value: &Value, path: &Path, errors: &mut Errors) {
    let conditions = json::list(value, &["matchConditions"]);
    let path = path.child("matchConditions");
    if conditions.len() > 64 {
        errors.push(FieldError::too_many(&path, conditions.len(), 64));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        if json::text(condition, &["expression"]).trim().is_empty() {
            errors.push(FieldError::required(&path.child("expression"), ""));
        }
        check::required_name(condition, "name", &path, names::qualified_name, errors);
        let name = json::text(condition, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
}
