//! Columns of jobs and of what starts them by the clock.

use jiff::Timestamp;
use leme_meta::time;
use serde_json::Value;

use super::{
    AGE, NONE, column, int, list, number, of_containers, selector, shown, since, text, wide,
};
use crate::Column;

pub(crate) const JOB: &[Column] = &[
    shown("Status", |job, _| status(job).into()),
    shown("Completions", |job, _| completions(job).into()),
    shown("Duration", |job, now| duration(job, now).into()),
    AGE,
    wide("Containers", |job, _| {
        of_containers(job, "/spec/template/spec/containers", "name").into()
    }),
    wide("Images", |job, _| of_containers(job, "/spec/template/spec/containers", "image").into()),
    wide("Selector", |job, _| selector(job.pointer("/spec/selector")).into()),
];

pub(crate) const CRON_JOB: &[Column] = &[
    shown("Schedule", |job, _| text(job, "/spec/schedule").into()),
    shown("Timezone", |job, _| {
        job.pointer("/spec/timeZone").and_then(Value::as_str).unwrap_or(NONE).into()
    }),
    column("Suspend", "boolean", 0, |job, _| {
        match job.pointer("/spec/suspend").and_then(Value::as_bool) {
            Some(true) => "True".into(),
            Some(false) => "False".into(),
            None => "<unset>".into(),
        }
    }),
    number("Active", |job, _| list(job, "/status/active").len().into()),
    shown("Last Schedule", |job, now| match job.pointer("/status/lastScheduleTime") {
        None | Some(Value::Null) => NONE.into(),
        last => since(last, now).into(),
    }),
    AGE,
    wide("Containers", |job, _| {
        of_containers(job, "/spec/jobTemplate/spec/template/spec/containers", "name").into()
    }),
    wide("Images", |job, _| {
        of_containers(job, "/spec/jobTemplate/spec/template/spec/containers", "image").into()
    }),
    wide("Selector", |job, _| selector(job.pointer("/spec/jobTemplate/spec/selector")).into()),
];

/// The first of these that holds says how a job is. Being deleted stands between the ends and the rest.
fn status(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        let mut conditions = list(job, "/status/conditions").iter();
        let found = conditions.find(|condition| text(condition, "/type") == kind);
        found.is_some_and(|condition| text(condition, "/status") == "True")
    };
    let deleted = !text(job, "/metadata/deletionTimestamp").is_empty();
    let first = |kinds: &[&'static str]| kinds.iter().copied().find(|kind| holds(kind));
    first(&["Complete", "Failed"])
        .or_else(|| deleted.then_some("Terminating"))
        .or_else(|| first(&["Suspended", "FailureTarget", "SuccessCriteriaMet"]))
        .unwrap_or("Running")
}

fn completions(job: &Value) -> String {
    let done = int(job, "/status/succeeded");
    match (job.pointer("/spec/completions").and_then(Value::as_i64), int(job, "/spec/parallelism"))
    {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let at = |pointer| time::parse(text(job, pointer));
    let Some(start) = at("/status/startTime") else { return String::new() };
    time::age(start, at("/status/completionTime").unwrap_or(now))
}
