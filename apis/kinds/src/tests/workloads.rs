//! What is printed of deployments, jobs and what else keeps pods running.

use super::*;

#[test]
fn workloads_print_as_upstream_does() {
    let check = |kind: &str, mut object: Value, want: &[&str]| {
        object["metadata"]["name"] = "w".into();
        object["metadata"]["creationTimestamp"] = "2026-01-01T00:55:00Z".into();
        assert_eq!(row(kind, &object), want, "{kind}");
    };
    let template = json!({"spec": {"nodeSelector": {"b": "2", "a": "1"}, "containers": [
        {"name": "x", "image": "i"}, {"name": "y", "image": "j"}]}});
    let selector = json!({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]});
    let spec = json!({"replicas": 3, "selector": selector, "template": template});
    check(
        "deploy",
        json!({"spec": spec, "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}}),
        &["w", "2/3", "1", "2", "5m", "x,y", "i,j", "a=1,b"],
    );
    check(
        "rs",
        json!({"spec": spec, "status": {"replicas": 2, "readyReplicas": 1}}),
        &["w", "3", "2", "1", "5m", "x,y", "i,j", "a=1,b"],
    );
    check(
        "sts",
        json!({"spec": spec, "status": {"readyReplicas": 1}}),
        &["w", "1/3", "5m", "x,y", "i,j"],
    );
    check(
        "ds",
        json!({"spec": {"template": template}, "status": {"desiredNumberScheduled": 5, "currentNumberScheduled": 4,
            "numberReady": 3, "updatedNumberScheduled": 2, "numberAvailable": 1}}),
        &["w", "5", "4", "3", "2", "1", "a=1,b=2", "5m", "x,y", "i,j", "<none>"],
    );
    let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true}]);
    check(
        "controllerrevisions",
        json!({"metadata": {"ownerReferences": owner}, "revision": 7}),
        &["w", "statefulset.apps/web", "7", "5m"],
    );
    check("controllerrevisions", json!({"revision": 7}), &["w", "<none>", "7", "5m"]);
}

#[test]
fn jobs_print_as_upstream_does() {
    let job = |spec: Value, status: Value| {
        let cells = row(
            "jobs",
            &json!({"metadata": {"name": "j", "deletionTimestamp": status["deleted"]},
            "spec": spec, "status": status}),
        );
        (cells[1].clone(), cells[2].clone(), cells[3].clone())
    };
    let check = |spec: Value, status: Value, want: (&str, &str, &str)| {
        let (state, done, duration) = job(spec, status);
        assert_eq!((state.as_str(), done.as_str(), duration.as_str()), want);
    };
    let holds = |kind: &str| json!([{"type": kind, "status": "True"}]);
    check(json!({"completions": 3}), json!({}), ("Running", "0/3", ""));
    check(
        json!({"parallelism": 2}),
        json!({"succeeded": 1, "startTime": "2026-01-01T00:55:00Z"}),
        ("Running", "1/1 of 2", "5m"),
    );
    check(
        json!({"parallelism": 1}),
        json!({"succeeded": 1, "conditions": holds("Complete"), "deleted": "2026-01-01T00:59:00Z",
            "startTime": "2026-01-01T00:55:00Z", "completionTime": "2026-01-01T00:55:30Z"}),
        ("Complete", "1/1", "30s"),
    );
    for (conditions, deleted, state) in [
        (holds("Failed"), json!(null), "Failed"),
        (holds("Suspended"), json!("2026-01-01T00:59:00Z"), "Terminating"),
        (holds("Suspended"), json!(null), "Suspended"),
        (holds("FailureTarget"), json!(null), "FailureTarget"),
        (holds("SuccessCriteriaMet"), json!(null), "SuccessCriteriaMet"),
        (json!([{"type": "Failed", "status": "False"}]), json!(null), "Running"),
    ] {
        assert_eq!(job(json!({}), json!({"conditions": conditions, "deleted": deleted})).0, state);
    }
    let template =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    assert_eq!(
        row(
            "cj",
            &json!({"metadata": {"name": "c", "creationTimestamp": "2026-01-01T00:55:00Z"},
            "spec": {"schedule": "* * * * *", "timeZone": "Etc/UTC", "suspend": true, "jobTemplate": template},
            "status": {"active": [{}], "lastScheduleTime": "2026-01-01T00:59:00Z"}})
        ),
        ["c", "* * * * *", "Etc/UTC", "True", "1", "60s", "5m", "c", "i", "<none>"],
    );
    assert_eq!(row("cj", &json!({}))[2..6], ["<none>", "<unset>", "0", "<none>"]);
}

#[test]
fn budgets_and_autoscalers_print_as_upstream_does() {
    let created = "2026-01-01T00:55:00Z";
    let budget = |spec: Value| {
        row(
            "pdb",
            &json!({"metadata": {"name": "b", "creationTimestamp": created}, "spec": spec,
            "status": {"disruptionsAllowed": 1}}),
        )
    };
    assert_eq!(budget(json!({"minAvailable": "50%"})), ["b", "50%", "N/A", "1", "5m"]);
    assert_eq!(budget(json!({"maxUnavailable": 0})), ["b", "N/A", "0", "1", "5m"]);

    let targets = |metrics: Value, current: Value| {
        let scaler = json!({"metadata": {"name": "h", "creationTimestamp": created},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "w"}, "maxReplicas": 5, "metrics": metrics},
            "status": {"currentReplicas": 2, "currentMetrics": current}});
        let cells = row("hpa", &scaler);
        assert_eq!(cells[3..], ["<unset>", "5", "2", "5m"]);
        assert_eq!(cells[1], "Deployment/w");
        cells[2].clone()
    };
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}});
    let now = json!({"resource": {"name": "cpu", "current": {"averageUtilization": 30, "averageValue": "3m"}}});
    let pods = json!({"type": "Pods", "pods": {"target": {"averageValue": "10"}}});
    let object = json!({"type": "Object", "object": {"target": {"value": "7"}}});
    let outside = json!({"type": "External", "external": {"target": {"averageValue": "5"}}});
    let container = json!({"type": "ContainerResource", "containerResource": {"name": "memory", "container": "c",
        "target": {"averageValue": "1Gi"}}});
    assert_eq!(targets(json!([]), json!([])), "<none>");
    assert_eq!(targets(json!([cpu]), json!([])), "cpu: <unknown>/80%");
    assert_eq!(targets(json!([cpu]), json!([now])), "cpu: 30%/80%");
    assert_eq!(
        targets(json!([pods, object]), json!([{"pods": {"current": {"averageValue": "3"}}}])),
        "3/10, <unknown>/7"
    );
    assert_eq!(
        targets(json!([outside, container, cpu]), json!([])),
        "<unknown>/5 (avg), memory: <unknown>/1Gi + 1 more..."
    );
    assert_eq!(targets(json!([{"type": "New"}]), json!([])), "<unknown type>");
}
