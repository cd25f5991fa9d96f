//! Containers that are added to a pod: `ephemeralcontainers`, and what every other way may not do.

use super::*;

fn debugger() -> Value {
    json!({ "name": "d", "image": "busybox:1", "targetContainerName": "c", "stdin": true, "tty": true })
}

/// A pod as it is stored, changed so.
fn stored(changes: &[(&str, Value)]) -> Value {
    with(created(pod()), changes)
}

fn added(old: &Value, containers: Value) -> Result<Write, Status> {
    update(Target::EphemeralContainers, old, |new| new["spec"]["ephemeralContainers"] = containers)
}

#[track_caller]
fn put(write: Result<Write, Status>) -> Value {
    match write {
        Ok(Write::Put(new)) => new,
        other => panic!("not a put: {other:?}"),
    }
}

// Red when there is no such target: the path was not served.
#[test]
fn a_container_is_added_completed_and_counted() {
    let old = stored(&[]);
    let new = put(added(&old, json!([debugger()])));
    assert_eq!(
        new["spec"]["ephemeralContainers"],
        json!([{
            "name": "d", "image": "busybox:1", "targetContainerName": "c", "stdin": true, "tty": true,
            "imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }])
    );
    assert_eq!(
        (&old["metadata"]["generation"], &new["metadata"]["generation"]),
        (&json!(1), &json!(2))
    );
    let again = put(added(
        &new,
        json!([new["spec"]["ephemeralContainers"][0], { "name": "e", "image": "i" }]),
    ));
    assert_eq!(again["metadata"]["generation"], 3);
    assert_eq!(update(Target::EphemeralContainers, &again, |_| {}), Ok(Write::Unchanged));
}

#[test]
fn nothing_else_of_the_pod_changes_and_nobody_comes_to_own_it() {
    let old = stored(&[("status.phase", json!("Running"))]);
    let change = |new: &mut Value| {
        new["spec"]["ephemeralContainers"] = json!([debugger()]);
        new["spec"]["containers"][0]["image"] = json!("other");
        new["spec"]["nodeName"] = json!("n");
        new["status"]["phase"] = json!("Failed");
        new["metadata"]["labels"] = json!({ "a": "b" });
        new["metadata"]["annotations"] = json!({ "a": "b" });
        new["metadata"]["finalizers"] = json!(["a/b"]);
        new["metadata"]["ownerReferences"] = json!([]);
    };
    let name = "p";
    let mut body = with(old.clone(), &[("metadata.resourceVersion", json!("7"))]);
    change(&mut body);
    let mut owned = old.clone();
    owned["metadata"]["managedFields"] = json!([{
        "manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:spec": { "f:nodeName": {} } },
    }]);
    let context = context(row(&old), name);
    let write = leme_registry::update(
        &context,
        Target::EphemeralContainers,
        TESTER,
        body,
        (&owned, 7),
        &mut Numbers::default(),
    );
    let mut new = put(write);
    leme_meta::managed::show(&mut new);
    let list = new["metadata"]["managedFields"].as_array().expect("a list");
    let own = list.iter().find(|entry| entry["manager"] == "tester").expect("an entry");
    assert_eq!(own["subresource"], "ephemeralcontainers");
    let fields: Vec<&String> = own["fieldsV1"].as_object().expect("fields").keys().collect();
    assert_eq!(fields, ["f:spec"]);
    let fields: Vec<&String> =
        own["fieldsV1"]["f:spec"].as_object().expect("fields").keys().collect();
    assert_eq!(fields, ["f:ephemeralContainers"]);
    let mut expected = old;
    expected["spec"]["ephemeralContainers"] = new["spec"]["ephemeralContainers"].clone();
    expected["metadata"]["generation"] = json!(2);
    assert_eq!(unowned(new), expected);
}

#[test]
fn what_was_added_stays_as_it_is() {
    let old = put(added(&stored(&[]), json!([debugger(), { "name": "e", "image": "i" }])));
    let all = old["spec"]["ephemeralContainers"].clone();
    let at = "spec.ephemeralContainers: Forbidden: existing ephemeral containers";
    let removed = format!("{at} \"d\" may not be removed\n");
    check(added(&old, json!([all[1]])), &[&removed]);
    check(added(&old, json!([])), &[&removed, &format!("{at} \"e\" may not be removed\n")]);
    let mut changed = all.clone();
    changed[1]["image"] = json!("j");
    check(added(&old, changed), &[&format!("{at} \"e\" may not be changed")]);
    // A patch does not keep the order.
    let turned = put(added(&old, json!([all[1], all[0]])));
    assert_eq!(turned["spec"]["ephemeralContainers"], json!([all[1], all[0]]));
}

#[test]
fn what_it_may_not_have_is_refused_by_name() {
    let refused = |field: &str, value: Value| {
        let mut one = debugger();
        one[field] = value;
        let at = format!(
            "spec.ephemeralContainers[0].{field}: Forbidden: cannot be set for an Ephemeral Container"
        );
        check(added(&stored(&[]), json!([one])), &[&at]);
    };
    let probe = json!({ "tcpSocket": { "port": 1 } });
    for (field, value) in [
        ("ports", json!([{ "containerPort": 80 }])),
        ("resources", json!({ "limits": { "cpu": "1" } })),
        ("resizePolicy", json!([{ "resourceName": "cpu", "restartPolicy": "NotRequired" }])),
        ("restartPolicy", json!("Always")),
        ("livenessProbe", probe.clone()),
        ("readinessProbe", probe.clone()),
        ("startupProbe", probe),
        ("lifecycle", json!({ "preStop": { "exec": { "command": ["x"] } } })),
    ] {
        refused(field, value);
    }
    let old = stored(&[("spec.volumes", json!([{ "name": "v", "emptyDir": {} }]))]);
    let mut one = debugger();
    one["volumeMounts"] = json!([
        { "name": "v", "mountPath": "/a" },
        { "name": "v", "mountPath": "/b", "subPath": "s" },
        { "name": "v", "mountPath": "/c", "subPathExpr": "s" },
    ]);
    let at = |field: &str| {
        format!(
            "spec.ephemeralContainers[0].volumeMounts{field}: Forbidden: cannot be set for an Ephemeral Container"
        )
    };
    check(added(&old, json!([one])), &[&at("[1].subPath"), &at("[2].subPathExpr")]);
}

#[test]
fn names_are_unique_and_targets_are_there() {
    let old =
        created(with(pod(), &[("spec.initContainers", json!([{ "name": "i", "image": "x:1" }]))]));
    check(
        added(
            &old,
            json!([
                { "name": "c", "image": "x" },
                { "name": "i", "image": "x" },
                { "name": "d", "image": "x", "targetContainerName": "c" },
                { "name": "d", "image": "x", "targetContainerName": "i" },
                { "name": "e", "image": "x", "targetContainerName": "d" },
                { "name": "F", "image": "" },
            ]),
        ),
        &[
            "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
            "spec.ephemeralContainers[1].name: Duplicate value: \"i\"",
            "spec.ephemeralContainers[3].name: Duplicate value: \"d\"",
            "spec.ephemeralContainers[4].targetContainerName: Not found: \"d\"",
            "spec.ephemeralContainers[5].name: Invalid value: \"F\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            "spec.ephemeralContainers[5].image: Required value",
        ],
    );
}

#[test]
fn a_static_pod_takes_none() {
    let mirror = json!({ "kubernetes.io/config.mirror": "x" });
    let old = stored(&[("metadata.annotations", mirror)]);
    check(
        added(&old, json!([debugger()])),
        &["[]: Forbidden: static pods do not support ephemeral containers"],
    );
}

#[test]
fn other_ways_leave_them_alone() {
    let old = put(added(&stored(&[]), json!([debugger()])));
    let only = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    check(
        update(Target::Main, &old, |new| read::remove(&mut new["spec"], "ephemeralContainers")),
        &[only],
    );
    let no_status = update(Target::Status, &old, |new| {
        read::remove(&mut new["spec"], "ephemeralContainers");
    });
    assert_eq!(no_status, Ok(Write::Unchanged));
}

#[test]
fn one_that_has_ended_stays_ended() {
    let status = |state: Value| json!([{ "name": "d", "state": state }]);
    let ended = json!({ "terminated": { "exitCode": 1 } });
    let old = stored(&[("status.ephemeralContainerStatuses", status(ended))]);
    let to = |state: Value| {
        update(Target::Status, &old, |new| {
            new["status"]["ephemeralContainerStatuses"] = status(state);
        })
    };
    assert!(to(json!({ "terminated": { "exitCode": 2 } })).is_ok());
    check(
        to(json!({ "running": {} })),
        &[
            "status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
        ],
    );
}

// Red when `generation` is absent: nobody could tell which spec a status is about.
#[test]
fn changes_of_the_spec_are_counted_and_a_status_keeps_what_it_is_of() {
    let old = created(with(pod(), &[("metadata.generation", json!(100))]));
    assert_eq!(old["metadata"]["generation"], 1);
    let labelled = updated(&old, |new| new["metadata"]["labels"] = json!({ "a": "b" }));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed = updated(&old, |new| new["spec"]["containers"][0]["image"] = json!("other"));
    assert_eq!(changed["metadata"]["generation"], 2);
    let said = stored(&[(
        "status",
        json!({
            "phase": "Running", "qosClass": "BestEffort", "observedGeneration": 3,
            "conditions": [{ "type": "Ready", "status": "True", "observedGeneration": 3 }],
        }),
    )]);
    let unsaid = put(update(Target::Status, &said, |new| {
        read::remove(&mut new["status"], "observedGeneration");
        new["status"]["conditions"] =
            json!([{ "type": "Ready", "status": "False" }, { "type": "x/y", "status": "True" }]);
    }));
    assert_eq!(unsaid["status"]["observedGeneration"], 3);
    let of = |index: usize| unsaid["status"]["conditions"][index].get("observedGeneration");
    assert_eq!((of(0), of(1)), (Some(&json!(3)), None));
}
