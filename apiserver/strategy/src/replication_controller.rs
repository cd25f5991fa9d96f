//! ReplicationControllers.
//!
//! Knows: that the selector must match the template. Refuses to know: how many pods there are.

use leme_meta::{FieldError, Path};
use leme_registry::{Scale, Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec::{self, defaults};

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    default,
    validate,
    validate_status,
    warn,
    generation: Some(Strategy::spec_changed),
    orphan_by_default: true,
    scale: Some(Scale::AUTOSCALING),
    ..Strategy::PLAIN
};

fn default(controller: &mut Value) {
    let labels = json::at(controller, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) =
        labels.filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()))
    {
        let spec = json::child(controller, "spec");
        if json::unset(spec, "selector") {
            json::set(spec, "selector", labels.clone());
        }
        let metadata = json::child(controller, "metadata");
        if json::unset(metadata, "labels") {
            json::set(metadata, "labels", labels);
        }
    }
    let spec = json::child(controller, "spec");
    json::default(spec, "replicas", 1);
    defaults::fill_template(spec, "template");
}

/// Of the name, which those of pods begin with, and of the template.
pub(crate) fn warn(controller: &Value, old: Option<&Value>) -> Vec<String> {
    let mut warnings: Vec<String> =
        old.is_none().then(|| warn_name(controller)).flatten().into_iter().collect();
    warnings.extend(warn_template(controller, old));
    warnings
}

/// Of a name that those of pods begin with.
pub(crate) fn warn_name(controller: &Value) -> Option<String> {
    let wrong = names::dns1123_label(json::text(controller, &["metadata", "name"]));
    (!wrong.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        )
    })
}

/// Of the template, where it may have changed.
pub(crate) fn warn_template(controller: &Value, old: Option<&Value>) -> Vec<String> {
    let generation = |object| json::int(object, &["metadata", "generation"]);
    if old.is_some_and(|old| generation(old) == generation(controller)) {
        return Vec::new();
    }
    let template = json::at(controller, &["spec", "template"]).unwrap_or(&Value::Null);
    pod_spec::warnings::of(template, &Path::new("spec").child("template"))
}

fn validate(controller: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = controller.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    check::not_negative(spec, &["minReadySeconds"], &path, &mut errors);
    if json::unset(spec, "selector") {
        errors.push(FieldError::required(&path.child("selector"), ""));
    } else {
        errors.extend(meta::labels(spec.get("selector"), &path.child("selector")));
    }
    check::not_negative(spec, &["replicas"], &path, &mut errors);
    template(spec, &path.child("template"), &mut errors);
    errors
}

/// Checks the template of an object that keeps pods running by a plain selector.
pub(crate) fn template(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(template) = json::at(spec, &["template"]) else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let labels = json::at(template, &["metadata", "labels"]).unwrap_or(&Value::Null);
    let mut selected = json::entries(spec, &["selector"]).peekable();
    if selected.peek().is_some() && selected.any(|(key, value)| labels.get(key) != Some(value)) {
        let at = path.child("metadata").child("labels");
        errors.push(FieldError::invalid(
            &at,
            labels,
            "`selector` does not match template `labels`",
        ));
    }
    errors.extend(pod_spec::validate_template(template, path));
    let at = path.child("spec");
    let policy = json::text(template, &["spec", "restartPolicy"]);
    if policy != "Always" {
        errors.push(FieldError::not_supported(&at.child("restartPolicy"), policy, &["Always"]));
    }
    if json::at(template, &["spec", "activeDeadlineSeconds"]).is_some() {
        let why = "activeDeadlineSeconds in ReplicationController is not Supported";
        errors.push(FieldError::forbidden(&at.child("activeDeadlineSeconds"), why));
    }
}

/// Checks the counts of an object that keeps a number of pods running.
pub(crate) fn validate_status(new: &Value, _: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    ];
    check::not_negative(status, &counts, &path, &mut errors);
    let count = |field: &str| json::int(status, &[field]).unwrap_or(0);
    for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
        if count(field) > count("replicas") {
            errors.push(FieldError::invalid(
                &path.child(field),
                count(field),
                "cannot be greater than status.replicas",
            ));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let at = path.child("availableReplicas");
        errors.push(FieldError::invalid(
            &at,
            count("availableReplicas"),
            "cannot be greater than readyReplicas",
        ));
    }
    errors
}
