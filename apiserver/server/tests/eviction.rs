//! Eviction: what empties a node asks for pods to be deleted.

mod common;

use common::*;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    })
}

fn eviction(name: &str, options: Value) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name }, "deleteOptions": options })
}

async fn bound(api: &Harness, name: &str) {
    api.post(PODS, &pod(name)).await.ok();
    let binding =
        json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": "n" } });
    api.post(&format!("{PODS}/{name}/binding"), &binding).await.ok();
}

// Red when there is no such subresource: a drain with a dry run of the server's never ends.
#[tokio::test]
async fn a_pod_is_evicted_and_a_dry_run_leaves_it() {
    let api = Harness::start().await;
    bound(&api, "p").await;
    let (path, evict) = (format!("{PODS}/p"), format!("{PODS}/p/eviction"));
    let before = api.get(&path).await.ok();
    for (path, body) in [
        (format!("{evict}?dryRun=All"), eviction("p", json!({}))),
        (evict.clone(), eviction("p", json!({ "dryRun": ["All"] }))),
    ] {
        let done = api.post(&path, &body).await;
        assert_eq!(done.code, 201);
        assert_eq!(
            done.ok(),
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
        );
    }
    assert_eq!(api.get(&path).await.ok(), before);
    api.post(&evict, &eviction("p", json!({ "gracePeriodSeconds": 7 }))).await.ok();
    let going = api.get(&path).await.ok();
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 7);
    let conditions = going["status"]["conditions"].as_array().unwrap();
    let told = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!(
        (&told["status"], &told["reason"]),
        (&json!("True"), &json!("EvictionByEvictionAPI"))
    );
    // One that has no node yet is gone at once.
    api.post(PODS, &pod("q")).await.ok();
    api.post(&format!("{PODS}/q/eviction"), &eviction("q", json!({}))).await.ok();
    assert_eq!(api.get(&format!("{PODS}/q")).await.code, 404);
}

#[tokio::test]
async fn evictions_are_checked() {
    let api = Harness::start().await;
    bound(&api, "p").await;
    let evict = format!("{PODS}/p/eviction");
    let (code, _, message) = api.post(&evict, &eviction("q", json!({}))).await.refused();
    assert_eq!(
        (code, message.as_str()),
        (400, "name in URL does not match name in Eviction object")
    );
    assert_eq!(api.post(&evict, &pod("p")).await.refused().0, 400);
    let foreign = json!({ "preconditions": { "uid": "other" } });
    assert_eq!(api.post(&evict, &eviction("p", foreign)).await.refused().0, 409);
    assert_eq!(
        api.post(&evict, &eviction("p", json!({ "gracePeriodSeconds": "x" }))).await.refused().0,
        400
    );
    assert_eq!(
        api.post(&evict, &eviction("p", json!({ "dryRun": ["Some"] }))).await.refused().0,
        422
    );
    let missing = api.post(&format!("{PODS}/none/eviction"), &eviction("none", json!({}))).await;
    assert_eq!(missing.refused().2, "pods \"none\" not found");
    assert!(
        api.get(&format!("{PODS}/p")).await.ok()["metadata"].get("deletionTimestamp").is_none()
    );
}

#[tokio::test]
async fn discovery_tells_that_pods_can_be_evicted() {
    let api = Harness::start().await;
    let resources = api.get("/api/v1").await.ok();
    let found = resources["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "pods/eviction");
    assert_eq!(
        *found.unwrap(),
        json!({
            "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
            "kind": "Eviction", "verbs": ["create"],
        })
    );
}

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A pod that runs, ready or not.
async fn running(api: &Harness, name: &str, ready: bool) {
    let mut pod = pod(name);
    pod["metadata"]["labels"] = json!({ "app": "a" });
    api.post(PODS, &pod).await.ok();
    let binding =
        json!({ "metadata": { "name": name }, "target": { "kind": "Node", "name": "n" } });
    api.post(&format!("{PODS}/{name}/binding"), &binding).await.ok();
    let ready = if ready { "True" } else { "False" };
    let status = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] } });
    api.send("PATCH", &format!("{PODS}/{name}/status"), MERGE, &status).await.ok();
}

