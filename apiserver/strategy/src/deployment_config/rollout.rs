//! How a DeploymentConfig rolls out: strategies, their limits and their hooks.
//!
//! Knows: what a strategy must say. Refuses to know: how a rollout proceeds.

use leme_meta::quote;
use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::meta;
use leme_registry::{json, names};
use serde_json::Value;

use super::HOOKS;
use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Seconds that a rollout has where it does not say.
const TIMEOUT: i64 = 600;

/// Checks the strategy of a DeploymentConfig's spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let strategy = spec.get("strategy").unwrap_or(&Value::Null);
    let path = path.child("strategy");
    for (index, variable) in
        json::list(strategy, &["customParams", "environment"]).iter().enumerate()
    {
        variable_name(
            variable,
            &path.child("customParams").child("environment").index(index),
            errors,
        );
    }
    let custom: &[&str] = &["rollingParams", "recreateParams"];
    let params: &[&str] = match json::text(strategy, &["type"]) {
        "Rolling" => &custom[..1],
        "Recreate" => &custom[1..],
        "Custom" => {
            if json::at(strategy, &["customParams"]).is_none() {
                errors.push(FieldError::required(&path.child("customParams"), ""));
            }
            custom
        }
        other => {
            let why =
                "unsupported strategy type, use \"Custom\" instead and specify your own strategy";
            errors.push(FieldError::invalid(&path.child("type"), other, why));
            &[]
        }
    };
    for field in params {
        if let Some(params) = json::at(strategy, &[field]) {
            self::params(spec, field, params, &path.child(field), errors);
        }
    }
    errors.extend(meta::labels(strategy.get("labels"), &path.child("labels")));
    errors.extend(meta::annotations(strategy.get("annotations"), &path.child("annotations")));
    resources::validate(
        strategy.get("resources").unwrap_or(&Value::Null),
        &path.child("resources"),
        errors,
    );
    let Some(deadline) = json::int(strategy, &["activeDeadlineSeconds"]) else { return };
    check::not_negative(strategy, &["activeDeadlineSeconds"], &path, errors);
    let timeout = stated_timeout(strategy);
    if timeout.is_some_and(|timeout| deadline <= timeout) {
        let why = "activeDeadlineSeconds must be greater than timeoutSeconds";
        errors.push(FieldError::invalid(&path.child("activeDeadlineSeconds"), deadline, why));
    }
}

fn stated_timeout(strategy: &Value) -> Option<i64> {
    let read = |field: &str| json::int(strategy, &[field, "timeoutSeconds"]);
    read("rollingParams").or_else(|| read("recreateParams"))
}

/// Checks that a pod counts as ready before the rollout is given up.
pub(super) fn ready_in_time(spec: &Value, path: &Path, errors: &mut Errors) {
    let ready = json::int(spec, &["minReadySeconds"]).unwrap_or(0);
    let strategy = spec.get("strategy").unwrap_or(&Value::Null);
    let timeout = stated_timeout(strategy).unwrap_or(TIMEOUT);
    let at = path.child("minReadySeconds");
    if timeout > 0 && ready >= timeout {
        let why = format!("must be less than the deployment timeout ({timeout}s)");
        errors.push(FieldError::invalid(&at, ready, &why));
    }
    if let Some(deadline) =
        json::int(strategy, &["activeDeadlineSeconds"]).filter(|deadline| ready >= *deadline)
    {
        let why = format!(
            "must be less than activeDeadlineSeconds ({deadline}s - used by the deployer pod)"
        );
        errors.push(FieldError::invalid(&at, ready, &why));
    }
}

fn params(spec: &Value, field: &str, params: &Value, path: &Path, errors: &mut Errors) {
    for seconds in ["intervalSeconds", "updatePeriodSeconds", "timeoutSeconds"] {
        if let Some(number) = json::int(params, &[seconds]).filter(|number| *number < 1) {
            errors.push(FieldError::invalid(&path.child(seconds), number, "must be >0"));
        }
    }
    if field == "rollingParams" {
        rolling(params, path, errors);
    }
    for (_, hook) in HOOKS.iter().filter(|(known, _)| *known == field) {
        if let Some(value) = json::at(params, &[hook]) {
            self::hook(spec, value, &path.child(hook), errors);
        }
    }
}

