//! HorizontalPodAutoscalers, and what becomes of them in version 1.

use super::*;
use crate::autoscaling::convert::{to_v1, to_v2};

fn scaler(fields: Value) -> Value {
    let mut scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "w" }, "maxReplicas": 5 },
    });
    scaler["spec"].as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
    scaler
}

fn metrics(metric: Value) -> Value {
    json!({ "metrics": [metric] })
}

#[test]
fn autoscalers_get_their_defaults() {
    let new = created(scaler(json!({})));
    let cpu = json!([{ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }]);
    assert_eq!((&new["spec"]["minReplicas"], &new["spec"]["metrics"]), (&json!(1), &cpu));
    assert_eq!(new["spec"].get("behavior"), None);
    assert_eq!(new["metadata"].get("generation"), None);
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
    let new = created(scaler(json!({ "behavior": {} })));
    assert_eq!(
        new["spec"]["behavior"],
        json!({
            "scaleUp": { "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent] },
            "scaleDown": { "selectPolicy": "Max", "policies": [percent] },
        })
    );
    let given = json!({ "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60, "tolerance": "0.05",
        "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 60 }] } } });
    let down = created(scaler(given))["spec"]["behavior"]["scaleDown"].clone();
    assert_eq!(
        (&down["stabilizationWindowSeconds"], &down["tolerance"]),
        (&json!(60), &json!("50m"))
    );
    assert_eq!(down["policies"], json!([{ "type": "Pods", "value": 1, "periodSeconds": 60 }]));
}

#[test]
fn bounds_and_targets_are_checked() {
    let target = |target: Value| json!({ "scaleTargetRef": target });
    let cases: [(Value, &[&str]); 11] = [
        (json!({ "minReplicas": 2, "maxReplicas": 2 }), &[]),
        (target(json!({ "apiVersion": "v1", "kind": "ReplicationController", "name": "w" })), &[]),
        (
            json!({ "minReplicas": 0 }),
            &[
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
            ],
        ),
        (
            json!({ "minReplicas": 6 }),
            &["spec.maxReplicas: Invalid value: 5: must be greater than or equal to `minReplicas`"],
        ),
        (
            json!({ "maxReplicas": -1 }),
            &[
                "spec.maxReplicas: Invalid value: -1: must be greater than 0",
                "spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
            ],
        ),
        (
            target(json!({ "apiVersion": "apps/v1" })),
            &[
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
            ],
        ),
        (
            target(json!({ "apiVersion": "v1", "kind": "Deployment", "name": "w" })),
            &[
                "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
            ],
        ),
        (
            target(json!({ "apiVersion": "a/b/c", "kind": "A", "name": "w" })),
            &[
                "spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            ],
        ),
        (
            target(json!({ "apiVersion": "a/b", "kind": "A/B", "name": "w" })),
            &["spec.scaleTargetRef.kind: Invalid value: \"A/B\": may not contain '/'"],
        ),
        (
            json!({ "behavior": { "scaleUp": { "stabilizationWindowSeconds": 3601, "selectPolicy": "Odd", "tolerance": "-1" } } }),
            &[
                "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Odd\": supported values: \"Disabled\", \"Max\", \"Min\"",
                "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0",
            ],
        ),
        (
            json!({ "behavior": { "scaleDown": { "stabilizationWindowSeconds": -1, "policies": [{ "type": "A", "value": 0, "periodSeconds": 1801 }] } } }),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
                "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"A\": supported values: \"Percent\", \"Pods\"",
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            ],
        ),
    ];
    for (fields, errors) in cases {
        match errors {
            [] => {
                created(scaler(fields));
            }
            errors => check(create(scaler(fields)), errors),
        }
    }
}

#[test]
fn metrics_are_checked() {
    let at = "spec.metrics[0]";
    let types = "\"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"";
    let resource = |target: Value| {
        metrics(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }))
    };
    let object = |target: Value| {
        let described = json!({ "apiVersion": "v1", "kind": "Service", "name": "s" });
        metrics(
            json!({ "type": "Object", "object": { "describedObject": described, "metric": { "name": "m" }, "target": target } }),
        )
    };
    let unknown = format!("{at}.type: Unsupported value: \"A\": supported values: {types}");
    let cases: [(Value, &[&str]); 14] = [
        (resource(json!({ "type": "AverageValue", "averageValue": "100Mi" })), &[]),
        (object(json!({ "type": "Value", "value": "10" })), &[]),
        (
            metrics(
                json!({ "type": "Pods", "pods": { "metric": { "name": "m" }, "target": { "type": "AverageValue", "averageValue": "1k" } } }),
            ),
            &[],
        ),
        (
            metrics(
                json!({ "type": "External", "external": { "metric": { "name": "m", "selector": { "matchLabels": { "a": "b" } } },
            "target": { "type": "AverageValue", "averageValue": "30" } } }),
            ),
            &[],
        ),
        (
            metrics(
                json!({ "type": "ContainerResource", "containerResource": { "name": "memory", "container": "c",
            "target": { "type": "Utilization", "averageUtilization": 60 } } }),
            ),
            &[],
        ),
        (metrics(json!({ "type": "A" })), &[&unknown, &unknown]),
        (
            metrics(json!({ "type": "Pods" })),
            &[&format!(
                "{at}.pods: Required value: must populate information for the given metric source"
            )],
        ),
        (
            metrics(
                json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 1 } },
            "pods": { "metric": { "name": "m" }, "target": { "type": "AverageValue", "averageValue": "1" } } }),
            ),
            &[&format!("{at}.pods: Forbidden: must populate the given metric source only")],
        ),
        (
            resource(json!({ "type": "Utilization" })),
            &[&format!(
                "{at}.resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization"
            )],
        ),
        (
            resource(
                json!({ "type": "Utilization", "averageUtilization": 0, "averageValue": "0" }),
            ),
            &[
                &format!(
                    "{at}.resource.target.averageValue: Invalid value: \"0\": must be positive"
                ),
                &format!(
                    "{at}.resource.target.averageUtilization: Invalid value: 0: must be greater than 0"
                ),
                &format!(
                    "{at}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization"
                ),
            ],
        ),
        (
            resource(json!({ "type": "Odd", "averageUtilization": 5 })),
            &[&format!(
                "{at}.resource.target.type: Invalid value: \"Odd\": must be either Utilization, Value, or AverageValue"
            )],
        ),
        (
            object(json!({ "type": "Value" })),
            &[&format!(
                "{at}.object.target.averageValue: Required value: must set either a target value or averageValue"
            )],
        ),
        (
            metrics(
                json!({ "type": "External", "external": { "metric": { "name": "" }, "target": { "type": "Value", "value": "1", "averageValue": "1" } } }),
            ),
            &[
                &format!("{at}.external.metric.name: Required value: must specify a metric name"),
                &format!(
                    "{at}.external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"
                ),
            ],
        ),
        (
            metrics(
                json!({ "type": "ContainerResource", "containerResource": { "name": "memory", "container": "",
            "target": { "type": "Utilization", "averageUtilization": 60 } } }),
            ),
            &[&format!(
                "{at}.containerResource.container: Required value: must specify a container"
            )],
        ),
    ];
    for (fields, errors) in cases {
        match errors {
            [] => {
                created(scaler(fields));
            }
            errors => check(create(scaler(fields)), errors),
        }
    }
    let wrong = scaler(resource(json!({ "type": "Value", "value": "x" })));
    assert_eq!(create(wrong).expect_err("refused").code, 400);
}

