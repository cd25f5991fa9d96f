//! CronJobs.

use super::*;

fn cron_job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "c" },
        "spec": { "schedule": "*/5 * * * *", "jobTemplate": { "spec": job()["spec"] } },
    })
}

#[test]
fn cron_jobs_get_their_defaults() {
    let new = created(cron_job());
    let mut spec = new["spec"].clone();
    let template = spec["jobTemplate"]["spec"]["template"].take();
    assert_eq!(
        spec,
        json!({
            "concurrencyPolicy": "Allow", "failedJobsHistoryLimit": 1, "schedule": "*/5 * * * *",
            "successfulJobsHistoryLimit": 3, "suspend": false,
            "jobTemplate": { "metadata": {}, "spec": { "template": null } },
        })
    );
    assert_eq!(template["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!((&new["status"], &new["metadata"]["generation"]), (&json!({}), &json!(1)));
    let next = updated(&new, |cron| cron["spec"]["suspend"] = true.into());
    assert_eq!(next["metadata"]["generation"], 2);
    assert_eq!(delete(&new, None), Deletion::Remove);
}

#[test]
fn schedules_and_policies_are_checked() {
    let unknown =
        |name: &str| format!("spec.timeZone: Invalid value: {name:?}: unknown time zone {name}");
    let zoned = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
    check_fields(
        &cron_job(),
        "/spec",
        &[
            (
                json!({ "schedule": "@every 1h", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 10 }),
                &[],
            ),
            (
                json!({ "schedule": "0 2 * * MON-FRI", "timeZone": "Etc/GMT+3", "concurrencyPolicy": "Replace" }),
                &[],
            ),
            (json!({ "schedule": "" }), &["spec.schedule: Required value"]),
            (
                json!({ "schedule": "0 0 *" }),
                &[
                    "spec.schedule: Invalid value: \"0 0 *\": expected exactly 5 fields, found 3: [0 0 *]",
                ],
            ),
            (
                json!({ "schedule": "TZ=UTC 0 0 * * *" }),
                &[&format!("spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": {zoned}")],
            ),
            (
                json!({ "timeZone": "" }),
                &["spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string"],
            ),
            (json!({ "timeZone": "Mars/Olympus" }), &[&unknown("Mars/Olympus")]),
            (json!({ "timeZone": "../etc" }), &[&unknown("../etc")]),
            (
                json!({ "timeZone": "Local" }),
                &[
                    "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
                ],
            ),
            (
                json!({ "concurrencyPolicy": "Odd" }),
                &[
                    "spec.concurrencyPolicy: Unsupported value: \"Odd\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                ],
            ),
            (
                json!({ "startingDeadlineSeconds": -1 }),
                &[&format!("spec.startingDeadlineSeconds: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "successfulJobsHistoryLimit": -1, "failedJobsHistoryLimit": -1 }),
                &[
                    &format!("spec.successfulJobsHistoryLimit: Invalid value: -1: {NEGATIVE}"),
                    &format!("spec.failedJobsHistoryLimit: Invalid value: -1: {NEGATIVE}"),
                ],
            ),
        ],
    );
    let at = "spec.jobTemplate.spec";
    check_fields(
        &cron_job(),
        "/spec/jobTemplate/spec",
        &[
            (
                json!({ "backoffLimit": -1 }),
                &[&format!("{at}.backoffLimit: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "selector": { "matchLabels": { "a": "b" } } }),
                &[&format!(
                    "{at}.selector: Invalid value: {{\"matchLabels\":{{\"a\":\"b\"}}}}: `selector` will be auto-generated"
                )],
            ),
            (
                json!({ "manualSelector": true }),
                &[&format!(
                    "{at}.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""
                )],
            ),
            (
                json!({ "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } }),
                &[&format!(
                    "{at}.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""
                )],
            ),
        ],
    );
    let name = "x".repeat(53);
    check(
        create(with(cron_job(), &[("metadata.name", json!(name))])),
        &[&format!("metadata.name: Invalid value: \"{name}\": must be no more than 52 characters")],
    );
    created(with(cron_job(), &[("metadata.name", json!("x".repeat(52)))]));
}
