//! What clients are told when the store fails: never a success that was none, and reads go on.

mod common;

use std::sync::Arc;

use common::*;
use leme_store::hostile::{Hostile, WriteFault};
use leme_store::memory::MemoryStore;
use leme_store::{Expect, Outcome, Store};
use serde_json::json;

async fn faulty() -> (Harness, Arc<Hostile>) {
    let store = Arc::new(Hostile::new(Arc::new(MemoryStore::new())));
    (Harness::over(store.clone()).await, store)
}

/// Makes the next write fail.
fn next(store: &Hostile, fault: WriteFault) {
    store.on_write(1, fault);
}

#[tokio::test]
async fn a_full_store_refuses_writes_with_507_and_answers_reads() {
    let (api, store) = faulty().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    next(&store, WriteFault::Full);
    let (code, reason, _) = api.post(CONFIG_MAPS, &config_map("b")).await.refused();
    assert_eq!((code, reason.as_str()), (507, "InsufficientStorage"));
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.code, 200);
    assert_eq!(api.post(CONFIG_MAPS, &config_map("b")).await.code, 201);
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_no_success_and_invites_no_retry() {
    for (fault, exists) in [(WriteFault::Fail, false), (WriteFault::LoseAnswer, true)] {
        let (api, store) = faulty().await;
        next(&store, fault);
        let answer = api.post(CONFIG_MAPS, &config_map("a")).await;
        assert_eq!(answer.refused().0, 504);
        assert!(!answer.headers.contains_key("retry-after"));
        let found = api.get(&format!("{CONFIG_MAPS}/a")).await.code == 200;
        assert_eq!(found, exists);
    }
}

#[tokio::test]
async fn a_lost_answer_never_hands_a_cluster_address_out_twice() {
    let (api, store) = faulty().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, ip: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
            "spec": { "clusterIP": ip, "ports": [{ "port": 80 }] },
        })
    };
    next(&store, WriteFault::LoseAnswer);
    assert_eq!(api.post(services, &service("a", "10.96.0.50")).await.refused().0, 504);
    assert_eq!(api.post(services, &service("b", "10.96.0.50")).await.refused().0, 422);
}

/// Red when all writes are alike: on a full disk nodes would die and nothing could be deleted.
#[tokio::test]
async fn a_full_store_still_takes_deletions_heartbeats_and_status() {
    let (api, store) = faulty().await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let lease = |holder: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "n" },
            "spec": { "holderIdentity": holder, "leaseDurationSeconds": 40 },
        })
    };
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } });
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    api.post("/api/v1/nodes", &node).await.ok();
    for object in [held, config_map("plain")] {
        api.post(CONFIG_MAPS, &object).await.ok();
    }
    let full = || next(&store, WriteFault::Full);
    full();
    api.post(leases, &lease("a")).await.ok();
    full();
    api.send("PATCH", &format!("{leases}/n"), MERGE, &json!({ "spec": { "holderIdentity": "b" } }))
        .await
        .ok();
    full();
    let status = json!({ "status": { "nodeInfo": { "kernelVersion": "6.1" } } });
    api.send("PATCH", "/api/v1/nodes/n/status", MERGE, &status).await.ok();
    // A deletion that has to wait, and its last step.
    let path = format!("{CONFIG_MAPS}/held");
    full();
    api.delete(&path).await.ok();
    full();
    let released = json!({ "metadata": { "finalizers": null } });
    api.send("PATCH", &path, MERGE, &released).await.ok();
    assert_eq!(api.get(&path).await.code, 404);
    full();
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    let refused = api.send("PATCH", &format!("{CONFIG_MAPS}/plain"), MERGE, &label).await.refused();
    assert_eq!(refused.0, 507);
}

#[tokio::test]
async fn deletes_and_patches_that_fail_leave_the_object() {
    let (api, store) = faulty().await;
    let path = format!("{CONFIG_MAPS}/a");
    let before = api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    next(&store, WriteFault::Fail);
    assert_eq!(api.delete(&path).await.refused().0, 504);
    next(&store, WriteFault::Full);
    assert_eq!(
        api.send("PATCH", &path, MERGE, &json!({ "data": { "k": "w" } })).await.refused().0,
        507
    );
    assert_eq!(api.get(&path).await.ok(), before);
}

const UNSAFE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// Red when an undecodable value breaks the list, is a 404, or keeps the unsafe deletion out.
#[tokio::test]
async fn an_unreadable_object_is_named_and_can_be_removed_and_nothing_else_suffers() {
    let store = Arc::new(MemoryStore::new());
    let api = Harness::over(store.clone()).await;
    for name in ["a", "b", "c"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.ok();
    }
    let key = "/registry/configmaps/default/b";
    let now = store.get(key).await.unwrap().unwrap();
    let lost = store.put(key, "".into(), Expect::Revision(now.mod_revision)).await.unwrap();
    let Outcome::Done(revision) = lost else { panic!() };
    let list = api.get(CONFIG_MAPS).await.ok();
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|o| &o["metadata"]["name"]).collect();
    assert_eq!(names, ["a", "c"]);
    let path = format!("{CONFIG_MAPS}/b");
    for answer in [api.get(&path).await, api.delete(&path).await] {
        let (code, reason, message) = answer.refused();
        assert_eq!((code, reason.as_str()), (500, "InternalError"));
        assert!(message.contains("StorageError: corrupt object"), "{message}");
    }
    let ready = api.get("/readyz?verbose").await;
    let text = String::from_utf8(ready.body.to_vec()).unwrap();
    assert_eq!(ready.code, 200);
    assert!(text.contains(&format!("unreadable: {key} (revision {revision})")), "{text}");
    let metrics = String::from_utf8(api.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("leme_store_unreadable_objects 1\n"), "{metrics}");

    // Only for what cannot be read, and with nothing else asked for.
    let whole = api.delete(&format!("{CONFIG_MAPS}/a?{UNSAFE}=true")).await.refused();
    assert_eq!((whole.0, whole.1.as_str()), (422, "Invalid"));
    let both = api.delete(&format!("{path}?{UNSAFE}=true&gracePeriodSeconds=0")).await.refused();
    assert_eq!(both.0, 422);
    let gone = api.delete(&format!("{path}?{UNSAFE}=true")).await.ok();
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(api.get(&path).await.code, 404);
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    let text = String::from_utf8(api.get("/readyz?verbose").await.body.to_vec()).unwrap();
    assert!(text.contains("[+]objects ok"), "{text}");
}

// Red when what cannot be made in a namespace is blamed on the namespace.
#[tokio::test]
async fn a_cluster_that_never_had_any_space_says_so() {
    let store = Arc::new(Hostile::new(Arc::new(MemoryStore::new())));
    for write in 1..=200 {
        store.on_write(write, WriteFault::Full);
    }
    let dir = tempfile::tempdir().unwrap();
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = leme_server::ServerConfig::new(listen, dir.path().join("pki"), store);
    let Err(error) = leme_server::Server::start(config).await else { panic!("it started") };
    assert!(error.to_string().contains("out of space"), "{error}");
}
