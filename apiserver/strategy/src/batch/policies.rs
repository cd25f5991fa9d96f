//! When a job counts as failed or as done before all its pods have ended well.
//!
//! Knows: the rules' form. Refuses to know: which pod they fit.

use std::collections::HashSet;

use leme_meta::field::Shown;
use leme_meta::{FieldError, Path, names};
use leme_registry::json;
use serde_json::Value;

use super::indexes;
use crate::check::{self, Errors, NOT_NEGATIVE};

const MAX_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;
const MAX_PATTERNS: usize = 20;
const MAX_INDEXES: usize = 64 * 1024;

/// A required text out of a few, whose messages list them.
fn one_of(value: &Value, field: &str, known: &[&str], path: &Path, errors: &mut Errors) {
    let text = json::text(value, &[field]);
    if text.is_empty() {
        let shown: Vec<String> = known.iter().map(|text| text.shown()).collect();
        let why = format!("valid values: [{}]", shown.join(" "));
        errors.push(FieldError::required(&path.child(field), &why));
    } else if !known.contains(&text) {
        errors.push(FieldError::not_supported(&path.child(field), text, known));
    }
}

/// Checks the rules by which pods that fail fail the job, or do not count.
pub(super) fn failure(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(policy) = json::at(spec, &["podFailurePolicy"]) else { return };
    let path = path.child("rules");
    let rules = json::list(policy, &["rules"]);
    if rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&path, rules.len(), MAX_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        if json::text(rule, &["action"]) == "FailIndex" {
            if json::at(spec, &["backoffLimitPerIndex"]).is_none() {
                let why = "requires the backoffLimitPerIndex to be set";
                errors.push(FieldError::invalid(&path.child("action"), "FailIndex", why));
            }
        } else {
            one_of(rule, "action", &["Count", "FailIndex", "FailJob", "Ignore"], &path, errors);
        }
        let (codes, patterns) =
            (json::at(rule, &["onExitCodes"]), json::list(rule, &["onPodConditions"]));
        if let Some(codes) = codes {
            exit_codes(spec, codes, &path.child("onExitCodes"), errors);
        }
        pod_conditions(patterns, &path.child("onPodConditions"), errors);
        match (codes.is_some(), !patterns.is_empty()) {
            (true, true) => errors.push(FieldError::invalid_unshown(
                &path,
                "specifying both OnExitCodes and OnPodConditions is not supported",
            )),
            (false, false) => errors.push(FieldError::invalid_unshown(
                &path,
                "specifying one of OnExitCodes and OnPodConditions is required",
            )),
            _ => {}
        }
    }
}

fn pod_conditions(patterns: &[Value], path: &Path, errors: &mut Errors) {
    if patterns.len() > MAX_PATTERNS {
        errors.push(FieldError::too_many(path, patterns.len(), MAX_PATTERNS));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.index(index);
        let kind = json::text(pattern, &["type"]);
        check::named(&path.child("type"), kind, &names::qualified_name(kind), errors);
        one_of(pattern, "status", &["False", "True", "Unknown"], &path, errors);
    }
}

fn exit_codes(spec: &Value, codes: &Value, path: &Path, errors: &mut Errors) {
    one_of(codes, "operator", &["In", "NotIn"], path, errors);
    if let Some(name) = json::at(codes, &["containerName"]).and_then(Value::as_str) {
        let lists = ["containers", "initContainers"];
        let mut containers =
            lists.iter().flat_map(|list| json::list(spec, &["template", "spec", list]));
        if !containers.any(|container| json::text(container, &["name"]) == name) {
            let why = "must be one of the container or initContainer names in the pod template";
            errors.push(FieldError::invalid(&path.child("containerName"), name, why));
        }
    }
    let values = json::list(codes, &["values"]);
    let path = path.child("values");
    let shown = codes.get("values").unwrap_or(&Value::Null);
    if values.is_empty() {
        errors.push(FieldError::invalid(&path, shown, "at least one value is required"));
    } else if values.len() > MAX_EXIT_CODES {
        errors.push(FieldError::too_many(&path, values.len(), MAX_EXIT_CODES));
    }
    let numbers: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap_or(0)).collect();
    let mut seen = HashSet::new();
    for (index, number) in numbers.iter().enumerate() {
        if *number == 0 && json::text(codes, &["operator"]) == "In" {
            let why = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&path.index(index), *number, why));
        }
        if !seen.insert(*number) {
            errors.push(FieldError::duplicate(&path.index(index), *number));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(&path, shown, "must be ordered"));
    }
}

/// Checks the rules by which some pods that end well are enough.
pub(super) fn success(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(policy) = json::at(spec, &["successPolicy"]) else { return };
    if json::text(spec, &["completionMode"]) != "Indexed" {
        errors.push(FieldError::invalid(path, policy, "requires indexed completion mode"));
        return;
    }
    let path = path.child("rules");
    let rules = json::list(policy, &["rules"]);
    if rules.is_empty() {
        let why = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&path, why));
    }
    if rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&path, rules.len(), MAX_RULES));
    }
    let completions = json::int(spec, &["completions"]).unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        success_rule(rule, completions, &path.index(index), errors);
    }
}

fn success_rule(rule: &Value, completions: i64, path: &Path, errors: &mut Errors) {
    let (count, set) =
        (json::int(rule, &["succeededCount"]), json::at(rule, &["succeededIndexes"]));
    if count.is_none() && set.is_none() {
        let why = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, why));
    }
    let mut total = None;
    if let Some(set) = set.and_then(Value::as_str) {
        let at = path.child("succeededIndexes");
        if set.len() > MAX_INDEXES {
            errors.push(FieldError::too_long(&at, MAX_INDEXES));
        }
        let counted = indexes::count(set, completions);
        if let Err(error) = &counted {
            let why = format!("error parsing succeededIndexes: {error}");
            errors.push(FieldError::invalid(&at, set, &why));
        }
        total = Some(counted.unwrap_or(0));
    }
    let Some(count) = count else { return };
    let at = path.child("succeededCount");
    if count < 0 {
        errors.push(FieldError::invalid(&at, count, NOT_NEGATIVE));
    }
    let limits = [
        (Some(completions), "the number of specified completions"),
        (total, "the number of indexes in the specified succeededIndexes field"),
    ];
    for (limit, what) in limits {
        if let Some(limit) = limit.filter(|limit| count > *limit) {
            let why = format!("must be less than or equal to {limit} ({what})");
            errors.push(FieldError::invalid(&at, count, &why));
        }
    }
}
