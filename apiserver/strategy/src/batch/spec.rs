//! The spec of a job, its own or in the template of one.
//!
//! Knows: limits and how they depend on each other. Refuses to know: selectors, which only jobs of their own have.

use leme_meta::{FieldError, Path, names};
use leme_registry::json;
use serde_json::Value;

use super::policies;
use crate::check::{self, Errors};
use crate::pod_spec;

const MAX_PARALLEL: i64 = 100_000;
const MAX_FAILED: i64 = 100_000;
/// From so many completions on, with retries per index, the other limits are lower.
const MANY: i64 = 100_000;
const MAX_WITH_MANY: i64 = 10_000;
const MAX_MANAGER: usize = 63;

/// Checks a job's spec, all but the selector.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    check::not_negative(spec, &numbers, path, errors);
    let set = |field: &str| json::at(spec, &[field]).is_some();
    if set("maxFailedIndexes") && !set("backoffLimitPerIndex") {
        let why = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(&path.child("backoffLimitPerIndex"), why));
    }
    if let Some(manager) = json::at(spec, &["managedBy"]).and_then(Value::as_str) {
        managed_by(manager, &path.child("managedBy"), errors);
    }
    let mode = json::text(spec, &["completionMode"]);
    check::one_of(spec, "completionMode", path, &["NonIndexed", "Indexed"], errors);
    match mode {
        "Indexed" => indexed(spec, path, errors),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(number) = json::int(spec, &[field]) {
                    let why = "requires indexed completion mode";
                    errors.push(FieldError::invalid(&path.child(field), number, why));
                }
            }
        }
        _ => {}
    }
    policies::failure(spec, &path.child("podFailurePolicy"), errors);
    policies::success(spec, &path.child("successPolicy"), errors);
    replacement(spec, &path.child("podReplacementPolicy"), errors);
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_spec::validate_template(template, &path.child("template")));
    restarts(spec, &path.child("template").child("spec").child("restartPolicy"), errors);
}

fn managed_by(manager: &str, path: &Path, errors: &mut Errors) {
    if manager.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    match manager.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            check::named(path, host, &names::dns1123_subdomain(host), errors);
            let fits =
                |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(fits) {
                let why =
                    names::regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
                errors.push(FieldError::invalid(path, rest, &why));
            }
        }
        _ => {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, manager, why));
        }
    }
    if manager.len() > MAX_MANAGER {
        errors.push(FieldError::too_long(path, MAX_MANAGER));
    }
}

fn indexed(spec: &Value, path: &Path, errors: &mut Errors) {
    let number = |field: &str| json::int(spec, &[field]);
    let over = |field: &str, most: i64| number(field).filter(|number| *number > most);
    let (completions, failed) = (number("completions"), number("maxFailedIndexes"));
    let (at_parallel, at_failed) = (path.child("parallelism"), path.child("maxFailedIndexes"));
    if completions.is_none() {
        let why = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), why));
    }
    if let Some(parallel) = over("parallelism", MAX_PARALLEL) {
        let why =
            format!("must be less than or equal to {MAX_PARALLEL} when completion mode is Indexed");
        errors.push(FieldError::invalid(&at_parallel, parallel, &why));
    }
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        let why = "must be less than or equal to completions";
        errors.push(FieldError::invalid(&at_failed, failed, why));
    }
    if let Some(failed) = over("maxFailedIndexes", MAX_FAILED) {
        let why = format!("must be less than or equal to {MAX_FAILED}");
        errors.push(FieldError::invalid(&at_failed, failed, &why));
    }
    if completions.is_none_or(|count| count <= MANY) || number("backoffLimitPerIndex").is_none() {
        return;
    }
    if failed.is_none() {
        let why = format!("must be specified when completions is above {MANY}");
        errors.push(FieldError::required(&at_failed, &why));
    }
    let why = format!(
        "must be less than or equal to {MAX_WITH_MANY} when completions are above {MANY} and used with backoff limit per index"
    );
    for (field, at) in [("parallelism", &at_parallel), ("maxFailedIndexes", &at_failed)] {
        if let Some(number) = over(field, MAX_WITH_MANY) {
            errors.push(FieldError::invalid(at, number, &why));
        }
    }
}

fn replacement(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(policy) = json::at(spec, &["podReplacementPolicy"]).and_then(Value::as_str) else {
        return;
    };
    let all = ["Failed", "TerminatingOrFailed"];
    let known = if json::at(spec, &["podFailurePolicy"]).is_some() { &all[..1] } else { &all };
    if !known.contains(&policy) {
        errors.push(FieldError::not_supported(path, policy, known));
    }
}

/// Checks that pods come to an end.
fn restarts(spec: &Value, path: &Path, errors: &mut Errors) {
    let policy = json::text(spec, &["template", "spec", "restartPolicy"]);
    match policy {
        "" | "Always" => {
            let why = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(path, why));
        }
        "Never" => {}
        "OnFailure" => {
            if json::at(spec, &["podFailurePolicy"]).is_some() {
                let why = "only \"Never\" is supported when podFailurePolicy is specified";
                errors.push(FieldError::invalid(path, policy, why));
            }
        }
        _ => errors.push(FieldError::not_supported(path, policy, &["OnFailure", "Never"])),
    }
}
