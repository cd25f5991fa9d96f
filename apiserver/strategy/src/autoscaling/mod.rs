//! HorizontalPodAutoscalers.
//!
//! Knows: bounds, what is scaled, how fast. Refuses to know: what any metric is now.

use leme_meta::{FieldError, Path, names};
use leme_registry::{Strategy, json};
use serde_json::{Value, json};

use crate::check::{self, Errors, NOT_NEGATIVE};
use crate::pod_spec::resources;

pub mod convert;
mod metrics;

/// Longest period of a scaling policy, and longest time that scaling looks back.
const MAX_PERIOD: i64 = 1800;
const MAX_WINDOW: i64 = 3600;

/// Per cent of what pods ask for that they use, where nothing else is said.
const UTILIZATION: i64 = 80;

const DIRECTIONS: [&str; 2] = ["scaleUp", "scaleDown"];

pub(crate) static STRATEGY: Strategy = Strategy {
    default,
    validate,
    validate_status: |new, _| {
        let mut errors = Vec::new();
        let status = new.get("status").unwrap_or(&Value::Null);
        let counts = ["currentReplicas", "desiredReplicas"];
        check::not_negative(status, &counts, &Path::new("status"), &mut errors);
        errors
    },
    ..Strategy::PLAIN
};

/// The metric of an autoscaler that names none.
fn cpu(utilization: impl Into<Value>) -> Value {
    json!({ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": utilization.into() },
    } })
}

fn default(scaler: &mut Value) {
    let spec = json::child(scaler, "spec");
    json::default(spec, "minReplicas", 1);
    if json::unset(spec, "metrics") {
        json::set(spec, "metrics", json!([cpu(UTILIZATION)]));
    }
    if let Some(behavior) = json::at_mut(spec, &["behavior"]) {
        let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
        let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
        let up = json::child(behavior, "scaleUp");
        json::default(up, "stabilizationWindowSeconds", 0);
        rules(up, json!([pods, percent]));
        rules(json::child(behavior, "scaleDown"), json!([percent]));
    }
}

fn rules(rules: &mut Value, policies: Value) {
    json::default(rules, "selectPolicy", "Max");
    json::default(rules, "policies", policies);
}

fn validate(scaler: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = scaler.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let least = json::int(spec, &["minReplicas"]);
    let most = json::int(spec, &["maxReplicas"]).unwrap_or(0);
    if let Some(least) = least.filter(|least| *least < 1) {
        let why = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(&path.child("minReplicas"), least, why));
    }
    let at = path.child("maxReplicas");
    if most == 0 {
        errors.push(FieldError::required(&at, "must be set and greater than 0"));
    } else if most < 0 {
        errors.push(FieldError::invalid(&at, most, "must be greater than 0"));
    }
    if least.is_some_and(|least| most < least) {
        let why = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&at, most, why));
    }
    let target = spec.get("scaleTargetRef").unwrap_or(&Value::Null);
    // Of the core group only these can be scaled.
    let core = json::text(target, &["kind"]) == "ReplicationController";
    reference(target, core, &path.child("scaleTargetRef"), &mut errors);
    metrics::validate(spec, &path.child("metrics"), &mut errors);
    for direction in DIRECTIONS {
        if let Some(rules) = json::at(spec, &["behavior", direction]) {
            scaling(rules, &path.child("behavior").child(direction), &mut errors);
        }
    }
    errors
}

/// Checks what an object is referred to by. `core` says whether it may be of the core group.
fn reference(reference: &Value, core: bool, path: &Path, errors: &mut Errors) {
    for field in ["kind", "name"] {
        check::required_name(reference, field, path, names::path_segment_name, errors);
    }
    let version = json::text(reference, &["apiVersion"]);
    let why = match version.matches('/').count() {
        0 if !core => "apiVersion must specify API group".to_owned(),
        1 if !core && version.starts_with('/') => "apiVersion must specify API group".to_owned(),
        0 | 1 => return,
        _ => format!("unexpected GroupVersion string: {version}"),
    };
    errors.push(FieldError::invalid(&path.child("apiVersion"), version, &why));
}

fn scaling(rules: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("stabilizationWindowSeconds");
    match json::int(rules, &["stabilizationWindowSeconds"]) {
        Some(window) if window < 0 => {
            let why = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&at, window, why));
        }
        Some(window) if window > MAX_WINDOW => {
            let why = format!("must be less than or equal to {MAX_WINDOW}");
            errors.push(FieldError::invalid(&at, window, &why));
        }
        _ => {}
    }
    if let Some(policy) = json::at(rules, &["selectPolicy"]).and_then(Value::as_str) {
        let known = ["Disabled", "Max", "Min"];
        if !known.contains(&policy) {
            errors.push(FieldError::not_supported(&path.child("selectPolicy"), policy, &known));
        }
    }
    let (policies, at) = (json::list(rules, &["policies"]), path.child("policies"));
    if policies.is_empty() {
        errors.push(FieldError::required(&at, "must specify at least one Policy"));
    }
    for (index, policy) in policies.iter().enumerate() {
        scaling_policy(policy, &at.index(index), errors);
    }
    let tolerance = json::at(rules, &["tolerance"]).filter(|value| resources::is_negative(value));
    if let Some(tolerance) = tolerance {
        errors.push(FieldError::invalid(&path.child("tolerance"), tolerance, NOT_NEGATIVE));
    }
}

fn scaling_policy(policy: &Value, path: &Path, errors: &mut Errors) {
    let (kind, known) = (json::text(policy, &["type"]), ["Percent", "Pods"]);
    if !known.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &known));
    }
    for field in ["value", "periodSeconds"] {
        let number = json::int(policy, &[field]).unwrap_or(0);
        if number <= 0 {
            let why = "must be greater than zero";
            errors.push(FieldError::invalid(&path.child(field), number, why));
        }
    }
    let period = json::int(policy, &["periodSeconds"]).unwrap_or(0);
    if period > MAX_PERIOD {
        let why = format!("must be less than or equal to {MAX_PERIOD}");
        errors.push(FieldError::invalid(&path.child("periodSeconds"), period, &why));
    }
}
