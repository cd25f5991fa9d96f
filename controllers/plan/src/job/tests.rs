//! Jobs round by round: pods are created, end, are counted once and make the job end.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:01:00Z";

/// A job with uid `job` that started at midnight; `spec` and `status` are laid over that.
fn job(spec: Value, status: Value) -> Value {
    let mut object = json!({
        "metadata": {"name": "pi", "namespace": "n", "uid": "job"},
        "spec": {"parallelism": 2, "completions": 2, "backoffLimit": 6, "completionMode": "NonIndexed",
            "selector": {"matchLabels": {"job": "pi"}},
            "template": {"metadata": {"labels": {"job": "pi"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": "2026-01-01T00:00:00Z"},
    });
    for (part, extra) in [("spec", spec), ("status", status)] {
        object[part] = leme_meta::patch::merge(&object[part], &extra);
    }
    object
}

/// `name phase`, with `!` for one that is being deleted, `-` for one without the finalizer, `@index`, `#failures` and
/// `=code` for its container. Pods end at midnight.
fn pod(text: &str) -> Arc<Pod> {
    let mut words = text.split(' ');
    let name = words.next().unwrap();
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"job": "pi"},
            "annotations": {}, "finalizers": [TRACKING],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "pi", "uid": "job",
                "controller": true}]},
        "spec": {"containers": []},
        "status": {"phase": words.next().unwrap()},
    });
    let mut code = None;
    for word in words {
        let (sign, rest) = word.split_at(1);
        match sign {
            "!" => object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            "-" => object["metadata"]["finalizers"] = json!([]),
            "@" => object["metadata"]["annotations"][INDEX] = json!(rest),
            "#" => object["metadata"]["annotations"][INDEX_FAILURES] = json!(rest),
            "=" => code = rest.parse::<i32>().ok(),
            _ => panic!("{text}"),
        }
    }
    if pods::is_terminal(&serde_json::from_value(object.clone()).unwrap()) {
        object["status"]["containerStatuses"] = json!([{"name": "c", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"terminated": {
                "exitCode": code.unwrap_or(0), "finishedAt": "2026-01-01T00:00:00Z"}}}]);
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn round(job: &Value, pods: &[&str]) -> Plan {
    let job = Some(Arc::new(serde_json::from_value(job.clone()).unwrap()));
    let pods: Vec<Arc<Pod>> = pods.iter().map(|text| pod(text)).collect();
    plan(&Observed { job, tracked: pods.clone(), pods }, NOW.parse().unwrap())
}

/// What a plan does, a line for each action: conditions by type, of the status what is not zero.
fn said(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .map(|action| match action {
            Action::Create { object, .. } => {
                format!("create {}", object.text(&["metadata", "generateName"]))
            }
            Action::Delete { target, .. } => format!("delete {}", target.name),
            Action::Event { reason, .. } => format!("tell {reason}"),
            Action::Patch { subresource: "status", patch, .. } => status(&patch["status"]),
            Action::Patch { target, patch, .. } => {
                assert_eq!(patch["metadata"]["finalizers"], json!([]));
                format!("untrack {}", target.name)
            }
            other => format!("{other:?}"),
        })
        .collect()
}

fn status(status: &Value) -> String {
    let mut out = vec!["status".to_owned()];
    let numbers =
        ["active", "terminating", "succeeded", "failed", "completedIndexes", "failedIndexes"];
    for field in numbers {
        match &status[field] {
            Value::Number(number) if number.as_i64() != Some(0) => {
                out.push(format!("{field}={number}"))
            }
            Value::String(text) => out.push(format!("{field}={text}")),
            _ => {}
        }
    }
    for field in ["succeeded", "failed"] {
        for uid in status["uncountedTerminatedPods"][field].as_array().into_iter().flatten() {
            out.push(format!("{}:{}", &field[..1], uid.as_str().unwrap()));
        }
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let text = |field: &str| condition[field].as_str().unwrap().to_owned();
        out.push(format!("{}={}({})", text("type"), text("status"), text("reason")));
    }
    out.join(" ")
}

fn check(spec: Value, status: Value, pods: &[&str], expected: &[&str]) {
    assert_eq!(said(&round(&job(spec, status), pods)), expected, "{pods:?}");
}

