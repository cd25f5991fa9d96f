//! Times that come, are missed or forbidden, and jobs that have ended.

use serde_json::{Value, json};

use super::*;

/// A cron job of midnight; `spec` and `status` are laid over that.
fn cron_job(spec: Value, status: Value) -> Arc<CronJob> {
    let rest = json!({"schedule": "*/5 * * * *", "concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 1, "jobTemplate": {"metadata": {"labels": {"a": "b"}},
            "spec": {"template": {"spec": {"containers": []}}}}});
    let object = json!({
        "metadata": {"name": "c", "namespace": "n", "uid": "c", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": leme_meta::patch::merge(&rest, &spec),
        "status": status,
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

/// The job that was due at a minute of the first hour, with a condition if it has ended.
fn job(minute: i64, end: &str) -> Arc<Job> {
    let due = after("2026-01-01T00:00:00Z".parse().unwrap(), minute * 60);
    let name = format!("c-{}", due.as_second() / 60);
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": format!("job{minute}"),
            "annotations": {DUE: due.to_string()},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "c",
                "controller": true}]},
        "status": {"startTime": due.to_string()},
    });
    if !end.is_empty() {
        object["status"]["conditions"] = json!([{"type": end, "status": "True"}]);
        object["status"]["completionTime"] = json!(after(due, 60).to_string());
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn said(cron_job: Arc<CronJob>, jobs: Vec<Arc<Job>>, minute: i64) -> (Vec<String>, Option<u64>) {
    let now = after("2026-01-01T00:00:00Z".parse().unwrap(), minute * 60);
    let plan = plan(&Observed { cron_job: Some(cron_job), jobs }, now);
    let minute_of = |name: &str| name.rsplit('-').next().unwrap().parse::<i64>().unwrap() % 60;
    let actions = plan.actions.iter().map(|action| match action {
        Action::Create { object, .. } => {
            format!("create {}", minute_of(object.text(&["metadata", "name"])))
        }
        Action::Delete { target, .. } => format!("delete {}", minute_of(&target.name)),
        Action::Event { reason, .. } => format!("tell {reason}"),
        Action::Patch { patch, .. } => {
            let active = patch["status"]["active"].as_array().map_or(0, Vec::len);
            let last = patch["status"]["lastScheduleTime"].as_str().unwrap_or("-----------------");
            format!("status {active} {}", last.get(14..16).unwrap_or(""))
        }
        other => format!("{other:?}"),
    });
    let waits = plan.report.waiting.iter().map(|wait| format!("wait {}", wait.reason));
    (actions.chain(waits).collect(), plan.requeue.map(|wait| wait.as_secs()))
}

fn check(spec: Value, status: Value, jobs: Vec<Arc<Job>>, minute: i64, expected: &[&str]) {
    assert_eq!(said(cron_job(spec, status), jobs, minute).0, expected);
}

#[test]
fn a_job_is_started_when_it_is_due_and_once() {
    assert_eq!(said(cron_job(json!({}), json!({})), vec![], 3), (vec![], Some(120)));
    check(json!({}), json!({}), vec![], 5, &["create 5"]);
    check(json!({}), json!({}), vec![job(5, "")], 5, &["status 1 05"]);
    check(json!({}), json!({"lastScheduleTime": "2026-01-01T00:05:00Z"}), vec![], 6, &[]);
    check(json!({}), json!({}), vec![], 58, &["create 55"]);
    check(json!({"suspend": true}), json!({}), vec![], 58, &[]);
    check(
        json!({"schedule": "* * * * *"}),
        json!({}),
        vec![],
        110,
        &["create 50", "wait TooManyMissedTimes"],
    );
    check(json!({"startingDeadlineSeconds": 60}), json!({}), vec![], 8, &[]);
    check(json!({"startingDeadlineSeconds": 600}), json!({}), vec![], 8, &["create 5"]);
    check(
        json!({"schedule": "5 1 * * *", "timeZone": "Europe/Berlin"}),
        json!({}),
        vec![],
        5,
        &["create 5"],
    );
    check(json!({"timeZone": "Nowhere"}), json!({}), vec![], 5, &["wait UnknownTimeZone"]);
    check(json!({"schedule": "x"}), json!({}), vec![], 5, &["wait UnparseableSchedule"]);
}

#[test]
fn what_is_created_says_when_it_was_due() {
    let now = "2026-01-01T00:05:00Z".parse().unwrap();
    let zoned = cron_job(json!({"timeZone": "Europe/Berlin"}), json!({}));
    let plan = plan(&Observed { cron_job: Some(zoned), jobs: vec![] }, now);
    let [Action::Create { object, .. }] = plan.actions.as_slice() else { panic!("{plan:?}") };
    let meta = &object.0["metadata"];
    assert_eq!(meta["name"], "c-29453765");
    assert_eq!(meta["labels"], json!({"a": "b"}));
    assert_eq!(meta["annotations"][DUE], "2026-01-01T01:05:00+01:00");
    assert_eq!(meta["ownerReferences"][0]["uid"], "c");
}

#[test]
fn what_runs_may_forbid_or_be_replaced() {
    let running = json!({"active": [{"name": "c-5", "uid": "job5"}], "lastScheduleTime": "2026-01-01T00:05:00Z"});
    let one = || vec![job(5, "")];
    let policy = |policy: &str| json!({"concurrencyPolicy": policy});
    check(policy("Allow"), running.clone(), one(), 10, &["status 1 05", "create 10"]);
    check(policy("Forbid"), running.clone(), one(), 10, &["status 1 05", "wait JobAlreadyActive"]);
    check(policy("Replace"), running, one(), 10, &["status 0 05", "delete 5", "create 10"]);
}

#[test]
fn what_has_ended_is_told_of_and_goes() {
    let known = json!({"active": [{"uid": "job10"}, {"uid": "lost"}], "lastScheduleTime": "2026-01-01T00:10:00Z"});
    check(
        json!({}),
        known,
        vec![job(10, "Complete"), job(5, "Complete"), job(0, "Failed")],
        12,
        &["status 0 10", "tell SawCompletedJob", "tell MissingJob", "delete 5"],
    );
    let mut foreign = (*job(5, "")).clone();
    foreign.metadata.annotations = None;
    check(
        json!({}),
        json!({"lastScheduleTime": "2026-01-01T00:05:00Z"}),
        vec![Arc::new(foreign)],
        6,
        &["wait UnexpectedJob"],
    );
}
