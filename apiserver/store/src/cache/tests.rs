//! The cache over the memory engine.

mod resources;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::embedded::EmbeddedStore;
use crate::hostile::{Hostile, WatchFault};
use crate::memory::MemoryStore;
use crate::{Expect, Outcome};

const PODS: &str = "/registry/pods/";

struct Node;

impl Reader for Node {
    fn has_fields(&self) -> bool {
        true
    }

    fn index(&self, pod: &Value) -> Vec<(Arc<str>, String)> {
        vec![("spec.nodeName".into(), pod["spec"]["nodeName"].as_str().unwrap_or("").to_owned())]
    }
}

fn resources() -> Vec<Resource> {
    vec![
        Resource { prefix: PODS.into(), reader: Arc::new(Node) },
        Resource { prefix: "/registry/secrets/".into(), reader: Arc::new(()) },
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
    assert!(!one.index.deleting);
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_being_deleted_says_so() {
    let (store, cache) = setup().await;
    for (name, time, deleting) in [("a", r#""2026-01-01T00:00:00Z""#, true), ("b", "null", false)] {
        let key = format!("{PODS}d/{name}");
        let value = format!(r#"{{"metadata":{{"deletionTimestamp":{time}}}}}"#);
        store.put(&key, value.into(), Expect::Absent).await.unwrap();
        cache.fresh().await.unwrap();
        assert_eq!(cache.get(PODS, &key).unwrap().index.deleting, deleting);
    }
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

/// Red when what has been told does not rise with the events told.
#[tokio::test]
async fn progress_is_never_behind_the_events() {
    let (store, cache) = setup().await;
    let mut watch = cache.watch(PODS, cache.revision()).unwrap();
    // Elsewhere the revision moves on, and the resource announces that; then something happens here.
    let secret = r#"{"metadata":{"name":"s"}}"#;
    store.put("/registry/secrets/d/s", secret.into(), Expect::Absent).await.unwrap();
    let announced = cache.fresh().await.unwrap();
    cache.feed.resources.load()[PODS].tick();
    let last = put(&*store, "one", "n1").await;
    cache.fresh().await.unwrap();
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert!(event.revision == last && last > announced);
    let next = futures::FutureExt::now_or_never(watch.next());
    assert!(next.is_none(), "nothing is left to tell: {next:?}");
    assert_eq!(watch.progress(), Some(last));
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
    for value in ["{", "[1]", "", "{\"metadata\":{\"name\":\"bad\"}}"] {
        let Outcome::Done(revision) = store.put(key, value.into(), expect).await.unwrap() else {
            panic!()
        };
        expect = Expect::Revision(revision);
        cache.fresh().await.unwrap();
        let named: Vec<_> = cache.unreadable().into_iter().map(|u| (u.key, u.revision)).collect();
        let bad = value.len() < 4;
        assert_eq!(named, if bad { vec![(key.into(), revision)] } else { vec![] }, "{value}");
        assert_eq!(cache.unreadable_at(PODS, key).is_some(), bad);
    }
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!((event.kind, &*event.object.index.name), (Kind::Added, "bad"));
    assert_eq!(cache.snapshot(PODS).unwrap().len(), 2);
}

#[test]
fn a_subscription_is_small() {
    assert!(size_of::<Subscription>() <= 128, "{}", size_of::<Subscription>());
}

#[tokio::test]
async fn dropping_the_cache_ends_its_watches() {
    let (_store, cache) = setup().await;
    let mut watch = cache.watch(PODS, cache.revision()).unwrap();
    drop(cache);
    assert!(watch.next().await.is_none());
}

/// Lets one batch go wrong, and tells what the cache's watchers and readers see.
async fn after_fault(fault: WatchFault) -> (Vec<SubEvent>, Arc<Cache>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    put(&*store, "zero", "n0").await;
    let hostile = Arc::new(Hostile::new(store.clone()));
    let cache = Cache::start(hostile.clone(), resources()).await.unwrap();
    let mut watch = cache.watch(PODS, cache.revision()).unwrap();
    hostile.on_batch(1, fault);
    let mut seen = Vec::new();
    for node in ["n1", "n2"] {
        put(&*store, "zero", node).await;
        // Without the fault the change is there at once; with it the cache may need to start over.
        cache.fresh().await.unwrap();
    }
    while watch.progress().is_none() {
        match watch.next().await {
            Some(event) => seen.push(event),
            None => break,
        }
    }
    (seen, cache, store)
}

fn told(seen: &[SubEvent]) -> String {
    let word = |event: &SubEvent| match event {
        SubEvent::Event(event) => event.object.index.field("spec.nodeName").unwrap().to_owned(),
        SubEvent::Progress(_) => "progress".to_owned(),
        SubEvent::Expired => "expired".to_owned(),
    };
    seen.iter().map(word).collect::<Vec<_>>().join(" ")
}

async fn agrees(cache: &Cache) {
    for _ in 0..100 {
        if cache.differences().await.unwrap().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", cache.differences().await);
}

#[tokio::test]
async fn faults_of_the_store_are_mended_or_owned_up_to() {
    let table = [
        (WatchFault::Repeat, "n1 n2"),
        (WatchFault::Break, "n1 n2"),
        (WatchFault::Delay(Duration::from_millis(20)), "n1 n2"),
        (WatchFault::DropChanges, "expired"),
        (WatchFault::Compacted, "expired"),
    ];
    for (fault, expected) in table {
        let name = format!("{fault:?}");
        let (seen, cache, _store) = after_fault(fault).await;
        agrees(&cache).await;
        assert_eq!(told(&seen), expected, "{name}");
    }
}

#[tokio::test]
async fn a_dropped_change_shows_in_the_check() {
    let store = Arc::new(MemoryStore::new());
    let hostile = Arc::new(Hostile::new(store.clone()));
    let cache = Cache::start(hostile.clone(), resources()).await.unwrap();
    hostile.on_batch(1, WatchFault::DropChanges);
    put(&*store, "zero", "n0").await;
    cache.fresh().await.unwrap();
    assert_eq!(cache.differences().await.unwrap(), ["/registry/pods/d/zero: missing in the cache"]);
}

#[tokio::test]
async fn the_store_is_free_after_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    for _ in 0..5 {
        let store = Arc::new(EmbeddedStore::open(&path).unwrap());
        let cache = Cache::start(store.clone(), resources()).await.unwrap();
        let mut watch = cache.watch(PODS, cache.revision()).unwrap();
        put(&*store, "one", "n").await;
        assert!(matches!(watch.next().await, Some(SubEvent::Event(_))));
        cache.stop().await;
        assert!(watch.next().await.is_none());
    }
}

#[tokio::test]
async fn a_restart_lets_watchers_resume() {
    let (store, cache) = setup().await;
    let from = cache.revision();
    let one = put(&*store, "one", "n").await;
    drop(cache);
    put(&*store, "two", "n").await;
    let cache = Cache::start(store.clone(), resources()).await.unwrap();
    let mut watch = cache.watch(PODS, from).unwrap();
    let Some(SubEvent::Event(event)) = watch.next().await else { panic!() };
    assert_eq!((event.kind, event.revision), (Kind::Added, one));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_watches_fit_together_while_others_write() {
    let (store, cache) = setup().await;
    let writer = tokio::spawn(async move {
        for i in 0..2000 {
            put(&*store, &format!("p{}", i % 20), "n").await;
        }
        store
    });
    // Again and again: a list, then a watch from its revision, must add up to a later list.
    for _ in 0..50 {
        let before = cache.snapshot(PODS).unwrap();
        let mut watch = cache.watch(PODS, before.revision()).unwrap();
        tokio::task::yield_now().await;
        let after = cache.snapshot(PODS).unwrap();
        let mut state: std::collections::BTreeMap<_, _> =
            before.iter().map(|o| (o.key.clone(), o.mod_revision)).collect();
        let mut last = before.revision();
        while last < after.revision() {
            match watch.next().await.unwrap() {
                SubEvent::Event(e) if e.revision <= after.revision() => {
                    assert!(e.revision > last);
                    last = e.revision;
                    state.insert(e.object.key.clone(), e.revision);
                }
                _ => break,
            }
        }
        let expected: Vec<_> = after.iter().map(|o| (o.key.clone(), o.mod_revision)).collect();
        assert_eq!(state.into_iter().collect::<Vec<_>>(), expected);
        let again = cache.snapshot_at(PODS, before.revision()).unwrap();
        assert!(again.iter().zip(before.iter()).all(|(a, b)| a.json == b.json));
        assert_eq!(again.len(), before.len());
    }
    let store = writer.await.unwrap();
    cache.at_least(store.revision().await.unwrap()).await.unwrap();
    agrees(&cache).await;
}