/// The status of the last round, where nothing but the uncounted pods matters.
fn known(extra: Value) -> Value {
    let rest = json!({"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    leme_meta::patch::merge(&rest, &extra)
}

#[test]
fn creates_counts_and_completes() {
    check(json!({}), json!({}), &[], &["status", "create pi-", "create pi-"]);
    check(json!({}), known(json!({"active": 2})), &["a Running", "b Pending"], &[]);
    check(
        json!({}),
        known(json!({"active": 2})),
        &["a Running", "b Succeeded"],
        &["status active=1 s:b", "untrack b"],
    );
    let counting = known(json!({"active": 1, "uncountedTerminatedPods": {"succeeded": ["b"]}}));
    check(json!({}), counting.clone(), &["a Running", "b Succeeded"], &["untrack b"]);
    check(
        json!({}),
        counting.clone(),
        &["a Running", "b Succeeded -"],
        &["status active=1 succeeded=1"],
    );
    check(json!({}), counting, &["a Running"], &["status active=1 succeeded=1"]);
    check(
        json!({}),
        known(json!({"active": 1, "succeeded": 1})),
        &["a Succeeded", "b Succeeded -"],
        &["status succeeded=1 s:a SuccessCriteriaMet=True(CompletionsReached)", "untrack a"],
    );
    let met = json!([{"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached",
        "message": "m"}]);
    let last = known(json!({"succeeded": 1, "uncountedTerminatedPods": {"succeeded": ["a"]},
        "conditions": met}));
    check(
        json!({}),
        last.clone(),
        &["a Succeeded -"],
        &[
            "status succeeded=2 SuccessCriteriaMet=True(CompletionsReached) Complete=True(CompletionsReached)",
            "tell Completed",
        ],
    );
    check(
        json!({}),
        last,
        &["a Succeeded", "b Running !"],
        &[
            "status terminating=1 succeeded=1 s:a f:b \
        SuccessCriteriaMet=True(CompletionsReached)",
            "untrack a",
            "untrack b",
        ],
    );
}

#[test]
fn a_work_queue_ends_when_all_pods_have() {
    let queue = json!({"completions": null, "parallelism": 3});
    check(
        queue.clone(),
        known(json!({"active": 2, "succeeded": 1})),
        &["a Running", "b Running"],
        &[],
    );
    check(
        queue,
        known(json!({"succeeded": 1})),
        &[],
        &[
            "status succeeded=1 SuccessCriteriaMet=True(CompletionsReached) Complete=True(CompletionsReached)",
            "tell Completed",
        ],
    );
}

#[test]
fn surplus_pods_go_without_being_counted() {
    let one = json!({"parallelism": 1, "completions": 5});
    check(
        one,
        known(json!({"active": 2})),
        &["a Running", "b Pending"],
        &["status active=1 terminating=1", "untrack b", "delete b"],
    );
}

#[test]
fn failures_are_made_up_for_later_and_not_for_ever() {
    let failed = round(&job(json!({"completions": 1}), known(json!({"active": 1}))), &["a Failed"]);
    assert_eq!(said(&failed), ["status f:a", "untrack a", "create pi-"], "a minute is enough");
    let early = job(json!({"completions": 1}), known(json!({})));
    let job_seen = Some(Arc::new(serde_json::from_value(early).unwrap()));
    let seen = Observed { job: job_seen, pods: vec![pod("a Failed")], tracked: vec![] };
    let waiting = plan(&seen, "2026-01-01T00:00:04Z".parse().unwrap());
    assert_eq!(said(&waiting), ["status f:a", "untrack a"]);
    assert_eq!(waiting.requeue, Some(Duration::from_secs(6)));

    let none = json!({"backoffLimit": 0});
    check(
        none.clone(),
        known(json!({"active": 2})),
        &["a Failed", "b Running"],
        &[
            "status terminating=1 f:a f:b FailureTarget=True(BackoffLimitExceeded)",
            "untrack a",
            "untrack b",
            "delete b",
        ],
    );
    let target = json!([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded",
        "message": "m"}]);
    let both =
        known(json!({"uncountedTerminatedPods": {"failed": ["a", "b"]}, "conditions": target}));
    check(
        none.clone(),
        both.clone(),
        &["a Failed -", "b Running - !"],
        &["status terminating=1 failed=2 FailureTarget=True(BackoffLimitExceeded)"],
    );
    check(
        none,
        both,
        &["a Failed -"],
        &[
            "status failed=2 FailureTarget=True(BackoffLimitExceeded) Failed=True(BackoffLimitExceeded)",
            "tell BackoffLimitExceeded",
        ],
    );
}

#[test]
fn restarts_of_containers_are_failures() {
    let spec = json!({"backoffLimit": 2, "template": {"spec": {"restartPolicy": "OnFailure"}}});
    let seen = |restarts: i32| {
        let mut one = (*pod("a Running")).clone();
        one.status = serde_json::from_value(json!({"phase": "Running", "containerStatuses": [
            {"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": restarts}]}))
        .unwrap();
        let object = job(spec.clone(), known(json!({"active": 1})));
        let job = Some(Arc::new(serde_json::from_value(object).unwrap()));
        let plan = plan(
            &Observed { job, pods: vec![Arc::new(one)], tracked: vec![] },
            NOW.parse().unwrap(),
        );
        said(&plan).join("; ")
    };
    assert!(!seen(1).contains("FailureTarget"), "{}", seen(1));
    assert!(seen(2).contains("FailureTarget=True(BackoffLimitExceeded)"), "{}", seen(2));
}

#[test]
fn time_runs_out() {
    let seconds = |seconds: i64| json!({"activeDeadlineSeconds": seconds});
    check(
        seconds(60),
        known(json!({"active": 1, "succeeded": 1})),
        &["a Running"],
        &[
            "status terminating=1 succeeded=1 f:a FailureTarget=True(DeadlineExceeded)",
            "untrack a",
            "delete a",
        ],
    );
    let early =
        round(&job(seconds(90), known(json!({"active": 1, "succeeded": 1}))), &["a Running"]);
    assert_eq!((said(&early), early.requeue), (vec![], Some(Duration::from_secs(30))));
    check(
        json!({"activeDeadlineSeconds": 1, "suspend": true}),
        known(
            json!({"conditions": [{"type": "Suspended", "status": "True", "reason": "JobSuspended",
            "message": "Job suspended"}]}),
        ),
        &[],
        &[],
    );
}

#[test]
fn a_suspended_job_has_no_pods_and_no_start() {
    let suspended = round(
        &job(json!({"suspend": true}), known(json!({"active": 2}))),
        &["a Running", "b Running"],
    );
    assert_eq!(
        said(&suspended),
        [
            "status terminating=2 Suspended=True(JobSuspended)",
            "tell Suspended",
            "untrack a",
            "delete a",
            "untrack b",
            "delete b",
        ]
    );
    let Action::Patch { patch, .. } = &suspended.actions[0] else { panic!() };
    assert!(patch["status"]["startTime"].is_null());
    let condition = json!([{"type": "Suspended", "status": "True", "reason": "JobSuspended",
        "message": "Job suspended"}]);
    let resumed =
        round(&job(json!({}), known(json!({"startTime": null, "conditions": condition}))), &[]);
    assert_eq!(
        said(&resumed),
        ["status Suspended=False(JobResumed)", "tell Resumed", "create pi-", "create pi-"]
    );
    let Action::Patch { patch, .. } = &resumed.actions[0] else { panic!() };
    assert_eq!(patch["status"]["startTime"], NOW);
}

#[test]
fn indexed_jobs_have_a_pod_for_each_index() {
    let indexed = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3});
    let first = round(&job(indexed.clone(), json!({})), &["a Running @1", "b Succeeded @0"]);
    assert_eq!(
        said(&first),
        [
            "status active=1 succeeded=1 completedIndexes=0",
            "untrack b",
            "create pi-2-",
            "create pi-3-"
        ]
    );
    let Action::Create { object, .. } = &first.actions[2] else { panic!() };
    assert_eq!(object.0["metadata"]["annotations"][INDEX], "2");
    assert_eq!(object.0["metadata"]["labels"][INDEX], "2");
    assert_eq!(object.0["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(object.0["spec"]["hostname"], "pi-2");
    let env = &object.0["spec"]["containers"][0]["env"][0];
    assert_eq!(env["name"], "JOB_COMPLETION_INDEX");
    assert_eq!(
        env["valueFrom"]["fieldRef"]["fieldPath"],
        "metadata.labels['batch.kubernetes.io/job-completion-index']"
    );
    check(
        indexed.clone(),
        known(json!({"active": 3, "completedIndexes": "0", "succeeded": 1})),
        &["a Running @1", "b Pending @1", "c Running @9", "d Running"],
        &[
            "status active=1 terminating=3 succeeded=1 completedIndexes=0",
            "untrack d",
            "delete d",
            "untrack c",
            "delete c",
            "untrack b",
            "delete b",
        ],
    );
    check(
        indexed,
        known(json!({"completedIndexes": "0-2", "succeeded": 3})),
        &["a Succeeded @3"],
        &[
            "status succeeded=4 completedIndexes=0-3 SuccessCriteriaMet=True(CompletionsReached) \
         Complete=True(CompletionsReached)",
            "tell Completed",
            "untrack a",
        ],
    );
}

#[test]
fn each_index_has_its_own_limit() {
    let limited = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2,
        "backoffLimitPerIndex": 1, "backoffLimit": 1000});
    let again = round(&job(limited.clone(), json!({})), &["a Failed @0 #0", "b Running @1"]);
    assert_eq!(
        said(&again),
        ["status active=1 failedIndexes=", "create pi-0-"],
        "kept until replaced"
    );
    let Action::Create { object, .. } = &again.actions[1] else { panic!() };
    assert_eq!(object.0["metadata"]["annotations"][INDEX_FAILURES], "1");
    let replaced = known(json!({"active": 2, "failedIndexes": ""}));
    check(
        limited.clone(),
        replaced.clone(),
        &["a Failed @0 #0", "c Running @0 #1", "b Running @1"],
        &["status active=2 failedIndexes= f:a", "untrack a"],
    );
    check(
        limited.clone(),
        replaced.clone(),
        &["c Failed @0 #1", "b Running @1"],
        &["status active=1 failedIndexes=0 f:c", "untrack c"],
    );
    check(
        limited.clone(),
        known(json!({"failedIndexes": "0", "failed": 2})),
        &["b Succeeded @1"],
        &[
            "status succeeded=1 failed=2 completedIndexes=1 failedIndexes=0 FailureTarget=True(FailedIndexes) \
           Failed=True(FailedIndexes)",
            "tell FailedIndexes",
            "untrack b",
        ],
    );
    let few = leme_meta::patch::merge(&limited, &json!({"maxFailedIndexes": 0, "completions": 3}));
    check(
        few,
        replaced,
        &["c Failed @0 #1", "b Running @1"],
        &[
            "status terminating=1 failedIndexes=0 f:c f:b FailureTarget=True(MaxFailedIndexesExceeded)",
            "untrack c",
            "untrack b",
            "delete b",
        ],
    );
}

