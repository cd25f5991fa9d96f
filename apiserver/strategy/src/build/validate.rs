//! What Builds and BuildConfigs have in common: strategy, output, limits.
//!
//! Knows: the one strategy and its image, the target of the output. Refuses to know: sources and triggers.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use super::{STRATEGIES, source};
use crate::check::{self, Errors};
use crate::deployment_config::is_tag_name;

const MAX_JENKINSFILE: usize = 100_000;

/// Checks what Builds and BuildConfigs share.
pub(super) fn common(spec: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    source::validate(spec, path, &mut errors);
    if let Some(seconds) =
        json::int(spec, &["completionDeadlineSeconds"]).filter(|seconds| *seconds <= 0)
    {
        let why = "completionDeadlineSeconds must be a positive integer greater than 0";
        errors.push(FieldError::invalid(&path.child("completionDeadlineSeconds"), seconds, why));
    }
    output(spec, &path.child("output"), &mut errors);
    strategy(spec, &path.child("strategy"), &mut errors);
    let post = spec.get("postCommit").unwrap_or(&Value::Null);
    if !json::unset(post, "command") && !json::unset(post, "script") {
        errors.push(FieldError::invalid(
            &path.child("postCommit"),
            post,
            "cannot use command and script together",
        ));
    }
    for (key, value) in json::entries(spec, &["nodeSelector"]) {
        let pair = serde_json::json!({ key: value });
        if !meta::labels(Some(&pair), path).is_empty() {
            let at = path.child("nodeSelector").key(key);
            errors.push(FieldError::invalid(&at, value, "must be a valid node selector"));
        }
    }
    errors
}

fn strategy(spec: &Value, path: &Path, errors: &mut Errors) {
    let present: Vec<&str> = STRATEGIES
        .iter()
        .map(|(_, field)| *field)
        .filter(|field| json::at(spec, &["strategy", field]).is_some())
        .collect();
    let [field] = present.as_slice() else {
        let why = "must provide a value for exactly one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy";
        let names = STRATEGIES.map(|(kind, _)| format!("{kind}Strategy"));
        let shown = STRATEGIES.map(|(_, field)| check::go_field(spec, &["strategy", field]));
        let shown: Vec<(&str, String)> = names.iter().map(String::as_str).zip(shown).collect();
        errors.push(FieldError::invalid(path, check::go_struct(&shown), why));
        return;
    };
    let strategy = &spec["strategy"][*field];
    let path = path.child(field);
    if let Some(from) = json::at(strategy, &["from"]) {
        image_ref(from, &path.child("from"), errors);
    }
    secret_ref(strategy, "pullSecret", &path, errors);
    let policy = json::text(strategy, &["imageOptimizationPolicy"]);
    if !["", "None", "SkipLayers", "SkipLayersAndWarn"].contains(&policy) {
        let why = "must be unset, 'None', 'SkipLayers', or 'SkipLayersAndWarn'";
        errors.push(FieldError::invalid(&path.child("imageOptimizationPolicy"), policy, why));
    }
    for file in ["dockerfilePath", "jenkinsfilePath"] {
        let text = json::text(strategy, &[file]);
        if text.starts_with('/') || leaves(text) {
            let why = format!("{file} must be a relative path within your source location");
            errors.push(FieldError::invalid(&path.child(file), text, &why));
        }
    }
    if !json::unset(strategy, "jenkinsfile") && !json::unset(strategy, "jenkinsfilePath") {
        let why = "must provide a value for at most one of jenkinsfilePath, or jenkinsfile";
        errors.push(FieldError::invalid(&path, strategy, why));
    }
    if json::text(strategy, &["jenkinsfile"]).len() > MAX_JENKINSFILE {
        let why = format!("must be smaller than {MAX_JENKINSFILE} bytes");
        errors.push(FieldError::invalid(&path.child("jenkinsfile"), "", &why));
    }
    env(strategy, &path.child("env"), errors);
}

