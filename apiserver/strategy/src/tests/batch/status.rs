//! Statuses of jobs.

use super::*;

fn conditions(kinds: &[&str]) -> Value {
    kinds.iter().map(|kind| json!({ "type": kind, "status": "True" })).collect()
}

/// The causes of a status on a job that has another one.
fn refused(base: Value, before: Value, status: Value) -> Vec<String> {
    let mut old = created(base);
    old["status"] = before;
    match update(Target::Status, &old, |job| job["status"] = status) {
        Ok(_) => Vec::new(),
        Err(status) => causes(&status),
    }
}

#[test]
fn jobs_come_to_their_ends() {
    let none = [""; 0];
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
    let running = json!({ "startTime": start, "active": 1, "ready": 1 });
    assert_eq!(refused(job(), json!({}), running.clone()), none);
    let done = json!({ "startTime": start, "completionTime": end, "succeeded": 1,
        "conditions": conditions(&["SuccessCriteriaMet", "Complete"]) });
    assert_eq!(refused(job(), running.clone(), done.clone()), none);
    let failed = json!({ "startTime": start, "failed": 1, "conditions": conditions(&["FailureTarget", "Failed"]) });
    assert_eq!(refused(job(), running.clone(), failed.clone()), none);
    assert_eq!(
        refused(
            job(),
            running.clone(),
            with(done.clone(), &[("active", json!(1)), ("completionTime", json!(null))])
        ),
        [
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
        ],
    );
    assert_eq!(
        refused(job(), running.clone(), with(running.clone(), &[("completionTime", json!(end))])),
        [
            "status.completionTime: Invalid value: \"2026-01-01T00:01:00Z\": cannot set completionTime when there is no Complete=True condition"
        ],
    );
    assert_eq!(
        refused(
            job(),
            running.clone(),
            json!({ "startTime": start, "conditions": conditions(&["Failed"]) })
        ),
        [
            "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"
        ],
    );
    assert_eq!(
        refused(
            job(),
            running.clone(),
            with(done.clone(), &[("conditions", conditions(&["Complete"]))])
        ),
        [
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        ],
    );
    assert_eq!(
        refused(job(), json!({}), with(failed.clone(), &[("startTime", json!(null))])),
        ["status.startTime: Required value: startTime is required for finished job"],
    );
    assert_eq!(
        refused(job(), failed.clone(), running.clone()),
        [
            "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
            "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            "status.failed: Invalid value: 0: cannot decrease the failed counter",
        ],
    );
    assert_eq!(
        refused(job(), running.clone(), json!({ "ready": 2, "active": 1 })),
        [
            "status.ready: Invalid value: 2: cannot set more ready pods than active",
            "status.startTime: Required value: startTime cannot be removed for unsuspended job",
        ],
    );
    let twice = json!({ "succeeded": ["a", ""], "failed": ["a"] });
    assert_eq!(
        refused(job(), json!({}), json!({ "uncountedTerminatedPods": twice })),
        [
            "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty",
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
        ],
    );
}

#[test]
fn sets_of_indexes_are_read() {
    let per_index = with(indexed(5), &[("spec.backoffLimitPerIndex", json!(1))]);
    let none = [""; 0];
    let sets =
        |done: &str, failed: &str| json!({ "completedIndexes": done, "failedIndexes": failed });
    assert_eq!(refused(per_index.clone(), json!({}), sets("0,3-4", "1-2")), none);
    assert_eq!(
        refused(per_index.clone(), json!({}), sets("0,3-4", "1-3")),
        [
            "status.failedIndexes: Invalid value: \"1-3\": failedIndexes and completedIndexes overlap at index: 3"
        ],
    );
    assert_eq!(
        refused(per_index, json!({}), sets("9", "x")),
        [
            "status.completedIndexes: Invalid value: \"9\": error parsing completedIndexes: too large index: \"9\"",
            "status.failedIndexes: Invalid value: \"x\": error parsing failedIndexes: cannot convert string to integer for index: \"x\"",
        ],
    );
    assert_eq!(
        refused(job(), json!({}), sets("0", "")),
        [
            "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
            "status.failedIndexes: Invalid value: \"\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ],
    );
}

#[test]
fn a_status_brings_labels_along() {
    let mut old = created(job());
    old["metadata"].as_object_mut().expect("map").remove("labels");
    let written = update(Target::Status, &old, |job| job["status"] = json!({ "active": 1 }));
    let Ok(Write::Put(new)) = written else { panic!("{written:?}") };
    assert_eq!(new["metadata"]["labels"], new["spec"]["template"]["metadata"]["labels"]);
}
