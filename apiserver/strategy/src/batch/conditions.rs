//! Whether a condition of a job holds.

use leme_registry::json;
use serde_json::Value;

/// Whether a condition is there and true.
pub(super) fn holds(job: &Value, kind: &str) -> bool {
    json::list(job, &["status", "conditions"]).iter().any(|condition| {
        json::text(condition, &["type"]) == kind && json::text(condition, &["status"]) == "True"
    })
}
