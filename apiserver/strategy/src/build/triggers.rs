//! What starts a build of a BuildConfig.
//!
//! Knows: web hooks, image changes. Refuses to know: when any fires.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::STRATEGIES;
use super::validate::image_ref;
use crate::check::Errors;

/// Web hooks by trigger type: the field, and whether it may pass variables.
const HOOKS: [(&str, &str, bool); 4] = [
    ("GitHub", "github", false),
    ("GitLab", "gitlab", false),
    ("Bitbucket", "bitbucket", false),
    ("Generic", "generic", true),
];

/// Checks the triggers of a BuildConfig's spec.
pub(super) fn validate(spec: &Value, namespace: &str, path: &Path, errors: &mut Errors) {
    let input =
        STRATEGIES.iter().find_map(|(_, field)| json::at(spec, &["strategy", field, "from"]));
    let mut seen = HashSet::new();
    for (index, trigger) in json::list(spec, &["triggers"]).iter().enumerate() {
        let at = path.index(index);
        let type_ = json::text(trigger, &["type"]);
        if let Some((_, field, variables)) = HOOKS.iter().find(|(known, ..)| *known == type_) {
            hook(trigger, field, *variables, &at.child(field), errors);
        }
        let Some(change) = json::at(trigger, &["imageChange"]).filter(|_| type_ == "ImageChange")
        else {
            continue;
        };
        image_change(change, input, &at, errors);
        let from = json::at(change, &["from"]).or(input);
        if !seen.insert(from.map(|from| key(from, namespace))) {
            let why = "multiple ImageChange triggers refer to the same image stream tag";
            errors.push(FieldError::invalid(path, &spec["triggers"], why));
        }
    }
}

/// What two references to one tag have in common.
fn key(from: &Value, namespace: &str) -> String {
    if json::text(from, &["kind"]) != "ImageStreamTag" {
        return "nil".to_owned();
    }
    let namespace = match json::text(from, &["namespace"]) {
        "" => namespace,
        own => own,
    };
    format!("{namespace}/{}", json::text(from, &["name"]))
}

fn image_change(change: &Value, input: Option<&Value>, path: &Path, errors: &mut Errors) {
    let at = path.child("imageChange");
    match json::at(change, &["from"]) {
        None if input.is_none_or(|input| json::text(input, &["kind"]) != "ImageStreamTag") => {
            // As Go prints a reference: its fields in order.
            let shown = input.map_or("<nil>".to_owned(), |input| {
                let fields = [
                    "kind",
                    "namespace",
                    "name",
                    "uid",
                    "apiVersion",
                    "resourceVersion",
                    "fieldPath",
                ];
                format!("&{{{}}}", fields.map(|field| json::text(input, &[field])).join(" "))
            });
            let shown = format!("build from: {shown}");
            let why = "a default ImageChange trigger can only be used when the build strategy includes an ImageStreamTag reference.";
            errors.push(FieldError::invalid(&at, &shown, why));
        }
        None => {}
        Some(from) => match json::text(from, &["kind"]) {
            "ImageStreamTag" => image_ref(from, &path.child("from"), errors),
            other => {
                let why = "only an ImageStreamTag type of reference is allowed in an ImageChange trigger.";
                errors.push(FieldError::invalid(&at.child("from").child("kind"), other, why));
            }
        },
    }
}

fn hook(trigger: &Value, field: &str, variables: bool, path: &Path, errors: &mut Errors) {
    let Some(hook) = json::at(trigger, &[field]) else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    let reference = json::at(hook, &["secretReference"]);
    if json::unset(hook, "secret") && reference.is_none() {
        let why = "must provide a value for at least one of secret or secretReference";
        errors.push(FieldError::invalid(path, hook, why));
    }
    if reference.is_some_and(|reference| json::unset(reference, "name")) {
        errors.push(FieldError::required(&path.child("secretReference").child("name"), ""));
    }
    if !variables && json::flag(hook, &["allowEnv"]) {
        errors.push(FieldError::invalid(
            &path.child("allowEnv"),
            hook,
            "git webhooks cannot allow env vars",
        ));
    }
}
