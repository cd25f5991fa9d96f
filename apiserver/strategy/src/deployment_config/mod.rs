//! DeploymentConfigs.
//!
//! Knows: strategies, triggers, hooks, the version counter. Refuses to know: how a rollout proceeds.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Scale, Strategy, json, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::pod_spec::{defaults, resources};
use crate::replication_controller;

pub mod request;
mod rollout;

pub(crate) static STRATEGY: Strategy = SERVED;

const SERVED: Strategy = Strategy {
    default,
    prepare_create,
    prepare_update,
    prepare_status,
    kept_by_status: &[&["spec"], &["metadata", "labels"]],
    validate,
    validate_status,
    generation: Some(|new, old| {
        Strategy::spec_changed(new, old)
            || json::int(new, &["status", "latestVersion"])
                != json::int(old, &["status", "latestVersion"])
    }),
    unconditional_update: false,
    deprecated: "apps.openshift.io/v1 DeploymentConfig is deprecated in v4.14+, unavailable in v4.10000+",
    scale: Some(Scale {
        api_version: "extensions/v1beta1",
        implicit_label: Some("deploymentconfig"),
        selector_map: true,
        label_selector: false,
    }),
    ..Strategy::PLAIN
};

/// The same for the request of a rollout, which is the server's to count and to explain.
pub static INSTANTIATE: Strategy = Strategy {
    prepare_update: |new, old, _| {
        let asked = new.get("status").cloned().unwrap_or_default();
        json::keep(new, old, "status");
        for field in ["latestVersion", "details"] {
            json::keep(json::child(new, "status"), &asked, field);
        }
    },
    ..SERVED
};

fn default(config: &mut Value) {
    let namespace = json::text(config, &["metadata", "namespace"]).to_owned();
    let spec = json::child(config, "spec");
    if spec.get("triggers").is_none_or(Value::is_null) {
        json::set(spec, "triggers", json!([{ "type": "ConfigChange" }]));
    }
    let labels = json::at(spec, &["template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|_| json::unset(spec, "selector")) {
        json::set(spec, "selector", labels);
    }
    json::default(spec, "replicas", 0);
    json::default(spec, "test", false);
    strategy(json::child(spec, "strategy"));
    hook_containers(spec);
    for trigger in json::list_mut(spec, &["triggers"]) {
        let Some(from) = json::at_mut(trigger, &["imageChangeParams", "from"]) else { continue };
        json::default(from, "kind", "ImageStreamTag");
        if !namespace.is_empty() {
            json::default(from, "namespace", namespace.clone());
        }
    }
    defaults::fill_template(spec, "template");
}

fn strategy(strategy: &mut Value) {
    json::default(strategy, "type", "Rolling");
    json::default(strategy, "activeDeadlineSeconds", 21_600);
    json::child(strategy, "resources");
    for field in ["limits", "requests"] {
        resources::round_up(strategy, &["resources", field]);
    }
    match json::text(strategy, &["type"]) {
        "Rolling" => {
            let params = json::child(strategy, "rollingParams");
            for (field, seconds) in
                [("intervalSeconds", 1), ("updatePeriodSeconds", 1), ("timeoutSeconds", 600)]
            {
                json::default(params, field, seconds);
            }
            let zero = |params: &Value, field: &str| matches!(params.get(field), Some(value) if value == 0 || value == "0%");
            match (params.get("maxUnavailable").is_some(), params.get("maxSurge").is_some()) {
                (false, false) => {
                    json::set(params, "maxUnavailable", "25%");
                    json::set(params, "maxSurge", "25%");
                }
                (false, true) if zero(params, "maxSurge") => {
                    json::set(params, "maxUnavailable", "25%")
                }
                (false, true) => json::set(params, "maxUnavailable", 0),
                (true, false) if zero(params, "maxUnavailable") => {
                    json::set(params, "maxSurge", "25%")
                }
                (true, false) => json::set(params, "maxSurge", 0),
                (true, true) => {}
            }
        }
        "Recreate" => json::default(json::child(strategy, "recreateParams"), "timeoutSeconds", 600),
        _ => {}
    }
}

/// Hooks of a pod with one container run in that one.
fn hook_containers(spec: &mut Value) {
    let only = match json::list(spec, &["template", "spec", "containers"]) {
        [only] => json::text(only, &["name"]).to_owned(),
        _ => return,
    };
    for (params, hook) in HOOKS {
        let Some(hook) = json::at_mut(spec, &["strategy", params, hook]) else { continue };
        if let Some(pod) = json::at_mut(hook, &["execNewPod"]) {
            json::default(pod, "containerName", only.clone());
        }
        for tag in json::list_mut(hook, &["tagImages"]) {
            json::default(tag, "containerName", only.clone());
        }
    }
}

const HOOKS: [(&str, &str); 5] = [
    ("rollingParams", "pre"),
    ("rollingParams", "post"),
    ("recreateParams", "pre"),
    ("recreateParams", "mid"),
    ("recreateParams", "post"),
];

fn empty_status() -> Value {
    json!({
        "latestVersion": 0, "observedGeneration": 0, "replicas": 0, "updatedReplicas": 0, "availableReplicas": 0,
        "unavailableReplicas": 0,
    })
}

fn prepare_create(config: &mut Value, _: &Context) {
    json::set(config, "status", empty_status());
    json::default(json::child(config, "spec"), "revisionHistoryLimit", 10);
    for trigger in json::list_mut(json::child(config, "spec"), &["triggers"]) {
        if let Some(params) = json::at_mut(trigger, &["imageChangeParams"]) {
            json::remove(params, "lastTriggeredImage");
        }
    }
}

/// Keeps the status, except that a client may ask for the next version by counting it.
fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    let wanted = json::int(new, &["status", "latestVersion"]).unwrap_or(0);
    let current = json::int(old, &["status", "latestVersion"]).unwrap_or(0);
    json::keep(new, old, "status");
    if current.checked_add(1) == Some(wanted) {
        json::set(json::child(new, "status"), "latestVersion", wanted);
    }
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context) {
    if let Some(metadata) = old.get("metadata") {
        json::keep(json::child(new, "metadata"), metadata, "labels");
    }
}