fn env(strategy: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in json::list(strategy, &["env"]).iter().enumerate() {
        let path = path.index(index);
        check::required_name(variable, "name", &path, names::env_var_name, errors);
        if json::at(variable, &["valueFrom", "resourceFieldRef"]).is_some() {
            let at = path.child("valueFrom").child("ResourceFieldRef");
            let why = "ResourceFieldRef is not valid for valueFrom in build environment variables";
            errors.push(FieldError::invalid(&at, json::text(variable, &["name"]), why));
        }
    }
}

/// Whether a relative path, cleaned, leaves the directory it starts in.
pub(super) fn leaves(path: &str) -> bool {
    let mut depth = 0_i64;
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        depth += if part == ".." { -1 } else { 1 };
        if depth < 0 {
            return true;
        }
    }
    false
}

/// Checks a reference to a secret, if there is one.
pub(super) fn secret_ref(parent: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(secret) = json::at(parent, &[field]) {
        check::required(secret, "name", &path.child(field), errors);
    }
}

/// Checks a reference to an image that goes into a build.
pub(super) fn image_ref(from: &Value, path: &Path, errors: &mut Errors) {
    let (kind, name) = (json::text(from, &["kind"]), json::text(from, &["name"]));
    match kind {
        "ImageStreamTag" | "ImageStreamImage" | "DockerImage" => {
            check::required(from, "name", path, errors);
        }
        "" => errors.push(FieldError::required(&path.child("kind"), "")),
        other => {
            let why = "must be 'ImageStreamTag', 'ImageStreamImage', or 'DockerImage'";
            errors.push(FieldError::invalid(&path.child("kind"), other, why));
        }
    }
    if kind == "ImageStreamTag" && !name.is_empty() && !is_tag_name(name) {
        errors.push(FieldError::invalid(&path.child("name"), name, "must be <name>:<tag>"));
    }
    let why = match kind {
        "DockerImage" => "not valid when used with a 'DockerImage'",
        _ => "must be a valid namespace",
    };
    namespace(from, path, why, errors);
}

fn namespace(reference: &Value, path: &Path, why: &str, errors: &mut Errors) {
    let namespace = json::text(reference, &["namespace"]);
    let wrong = json::text(reference, &["kind"]) == "DockerImage"
        || !names::dns1123_subdomain(namespace).is_empty();
    if !namespace.is_empty() && wrong {
        errors.push(FieldError::invalid(&path.child("namespace"), namespace, why));
    }
}

fn output(spec: &Value, path: &Path, errors: &mut Errors) {
    let output = spec.get("output").unwrap_or(&Value::Null);
    if let Some(to) = json::at(output, &["to"]) {
        target(to, &path.child("to"), errors);
    }
    secret_ref(output, "pushSecret", path, errors);
    let mut seen = HashSet::new();
    for (index, label) in json::list(output, &["imageLabels"]).iter().enumerate() {
        let path = path.child("imageLabels").index(index);
        check::required_name(label, "name", &path, names::config_map_key, errors);
        let name = json::text(label, &["name"]);
        if !seen.insert(name) {
            errors.push(FieldError::invalid(&path.child("name"), name, "duplicate name"));
        }
    }
}

fn target(to: &Value, path: &Path, errors: &mut Errors) {
    let name = json::text(to, &["name"]);
    match json::text(to, &["kind"]) {
        "ImageStreamTag" => {
            check::required(to, "name", path, errors);
            if !name.is_empty() && !is_tag_name(name) {
                let why = "ImageStreamTag object references must be in the form <name>:<tag>";
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
            namespace(to, path, "namespace must be a valid subdomain", errors);
        }
        "DockerImage" => {
            namespace(to, path, "namespace is not valid when used with a 'DockerImage'", errors);
            check::required(to, "name", path, errors);
        }
        "" => errors.push(FieldError::required(&path.child("kind"), "")),
        other => {
            let why = "the target of build output must be an 'ImageStreamTag' or 'DockerImage'";
            errors.push(FieldError::invalid(&path.child("kind"), other, why));
        }
    }
}
