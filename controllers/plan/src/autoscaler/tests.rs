//! What an autoscaler does to its target, and what it says of metrics that nobody measures.

use super::*;
use serde_json::{Value, from_value};

const NOW: &str = "2026-01-01T01:00:00.5Z";

fn run(metrics: Value, replicas: Result<i32, String>, status: Value) -> Plan {
    let scaler = json!({
        "metadata": {"name": "h", "namespace": "n", "uid": "h"},
        "spec": {"minReplicas": 2, "maxReplicas": 4, "metrics": metrics,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        "status": status,
    });
    let scaler = Some(Arc::new(from_value(scaler).unwrap()));
    plan(&Observed { scaler, replicas }, NOW.parse().unwrap())
}

fn cpu() -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 80}}}])
}

/// The conditions as `TYPE STATUS REASON`, and what the target is scaled to.
fn said(plan: &Plan) -> (Vec<String>, Value) {
    let (mut conditions, mut size) = (Vec::new(), Value::Null);
    for action in &plan.actions {
        match action {
            Action::Patch { subresource: "status", patch, .. } => {
                let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
                for one in patch["status"]["conditions"].as_array().unwrap() {
                    let parts = ["type", "status", "reason"].map(|field| text(one, field));
                    conditions.push(parts.join(" "));
                }
            }
            Action::Patch { subresource: "scale", patch, target, .. } => {
                assert_eq!((target.kind.as_str(), target.name.as_str()), ("Deployment", "web"));
                size = patch["spec"]["replicas"].clone();
            }
            _ => {}
        }
    }
    (conditions, size)
}

#[test]
fn the_target_is_held_between_its_bounds() {
    let check = |replicas: i32, size: Value, conditions: &[&str]| {
        let plan = run(cpu(), Ok(replicas), json!({"desiredReplicas": 0}));
        assert_eq!(said(&plan), (conditions.iter().map(|one| (*one).to_owned()).collect(), size));
        assert_eq!(plan.requeue, Some(PERIOD));
    };
    check(1, json!(2), &["AbleToScale True SucceededRescale"]);
    check(9, json!(4), &["AbleToScale True SucceededRescale"]);
    let got = "AbleToScale True SucceededGetScale";
    check(3, Value::Null, &[got, "ScalingActive False FailedGetResourceMetric"]);
    check(0, Value::Null, &[got, "ScalingActive False ScalingDisabled"]);
    let lost = run(cpu(), Err("not found".to_owned()), json!({"desiredReplicas": 0}));
    assert_eq!(said(&lost).0, ["AbleToScale False FailedGetScale"]);
}

#[test]
fn each_metric_is_said_to_be_measured_by_nobody() {
    let check = |metric: Value, reason: &str, message: &str| {
        let plan = run(json!([metric]), Ok(2), json!({"desiredReplicas": 0}));
        let waiting = &plan.report.waiting[0];
        assert_eq!((waiting.reason, waiting.message.as_str()), (reason, message));
        assert_eq!(plan.report.waiting[1].reason, "FailedComputeMetricsReplicas");
    };
    let missing = "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    check(
        cpu()[0].clone(),
        "FailedGetResourceMetric",
        &format!("failed to get cpu utilization: {missing}"),
    );
    check(
        json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
            "target": {"type": "AverageValue", "averageValue": "1"}}}),
        "FailedGetContainerResourceMetric",
        &format!("failed to get cpu usage: {missing}"),
    );
    check(
        json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue"}}}),
        "FailedGetPodsMetric",
        "unable to get metric hits: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
    );
    check(json!({"type": "X"}), "InvalidMetricSourceType", "unknown metric source type \"X\"");
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let first = run(cpu(), Ok(3), json!({"desiredReplicas": 0}));
    let Some(Action::Patch { patch, .. }) = first.actions.first() else { panic!("{first:?}") };
    let known = patch["status"].clone();
    assert_eq!(known["conditions"][0]["lastTransitionTime"], "2026-01-01T01:00:00Z");
    assert_eq!(run(cpu(), Ok(3), known).actions, []);
}
