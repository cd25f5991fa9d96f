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
