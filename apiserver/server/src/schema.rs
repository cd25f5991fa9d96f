//! Bodies held against the schema of their kind: what has the wrong type is refused, unknown fields are named and
//! dropped.
//!
//! Knows: which schema a kind has. Refuses to know: how the walk is done.

use leme_kinds::Kind;
use leme_meta::schema::TypeError;
use leme_meta::{Status, schema};
use leme_registry::json;
use serde_json::Value;

/// A body without what its schema does not have, and what was said about it.
pub(crate) struct Checked {
    pub value: Value,
    pub problems: Vec<String>,
}

/// A body with a value of the wrong type, as it came.
pub(crate) struct Mistyped {
    pub value: Value,
    pub error: TypeError,
}

impl Mistyped {
    /// The 400 for a request's own body.
    pub fn refused(&self, Kind { kind, version, .. }: &Kind) -> Status {
        Status::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {}",
            self.error.decoded
        ))
    }
}

/// Holds a body against a schema; an empty schema name takes everything.
pub(crate) fn check(kind: &Kind, name: &str, mut value: Value) -> Result<Checked, Box<Mistyped>> {
    // A body of another kind is refused by the registry, for being that and not for its fields.
    let claimed = json::text(&value, &["kind"]);
    if name.is_empty() || !(claimed.is_empty() || claimed == kind.kind) {
        return Ok(Checked { value, problems: Vec::new() });
    }
    let schemas = leme_kinds::schemas();
    let findings = schema::check(schemas, name, &value);
    if let Some(error) = findings.type_errors.into_iter().next() {
        return Err(Box::new(Mistyped { value, error }));
    }
    // Nulls, and quantities that are not canonical, go even where no field is unknown.
    schema::prune(schemas, name, &mut value);
    Ok(Checked { value, problems: findings.unknown })
}
