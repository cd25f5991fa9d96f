//! Labels that a pod's spread and its neighbours go by although their selectors do not name them: at its creation, while its
//! labels are what they are, they become a part of the selectors.
//!
//! Knows: which terms have such labels. Refuses to know: which pods are counted.

use leme_registry::json;
use serde_json::{Value, json};

const TERMS: [&str; 2] = [
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
];

/// Completes the selectors of a new pod.
pub(super) fn merge(pod: &mut Value) {
    let labels = json::at(pod, &["metadata", "labels"]).cloned().unwrap_or(Value::Null);
    for spread in json::list_mut(pod, &["spec", "topologySpreadConstraints"]) {
        complete(spread, &labels, &[("matchLabelKeys", "In")]);
    }
    let [preferred, required] = TERMS;
    let keys = [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")];
    for affinity in ["podAffinity", "podAntiAffinity"] {
        for term in json::list_mut(pod, &["spec", "affinity", affinity, preferred]) {
            if let Some(term) = json::at_mut(term, &["podAffinityTerm"]) {
                complete(term, &labels, &keys);
            }
        }
        for term in json::list_mut(pod, &["spec", "affinity", affinity, required]) {
            complete(term, &labels, &keys);
        }
    }
}

/// Adds to the selector of a term what the keys in its fields come to. A term without a selector is about no pod.
fn complete(term: &mut Value, labels: &Value, fields: &[(&str, &str)]) {
    let mut more = Vec::new();
    for (field, operator) in fields {
        let keys = json::list(term, &[field]).iter().filter_map(Value::as_str);
        let values = keys.filter_map(|key| Some((key, labels.get(key)?.as_str()?)));
        more.extend(
            values
                .map(|(key, value)| json!({ "key": key, "operator": operator, "values": [value] })),
        );
    }
    if more.is_empty() {
        return;
    }
    let Some(selector) = json::at_mut(term, &["labelSelector"]) else { return };
    let mut all = json::list(selector, &["matchExpressions"]).to_vec();
    all.append(&mut more);
    json::set(selector, "matchExpressions", all);
}