#[test]
fn policies_decide_about_failures() {
    let rule = |action: &str| {
        json!({"podFailurePolicy": {"rules": [{"action": action,
        "onExitCodes": {"operator": "In", "values": [42]}}]}, "completions": 1})
    };
    let failed = round(&job(rule("FailJob"), known(json!({"active": 1}))), &["a Failed =42"]);
    assert_eq!(said(&failed)[0], "status f:a FailureTarget=True(PodFailurePolicy)");
    let Action::Patch { patch, .. } = &failed.actions[0] else { panic!() };
    assert_eq!(
        patch["status"]["conditions"][0]["message"],
        "Container c for pod n/a failed with exit code 42 matching FailJob rule at index 0"
    );
    check(
        rule("FailJob"),
        known(json!({})),
        &["a Failed =1"],
        &["status f:a", "untrack a", "create pi-"],
    );
    check(rule("Ignore"), known(json!({})), &["a Failed =42"], &["untrack a", "create pi-"]);
    check(
        rule("Count"),
        known(json!({})),
        &["a Failed =42"],
        &["status f:a", "untrack a", "create pi-"],
    );
    check(rule("Count"), known(json!({"active": 1})), &["a Running !"], &["status terminating=1"]);
    let enough = json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]}});
    check(
        enough,
        known(json!({"active": 3})),
        &["a Running @0", "b Running @1", "c Succeeded @2"],
        &[
            "status terminating=2 succeeded=1 completedIndexes=2 SuccessCriteriaMet=True(SuccessPolicy)",
            "untrack a",
            "untrack b",
            "untrack c",
            "delete a",
            "delete b",
        ],
    );
}

