//! MutatingAdmissionPolicies and their bindings.
//!
//! Knows: what they say otherwise than ValidatingAdmissionPolicies. Refuses to know: expressions, beyond whether there is
//! one.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::Value;

use super::policy;
use crate::check::{self, Errors};

/// What is deleted cannot be changed.
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];

pub(crate) static MUTATING_POLICY: Strategy = Strategy {
    default: policy::default,
    validate: validate_policy,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

pub(crate) static MUTATING_BINDING: Strategy = Strategy {
    default: policy::default_binding,
    validate: |binding| {
        let (mut errors, path) = (Vec::new(), Path::new("spec"));
        let spec = binding.get("spec").unwrap_or(&Value::Null);
        policy::common_of_binding(spec, &path, "matchResources", &mut errors);
        if let Some(matched) = json::at(spec, &["matchResources"]) {
            operations(matched, &path.child("matchResources"), &mut errors);
        }
        errors
    },
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn validate_policy(policy: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    policy::common(spec, &path, operations, &mut errors);
    let (mutations, at) = (json::list(spec, &["mutations"]), path.child("mutations"));
    if mutations.is_empty() {
        errors.push(FieldError::required(&at, "mutations must contain at least one item"));
    }
    for (index, one) in mutations.iter().enumerate() {
        mutation(one, &at.index(index), &mut errors);
    }
    check::required_one_of(spec, "reinvocationPolicy", &path, &["Never", "IfNeeded"], &mut errors);
    errors
}

fn operations(matched: &Value, path: &Path, errors: &mut Errors) {
    // Upstream's path has no index.
    let path = path.child("resourceRules").child("operations");
    for rule in json::list(matched, &["resourceRules"]) {
        for operation in json::list(rule, &["operations"]) {
            let operation = operation.as_str().unwrap_or("");
            if !OPERATIONS.contains(&operation) {
                errors.push(FieldError::not_supported(&path, operation, OPERATIONS));
            }
        }
    }
}

/// A kind of patch, and the field that holds one.
const PATCHES: [(&str, &str); 2] =
    [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];

fn mutation(mutation: &Value, path: &Path, errors: &mut Errors) {
    let words = PATCHES.map(|(word, _)| word);
    check::required_one_of(mutation, "patchType", path, &words, errors);
    let said = json::text(mutation, &["patchType"]);
    if !words.contains(&said) {
        return;
    }
    let (own, other): (Vec<_>, Vec<_>) = PATCHES.into_iter().partition(|(word, _)| *word == said);
    for (_, field) in own {
        match json::at(mutation, &[field]) {
            None => {
                let why = format!("must be specified when patchType is {said}");
                errors.push(FieldError::required(&path.child(field), &why));
            }
            Some(patch) if json::text(patch, &["expression"]).trim().is_empty() => {
                errors.push(FieldError::required(&path.child(field).child("expression"), ""));
            }
            Some(_) => {}
        }
    }
    for (_, field) in other.into_iter().filter(|(_, field)| json::at(mutation, &[field]).is_some())
    {
        let why = format!("must not be specified when patchType is {said}");
        let shown = format!("{{{field}}}");
        errors.push(FieldError::invalid(&path.child(field), &shown, &why));
    }
}
