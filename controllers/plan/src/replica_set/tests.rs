//! What replica sets have that replication controllers do not: richer selectors, siblings, and pods on their way out.

use super::*;
use crate::Action;
use serde_json::{Value, json};

fn set(replicas: i32) -> Arc<ReplicaSet> {
    let object = json!({
        "metadata": {"name": "web-1", "namespace": "n", "uid": "rs", "generation": 3},
        "spec": {"replicas": replicas,
            "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        "status": {"replicas": 0},
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

fn pod(name: &str, owner: &str, label: &str, node: &str, more: Value) -> Arc<Pod> {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": label}},
        "spec": {"containers": [], "nodeName": node},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    });
    if !owner.is_empty() {
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": owner, "controller": true}]);
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        object["metadata"][key] = value.clone();
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn check(set: Arc<ReplicaSet>, pods: Vec<Arc<Pod>>, related: Vec<Arc<Pod>>, expected: &[&str]) {
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    let plan = plan(&Observed { set: Some(set), pods, related, failure: None }, now);
    let said: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create { object, .. } => {
                let owner = &object.0["metadata"]["ownerReferences"][0];
                format!(
                    "create {} for {}",
                    object.text(&["metadata", "generateName"]),
                    owner["kind"]
                )
            }
            Action::Delete { target, .. } => format!("delete {}", target.name),
            Action::Patch { subresource: "status", patch, .. } => patch["status"].to_string(),
            Action::Patch { target, only_if: Some(_), .. } => format!("adopt {}", target.name),
            Action::Patch { target, .. } => format!("release {}", target.name),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn claims_by_expressions_and_counts_what_is_leaving() {
    let leaving = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    let pods = vec![
        pod("mine", "rs", "web", "a", json!({})),
        pod("leaving", "rs", "web", "a", leaving.clone()),
        pod("free-and-leaving", "", "web", "a", leaving),
        pod("free", "", "web", "a", json!({})),
        pod("other", "", "shop", "a", json!({})),
        pod("strayed", "rs", "shop", "a", json!({})),
    ];
    check(
        set(3),
        pods,
        vec![],
        &[
            "adopt free",
            "release strayed",
            "{\"availableReplicas\":2,\"fullyLabeledReplicas\":2,\"observedGeneration\":3,\"readyReplicas\":2,\
             \"replicas\":2,\"terminatingReplicas\":1}",
            "create web-1- for \"ReplicaSet\"",
        ],
    );
}

#[test]
fn deletes_where_siblings_crowd() {
    let own =
        vec![pod("p-a", "rs", "web", "a", json!({})), pod("p-b", "rs", "web", "b", json!({}))];
    let sibling = vec![pod("s-b", "other", "web", "b", json!({}))];
    let related: Vec<_> = own.iter().chain(&sibling).cloned().collect();
    let status = "{\"availableReplicas\":2,\"fullyLabeledReplicas\":2,\"observedGeneration\":3,\"readyReplicas\":2,\
                  \"replicas\":2,\"terminatingReplicas\":0}";
    check(set(1), own, related, &[status, "delete p-b"]);
}