#[test]
fn a_finished_job_keeps_no_pod_and_goes_when_its_time_is_over() {
    let ended = json!({"conditions": [{"type": "Complete", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:30Z"}]});
    check(json!({"ttlSecondsAfterFinished": 30}), ended.clone(), &[], &["delete pi"]);
    let early = round(&job(json!({"ttlSecondsAfterFinished": 40}), ended.clone()), &[]);
    assert_eq!((said(&early), early.requeue), (vec![], Some(Duration::from_secs(10))));
    check(json!({}), ended, &["a Failed"], &["untrack a"]);
}

#[test]
fn pods_of_a_job_that_is_gone_are_let_go_and_others_managed_by_others() {
    let seen = Observed { job: None, pods: vec![], tracked: vec![pod("a Running")] };
    assert_eq!(said(&plan(&seen, NOW.parse().unwrap())), ["untrack a"]);
    check(json!({"managedBy": "example.com/queue"}), json!({}), &[], &[]);
}

#[test]
fn pods_are_adopted_with_the_finalizer_and_released_without() {
    let change = |edit: &dyn Fn(&mut Pod)| {
        let mut one = (*pod("a Running -")).clone();
        edit(&mut one);
        let job = Some(Arc::new(serde_json::from_value(job(json!({}), json!({}))).unwrap()));
        let seen = Observed { job, pods: vec![Arc::new(one)], tracked: vec![] };
        match plan(&seen, NOW.parse().unwrap()).actions.as_slice() {
            [Action::Patch { patch, .. }] => patch["metadata"].clone(),
            other => panic!("{other:?}"),
        }
    };
    let adopted = change(&|pod| pod.metadata.owner_references = None);
    assert_eq!(adopted["ownerReferences"][0]["uid"], "job");
    assert_eq!(adopted["finalizers"], json!([TRACKING]));
    let released = change(&|pod| {
        pod.metadata.labels = None;
        pod.metadata.finalizers = Some(vec![TRACKING.to_owned(), "a/b".to_owned()]);
    });
    assert_eq!(released, json!({"ownerReferences": [], "finalizers": ["a/b"]}));
}