/// The number of a percentage such as `25%`.
fn percentage(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn rolling(params: &Value, path: &Path, errors: &mut Errors) {
    let zero = Value::from(0);
    let read = |field: &str| json::at(params, &[field]).unwrap_or(&zero);
    for field in ["maxUnavailable", "maxSurge"] {
        let (value, at) = (read(field), path.child(field));
        if value.is_string() && percentage(value).is_none() {
            errors.push(FieldError::invalid(
                &at,
                value,
                "value should be int(5) or percentage(5%)",
            ));
        }
        if let Some(number) = value.as_i64().filter(|number| *number < 0) {
            errors.push(FieldError::invalid(&at, number, "must be non-negative"));
        }
    }
    let amount = |value: &Value| percentage(value).or(value.as_i64()).unwrap_or(0);
    let (unavailable, at) = (read("maxUnavailable"), path.child("maxUnavailable"));
    if amount(unavailable) == 0 && amount(read("maxSurge")) == 0 {
        errors.push(FieldError::invalid(
            &at,
            unavailable,
            "cannot be 0 when maxSurge is 0 as well",
        ));
    }
    if percentage(unavailable).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(&at, unavailable, "should not be more than 100%"));
    }
}

fn hook(spec: &Value, hook: &Value, path: &Path, errors: &mut Errors) {
    check::required_one_of(hook, "failurePolicy", path, &["Abort", "Retry", "Ignore"], errors);
    match (json::at(hook, &["execNewPod"]), json::list(hook, &["tagImages"])) {
        (Some(pod), []) => exec_pod(pod, &path.child("execNewPod"), errors),
        (Some(_), _) => {
            let why = "only one of 'execNewPod' or 'tagImages' may be specified";
            errors.push(FieldError::invalid(path, "<hook>", why));
        }
        (None, []) => {
            let why = "One of execNewPod or tagImages must be specified";
            errors.push(FieldError::invalid(path, "<empty>", why));
        }
        (None, tags) => {
            let containers = container_names(spec);
            for (index, tag) in tags.iter().enumerate() {
                tag_image(&containers, tag, &path.child("tagImages").index(index), errors);
            }
        }
    }
}

fn exec_pod(pod: &Value, path: &Path, errors: &mut Errors) {
    if json::list(pod, &["command"]).is_empty() {
        errors.push(FieldError::required(&path.child("command"), ""));
    }
    check::required(pod, "containerName", path, errors);
    for (index, variable) in json::list(pod, &["env"]).iter().enumerate() {
        variable_name(variable, &path.child("env").index(index), errors);
    }
    for (index, volume) in json::list(pod, &["volumes"]).iter().enumerate() {
        if volume == "" {
            errors.push(FieldError::invalid(
                &path.child("volumes").index(index),
                "",
                "must not be empty",
            ));
        }
    }
}

fn container_names(spec: &Value) -> HashSet<&str> {
    ["containers", "initContainers"]
        .iter()
        .flat_map(|field| json::list(spec, &["template", "spec", field]))
        .map(|container| json::text(container, &["name"]))
        .collect()
}

fn tag_image(containers: &HashSet<&str>, tag: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(tag, &["containerName"]);
    let at = path.child("containerName");
    if name.is_empty() {
        errors.push(FieldError::required(&at, "a containerName is required"));
    } else if !containers.contains(name) {
        errors.push(FieldError::invalid(
            &at,
            name,
            &format!("no container {name} found", name = quote(&name)),
        ));
    }
    let kind = json::text(tag, &["to", "kind"]);
    if kind != "ImageStreamTag" {
        errors.push(FieldError::invalid(
            &path.child("to").child("kind"),
            kind,
            "Must be 'ImageStreamTag'",
        ));
    }
    if json::text(tag, &["to", "name"]).is_empty() {
        errors.push(FieldError::required(
            &path.child("to").child("name"),
            "a destination tag name is required",
        ));
    }
}

fn variable_name(variable: &Value, path: &Path, errors: &mut Errors) {
    check::required_name(variable, "name", path, names::env_var_name, errors);
}
