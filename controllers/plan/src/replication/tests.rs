//! Counting, claiming and ranking.

use super::*;
use crate::Action;
use serde_json::{Value, json};

fn controller(replicas: i32, extra: Value) -> Arc<ReplicationController> {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "n", "uid": "rc", "generation": 2},
        "spec": {"replicas": replicas, "selector": {"app": "web"},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}},
        "status": {"replicas": 0},
    });
    for (key, value) in extra.as_object().into_iter().flatten() {
        object["metadata"][key] = value.clone();
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

/// `name[!owner][-label] state`: owned by `rc` unless said otherwise; state is a node and conditions.
fn pod(name: &str, owner: &str, label: &str, node: &str, ready_at: Option<&str>) -> Arc<Pod> {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": label}},
        "spec": {"containers": [], "nodeName": node},
        "status": {"phase": if node.is_empty() { "Pending" } else { "Running" }},
    });
    if !owner.is_empty() {
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "v1", "kind": "ReplicationController", "name": "x", "uid": owner, "controller": true}]);
    }
    if let Some(at) = ready_at {
        object["status"]["conditions"] =
            json!([{"type": "Ready", "status": "True", "lastTransitionTime": at}]);
    }
    Arc::new(serde_json::from_value(object).unwrap())
}

fn check(controller: Arc<ReplicationController>, pods: Vec<Arc<Pod>>, expected: &[&str]) {
    let failure = None;
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    let plan = plan(&Observed { controller: Some(controller), pods, failure }, now);
    let said: Vec<String> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create { object, .. } => {
                format!("create {}", object.text(&["metadata", "generateName"]))
            }
            Action::Delete { target, .. } => format!("delete {}", target.name),
            Action::Patch { subresource: "status", patch, .. } => {
                format!("status {}", patch["status"]["replicas"])
            }
            Action::Patch { target, only_if: Some(_), .. } => format!("adopt {}", target.name),
            Action::Patch { target, .. } => format!("release {}", target.name),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn creates_what_is_missing_and_claims_what_matches() {
    check(controller(2, json!({})), vec![], &["status 0", "create web-", "create web-"]);
    let pods = || {
        vec![
            pod("free", "", "web", "a", None),
            pod("strayed", "rc", "other", "a", None),
            pod("theirs", "other", "web", "a", None),
        ]
    };
    check(controller(1, json!({})), pods(), &["adopt free", "release strayed", "status 1"]);
    let deleting = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
    check(controller(1, deleting), pods(), &["status 0"]);
}

#[test]
fn deletes_the_least_useful_first() {
    let day = Some("2026-01-01T00:00:00Z");
    let pods = vec![
        pod("old", "rc", "web", "a", Some("2025-01-01T00:00:00Z")),
        pod("crowded", "rc", "web", "b", day),
        pod("crowded-too", "rc", "web", "b", day),
        pod("unready", "rc", "web", "a", None),
        pod("unassigned", "rc", "web", "", None),
    ];
    check(
        controller(1, json!({})),
        pods,
        &[
            "status 5",
            "delete unassigned",
            "delete unready",
            "delete crowded",
            "delete crowded-too",
        ],
    );
}

#[test]
fn a_failure_becomes_a_condition_and_goes_with_it() {
    let observed =
        |failure| Observed { controller: Some(controller(0, json!({}))), pods: vec![], failure };
    let failure = Failure { reason: "FailedCreate".to_owned(), message: "quota".to_owned() };
    let told = plan(&observed(Some(failure)), Timestamp::UNIX_EPOCH);
    let Action::Patch { patch, .. } = &told.actions[0] else { panic!("{told:?}") };
    assert_eq!(patch["status"]["conditions"][0]["type"], "ReplicaFailure");
    assert_eq!(patch["status"]["conditions"][0]["message"], "quota");
    let healed = plan(&observed(None), Timestamp::UNIX_EPOCH);
    let Action::Patch { patch, .. } = &healed.actions[0] else { panic!("{healed:?}") };
    assert!(patch["status"]["conditions"].is_null());
}
