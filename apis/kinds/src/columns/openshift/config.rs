//! Columns of config.openshift.io.

use serde_json::Value;

use super::super::{AGE, list, shown, since, text};
use crate::Column;

pub(crate) const PLAIN: &[Column] = &[AGE];

pub(crate) const CLUSTER_OPERATOR: &[Column] = &[
    shown("Version", |operator, _| {
        member(operator, "/status/versions", "/name", "operator", "/version").into()
    }),
    shown("Available", |operator, _| condition(operator, "Available", "/status").into()),
    shown("Progressing", |operator, _| condition(operator, "Progressing", "/status").into()),
    shown("Degraded", |operator, _| condition(operator, "Degraded", "/status").into()),
    shown("Since", |operator, now| {
        since(found(operator, "Available").and_then(|one| one.get("lastTransitionTime")), now)
            .into()
    }),
];

pub(crate) const CLUSTER_VERSION: &[Column] = &[
    shown("Version", |version, _| {
        member(version, "/status/history", "/state", "Completed", "/version").into()
    }),
    shown("Available", |version, _| condition(version, "Available", "/status").into()),
    shown("Progressing", |version, _| condition(version, "Progressing", "/status").into()),
    shown("Since", |version, now| {
        since(found(version, "Progressing").and_then(|one| one.get("lastTransitionTime")), now)
            .into()
    }),
    shown("Status", |version, _| condition(version, "Progressing", "/message").into()),
];

/// What the first member of a list says that has a field of some value.
fn member<'a>(object: &'a Value, at: &str, field: &str, value: &str, said: &str) -> &'a str {
    let first = list(object, at).iter().find(|one| text(one, field) == value);
    first.map_or("", |one| text(one, said))
}

fn found<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|one| text(one, "/type") == type_)
}

fn condition<'a>(object: &'a Value, type_: &str, said: &str) -> &'a str {
    found(object, type_).map_or("", |one| text(one, said))
}
