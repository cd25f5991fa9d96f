//! Deployments, ReplicaSets, StatefulSets, DaemonSets and ControllerRevisions.

use super::*;

mod changes;
mod stateful_set;

fn workload(kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "w" },
        "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": pod()["spec"] },
        },
    })
}

const PODS: [&str; 4] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"];

/// A check of one field of the spec: its path, a value, and what is wrong with it.
type Case<'a> = (&'a str, Value, &'a [&'a str]);

#[track_caller]
fn check_spec(kind: &str, cases: &[Case]) {
    for (path, value, errors) in cases {
        let result = create(with(workload(kind), &[(&format!("spec.{path}"), value.clone())]));
        match errors {
            [] => {
                result.unwrap_or_else(|status| panic!("{kind} {path}: {status}"));
            }
            errors => {
                let status = result.err().unwrap_or_else(|| panic!("{kind} {path} is accepted"));
                assert_eq!(causes(&status), *errors, "{kind} {path}");
            }
        }
    }
}

#[test]
fn deployments_get_their_defaults() {
    let new = created(workload("Deployment"));
    let mut spec = new["spec"].clone();
    let template = spec["template"].take();
    assert_eq!(
        spec,
        json!({
            "replicas": 1, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10,
            "selector": { "matchLabels": { "a": "b" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "template": null,
        })
    );
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 30);
    assert_eq!((&new["status"], &new["metadata"]["generation"]), (&json!({}), &json!(1)));
    let recreate =
        with(workload("Deployment"), &[("spec.strategy", json!({ "type": "Recreate" }))]);
    assert_eq!(created(recreate)["spec"]["strategy"], json!({ "type": "Recreate" }));
}

#[test]
fn the_others_get_their_defaults() {
    let set = created(workload("ReplicaSet"));
    assert_eq!((&set["spec"]["replicas"], &set["status"]), (&json!(1), &json!({ "replicas": 0 })));

    let set = created(workload("DaemonSet"));
    let rolling =
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
    assert_eq!(set["spec"]["updateStrategy"], rolling);
    assert_eq!(set["spec"]["revisionHistoryLimit"], 10);
    let none = json!({ "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0 });
    assert_eq!(set["status"], none);

    let claim = json!({ "metadata": { "name": "data" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1024Mi" } } } });
    let set = created(with(
        workload("StatefulSet"),
        &[
            ("spec.volumeClaimTemplates", json!([claim])),
            (
                "spec.template.spec.containers.0.volumeMounts",
                json!([{ "name": "data", "mountPath": "/d" }]),
            ),
        ],
    ));
    let mut spec = set["spec"].clone();
    spec["template"].take();
    assert_eq!(
        spec,
        json!({
            "podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": 10, "serviceName": "",
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "selector": { "matchLabels": { "a": "b" } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "partition": 0 } },
            "template": null,
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data" },
                "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
                    "volumeMode": "Filesystem" },
                "status": { "phase": "Pending" },
            }],
        })
    );
    assert_eq!(set["status"], json!({ "availableReplicas": 0, "replicas": 0 }));
    // A strategy that is stated is left as it is stated.
    let stated = with(
        workload("StatefulSet"),
        &[("spec.updateStrategy", json!({ "type": "RollingUpdate" }))],
    );
    assert_eq!(created(stated)["spec"]["updateStrategy"], json!({ "type": "RollingUpdate" }));
}

#[test]
fn selectors_select_something_and_match_the_template() {
    let mismatch = "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`";
    for (kind, name) in [
        ("Deployment", "deployment"),
        ("ReplicaSet", "deployment"),
        ("StatefulSet", "statefulset"),
        ("DaemonSet", "daemonset"),
    ] {
        let empty =
            format!("spec.selector: Invalid value: {{}}: empty selector is invalid for {name}");
        check_spec(
            kind,
            &[
                ("selector", json!({}), &[&empty]),
                ("selector", json!({ "matchLabels": { "a": "c" } }), &[mismatch]),
                (
                    "selector",
                    json!({ "matchExpressions": [{ "key": "a", "operator": "In", "values": ["b", "c"] }] }),
                    &[],
                ),
                (
                    "selector",
                    json!({ "matchExpressions": [{ "key": "a", "operator": "DoesNotExist" }] }),
                    &[mismatch],
                ),
            ],
        );
    }
    for kind in ["Deployment", "ReplicaSet", "StatefulSet"] {
        check_spec(
            kind,
            &[("selector", json!(null), &["spec.selector: Required value", mismatch])],
        );
    }
    check_spec("DaemonSet", &[("selector", json!(null), &[mismatch])]);
    let unknown = json!({ "matchExpressions": [{ "key": "a", "operator": "Is" }] });
    let shown = r#"{"matchExpressions":[{"key":"a","operator":"Is"}]}"#;
    let operator = "spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator";
    check_spec(
        "Deployment",
        &[(
            "selector",
            unknown.clone(),
            &[operator, &format!("spec.selector: Invalid value: {shown}: invalid label selector")],
        )],
    );
    check_spec(
        "StatefulSet",
        &[("selector", unknown, &[operator, &format!("spec.selector: Invalid value: {shown}")])],
    );
}

#[test]
fn pods_go_on_for_ever() {
    for (kind, name) in [
        ("Deployment", "ReplicaSet"),
        ("ReplicaSet", "ReplicaSet"),
        ("StatefulSet", "StatefulSet"),
        ("DaemonSet", "DaemonSet"),
    ] {
        let deadline = format!(
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {name} is not Supported"
        );
        check_spec(
            kind,
            &[
                (
                    "template.spec.restartPolicy",
                    json!("Never"),
                    &[
                        "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
                    ],
                ),
                ("template.spec.activeDeadlineSeconds", json!(5), &[&deadline]),
                (
                    "template.spec.containers.0.image",
                    json!(""),
                    &["spec.template.spec.containers[0].image: Required value"],
                ),
                (
                    "minReadySeconds",
                    json!(-1),
                    &[
                        "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                    ],
                ),
            ],
        );
    }
}

#[test]
fn strategies_of_deployments_are_checked() {
    let at = "spec.strategy.rollingUpdate";
    let rolling = |unavailable: Value, surge: Value| json!({ "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } });
    let percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    check_spec(
        "Deployment",
        &[
            ("strategy", rolling(json!(0), json!("1%")), &[]),
            ("strategy", rolling(json!("100%"), json!("200%")), &[]),
            (
                "strategy",
                rolling(json!(0), json!(0)),
                &[&format!(
                    "{at}.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"
                )],
            ),
            (
                "strategy",
                rolling(json!("0%"), json!(0)),
                &[&format!(
                    "{at}.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0"
                )],
            ),
            (
                "strategy",
                rolling(json!("101%"), json!(0)),
                &[&format!(
                    "{at}.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%"
                )],
            ),
            (
                "strategy",
                rolling(json!(1), json!("x")),
                &[&format!("{at}.maxSurge: Invalid value: \"x\": {percent}")],
            ),
            (
                "strategy",
                rolling(json!(1), json!(-1)),
                &[&format!("{at}.maxSurge: Invalid value: -1: must be greater than or equal to 0")],
            ),
            (
                "strategy",
                json!({ "type": "Recreate", "rollingUpdate": {} }),
                &[&format!(
                    "{at}: Forbidden: may not be specified when strategy `type` is 'Recreate'"
                )],
            ),
            (
                "strategy",
                json!({ "type": "Blue" }),
                &[
                    "spec.strategy: Unsupported value: {\"Type\":\"Blue\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
                ],
            ),
            (
                "progressDeadlineSeconds",
                json!(0),
                &[
                    "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds",
                ],
            ),
            (
                "revisionHistoryLimit",
                json!(-1),
                &[
                    "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
                ],
            ),
            (
                "replicas",
                json!(-1),
                &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
        ],
    );
}

#[test]
fn strategies_of_daemon_sets_set_one_limit() {
    let at = "spec.updateStrategy.rollingUpdate";
    let rolling = |unavailable: Value, surge: Value| json!({ "rollingUpdate": { "maxUnavailable": unavailable, "maxSurge": surge } });
    check_spec(
        "DaemonSet",
        &[
            ("updateStrategy", rolling(json!(0), json!("10%")), &[]),
            ("updateStrategy", json!({ "type": "OnDelete" }), &[]),
            (
                "updateStrategy",
                rolling(json!(0), json!(0)),
                &[&format!("{at}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0")],
            ),
            (
                "updateStrategy",
                rolling(json!(1), json!("5%")),
                &[&format!(
                    "{at}.maxSurge: Invalid value: \"5%\": may not be set when maxUnavailable is non-zero"
                )],
            ),
            (
                "updateStrategy",
                rolling(json!(0), json!("101%")),
                &[&format!(
                    "{at}.maxSurge: Invalid value: \"101%\": must not be greater than 100%"
                )],
            ),
            (
                "updateStrategy",
                json!({ "type": "Blue" }),
                &[
                    "spec.updateStrategy: Unsupported value: {\"Type\":\"Blue\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"",
                ],
            ),
        ],
    );
}
