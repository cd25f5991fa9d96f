//! What an autoscaler goes by.
//!
//! Knows: the five sources of metrics and their targets. Refuses to know: where a metric is read.

use leme_meta::{FieldError, Path, names};
use leme_registry::json;
use serde_json::Value;

use super::reference;
use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Types of metrics, in the order of messages.
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// Sources, in the order in which they are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// Checks the metrics of a spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(spec, &["metrics"]);
    for (index, metric) in list.iter().enumerate() {
        self::metric(metric, &path.index(index), errors);
    }
    let outside = |metric: &Value| matches!(json::text(metric, &["type"]), "Object" | "External");
    if json::int(spec, &["minReplicas"]) == Some(0) && !list.iter().any(outside) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn metric(metric: &Value, path: &Path, errors: &mut Errors) {
    let kind = json::text(metric, &["type"]);
    let at = path.child("type");
    let unknown = || FieldError::not_supported(&at, kind, &TYPES);
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric source type"));
    }
    if !TYPES.contains(&kind) {
        errors.push(unknown());
    }
    let mut present: Vec<&str> = Vec::new();
    for (_, field) in SOURCES {
        if let Some(source) = json::at(metric, &[field]) {
            present.push(field);
            if present.len() == 1 {
                self::source(field, source, &path.child(field), errors);
            }
        }
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == kind).map(|(_, field)| *field);
    match expected {
        Some(field) if !present.contains(&field) => {
            let why = "must populate information for the given metric source";
            errors.push(FieldError::required(&path.child(field), why));
        }
        Some(_) => {}
        None => errors.push(unknown()),
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            let why = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
    }
}

fn source(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    match kind {
        "object" => {
            let object = source.get("describedObject").unwrap_or(&Value::Null);
            reference(object, true, &path.child("describedObject"), errors);
            identifier(source, path, errors);
        }
        "external" | "pods" => identifier(source, path, errors),
        _ => resource(kind, source, path, errors),
    }
    let at = path.child("target");
    target(source.get("target").unwrap_or(&Value::Null), &at, errors);
    let set = |field: &str| json::at(source, &["target", field]).is_some();
    let (total, average, share) = (set("value"), set("averageValue"), set("averageUtilization"));
    let missing = |field: &str, why: &str| FieldError::required(&at.child(field), why);
    let double = |field: &str, why: &str| FieldError::forbidden(&at.child(field), why);
    match kind {
        "object" if !total && !average => {
            errors.push(missing("averageValue", "must set either a target value or averageValue"));
        }
        "external" if !total && !average => errors.push(missing(
            "averageValue",
            "must set either a target value for metric or a per-pod target",
        )),
        "external" if total && average => errors.push(double(
            "value",
            "may not set both a target value for metric and a per-pod target",
        )),
        "pods" if !average => {
            errors.push(missing("averageValue", "must specify a positive target averageValue"));
        }
        "resource" | "containerResource" if !share && !average => errors.push(missing(
            "averageUtilization",
            "must set either a target raw value or a target utilization",
        )),
        "resource" | "containerResource" if share && average => errors.push(double(
            "averageValue",
            "may not set both a target raw value and a target utilization",
        )),
        _ => {}
    }
}

fn identifier(source: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(source, &["metric", "name"]);
    let at = path.child("metric").child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric name"));
    } else {
        check::named(&at, name, &names::path_segment_name(name), errors);
    }
}

fn resource(kind: &str, source: &Value, path: &Path, errors: &mut Errors) {
    let (name, at) = (json::text(source, &["name"]), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, "must specify a resource name"));
    } else if kind == "containerResource" {
        resources::container_name(name, &at, errors);
    }
    if kind == "containerResource" {
        let (container, at) = (json::text(source, &["container"]), path.child("container"));
        if container.is_empty() {
            errors.push(FieldError::required(&at, "must specify a container"));
        } else {
            check::named(&at, container, &names::dns1123_label(container), errors);
        }
    }
}

fn target(target: &Value, path: &Path, errors: &mut Errors) {
    let (kind, at) = (json::text(target, &["type"]), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric target type"));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&at, kind, why));
    }
    for field in ["value", "averageValue"] {
        let Some(value) = json::at(target, &[field]) else { continue };
        if resources::parse(value).is_some_and(|amount| amount.is_zero() || amount.is_negative()) {
            errors.push(FieldError::invalid(&path.child(field), value, "must be positive"));
        }
    }
    if let Some(share) = json::int(target, &["averageUtilization"]).filter(|share| *share < 1) {
        let at = path.child("averageUtilization");
        errors.push(FieldError::invalid(&at, share, "must be greater than 0"));
    }
}
