//! One test per sentence about watches: where they start, what they tell, how they end.

mod common;

use common::*;
use serde_json::json;

#[tokio::test]
async fn without_a_version_a_watch_tells_first_what_there_is() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(watch.named().await, pair("ADDED", "a"));
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    assert_eq!(watch.named().await, pair("ADDED", "b"));
    api.send("PATCH", &format!("{CONFIG_MAPS}/b"), MERGE, &json!({ "data": { "k": "w" } }))
        .await
        .ok();
    assert_eq!(watch.named().await, pair("MODIFIED", "b"));
    api.delete(&format!("{CONFIG_MAPS}/b")).await.ok();
    assert_eq!(watch.named().await, pair("DELETED", "b"));
}

#[tokio::test]
async fn from_a_version_a_watch_tells_what_came_after_it() {
    let api = Harness::start().await;
    let first = version(&api.post(CONFIG_MAPS, &config_map("a")).await.ok());
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={first}")).await;
    assert_eq!(watch.named().await, pair("ADDED", "b"));
}

#[tokio::test]
async fn what_enters_a_selection_is_added_and_what_leaves_it_is_deleted() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}/a");
    let label = |value: &str| json!({ "metadata": { "labels": { "app": value } } });
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=app%3Dx")).await;
    api.send("PATCH", &path, MERGE, &label("x")).await.ok();
    assert_eq!(watch.named().await, pair("ADDED", "a"));
    let left = version(&api.send("PATCH", &path, MERGE, &label("y")).await.ok());
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["labels"]["app"]),
        (&json!("DELETED"), &json!("x"))
    );
    assert_eq!(version(&event["object"]), left);
}

#[tokio::test]
async fn other_names_and_namespaces_are_not_told() {
    let api = Harness::start().await;
    let mut watch =
        api.watch(&format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Db")).await;
    api.post("/api/v1/namespaces/kube-system/configmaps", &config_map("b")).await.ok();
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let last = version(&api.post(CONFIG_MAPS, &config_map("b")).await.ok());
    assert_eq!(version(&watch.next().await.unwrap()["object"]), last);
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true";
    let path = format!("{CONFIG_MAPS}?{query}&resourceVersionMatch=NotOlderThan");
    let mut watch = api.watch(&path).await;
    assert_eq!(watch.named().await, pair("ADDED", "a"));
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["kind"], "ConfigMap");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(version(&mark["object"]).parse::<u64>().unwrap() > 0);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?{query}")).await.refused().0, 422);
}

#[tokio::test]
async fn a_version_whose_history_is_gone_is_410_inside_the_watch() {
    let store = std::sync::Arc::new(leme_store::memory::MemoryStore::new());
    let first = Harness::over(store.clone()).await;
    let old = version(&first.post(CONFIG_MAPS, &config_map("a")).await.ok());
    for _ in 0..3 {
        first.delete(&format!("{CONFIG_MAPS}/a")).await.ok();
        first.post(CONFIG_MAPS, &config_map("a")).await.ok();
    }
    let newest = leme_store::Store::revision(&*store).await.unwrap();
    leme_store::Store::compact(&*store, newest).await.unwrap();
    // A server that starts now knows nothing of what was before.
    let second = Harness::over(store).await;
    let mut watch = second.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={old}")).await;
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn a_watch_ends_after_its_timeout_with_a_bookmark() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true");
    let mut watch = api.watch(&path).await;
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "BOOKMARK");
    }
}

#[tokio::test]
async fn a_watch_of_tables_tells_its_columns_once() {
    let api = Harness::start().await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1");
    let answer = api.raw("GET", &path, &table, b"").await;
    let lines: Vec<serde_json::Value> = answer
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["object"]["rows"][0]["cells"][0], "a");
    assert!(!lines[0]["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    assert_eq!(lines[1]["object"]["columnDefinitions"], json!([]));
}

#[tokio::test]
async fn shutdown_ends_watches() {
    let api = Harness::start().await;
    let mut watch = api.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    tokio::time::timeout(PATIENCE, api.server.shutdown(PATIENCE)).await.unwrap();
    assert!(watch.next().await.is_none());
}

// Red when only `1` and `true` are true, and when the old paths are not served.
#[tokio::test]
async fn a_watch_is_asked_for_in_any_spelling_and_by_the_old_path() {
    let api = Harness::start().await;
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.ok();
    }
    for query in ["watch=True", "watch", "watch=yes"] {
        let mut watch = api.watch(&format!("{CONFIG_MAPS}?{query}")).await;
        assert_eq!(watch.named().await, pair("ADDED", "a"), "{query}");
    }
    let list = api.get(&format!("{CONFIG_MAPS}?watch=False")).await.ok();
    assert_eq!(list["kind"], "ConfigMapList");
    let mut all = api.watch("/api/v1/watch/namespaces/default/configmaps").await;
    assert_eq!(all.named().await, pair("ADDED", "a"));
    let mut one = api.watch("/api/v1/watch/namespaces/default/configmaps/b").await;
    assert_eq!(one.named().await, pair("ADDED", "b"));
}
