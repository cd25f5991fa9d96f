//! Jobs and CronJobs.

use super::*;

mod cron_job;
mod policies;
mod status;

fn job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "j" },
        "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i:1" }] } } },
    })
}

fn indexed(completions: i64) -> Value {
    with(
        job(),
        &[("spec.completionMode", json!("Indexed")), ("spec.completions", json!(completions))],
    )
}

/// A check of fields of the spec: what is set, and what is wrong then.
type Case<'a> = (Value, &'a [&'a str]);

#[track_caller]
fn check_fields(base: &Value, at: &str, cases: &[Case]) {
    for (fields, errors) in cases {
        let mut object = base.clone();
        let spec = object.pointer_mut(at).expect("spec").as_object_mut().expect("map");
        spec.extend(fields.as_object().expect("fields").clone());
        match (create(object), errors) {
            (Ok(_), []) => {}
            (Err(status), errors) => assert_eq!(causes(&status), *errors, "{fields}"),
            (Ok(_), _) => panic!("{fields} is accepted"),
        }
    }
}

const NEGATIVE: &str = "must be greater than or equal to 0";

#[test]
fn jobs_get_their_defaults_and_a_selector_of_their_own() {
    let new = created(job());
    let mut spec = new["spec"].clone();
    let template = spec["template"].take();
    assert_eq!(
        spec,
        json!({
            "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "manualSelector": false,
            "parallelism": 1, "podReplacementPolicy": "TerminatingOrFailed", "suspend": false,
            "selector": { "matchLabels": { "batch.kubernetes.io/controller-uid": "u" } }, "template": null,
        })
    );
    let labels = json!({
        "batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "job-name": "j",
    });
    assert_eq!(template["metadata"]["labels"], labels);
    assert_eq!((&new["metadata"]["labels"], &new["status"]), (&labels, &json!({})));
    for target in [Target::Main, Target::Status] {
        let bare = |new: &mut Value| new["metadata"]["labels"] = json!({});
        assert_eq!(update(target, &new, bare), Ok(Write::Unchanged));
    }
    assert_eq!(new["metadata"]["generation"], 1);
    assert_eq!(update(Target::Main, &new, |_| {}), Ok(Write::Unchanged));

    let parallel = created(with(job(), &[("spec.parallelism", json!(3))]));
    assert_eq!(parallel["spec"].get("completions"), None);
    let per_index = created(with(indexed(2), &[("spec.backoffLimitPerIndex", json!(1))]));
    assert_eq!(per_index["spec"]["backoffLimit"], i32::MAX);
    let rules = json!({ "rules": [{ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget" }] }] });
    let policy = created(with(job(), &[("spec.podFailurePolicy", rules)]));
    assert_eq!(policy["spec"]["podReplacementPolicy"], "Failed");
    assert_eq!(
        policy["spec"]["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"],
        "True"
    );
}

#[test]
fn a_selector_may_be_the_authors() {
    let manual = with(
        job(),
        &[
            ("spec.manualSelector", json!(true)),
            ("spec.selector", json!({ "matchLabels": { "a": "b" } })),
            ("spec.template.metadata", json!({ "labels": { "a": "b" } })),
        ],
    );
    let new = created(manual.clone());
    assert_eq!(new["spec"]["selector"], json!({ "matchLabels": { "a": "b" } }));
    assert_eq!(new["spec"]["template"]["metadata"]["labels"], json!({ "a": "b" }));
    let mismatch = "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`";
    check(
        create(with(manual.clone(), &[("spec.selector", json!({ "matchLabels": { "a": "c" } }))])),
        &[mismatch],
    );
    check(
        create(with(manual, &[("spec.selector", json!(null))])),
        &["spec.selector: Required value", mismatch],
    );
    let labels = json!({ "labels": { "controller-uid": "other" } });
    let shown = r#"{"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"other","job-name":"j"}"#;
    check(
        create(with(job(), &[("spec.template.metadata", labels)])),
        &[&format!(
            "spec.template.metadata.labels[controller-uid]: Invalid value: {shown}: must be 'u'"
        )],
    );
    let selector = json!({ "matchLabels": { "a": "b" } });
    let status = create(with(job(), &[("spec.selector", selector)])).expect_err("refused");
    assert!(causes(&status)[0].ends_with("`selector` not auto-generated"), "{status}");
}

#[test]
fn limits_of_jobs_are_checked() {
    check_fields(
        &job(),
        "/spec",
        &[
            (
                json!({ "managedBy": "acme.io/foo", "ttlSecondsAfterFinished": 0, "activeDeadlineSeconds": 5 }),
                &[],
            ),
            (
                json!({ "parallelism": -1 }),
                &[&format!("spec.parallelism: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "completions": -1 }),
                &[&format!("spec.completions: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "backoffLimit": -1 }),
                &[&format!("spec.backoffLimit: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "ttlSecondsAfterFinished": -1 }),
                &[&format!("spec.ttlSecondsAfterFinished: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "activeDeadlineSeconds": -1 }),
                &[&format!("spec.activeDeadlineSeconds: Invalid value: -1: {NEGATIVE}")],
            ),
            (
                json!({ "completionMode": "Odd" }),
                &[
                    "spec.completionMode: Unsupported value: \"Odd\": supported values: \"NonIndexed\", \"Indexed\"",
                ],
            ),
            (
                json!({ "backoffLimitPerIndex": 1 }),
                &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
            ),
            (
                json!({ "maxFailedIndexes": 1 }),
                &[
                    "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                    "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
                ],
            ),
            (
                json!({ "managedBy": "me" }),
                &[
                    "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                ],
            ),
            (
                json!({ "managedBy": format!("acme.io/{}", "x".repeat(60)) }),
                &["spec.managedBy: Too long: may not be more than 63 bytes"],
            ),
            (
                json!({ "podReplacementPolicy": "Odd" }),
                &[
                    "spec.podReplacementPolicy: Unsupported value: \"Odd\": supported values: \"Failed\", \"TerminatingOrFailed\"",
                ],
            ),
        ],
    );
    let template =
        |policy: &str| with(job(), &[("spec.template.spec.restartPolicy", json!(policy))]);
    created(template("OnFailure"));
    check(
        create(template("Always")),
        &[
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ],
    );
}

#[test]
fn limits_of_indexed_jobs_are_checked() {
    check_fields(
        &indexed(3),
        "/spec",
        &[
            (json!({ "backoffLimitPerIndex": 1, "maxFailedIndexes": 3 }), &[]),
            (
                json!({ "completions": null, "parallelism": 2 }),
                &["spec.completions: Required value: when completion mode is Indexed"],
            ),
            (
                json!({ "parallelism": 100_001 }),
                &[
                    "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
                ],
            ),
            (
                json!({ "backoffLimitPerIndex": 1, "maxFailedIndexes": 4 }),
                &[
                    "spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions",
                ],
            ),
            (
                json!({ "backoffLimitPerIndex": 1, "completions": 100_001 }),
                &[
                    "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
                ],
            ),
            (
                json!({ "backoffLimitPerIndex": 1, "completions": 100_001, "maxFailedIndexes": 10_001 }),
                &[
                    "spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
                ],
            ),
        ],
    );
    let name = "x".repeat(62);
    check(
        create(with(indexed(3), &[("metadata.name", json!(name))])),
        &[&format!(
            "metadata.name: Invalid value: \"{name}\": will not able to create pod with invalid DNS label: {name}-2"
        )],
    );
}

#[test]
fn most_of_a_job_stays() {
    let old = created(with(indexed(2), &[("spec.parallelism", json!(2))]));
    updated(&old, |job| {
        let spec = &mut job["spec"];
        spec["backoffLimit"] = 1.into();
        spec["activeDeadlineSeconds"] = 5.into();
        spec["suspend"] = true.into();
        spec["ttlSecondsAfterFinished"] = 9.into();
    });
    updated(&old, |job| {
        job["spec"]["completions"] = 3.into();
        job["spec"]["parallelism"] = 3.into();
    });
    let tandem = "can only be modified in tandem with spec.parallelism";
    let cases = [
        ("completions", json!(3), format!("spec.completions: Invalid value: 3: {tandem}")),
        (
            "managedBy",
            json!("a.io/b"),
            "spec.managedBy: Invalid value: \"a.io/b\": field is immutable".to_owned(),
        ),
        (
            "backoffLimitPerIndex",
            json!(1),
            "spec.backoffLimitPerIndex: Invalid value: 1: field is immutable".to_owned(),
        ),
    ];
    for (field, value, error) in cases {
        check(update(Target::Main, &old, |job| job["spec"][field] = value), &[&error]);
    }
    let plain = created(job());
    check(
        update(Target::Main, &plain, |job| job["spec"]["completions"] = 3.into()),
        &["spec.completions: Invalid value: 3: field is immutable"],
    );
    let changed = update(Target::Main, &plain, |job| {
        job["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    });
    let causes = causes(&changed.expect_err("refused"));
    assert!(
        causes[0].starts_with("spec.template: Invalid value: {")
            && causes[0].ends_with(": field is immutable")
    );
}

#[test]
fn placement_of_a_suspended_job_may_change() {
    let place = |job: &mut Value| {
        let template = &mut job["spec"]["template"];
        template["metadata"]["annotations"] = json!({ "a": "b" });
        template["metadata"]["labels"]["a"] = "b".into();
        let spec = &mut template["spec"];
        spec["nodeSelector"] = json!({ "a": "b" });
        spec["tolerations"] = json!([{ "key": "a", "operator": "Exists" }]);
        spec["schedulingGates"] = json!([{ "name": "a.b/c" }]);
        spec["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "a", "operator": "Exists" }] }] } } });
        spec["containers"][0]["resources"] = json!({ "limits": { "cpu": "1" } });
    };
    let running = created(job());
    let suspended = created(with(job(), &[("spec.suspend", json!(true))]));
    updated(&suspended, place);
    // And back again.
    let placed = updated(&suspended, place);
    updated(&placed, |job| {
        job["spec"]["template"]["spec"].as_object_mut().expect("map").remove("affinity");
    });
    assert!(update(Target::Main, &running, place).is_err());
    let started = with(suspended.clone(), &[("status.startTime", json!("2026-01-01T00:00:00Z"))]);
    assert!(update(Target::Main, &started, place).is_err());
    let marked = json!([{ "type": "Suspended", "status": "True" }]);
    let stopped = with(started, &[("status.conditions", marked)]);
    updated(&stopped, place);
    assert!(update(Target::Main, &with(stopped, &[("status.active", json!(1))]), place).is_err());
    let anti = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "k", "labelSelector": { "matchLabels": { "a": "b" } } }] } });
    assert!(
        update(Target::Main, &suspended, |job| job["spec"]["template"]["spec"]["affinity"] = anti)
            .is_err()
    );
    assert!(
        update(Target::Main, &suspended, |job| {
            job["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
        })
        .is_err()
    );
}

#[test]
fn jobs_warn_of_names_and_many_indexes() {
    let warnings = |object: &Value, old: Option<&Value>| (crate::of(row(object)).warn)(object, old);
    let new = created(with(job(), &[("metadata.name", json!("a.b"))]));
    assert!(
        warnings(&new, None)[0]
            .starts_with("metadata.name: this is used in Pod names and hostnames")
    );
    assert_eq!(warnings(&new, Some(&new)), [""; 0]);
    let many = created(with(indexed(100_001), &[("spec.parallelism", json!(10_001))]));
    let text = warnings(&many, None);
    assert!(
        text[0].starts_with("spec: In Indexed Jobs with a number of completions higher than 10^5"),
        "{text:?}"
    );
}

#[test]
fn pods_of_a_deleted_job_stay_unless_asked() {
    let Deletion::Mark(marked) = delete(&created(job()), None) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["finalizers"], json!(["orphan"]));
}
