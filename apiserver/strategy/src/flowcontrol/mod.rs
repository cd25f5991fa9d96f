//! flowcontrol.apiserver.k8s.io.
//!
//! Knows: what its two kinds have in common: conditions, and objects that each cluster has. Refuses to know: requests.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use crate::check::Errors;

pub(crate) mod level;
pub(crate) mod schema;

/// What the names are of the levels that each cluster has, and of the schemas that lead there.
const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";

/// Checks the status of either kind.
fn status(object: &Value) -> Errors {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, condition) in json::list(object, &["status", "conditions"]).iter().enumerate() {
        let at = Path::new("status").child("conditions").index(index).child("type");
        let type_ = json::text(condition, &["type"]);
        if !seen.insert(type_) {
            errors.push(FieldError::duplicate(&at, type_));
        }
        if type_.is_empty() {
            errors.push(FieldError::required(&at, "must not be empty"));
        }
    }
    errors
}

/// Checks that a number is above zero, and not too high.
fn positive(value: &Value, field: &str, most: Option<i64>, path: &Path, errors: &mut Errors) {
    let number = json::int(value, &[field]).unwrap_or(0);
    let at = path.child(field);
    match most {
        _ if number <= 0 => errors.push(FieldError::invalid(&at, number, "must be positive")),
        Some(most) if number > most => {
            let why = format!("must not be greater than {most}");
            errors.push(FieldError::invalid(&at, number, &why));
        }
        _ => {}
    }
}
