//! HorizontalPodAutoscalers of version 1 and of version 2, which are kept.
//!
//! Knows: the fields of both, and the annotations in which version 1 carries what it has no fields for. Refuses to know:
//! when a conversion is due.

use leme_registry::json;
use serde_json::{Map, Value, json};

use super::{UTILIZATION, cpu};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Names of a field in a source of version 1 and its place in one of version 2.
type Places = &'static [(&'static str, &'static [&'static str])];

/// Sources of metrics: the field, where its parts stand, and which of them are never left out in version 1.
const SPECS: [(&str, Places, &[&str]); 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("averageValue", &["target", "averageValue"]),
        ],
        &["targetValue"],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        &["targetAverageValue"],
    ),
    ("resource", RESOURCE, &[]),
    ("containerResource", RESOURCE, &[]),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
        &[],
    ),
];

const RESOURCE: Places = &[
    ("name", &["name"]),
    ("container", &["container"]),
    ("targetAverageUtilization", &["target", "averageUtilization"]),
    ("targetAverageValue", &["target", "averageValue"]),
];

/// The same of what metrics are now.
const STATUSES: [(&str, Places, &[&str]); 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("averageValue", &["current", "averageValue"]),
        ],
        &["currentValue"],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        &["currentAverageValue"],
    ),
    ("resource", RESOURCE_NOW, &["currentAverageValue"]),
    ("containerResource", RESOURCE_NOW, &["currentAverageValue"]),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
        &["currentValue"],
    ),
];

const RESOURCE_NOW: Places = &[
    ("name", &["name"]),
    ("container", &["container"]),
    ("currentAverageUtilization", &["current", "averageUtilization"]),
    ("currentAverageValue", &["current", "averageValue"]),
];

/// Makes an autoscaler of version 1 one of version 2.
pub fn to_v2(scaler: &mut Value) {
    json::set(scaler, "apiVersion", "autoscaling/v2");
    let noted = take_annotations(scaler);
    let note = |key: &str| -> Option<Value> {
        noted
            .iter()
            .find(|(known, _)| *known == key)
            .and_then(|(_, text)| serde_json::from_str(text).ok())
    };
    let spec = json::child(scaler, "spec");
    let share = json::at(spec, &["targetCPUUtilizationPercentage"]).cloned();
    json::remove(spec, "targetCPUUtilizationPercentage");
    let mut metrics: Vec<Value> = note(METRICS)
        .and_then(|metrics| {
            metrics.as_array().map(|list| list.iter().map(|one| newer(one, &SPECS)).collect())
        })
        .unwrap_or_default();
    metrics.extend(share.map(cpu));
    if metrics.is_empty() {
        metrics.push(cpu(UTILIZATION));
    }
    json::set(spec, "metrics", metrics);
    let behavior = note(BEHAVIOR).map(|behavior| renamed(&behavior, lower));
    if let Some(behavior) =
        behavior.filter(|behavior| json::entries(behavior, &[]).next().is_some())
    {
        json::set(spec, "behavior", behavior);
    }
    let share = json::at(scaler, &["status", "currentCPUUtilizationPercentage"]).cloned();
    let current = note(CURRENT)
        .and_then(|metrics| {
            metrics.as_array().map(|list| list.iter().map(|one| newer(one, &STATUSES)).collect())
        })
        .or_else(|| {
            let resource = json!({ "name": "cpu", "current": { "averageUtilization": share? } });
            Some(vec![json!({ "type": "Resource", "resource": resource })])
        });
    let conditions = note(CONDITIONS).filter(Value::is_array);
    let Some(status) = json::at_mut(scaler, &["status"]) else { return };
    json::remove(status, "currentCPUUtilizationPercentage");
    // Of both versions only the older one writes a zero.
    if json::int(status, &["currentReplicas"]) == Some(0) {
        json::remove(status, "currentReplicas");
    }
    if let Some(current) = current.filter(|current: &Vec<Value>| !current.is_empty()) {
        json::set(status, "currentMetrics", current);
    }
    if let Some(conditions) = conditions {
        json::set(status, "conditions", conditions);
    }
}