/// What version 1 shows of an autoscaler, and that nothing of it is lost on the way back.
#[track_caller]
fn there_and_back(new: &Value) -> Value {
    let mut old = new.clone();
    to_v1(&mut old);
    let mut back = old.clone();
    to_v2(&mut back);
    let whole = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";
    leme_meta::schema::apply_defaults(leme_kinds::schemas(), whole, &mut back);
    assert_eq!(&back, new);
    old
}

#[test]
fn version_1_carries_everything() {
    let plain = created(scaler(json!({})));
    let old = there_and_back(&plain);
    assert_eq!(
        old["spec"],
        json!({ "maxReplicas": 5, "minReplicas": 1, "targetCPUUtilizationPercentage": 80,
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "w" } })
    );
    assert_eq!(
        (&old["apiVersion"], old["metadata"].get("annotations")),
        (&json!("autoscaling/v1"), None)
    );

    let mut full = created(scaler(json!({
        "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60 } },
        "metrics": [
            { "type": "Pods", "pods": { "metric": { "name": "m" }, "target": { "type": "AverageValue", "averageValue": "1k" } } },
            { "type": "Object", "object": { "describedObject": { "apiVersion": "v1", "kind": "Service", "name": "s" },
                "metric": { "name": "m" }, "target": { "type": "AverageValue", "averageValue": "5" } } },
            { "type": "External", "external": { "metric": { "name": "m", "selector": { "matchLabels": { "a": "b" } } },
                "target": { "type": "Value", "value": "30" } } },
            { "type": "ContainerResource", "containerResource": { "name": "memory", "container": "c",
                "target": { "type": "Utilization", "averageUtilization": 60 } } },
            { "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } },
        ],
    })));
    full["metadata"]["annotations"] = json!({ "a": "b" });
    full["status"] = json!({
        "currentReplicas": 2, "desiredReplicas": 3,
        "conditions": [{ "type": "AbleToScale", "status": "True", "lastTransitionTime": null }],
        "currentMetrics": [
            { "type": "Pods", "pods": { "metric": { "name": "m" }, "current": { "averageValue": "3" } } },
            { "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 30, "averageValue": "3m" } } },
        ],
    });
    let old = there_and_back(&full);
    assert_eq!(old["spec"]["targetCPUUtilizationPercentage"], 70);
    assert_eq!(
        old["status"],
        json!({ "currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 30 })
    );
    let note = |key: &str| -> Value {
        let text =
            &old["metadata"]["annotations"][format!("autoscaling.alpha.kubernetes.io/{key}")];
        serde_json::from_str(text.as_str().expect(key)).expect(key)
    };
    assert_eq!(
        note("metrics")[0],
        json!({ "type": "Pods", "pods": { "metricName": "m", "targetAverageValue": "1k" } })
    );
    assert_eq!(
        note("metrics")[1]["object"],
        json!({ "target": { "apiVersion": "v1", "kind": "Service", "name": "s" }, "metricName": "m", "targetValue": "0", "averageValue": "5" })
    );
    assert_eq!(note("behavior")["ScaleDown"]["StabilizationWindowSeconds"], 60);
    assert_eq!(
        note("current-metrics")[1]["resource"],
        json!({ "name": "cpu", "currentAverageUtilization": 30, "currentAverageValue": "3m" })
    );
    let able = json!({ "type": "AbleToScale", "status": "True", "lastTransitionTime": null });
    assert_eq!(note("conditions"), json!([able]));
}

#[test]
fn version_1_without_metrics_has_the_usual_one() {
    let mut scaler = json!({ "metadata": { "name": "h", "annotations": { "autoscaling.alpha.kubernetes.io/metrics": "[" } },
        "spec": { "maxReplicas": 3 }, "status": { "currentCPUUtilizationPercentage": 5, "currentReplicas": 1, "desiredReplicas": 1 } });
    to_v2(&mut scaler);
    let cpu = json!([{ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } } }]);
    assert_eq!(scaler["spec"], json!({ "maxReplicas": 3, "metrics": cpu }));
    let current = json!([{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 5 } } }]);
    assert_eq!(scaler["status"]["currentMetrics"], current);
    assert_eq!(scaler["metadata"].get("annotations"), None);
    for odd in [
        json!(null),
        json!({ "spec": 1, "status": [], "metadata": "x" }),
        json!({ "spec": { "metrics": { "a": 1 } } }),
    ] {
        to_v1(&mut odd.clone());
        to_v2(&mut odd.clone());
    }
}

#[test]
fn rules_without_a_policy_are_none() {
    let none = with(
        created(scaler(json!({ "behavior": {} }))),
        &[("spec.behavior.scaleUp.policies", json!([]))],
    );
    let told: Vec<String> =
        (crate::of(row(&none)).validate)(&none).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"]
    );
}

#[test]
fn what_a_scaler_counts_is_not_below_nothing() {
    let old = created(scaler(json!({})));
    let status = |current: i64, desired: i64| {
        update(Target::Status, &old, |new| {
            new["status"] = json!({ "currentReplicas": current, "desiredReplicas": desired });
        })
    };
    assert!(status(0, 3).is_ok());
    check(
        status(-1, -2),
        &[
            "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.desiredReplicas: Invalid value: -2: must be greater than or equal to 0",
        ],
    );
}
