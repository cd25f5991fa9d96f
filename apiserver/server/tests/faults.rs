//! What clients are told when the store fails: never a success that was none, and reads go on.

mod common;

use std::sync::Arc;

use common::*;
use leme_store::hostile::{Hostile, WriteFault};
use leme_store::memory::MemoryStore;
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
