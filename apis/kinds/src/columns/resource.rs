//! Columns of devices and claims of them.

use serde_json::Value;

use super::{AGE, list, shown, text};
use crate::Column;

/// Of classes and templates.
pub(crate) const PLAIN: &[Column] = &[AGE];

pub(crate) const RESOURCE_CLAIM: &[Column] = &[shown("State", |claim, _| state(claim).into()), AGE];

pub(crate) const RESOURCE_SLICE: &[Column] = &[
    shown("Node", |slice, _| text(slice, "/spec/nodeName").into()),
    shown("Driver", |slice, _| text(slice, "/spec/driver").into()),
    shown("Pool", |slice, _| text(slice, "/spec/pool/name").into()),
    AGE,
];

fn state(claim: &Value) -> String {
    let deleted = claim.pointer("/metadata/deletionTimestamp").is_some();
    let allocated = claim.pointer("/status/allocation").is_some_and(|one| !one.is_null());
    let words = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && !list(claim, "/status/reservedFor").is_empty(), "reserved"),
    ];
    let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    words.join(",")
}
