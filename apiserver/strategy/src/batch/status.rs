//! The status of a job, which controllers other than the cluster's own may write.
//!
//! Knows: which conditions, times and counts go together. Refuses to know: how a job comes to its end.

use std::collections::HashSet;

use leme_meta::{FieldError, Path, time};
use leme_registry::json;
use serde_json::Value;

use super::conditions::holds;
use super::indexes;
use crate::check::{self, Errors};

/// Checks a change of a job's status.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = ["active", "succeeded", "failed", "ready", "terminating"];
    check::not_negative(status, &counts, &path, &mut errors);
    uncounted(status, &path.child("uncountedTerminatedPods"), &mut errors);
    conditions(new, &path.child("conditions"), &mut errors);
    times(new, &path, &mut errors);
    finished(new, &path, &mut errors);
    sets(new, &path, &mut errors);
    let number = |field: &str| json::int(status, &[field]).unwrap_or(0);
    if number("ready") > number("active") {
        let why = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(&path.child("ready"), number("ready"), why));
    }
    change(new, old, &path, &mut errors);
    errors
}

fn uncounted(status: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for field in ["succeeded", "failed"] {
        let uids = json::list(status, &["uncountedTerminatedPods", field]);
        for (index, uid) in uids.iter().enumerate() {
            let (uid, at) = (uid.as_str().unwrap_or(""), path.child(field).index(index));
            if uid.is_empty() {
                errors.push(FieldError::invalid(&at, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&at, uid));
            }
        }
    }
}

/// Checks which conditions hold at once.
fn conditions(job: &Value, path: &Path, errors: &mut Errors) {
    let is = |kind: &str| holds(job, kind);
    let (complete, failed) = (is("Complete"), is("Failed"));
    let (failing, met) = (is("FailureTarget"), is("SuccessCriteriaMet"));
    let policy = json::at(job, &["spec", "successPolicy"]).is_some();
    let rules = [
        (complete && failed, "cannot set Complete=True and Failed=true conditions"),
        (complete && failing, "cannot set Complete=True and FailureTarget=true conditions"),
        (
            failed && !failing,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && failing, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            policy && !met && complete,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
    ];
    let broken = rules.iter().filter(|(broken, _)| *broken);
    errors.extend(broken.map(|(_, why)| FieldError::invalid_unshown(path, why)));
}

fn times(job: &Value, path: &Path, errors: &mut Errors) {
    let complete = holds(job, "Complete");
    let at = path.child("completionTime");
    let (start, end) =
        (json::text(job, &["status", "startTime"]), json::text(job, &["status", "completionTime"]));
    if !end.is_empty() && !complete {
        let why = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(&at, end, why));
    }
    if end.is_empty() && complete {
        errors.push(FieldError::required(&at, "completionTime is required for Complete jobs"));
    }
    if let (Some(from), Some(to)) = (time::parse(start), time::parse(end))
        && to < from
    {
        errors.push(FieldError::invalid(&at, end, "completionTime cannot be set before startTime"));
    }
}

/// Checks that of a job that has ended nothing goes on.
fn finished(job: &Value, path: &Path, errors: &mut Errors) {
    if !holds(job, "Complete") && !holds(job, "Failed") {
        return;
    }
    let status = job.get("status").unwrap_or(&Value::Null);
    for field in ["active", "terminating"] {
        if let Some(number) = json::int(status, &[field]).filter(|number| *number > 0) {
            let why = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(&path.child(field), number, &why));
        }
    }
    if json::at(status, &["startTime"]).is_none() {
        let why = "startTime is required for finished job";
        errors.push(FieldError::required(&path.child("startTime"), why));
    }
    let pods = |field: &str| json::list(status, &["uncountedTerminatedPods", field]).len();
    if pods("succeeded") + pods("failed") > 0 {
        let why = "uncountedTerminatedPods needs to be empty for finished job";
        let at = path.child("uncountedTerminatedPods");
        errors.push(FieldError::invalid(&at, &status["uncountedTerminatedPods"], why));
    }
}

/// Checks the sets of indexes that are done and that have failed.
fn sets(job: &Value, path: &Path, errors: &mut Errors) {
    let completions = json::int(job, &["spec", "completions"]);
    let per_index = json::at(job, &["spec", "backoffLimitPerIndex"]).is_some();
    let done = json::text(job, &["status", "completedIndexes"]);
    let failed = json::at(job, &["status", "failedIndexes"]).and_then(Value::as_str);
    let (at_done, at_failed) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let mut read = |text: &str, field: &str, at: &Path| {
        let Some(completions) = completions else { return };
        if let Err(error) = indexes::count(text, completions) {
            let why = format!("error parsing {field}: {error}");
            errors.push(FieldError::invalid(at, text, &why));
        }
    };
    read(done, "completedIndexes", &at_done);
    if let Some(failed) = failed.filter(|_| per_index) {
        read(failed, "failedIndexes", &at_failed);
    }
    if !done.is_empty() && json::text(job, &["spec", "completionMode"]) != "Indexed" {
        let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(&at_done, done, why));
    }
    let Some(failed) = failed else { return };
    if !per_index {
        let why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(&at_failed, failed, why));
    }
    let both = completions.and_then(|completions| indexes::overlap(done, failed, completions));
    if let Some(index) = both {
        let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(&at_failed, failed, &why));
    }
}

/// Checks that nothing is taken back.
fn change(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("conditions");
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if holds(old, kind) && !holds(new, kind) {
            let why = format!("cannot disable the terminal {kind}=True condition");
            errors.push(FieldError::invalid_unshown(&at, &why));
        }
    }
    let number = |job, field: &str| json::int(job, &["status", field]).unwrap_or(0);
    let of_spec = |field: &str| json::int(new, &["spec", field]);
    // An indexed job that runs all its pods at once shrinks.
    let shrinks = json::text(new, &["spec", "completionMode"]) == "Indexed"
        && of_spec("completions") == of_spec("parallelism");
    for field in ["failed", "succeeded"] {
        let free = field == "succeeded" && shrinks;
        if number(new, field) < number(old, field) && !free {
            let why = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(&path.child(field), number(new, field), &why));
        }
    }
    let time = |job, field: &str| json::text(job, &["status", field]).to_owned();
    let (end, ended) = (time(new, "completionTime"), time(old, "completionTime"));
    if !end.is_empty() && !ended.is_empty() && end != ended {
        let why = "completionTime cannot be mutated";
        errors.push(FieldError::invalid(&path.child("completionTime"), &end, why));
    }
    let (start, started) = (time(new, "startTime"), time(old, "startTime"));
    if !started.is_empty() && start != started && !json::flag(new, &["spec", "suspend"]) {
        let why = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(&path.child("startTime"), why));
    }
    let (met, was_met) = (holds(new, "SuccessCriteriaMet"), holds(old, "SuccessCriteriaMet"));
    if was_met && !met {
        let why = "cannot disable the SuccessCriteriaMet=True condition";
        errors.push(FieldError::invalid_unshown(&at, why));
    }
    if holds(old, "Complete") && !was_met && met {
        let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(FieldError::invalid_unshown(&at, why));
    }
}