/// Makes an autoscaler of version 2 one of version 1.
pub fn to_v1(scaler: &mut Value) {
    json::set(scaler, "apiVersion", "autoscaling/v1");
    take_annotations(scaler);
    let mut notes: Vec<(&str, Value)> = Vec::new();
    let spec = json::child(scaler, "spec");
    let metrics = json::list(spec, &["metrics"]).to_vec();
    let behavior = json::at(spec, &["behavior"]).cloned();
    json::remove(spec, "metrics");
    json::remove(spec, "behavior");
    if let Some(share) =
        metrics.iter().find(|one| is_cpu(one)).and_then(|one| share_of(one, "target"))
    {
        json::set(spec, "targetCPUUtilizationPercentage", share.clone());
    }
    let others: Vec<Value> = metrics
        .iter()
        .filter(|metric| !(is_cpu(metric) && share_of(metric, "target").is_some()))
        .map(|metric| older(metric, &SPECS))
        .collect();
    if !others.is_empty() {
        notes.push((METRICS, others.into()));
    }
    let status = json::at(scaler, &["status"]).cloned().unwrap_or_default();
    let current = json::list(&status, &["currentMetrics"]);
    if !current.is_empty() {
        let older: Vec<Value> = current.iter().map(|metric| older(metric, &STATUSES)).collect();
        notes.push((CURRENT, older.into()));
    }
    notes.extend(behavior.map(|behavior| (BEHAVIOR, renamed(&behavior, upper))));
    if !json::list(&status, &["conditions"]).is_empty() {
        notes.push((CONDITIONS, status["conditions"].clone()));
    }
    if let Some(kept) = json::at_mut(scaler, &["status"]) {
        json::remove(kept, "currentMetrics");
        json::remove(kept, "conditions");
        if json::at(kept, &["currentReplicas"]).is_none() {
            json::set(kept, "currentReplicas", 0);
        }
        let mut shares =
            current.iter().filter(|one| is_cpu(one)).filter_map(|one| share_of(one, "current"));
        if let Some(share) = shares.next_back() {
            json::set(kept, "currentCPUUtilizationPercentage", share.clone());
        }
    }
    for (key, note) in notes {
        let annotations = json::child(json::child(scaler, "metadata"), "annotations");
        json::set(annotations, key, note.to_string());
    }
}

fn is_cpu(metric: &Value) -> bool {
    json::text(metric, &["type"]) == "Resource"
        && json::text(metric, &["resource", "name"]) == "cpu"
}

fn share_of<'a>(metric: &'a Value, field: &str) -> Option<&'a Value> {
    json::at(metric, &["resource", field, "averageUtilization"])
}

/// Takes the four annotations out.
fn take_annotations(scaler: &mut Value) -> Vec<(&'static str, String)> {
    let Some(metadata) = json::at_mut(scaler, &["metadata"]) else { return Vec::new() };
    let mut taken = Vec::new();
    if let Some(Value::Object(annotations)) = json::at_mut(metadata, &["annotations"]) {
        for key in [METRICS, CURRENT, CONDITIONS, BEHAVIOR] {
            if let Some(Value::String(text)) = annotations.remove(key) {
                taken.push((key, text));
            }
        }
    }
    if json::unset(metadata, "annotations") {
        json::remove(metadata, "annotations");
    }
    taken
}

/// A metric of version 2 as one of version 1.
fn older(metric: &Value, sources: &[(&str, Places, &[&str])]) -> Value {
    let mut made = json!({ "type": json::text(metric, &["type"]) });
    for (field, places, always) in sources {
        let Some(source) = json::at(metric, &[field]) else { continue };
        let mut old = Map::new();
        for (name, place) in *places {
            match json::at(source, place) {
                Some(content) => {
                    old.insert((*name).to_owned(), content.clone());
                }
                None if always.contains(name) => {
                    old.insert((*name).to_owned(), "0".into());
                }
                None => {}
            }
        }
        json::set(&mut made, field, Value::Object(old));
    }
    made
}

/// A metric of version 1 as one of version 2.
fn newer(metric: &Value, sources: &[(&str, Places, &[&str])]) -> Value {
    let mut made = json!({ "type": json::text(metric, &["type"]) });
    for (field, places, always) in sources {
        let Some(source) = json::at(metric, &[field]) else { continue };
        let mut new = json!({});
        for (name, place) in *places {
            let absent = always.contains(name).then(|| Value::from("0"));
            let Some(content) = json::at(source, &[name]).cloned().or(absent) else { continue };
            // Version 1 has a zero where there is none, which version 2 does not take.
            if *name == "targetValue" && content == "0" && source.get("averageValue").is_some() {
                continue;
            }
            match place {
                [only] => json::set(&mut new, only, content),
                [outer, inner, ..] => json::set(json::child(&mut new, outer), inner, content),
                [] => {}
            }
        }
        if let Some(target) = json::at_mut(&mut new, &["target"]) {
            let kind = target_type(field, target);
            json::set(target, "type", kind);
        }
        json::set(&mut made, field, new);
    }
    made
}

/// The type of a target follows from what is set of it.
fn target_type(source: &str, target: &Value) -> &'static str {
    let set = |field: &str| json::at(target, &[field]).is_some();
    match source {
        "object" if !set("averageValue") => "Value",
        "external" if set("value") => "Value",
        "resource" | "containerResource" if set("averageUtilization") => "Utilization",
        _ => "AverageValue",
    }
}

/// The behaviour with fields of other names: the annotation holds those of a Go struct.
fn renamed(value: &Value, rename: fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(_, content)| !content.is_null());
            fields.map(|(name, content)| (rename(name), renamed(content, rename))).collect()
        }
        Value::Array(list) => list.iter().map(|one| renamed(one, rename)).collect(),
        other => other.clone(),
    }
}

fn upper(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn lower(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
