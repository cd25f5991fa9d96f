//! Configurations of webhooks.
//!
//! Knows: their defaults, and how one is reached. Refuses to know: what they answer.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::Value;

use super::{FAILURE, MATCH, default_match, fill, known, match_conditions, rules};
use crate::check::{self, Errors};
use crate::{pod_spec, url};

/// The versions of the review that this server could send.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

pub(crate) static VALIDATING: Strategy = Strategy {
    default: |configuration| default(configuration, false),
    validate: |configuration| validate(configuration, false),
    generation: Some(|new, old| new.get("webhooks") != old.get("webhooks")),
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static MUTATING: Strategy = Strategy {
    default: |configuration| default(configuration, true),
    validate: |configuration| validate(configuration, true),
    ..VALIDATING
};

fn default(configuration: &mut Value, mutating: bool) {
    let hooks = json::list_mut(configuration, &["webhooks"]);
    for hook in hooks.iter_mut().filter(|hook| hook.is_object()) {
        fill(hook, "failurePolicy", "Fail");
        default_match(hook);
        fill(hook, "timeoutSeconds", 10);
        if mutating {
            fill(hook, "reinvocationPolicy", "Never");
        }
        rules::default(hook, "rules");
        if let Some(service) = json::at_mut(hook, &["clientConfig", "service"]) {
            fill(service, "port", 443);
        }
    }
}

fn validate(configuration: &Value, mutating: bool) -> Errors {
    let mut errors = Vec::new();
    let mut seen = HashSet::new();
    for (index, hook) in json::list(configuration, &["webhooks"]).iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        webhook(hook, mutating, &path, &mut errors);
        versions(hook, &path.child("admissionReviewVersions"), &mut errors);
        let name = json::text(hook, &["name"]);
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    errors
}

fn webhook(hook: &Value, mutating: bool, path: &Path, errors: &mut Errors) {
    qualified(hook, path, errors);
    for (index, rule) in json::list(hook, &["rules"]).iter().enumerate() {
        rules::rule(rule, &path.child("rules").index(index), errors);
    }
    known(hook, "failurePolicy", path, FAILURE, errors);
    known(hook, "matchPolicy", path, MATCH, errors);
    if json::at(hook, &["sideEffects"]).is_none() {
        let why = format!("must specify one of {}", SIDE_EFFECTS.join(", "));
        errors.push(FieldError::required(&path.child("sideEffects"), &why));
    }
    known(hook, "sideEffects", path, &SIDE_EFFECTS, errors);
    let timeout = json::int(hook, &["timeoutSeconds"]).filter(|time| !(1..=30).contains(time));
    if let Some(timeout) = timeout {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), timeout, why));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        let selector = hook.get(field).unwrap_or(&Value::Null);
        pod_spec::selector(selector, &path.child(field), errors);
    }
    if mutating {
        known(hook, "reinvocationPolicy", path, &["IfNeeded", "Never"], errors);
    }
    client(hook, &path.child("clientConfig"), errors);
    match_conditions(hook, path, errors);
}

/// A name of at least three parts, so that everybody's webhooks have names of their own.
fn qualified(hook: &Value, path: &Path, errors: &mut Errors) {
    let name = check::required(hook, "name", path, errors);
    let wrong = names::dns1123_subdomain(name);
    let at = path.child("name");
    if name.is_empty() {
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(&at, name, &wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let why = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(&at, name, why));
    }
}

fn client(hook: &Value, path: &Path, errors: &mut Errors) {
    let at = |field: &str| json::at(hook, &["clientConfig", field]);
    match (at("url"), at("service")) {
        (Some(address), None) => {
            url::webhook(address.as_str().unwrap_or(""), &path.child("url"), errors);
        }
        (None, Some(of)) => service(of, &path.child("service"), errors),
        _ => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
    }
}

/// All that is wrong with the service that a webhook is reached by.
pub(crate) fn service(of: &Value, path: &Path, errors: &mut Errors) {
    // Upstream hands the two over in each other's place, and so names them in each other's place.
    for (field, shown) in [("namespace", "name"), ("name", "namespace")] {
        if json::text(of, &[field]).is_empty() {
            errors.push(FieldError::required(&path.child(shown), ""));
        }
    }
    let port = json::int(of, &["port"]).unwrap_or(0);
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        let why = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&path.child("port"), port, &why));
    }
    service_path(json::text(of, &["path"]), &path.child("path"), errors);
}

fn service_path(text: &str, path: &Path, errors: &mut Errors) {
    if matches!(text, "" | "/") {
        return;
    }
    if text == "//" {
        errors.push(FieldError::invalid(path, text, "segment[0] may not be empty"));
        return;
    }
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must start with a '/'"));
    }
    // The first character is skipped whatever it is, as upstream does.
    let mut rest = text.chars();
    rest.next();
    let inside = rest.as_str();
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    for (index, step) in inside.split('/').enumerate() {
        if step.is_empty() {
            let why = format!("segment[{index}] may not be empty");
            errors.push(FieldError::invalid(path, text, &why));
            continue;
        }
        for why in names::dns1123_subdomain(step) {
            errors.push(FieldError::invalid(path, text, &format!("segment[{index}]: {why}")));
        }
    }
}

fn versions(hook: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(hook, &["admissionReviewVersions"]);
    if list.is_empty() {
        let why = format!("must specify one of {}", VERSIONS.join(", "));
        errors.push(FieldError::required(path, &why));
        return;
    }
    let mut seen = HashSet::new();
    for (index, version) in list.iter().enumerate() {
        let version = version.as_str().unwrap_or("");
        let at = path.index(index);
        if seen.insert(version) {
            check::named(&at, version, &names::dns1035_label(version), errors);
        } else {
            errors.push(FieldError::invalid(&at, version, "duplicate version"));
        }
    }
    if !VERSIONS.iter().any(|version| seen.contains(version)) {
        let why = format!("must include at least one of {}", VERSIONS.join(", "));
        errors.push(FieldError::invalid(path, &hook["admissionReviewVersions"], &why));
    }
}
