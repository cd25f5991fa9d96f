//! Small readings that several controllers share: ownerReferences, labels, selectors, durations.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Value, json};

/// Labels as Kubernetes types hold them.
pub type Labels = BTreeMap<String, String>;

/// Whether `labels` has every pair of `selector`. An empty selector selects everything.
pub fn matches(selector: &Labels, labels: Option<&Labels>) -> bool {
    selector.iter().all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value))
}

/// Whether a label selector selects `labels`. An unknown operator selects nothing.
pub fn selects(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let pairs = selector.match_labels.as_ref().is_none_or(|pairs| matches(pairs, labels));
    let expressions = selector.match_expressions.iter().flatten().all(|expression| {
        let value = labels.and_then(|all| all.get(&expression.key));
        let listed = || {
            value.is_some_and(|value| {
                expression.values.as_ref().is_some_and(|list| list.contains(value))
            })
        };
        match expression.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    pairs && expressions
}

/// Whether a label selector that asks for something selects `labels`. The empty selector selects nothing here.
pub fn selects_some(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let asks = selector.match_labels.as_ref().is_some_and(|pairs| !pairs.is_empty())
        || selector.match_expressions.as_ref().is_some_and(|list| !list.is_empty());
    asks && selects(selector, labels)
}

/// A status as JSON; one that is not there is empty.
pub fn status_of<S: Serialize>(status: Option<&S>) -> Value {
    status.and_then(|status| serde_json::to_value(status).ok()).unwrap_or_else(|| json!({}))
}

/// The merge patch that makes `new` of `old`, field by field; `None` if they are the same.
pub fn replacing(old: &Value, mut new: Value) -> Option<Value> {
    if *old == new {
        return None;
    }
    for field in old.as_object().into_iter().flat_map(|fields| fields.keys()) {
        if new.get(field).is_none() {
            new[field] = Value::Null;
        }
    }
    Some(new)
}

/// The controlling owner.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether the object has the finalizer.
pub fn has_finalizer(meta: &ObjectMeta, name: &str) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer == name)
}

/// A merge patch of the finalizers without `name`.
pub fn without_finalizer(meta: &ObjectMeta, name: &str) -> Value {
    let rest: Vec<&String> =
        meta.finalizers.iter().flatten().filter(|finalizer| *finalizer != name).collect();
    json!({ "metadata": { "finalizers": rest } })
}

/// A merge patch of the finalizers with `name`.
pub fn with_finalizer(meta: &ObjectMeta, name: &str) -> Value {
    let mut all: Vec<&str> = meta.finalizers.iter().flatten().map(String::as_str).collect();
    all.push(name);
    json!({ "metadata": { "finalizers": all } })
}

/// An annotation.
pub fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Time as statuses write it: whole seconds, UTC.
pub fn time_text(now: Timestamp) -> String {
    leme_meta::time::seconds(now)
}

/// How long from `now` to `then`; zero if it has passed.
pub fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// `time` and some seconds, held at the end of time if there is no such moment.
pub fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
