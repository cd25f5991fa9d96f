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
