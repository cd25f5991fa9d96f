//! What may change of them, what is counted, and their subresources.

use super::*;

#[test]
fn selectors_stay_and_of_stateful_sets_most_else() {
    let shown = r#"{"matchLabels":{"c":"d"}}"#;
    for kind in PODS {
        let old = created(workload(kind));
        let result = update(Target::Main, &old, |set| {
            set["spec"]["selector"] = json!({ "matchLabels": { "c": "d" } });
            set["spec"]["template"]["metadata"]["labels"]["c"] = "d".into();
        });
        match kind {
            "StatefulSet" => check(
                result,
                &[
                    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ],
            ),
            _ => check(
                result,
                &[&format!("spec.selector: Invalid value: {shown}: field is immutable")],
            ),
        }
    }
    let old = created(workload("StatefulSet"));
    let new = updated(&old, |set| {
        let spec = &mut set["spec"];
        spec["replicas"] = 3.into();
        spec["ordinals"] = json!({ "start": 1 });
        spec["template"]["spec"]["containers"][0]["image"] = "other".into();
        spec["updateStrategy"] = json!({ "type": "OnDelete" });
        spec["revisionHistoryLimit"] = 2.into();
        spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] = "Delete".into();
        spec["minReadySeconds"] = 5.into();
    });
    assert_eq!(new["metadata"]["generation"], 2);
    for (field, value) in [
        ("serviceName", json!("other")),
        ("podManagementPolicy", json!("Parallel")),
        ("volumeClaimTemplates", json!([{ "metadata": { "name": "d" } }])),
    ] {
        assert!(update(Target::Main, &old, |set| set["spec"][field] = value).is_err(), "{field}");
    }
}

#[test]
fn generations_count_what_is_wanted() {
    for kind in PODS {
        let old = created(workload(kind));
        let new = updated(&old, |set| {
            set["metadata"]["annotations"]["x"] = "y".into();
            set["status"] = json!({ "observedGeneration": 9 });
        });
        let counted = if kind == "Deployment" { 2 } else { 1 };
        assert_eq!(new["metadata"]["generation"], counted, "{kind}");
        assert_eq!(new["status"], old["status"]);
        let new = updated(&old, |set| set["spec"]["minReadySeconds"] = 5.into());
        assert_eq!(new["metadata"]["generation"], 2, "{kind}");
    }
}

