//! Columns of what pods are sorted by and held to: priorities, runtimes, limits, quotas.

use serde_json::Value;

use super::{AGE, CREATED, flag, int, number, shown, text, truth};
use crate::Column;

pub(crate) const PRIORITY_CLASS: &[Column] = &[
    number("Value", |class, _| int(class, "/value").into()),
    truth("Global-Default", |class, _| flag(class, "/globalDefault").into()),
    AGE,
    shown("PreemptionPolicy", |class, _| text(class, "/preemptionPolicy").into()),
];

pub(crate) const RUNTIME_CLASS: &[Column] =
    &[shown("Handler", |class, _| text(class, "/handler").into()), AGE];

pub(crate) const LIMIT_RANGE: &[Column] = &[CREATED];

pub(crate) const RESOURCE_QUOTA: &[Column] = &[
    shown("Request", |quota, _| used(quota, false).into()),
    shown("Limit", |quota, _| used(quota, true).into()),
    AGE,
];

/// What is used of each limited resource: of the limits of containers, or of everything else.
fn used(quota: &Value, limits: bool) -> String {
    let amount = |map: &str, name: &str| match quota.pointer(map).and_then(|map| map.get(name)) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "0".to_owned(),
    };
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    let mut names: Vec<&str> = hard.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| name.starts_with("limits.") == limits);
    names.sort_unstable();
    let shown = names.iter().map(|name| {
        let (used, hard) = (amount("/status/used", name), amount("/status/hard", name));
        format!("{name}: {used}/{hard}")
    });
    shown.collect::<Vec<_>>().join(", ")
}
