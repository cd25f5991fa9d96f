//! The cache over the memory engine.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::memory::MemoryStore;
use crate::{Expect, Outcome};

const PODS: &str = "/registry/pods/";

fn resources() -> Vec<Resource> {
    let node = |v: &Value| {
        vec![("spec.nodeName", v["spec"]["nodeName"].as_str().unwrap_or("").to_owned())]
    };
    vec![
        Resource { prefix: PODS.into(), index: node },
        Resource { prefix: "/registry/secrets/".into(), index: |_| Vec::new() },
    ]
}

fn pod(name: &str, node: &str) -> bytes::Bytes {
    let labels = json!({"b": "2", "a": "1"});
    let metadata = json!({"name": name, "namespace": "d", "uid": "u", "labels": labels});
    json!({"metadata": metadata, "spec": {"nodeName": node}}).to_string().into()
}

async fn put(store: &dyn Store, name: &str, node: &str) -> u64 {
    let key = format!("{PODS}d/{name}");
    let expect = match store.get(&key).await.unwrap() {
        Some(entry) => Expect::Revision(entry.mod_revision),
        None => Expect::Absent,
    };
    match store.put(&key, pod(name, node), expect).await.unwrap() {
        Outcome::Done(revision) => revision,
        Outcome::Conflict(what) => panic!("{what:?}"),
    }
}

async fn setup() -> (Arc<MemoryStore>, Arc<Cache>) {
    let store = Arc::new(MemoryStore::new());
    put(&*store, "zero", "n0").await;
    let cache = Cache::start(store.clone(), resources()).await.unwrap();
    (store, cache)
}

fn names(snapshot: &Snapshot, prefix: &str, after: &str) -> Vec<String> {
    snapshot.range(prefix, after).map(|o| o.index.name.to_string()).collect()
}

#[tokio::test]
async fn reads_what_was_written() {
    let (store, cache) = setup().await;
    let revision = put(&*store, "one", "n1").await;
    assert_eq!(cache.fresh().await.unwrap(), revision);
    let one = cache.get(PODS, "/registry/pods/d/one").unwrap();
    let decoded: Value = serde_json::from_slice(&one.json).unwrap();
    assert_eq!(decoded["metadata"]["resourceVersion"], revision.to_string());
    assert_eq!(one.index.label("b"), Some("2"));
    assert_eq!(one.index.field("spec.nodeName"), Some("n1"));
    assert_eq!(one.index.field("metadata.name"), Some("one"));
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn snapshots_page_and_go_back() {
    let (store, cache) = setup().await;
    put(&*store, "one", "n1").await;
    let then = put(&*store, "two", "n1").await;
    put(&*store, "one", "moved").await;
    let zero = store.get("/registry/pods/d/zero").await.unwrap().unwrap();
    store.delete("/registry/pods/d/zero", zero.mod_revision).await.unwrap();
    put(&*store, "three", "n1").await;
    cache.fresh().await.unwrap();

    let now = cache.snapshot(PODS).unwrap();
    assert_eq!(names(&now, PODS, ""), ["one", "three", "two"]);
    assert_eq!(names(&now, PODS, "/registry/pods/d/one"), ["three", "two"]);
    for _ in 0..2 {
        let old = cache.snapshot_at(PODS, then).unwrap();
        assert_eq!(old.revision(), then);
        assert_eq!(names(&old, "/registry/pods/d/", ""), ["one", "two", "zero"]);
        assert_eq!(
            old.get("/registry/pods/d/one").unwrap().index.field("spec.nodeName"),
            Some("n1")
        );
    }
    assert!(matches!(cache.snapshot_at(PODS, 0), Err(StoreError::Compacted { .. })));
    assert!(matches!(cache.snapshot_at(PODS, 1000), Err(StoreError::Future { .. })));
}

#[tokio::test]
async fn a_watch_resumes_and_goes_on() {
    let (store, cache) = setup().await;
    let from = put(&*store, "one", "n1").await;
    let second = put(&*store, "one", "n2").await;
    cache.fresh().await.unwrap();
    let mut watch = cache.watch(PODS, from).unwrap();
    let gone = store.delete("/registry/pods/d/one", second).await.unwrap();
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!((event.kind, event.revision), (Kind::Modified, second));
    assert_eq!(event.previous.as_ref().unwrap().mod_revision, from);
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!((event.kind, Outcome::Done(event.revision)), (Kind::Deleted, gone));
    let frame: Value = serde_json::from_slice(&event.frame()).unwrap();
    assert_eq!(frame["type"], "DELETED");
    assert_eq!(frame["object"]["metadata"]["resourceVersion"], event.revision.to_string());
    assert_eq!(frame["object"]["spec"]["nodeName"], "n2");
    assert_eq!(watch.progress(), Some(event.revision));
}

#[tokio::test]
async fn a_watch_from_the_future_waits() {
    let (store, cache) = setup().await;
    let mut watch = cache.watch(PODS, cache.revision() + 2).unwrap();
    for _ in 0..2 {
        put(&*store, "early", "n").await;
    }
    let wanted = put(&*store, "late", "n").await;
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!(event.revision, wanted);
}

#[tokio::test]
async fn a_slow_watcher_expires_and_nobody_else() {
    let (store, cache) = setup().await;
    let mut slow = cache.watch(PODS, cache.revision()).unwrap();
    let mut fast = cache.watch(PODS, cache.revision()).unwrap();
    let mut seen = 0;
    for i in 0..10_500 {
        put(&*store, &format!("p{}", i % 50), "n").await;
        if i % 100 == 99 {
            cache.fresh().await.unwrap();
            let batch = fast.next_batch(1000).await;
            seen += batch.iter().filter(|e| matches!(e, SubEvent::Event(_))).count();
        }
    }
    assert_eq!(seen, 10_500);
    assert!(matches!(slow.next().await, Some(SubEvent::Expired)));
    assert!(slow.next().await.is_none());
    assert!(matches!(cache.watch(PODS, 2), Err(StoreError::Compacted { .. })));
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn an_undecodable_value_is_skipped() {
    let (store, cache) = setup().await;
    let mut watch = cache.watch(PODS, cache.revision()).unwrap();
    let key = "/registry/pods/d/bad";
    let mut expect = Expect::Absent;
    for value in ["{", "[1]", "{\"metadata\":{\"name\":\"bad\"}}"] {
        let Outcome::Done(revision) = store.put(key, value.into(), expect).await.unwrap() else {
            panic!()
        };
        expect = Expect::Revision(revision);
    }
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!((event.kind, &*event.object.index.name), (Kind::Added, "bad"));
    assert_eq!(cache.snapshot(PODS).unwrap().len(), 2);
}

#[tokio::test]
async fn dropping_the_cache_ends_its_watches() {
    let (_store, cache) = setup().await;
    let mut watch = cache.watch(PODS, cache.revision()).unwrap();
    drop(cache);
    assert!(watch.next().await.is_none());
}