/// A budget as the controller has counted it.
async fn budget(api: &Harness, name: &str, policy: &str, status: Value) {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": name },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "a" } }, "unhealthyPodEvictionPolicy": policy },
    });
    let made = api.post(BUDGETS, &budget).await;
    assert_eq!(made.headers.get("warning"), None);
    let path = format!("{BUDGETS}/{name}/status");
    api.send("PATCH", &path, MERGE, &json!({ "status": status })).await.ok();
}

fn counted(healthy: i64, desired: i64) -> Value {
    json!({ "observedGeneration": 1, "currentHealthy": healthy, "desiredHealthy": desired,
        "expectedPods": 3, "disruptionsAllowed": (healthy - desired).max(0) })
}

async fn evict(api: &Harness, name: &str) -> (u16, String) {
    let done = api.post(&format!("{PODS}/{name}/eviction"), &eviction(name, json!({}))).await;
    let causes = &done.json()["details"]["causes"][0];
    if done.code == 429 {
        assert_eq!(
            done.json()["message"],
            "Cannot evict pod as it would violate the pod's disruption budget."
        );
        assert_eq!(causes["reason"], "DisruptionBudget");
    }
    (done.code, causes["message"].as_str().unwrap_or("").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_not_overdrawn() {
    let api = Harness::start().await;
    for name in ["a", "b", "c"] {
        running(&api, name, true).await;
    }
    budget(&api, "q", "IfHealthyBudget", json!({})).await;
    let processing = "The disruption budget q is still being processed by the server.".to_owned();
    assert_eq!(evict(&api, "a").await, (429, processing));
    let status = json!({ "status": counted(3, 2) });
    api.send("PATCH", &format!("{BUDGETS}/q/status"), MERGE, &status).await.ok();
    // A dry run takes nothing.
    let dry = format!("{PODS}/a/eviction?dryRun=All");
    assert_eq!(api.post(&dry, &eviction("a", json!({}))).await.code, 201);
    let all = futures::future::join_all(["a", "b", "c"].map(|name| evict(&api, name))).await;
    let (done, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(|(code, _)| *code == 201);
    assert_eq!((done.len(), refused.len()), (1, 2), "{done:?} {refused:?}");
    let left = api.get(&format!("{BUDGETS}/q")).await.ok();
    assert_eq!(left["status"]["disruptionsAllowed"], 0);
    assert_eq!(left["status"]["disruptedPods"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(left["status"]["conditions"][0]["reason"], "InsufficientPods");
    let status = json!({ "status": counted(2, 2) });
    api.send("PATCH", &format!("{BUDGETS}/q/status"), MERGE, &status).await.ok();
    let mut why = Vec::new();
    for name in ["a", "b", "c"] {
        why.push(evict(&api, name).await);
    }
    let needs = "The disruption budget q needs 2 healthy pods and has 2 currently".to_owned();
    assert_eq!(why.iter().filter(|one| **one == (429, needs.clone())).count(), 2, "{why:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_healthy_may_go_by_the_policy() {
    let api = Harness::start().await;
    running(&api, "sick", false).await;
    budget(&api, "q", "IfHealthyBudget", counted(1, 2)).await;
    let needs = "The disruption budget q needs 2 healthy pods and has 1 currently".to_owned();
    assert_eq!(evict(&api, "sick").await, (429, needs));
    let always = json!({ "spec": { "unhealthyPodEvictionPolicy": "AlwaysAllow" } });
    api.send("PATCH", &format!("{BUDGETS}/q"), MERGE, &always).await.ok();
    assert_eq!(evict(&api, "sick").await.0, 201);

    running(&api, "weak", false).await;
    let path = format!("{BUDGETS}/q");
    let healthy = json!({ "spec": { "unhealthyPodEvictionPolicy": "IfHealthyBudget" } });
    api.send("PATCH", &path, MERGE, &healthy).await.ok();
    let status = json!({ "status": counted(2, 2) });
    api.send("PATCH", &format!("{path}/status"), MERGE, &status).await.ok();
    assert_eq!(evict(&api, "weak").await.0, 201, "the budget is met without it");

    running(&api, "torn", true).await;
    budget(&api, "r", "AlwaysAllow", counted(2, 2)).await;
    let done = api.post(&format!("{PODS}/torn/eviction"), &eviction("torn", json!({}))).await;
    let (code, _, message) = done.refused();
    assert_eq!(
        (code, message.as_str()),
        (
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    );
}