#[test]
fn templates_of_daemon_sets_are_counted() {
    const KEY: &str = "deprecated.daemonset.template.generation";
    let old = created(workload("DaemonSet"));
    assert_eq!(old["metadata"]["annotations"][KEY], "1");
    let new = updated(&old, |set| {
        set["metadata"]["annotations"][KEY] = "7".into();
        set["spec"]["minReadySeconds"] = 5.into();
    });
    assert_eq!(new["metadata"]["annotations"][KEY], "1");
    let new = updated(&old, |set| {
        set["metadata"].as_object_mut().expect("map").remove("annotations");
        set["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
    });
    assert_eq!(new["metadata"]["annotations"][KEY], "2");
    let wrong = with(workload("DaemonSet"), &[("metadata.annotations", json!({ KEY: "x" }))]);
    let status = create(wrong).expect_err("refused");
    assert!(
        status.message.ends_with("strconv.ParseInt: parsing \"x\": invalid syntax"),
        "{status}"
    );
}

#[test]
fn statuses_are_checked() {
    let status = |kind: &str, status: Value| {
        let old = created(workload(kind));
        update(Target::Status, &old, |set| set["status"] = status)
    };
    let cases: [(&str, Value, &[&str]); 7] = [
        (
            "Deployment",
            json!({ "replicas": 2, "readyReplicas": 2, "availableReplicas": 1, "terminatingReplicas": 1 }),
            &[],
        ),
        (
            "Deployment",
            json!({ "replicas": 1, "updatedReplicas": 2, "readyReplicas": 0, "availableReplicas": 1 }),
            &[
                "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
            ],
        ),
        (
            "ReplicaSet",
            json!({ "replicas": 1, "fullyLabeledReplicas": 2 }),
            &[
                "status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
            ],
        ),
        (
            "StatefulSet",
            json!({ "replicas": 1, "availableReplicas": 1 }),
            &[
                "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
            ],
        ),
        (
            "StatefulSet",
            json!({ "replicas": 1, "currentReplicas": -1 }),
            &["status.currentReplicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        ("DaemonSet", json!({ "numberReady": 3, "desiredNumberScheduled": 3 }), &[]),
        (
            "DaemonSet",
            json!({ "numberUnavailable": -1 }),
            &["status.numberUnavailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ];
    for (kind, given, errors) in cases {
        match errors {
            [] => assert!(status(kind, given).is_ok(), "{kind}"),
            errors => check(status(kind, given), errors),
        }
    }
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let mut old = created(workload(kind));
        old["status"]["collisionCount"] = 2.into();
        check(
            update(Target::Status, &old, |set| set["status"]["collisionCount"] = 1.into()),
            &["status.collisionCount: Invalid value: 1: cannot be decremented"],
        );
    }
}

#[test]
fn scales_name_the_selector() {
    let selector = json!({
        "matchLabels": { "a": "b" },
        "matchExpressions": [{ "key": "c", "operator": "NotIn", "values": ["e", "d"] }, { "key": "b", "operator": "DoesNotExist" }],
    });
    for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
        let old = created(with(workload(kind), &[("spec.selector", selector.clone())]));
        let strategy = crate::of(row(&old));
        let scale = leme_registry::scale_of(&strategy.scale.expect("scalable"), &old);
        assert_eq!(
            scale["status"],
            json!({ "replicas": 0, "selector": "a=b,!b,c notin (d,e)" }),
            "{kind}"
        );
        assert_eq!(scale["spec"], json!({ "replicas": 1 }));
        let document = json!({ "metadata": { "name": "w" }, "spec": { "replicas": 4 } });
        let numbers = &mut Numbers::default();
        let written = leme_registry::update(
            &context(row(&old), "w"),
            Target::Scale,
            TESTER,
            document,
            (&old, 7),
            numbers,
        );
        let Ok(Write::Put(new)) = written else { panic!("{kind}: {written:?}") };
        assert_eq!(
            (&new["spec"]["replicas"], &new["metadata"]["generation"]),
            (&json!(4), &json!(2))
        );
    }
}

#[test]
fn revisions_stay() {
    let revision = json!({ "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": { "name": "r" },
        "data": { "spec": {} }, "revision": 1 });
    let old = created(revision.clone());
    assert_eq!(updated(&old, |new| new["revision"] = 2.into())["revision"], 2);
    check(
        update(Target::Main, &old, |new| new["data"] = json!({ "x": 1 })),
        &["data: Invalid value: {\"x\":1}: field is immutable"],
    );
    check(
        create(with(revision, &[("data", json!(null)), ("revision", json!(-1))])),
        &[
            "data: Required value: data is mandatory",
            "revision: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn warnings_tell_of_names_and_templates() {
    let warnings = |object: &Value, old: Option<&Value>| (crate::of(row(object)).warn)(object, old);
    for kind in PODS {
        let new = created(with(
            workload(kind),
            &[("spec.template.spec.nodeSelector", json!({ "beta.kubernetes.io/os": "linux" }))],
        ));
        let template = "spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead";
        assert_eq!(warnings(&new, None), [template], "{kind}");
        assert_eq!(warnings(&new, Some(&new)), [""; 0], "{kind}");
    }
    for kind in ["Deployment", "ReplicaSet"] {
        let new = created(with(workload(kind), &[("metadata.name", json!("a.b"))]));
        assert!(
            warnings(&new, None)[0]
                .starts_with("metadata.name: this is used in Pod names and hostnames")
        );
        assert_eq!(warnings(&new, Some(&new)), [""; 0]);
    }
    let new = created(with(workload("StatefulSet"), &[("spec.revisionHistoryLimit", json!(-1))]));
    assert_eq!(
        warnings(&new, None),
        [
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        ],
    );
}