fn validate(config: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = config.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    triggers(spec, &path, &mut errors);
    if json::at(spec, &["template"]).is_some() {
        rollout::validate(spec, &path, &mut errors);
    }
    check::not_negative(spec, &["revisionHistoryLimit", "minReadySeconds"], &path, &mut errors);
    rollout::ready_in_time(spec, &path, &mut errors);
    let mut template = Vec::new();
    replication_controller::template(spec, &path.child("template"), &mut template);
    let triggered: HashSet<&str> = json::list(spec, &["triggers"])
        .iter()
        .flat_map(|trigger| json::list(trigger, &["imageChangeParams", "containerNames"]))
        .filter_map(Value::as_str)
        .collect();
    template.retain(|error| !image_comes_from_trigger(spec, &triggered, error));
    errors.extend(template);
    if let Some(replicas) = json::int(spec, &["replicas"]).filter(|replicas| *replicas < 0) {
        errors.push(FieldError::invalid(
            &path.child("replicas"),
            replicas,
            "replicas cannot be negative",
        ));
    }
    if json::unset(spec, "selector") {
        errors.push(FieldError::invalid(
            &path.child("selector"),
            &Value::Null,
            "selector cannot be empty",
        ));
    }
    errors
}

/// Whether an error is that of an empty image that a trigger fills later.
fn image_comes_from_trigger(spec: &Value, triggered: &HashSet<&str>, error: &FieldError) -> bool {
    let Some(rest) = error.field.strip_prefix("spec.template.spec.") else { return false };
    let Some((list, rest)) = rest.split_once('[') else { return false };
    let Some(index) = rest.strip_suffix("].image").and_then(|index| index.parse::<usize>().ok())
    else {
        return false;
    };
    let container = json::list(spec, &["template", "spec", list]).get(index);
    let name = container.map_or("", |container| json::text(container, &["name"]));
    triggered.contains(name)
}

fn triggers(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, trigger) in json::list(spec, &["triggers"]).iter().enumerate() {
        let path = path.child("triggers").index(index);
        check::required(trigger, "type", &path, errors);
        if json::text(trigger, &["type"]) != "ImageChange" {
            continue;
        }
        let at = path.child("imageChangeParams");
        let Some(params) = json::at(trigger, &["imageChangeParams"]) else {
            errors.push(FieldError::required(&at, ""));
            continue;
        };
        trigger_source(params.get("from").unwrap_or(&Value::Null), &at.child("from"), errors);
        if json::list(params, &["containerNames"]).is_empty() {
            errors.push(FieldError::required(&at.child("containerNames"), ""));
        }
    }
}

fn trigger_source(from: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(from, &["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let kind = json::text(from, &["kind"]);
    if kind != "ImageStreamTag" {
        errors.push(FieldError::invalid(
            &path.child("kind"),
            kind,
            "kind must be an ImageStreamTag",
        ));
    }
    if !is_tag_name(name) {
        errors.push(FieldError::invalid(
            &path.child("name"),
            name,
            "must be in the form of <name>:<tag>",
        ));
    }
    let namespace = json::text(from, &["namespace"]);
    if !namespace.is_empty() && !names::dns1123_subdomain(namespace).is_empty() {
        let why = "namespace must be a valid subdomain";
        errors.push(FieldError::invalid(&path.child("namespace"), namespace, why));
    }
}

/// Whether a text names a tag of an image stream.
pub(crate) fn is_tag_name(name: &str) -> bool {
    name.split_once(':')
        .is_some_and(|(stream, tag)| !stream.is_empty() && !tag.is_empty() && !tag.contains(':'))
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = [
        "latestVersion",
        "observedGeneration",
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
    ];
    check::not_negative(status, &counts, &path, &mut errors);
    for (field, why) in [
        ("latestVersion", "latestVersion cannot be decremented"),
        ("observedGeneration", "observedGeneration cannot be decremented"),
    ] {
        let now = json::int(status, &[field]).unwrap_or(0);
        if now < json::int(old, &["status", field]).unwrap_or(0) {
            errors.push(FieldError::invalid(&path.child(field), now, why));
        }
    }
    errors
}
