//! CronJobs.
//!
//! Knows: schedules, time zones, the template of the jobs. Refuses to know: what time it is.

use leme_meta::cron::{Schedule, zone};
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::Value;

use super::{job, spec};
use crate::check::{self, Errors};
use crate::replication_controller;

/// Longest name: those of the jobs are eleven bytes longer.
const MAX_NAME: usize = 52;

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_jobs,
    default: |cron| {
        let spec = json::child(cron, "spec");
        json::default(spec, "concurrencyPolicy", "Allow");
        json::default(spec, "suspend", false);
        json::default(spec, "successfulJobsHistoryLimit", 3);
        json::default(spec, "failedJobsHistoryLimit", 1);
        job::default_template(json::child(json::child(spec, "jobTemplate"), "spec"));
    },
    validate,
    validate_create: |cron| {
        let name = json::text(cron, &["metadata", "name"]);
        let why = format!("must be no more than {MAX_NAME} characters");
        let at = Path::new("metadata").child("name");
        let long = name.len() > MAX_NAME;
        long.then(|| FieldError::invalid(&at, name, &why)).into_iter().collect()
    },
    warn,
    generation: Some(Strategy::spec_changed),
    ..Strategy::PLAIN
};

fn validate(cron: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = cron.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let schedule = check::required(spec, "schedule", &path, &mut errors);
    if !schedule.is_empty() {
        let at = path.child("schedule");
        if let Err(error) = Schedule::parse(schedule) {
            errors.push(FieldError::invalid(&at, schedule, &error));
        }
        if schedule.contains("TZ") {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(FieldError::invalid(&at, schedule, why));
        }
    }
    check::not_negative(spec, &["startingDeadlineSeconds"], &path, &mut errors);
    if let Some(name) = json::at(spec, &["timeZone"]).and_then(Value::as_str) {
        time_zone(name, &path.child("timeZone"), &mut errors);
    }
    let policies = ["Allow", "Forbid", "Replace"];
    check::required_one_of(spec, "concurrencyPolicy", &path, &policies, &mut errors);
    let at = path.child("jobTemplate").child("spec");
    let template = json::at(spec, &["jobTemplate", "spec"]).unwrap_or(&Value::Null);
    job_template(template, &at, &mut errors);
    let limits = ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
    check::not_negative(spec, &limits, &path, &mut errors);
    errors
}

fn job_template(template: &Value, path: &Path, errors: &mut Errors) {
    spec::validate(template, path, errors);
    if let Some(selector) = json::at(template, &["selector"]) {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(&path.child("selector"), selector, why));
    }
    if json::flag(template, &["manualSelector"]) {
        let at = path.child("manualSelector");
        errors.push(FieldError::not_supported(&at, &Value::Bool(true), &["nil", "false"]));
    }
}

fn time_zone(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        let why = "timeZone must be nil or non-empty string";
        errors.push(FieldError::invalid(path, name, why));
        return;
    }
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let is_part = |part: &str| {
        !matches!(part, "." | "..")
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.bytes().all(letter)
    };
    let unknown = format!("unknown time zone {name}");
    if !name.split('/').all(is_part) {
        errors.push(FieldError::invalid(path, name, &unknown));
        return;
    }
    if name.eq_ignore_ascii_case("Local") {
        let why =
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(path, name, why));
    }
    if name != "Local" && zone(name).is_none() {
        errors.push(FieldError::invalid(path, name, &unknown));
    }
}

fn warn(cron: &Value, old: Option<&Value>) -> Vec<String> {
    let mut out: Vec<String> = old
        .is_none()
        .then(|| replication_controller::warn_name(cron))
        .flatten()
        .into_iter()
        .collect();
    let generation = |object| json::int(object, &["metadata", "generation"]);
    if old.is_none_or(|old| generation(old) != generation(cron)) {
        let path = Path::new("spec").child("jobTemplate").child("spec");
        let spec = json::at(cron, &["spec", "jobTemplate", "spec"]).unwrap_or(&Value::Null);
        job::warn_spec(spec, &path, &mut out);
    }
    if old.is_some() && json::text(cron, &["spec", "schedule"]).contains("TZ") {
        // Upstream's path.
        let at = Path::new("spec").child("spec").child("schedule");
        out.push(format!(
            "cannot use TZ or CRON_TZ in {at}, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        ));
    }
    out
}
