//! Columns of roles and their bindings.

use serde_json::Value;

use super::{AGE, CREATED, list, shown, text, wide};
use crate::Column;

pub(crate) const ROLE: &[Column] = &[CREATED];

pub(crate) const BINDING: &[Column] = &[
    shown("Role", |binding, _| {
        let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        format!("{kind}/{name}").into()
    }),
    AGE,
    wide("Users", |binding, _| subjects(binding, "User").into()),
    wide("Groups", |binding, _| subjects(binding, "Group").into()),
    wide("ServiceAccounts", |binding, _| subjects(binding, "ServiceAccount").into()),
];

/// The subjects of a kind; a service account stands with its namespace.
fn subjects(binding: &Value, kind: &str) -> String {
    let shown: Vec<String> = list(binding, "/subjects")
        .iter()
        .filter(|subject| text(subject, "/kind") == kind)
        .map(|subject| match kind {
            "ServiceAccount" => {
                format!("{}/{}", text(subject, "/namespace"), text(subject, "/name"))
            }
            _ => text(subject, "/name").to_owned(),
        })
        .collect();
    shown.join(", ")
}
