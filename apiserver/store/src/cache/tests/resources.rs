//! Resources that come and go while others write.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::sync::Semaphore;

use super::*;
use crate::{Batch, Page, ROOT};

const THINGS: &str = "/registry/example.com/things/";

fn things() -> Resource {
    Resource { prefix: THINGS.into(), reader: Arc::new(()) }
}

/// The next event of a watch; idle ones also tell how far they are.
async fn told_event(watch: &mut Subscription) -> Arc<Event> {
    loop {
        match watch.next().await {
            Some(SubEvent::Event(event)) => return event,
            Some(SubEvent::Progress(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Whether a watch ends without another event.
async fn ends(watch: &mut Subscription) -> bool {
    loop {
        match watch.next().await {
            Some(SubEvent::Progress(_)) => {}
            other => return other.is_none(),
        }
    }
}

async fn write(store: &dyn Store, prefix: &str, name: &str) -> u64 {
    let key = format!("{prefix}d/{name}");
    let expect = match store.get(&key).await.unwrap() {
        Some(entry) => Expect::Revision(entry.mod_revision),
        None => Expect::Absent,
    };
    match store.put(&key, pod(name, "n"), expect).await.unwrap() {
        Outcome::Done(revision) => revision,
        Outcome::Conflict(what) => panic!("{what:?}"),
    }
}

/// A memory store whose lists under [`THINGS`] wait for permits, and fail when it says so.
struct Gate {
    inner: MemoryStore,
    lists: Semaphore,
    failing: std::sync::atomic::AtomicBool,
}

impl Gate {
    fn new() -> Arc<Gate> {
        let (inner, lists) = (MemoryStore::new(), Semaphore::new(0));
        Arc::new(Gate { inner, lists, failing: false.into() })
    }
}

#[async_trait]
impl Store for Gate {
    async fn get(&self, key: &str) -> Result<Option<crate::Entry>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        if prefix == THINGS {
            self.lists.acquire().await.unwrap().forget();
            if self.failing.load(Ordering::Relaxed) {
                return Err(StoreError::Unreachable("no list".into()));
            }
        }
        self.inner.list(prefix, after, limit, revision).await
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        self.inner.put(key, value, expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        self.inner.delete(key, revision).await
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        self.inner.watch(prefix, from).await
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        self.inner.revision().await
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }
}

#[tokio::test]
async fn a_shelf_comes_with_what_is_there_and_goes_with_its_watches() {
    let (store, cache) = setup().await;
    let before = write(&*store, THINGS, "before").await;
    assert!(cache.snapshot(THINGS).is_none());
    assert!(matches!(cache.watch(THINGS, 0), Err(StoreError::Unavailable(_))));
    let mut pods = cache.watch(PODS, cache.revision()).unwrap();
    cache.keep(things()).await.unwrap();
    let snapshot = cache.snapshot(THINGS).unwrap();
    assert_eq!(names(&snapshot, THINGS, ""), ["before"]);
    assert!(snapshot.revision() >= before);
    assert!(matches!(cache.watch(THINGS, before - 1), Err(StoreError::Compacted { .. })));
    let mut watch = cache.watch(THINGS, snapshot.revision()).unwrap();
    let after = write(&*store, THINGS, "after").await;
    let event = told_event(&mut watch).await;
    assert_eq!((event.kind, event.revision), (Kind::Added, after));
    // Once more: the watches were of the way before.
    cache.keep(things()).await.unwrap();
    assert!(ends(&mut watch).await);
    let mut watch = cache.watch(THINGS, cache.revision()).unwrap();
    cache.forget(THINGS).await.unwrap();
    assert!(ends(&mut watch).await);
    assert!(
        cache.snapshot(THINGS).is_none()
            && cache.get(THINGS, &format!("{THINGS}d/after")).is_none()
    );
    cache.forget(THINGS).await.unwrap();
    write(&*store, THINGS, "unseen").await;
    cache.keep(things()).await.unwrap();
    assert_eq!(names(&cache.snapshot(THINGS).unwrap(), THINGS, ""), ["after", "before", "unseen"]);
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
    // What happened before the end is told first.
    let mut watch = cache.watch(THINGS, cache.revision()).unwrap();
    let last = write(&*store, THINGS, "last").await;
    cache.fresh().await.unwrap();
    cache.forget(THINGS).await.unwrap();
    assert_eq!(told_event(&mut watch).await.revision, last);
    assert!(ends(&mut watch).await);
    cache.keep(things()).await.unwrap();
    // Others have noticed nothing.
    let last = put(&*store, "one", "n1").await;
    let event = told_event(&mut pods).await;
    assert_eq!(event.revision, last);
}

/// Red when a resource is listed as of another revision than the one it follows from.
#[tokio::test]
async fn what_is_written_while_a_shelf_is_listed_comes_once() {
    let store = Gate::new();
    write(&*store, THINGS, "first").await;
    let cache = Cache::start(store.clone(), resources()).await.unwrap();
    let keeping = tokio::spawn({
        let cache = cache.clone();
        async move { cache.keep(things()).await }
    });
    // The list is asked for, and waits.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = write(&*store, THINGS, "second").await;
    let first = write(&*store, THINGS, "first").await;
    store.lists.add_permits(1);
    keeping.await.unwrap().unwrap();
    let snapshot = cache.snapshot(THINGS).unwrap();
    let mut watch = cache.watch(THINGS, second - 1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let event = told_event(&mut watch).await;
        seen.push((event.kind, event.revision));
    }
    assert_eq!(seen, [(Kind::Added, second), (Kind::Modified, first)]);
    assert!(snapshot.revision() < second || snapshot.len() == 2);
    store.lists.add_permits(1);
    agrees(&cache).await;
}

#[tokio::test]
async fn a_shelf_that_cannot_be_listed_is_none_and_the_old_one_stays() {
    let store = Gate::new();
    let cache = Cache::start(store.clone(), resources()).await.unwrap();
    store.failing.store(true, Ordering::Relaxed);
    store.lists.add_permits(1);
    assert!(matches!(cache.keep(things()).await, Err(StoreError::Unreachable(_))));
    assert!(cache.snapshot(THINGS).is_none());
    store.failing.store(false, Ordering::Relaxed);
    store.lists.add_permits(1);
    cache.keep(things()).await.unwrap();
    let mut watch = cache.watch(THINGS, cache.revision()).unwrap();
    store.failing.store(true, Ordering::Relaxed);
    store.lists.add_permits(1);
    assert!(cache.keep(things()).await.is_err());
    let revision = write(&*store, THINGS, "one").await;
    let event = told_event(&mut watch).await;
    assert_eq!(event.revision, revision);
}

#[tokio::test]
async fn a_stopped_cache_keeps_nothing_more() {
    let (_store, cache) = setup().await;
    cache.stop().await;
    assert!(matches!(cache.keep(things()).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(cache.forget(THINGS).await, Err(StoreError::Unavailable(_))));
}

/// Whatever goes wrong with a batch, and whenever a resource comes: in the end the cache has what the store has.
#[tokio::test]
async fn shelves_come_while_the_watch_goes_wrong() {
    for at in 1..=4 {
        for fault in [
            WatchFault::Repeat,
            WatchFault::Break,
            WatchFault::Compacted,
            WatchFault::Reverse,
            WatchFault::Delay(Duration::from_millis(5)),
        ] {
            let name = format!("{fault:?} at {at}");
            let store = Arc::new(MemoryStore::new());
            let hostile = Arc::new(Hostile::new(store.clone()));
            let cache = Cache::start(hostile.clone(), resources()).await.unwrap();
            hostile.on_batch(at, fault);
            for round in 0..4 {
                write(&*store, THINGS, &format!("t{round}")).await;
                put(&*store, &format!("p{round}"), "n").await;
                if round == 1 {
                    cache.keep(things()).await.unwrap();
                }
            }
            agrees(&cache).await;
            assert_eq!(cache.snapshot(THINGS).unwrap().len(), 4, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shelves_come_and_go_while_others_write() {
    let (store, cache) = setup().await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for i in 0..3000 {
                let prefix = if i % 3 == 0 { PODS } else { THINGS };
                let key = format!("{prefix}d/w{}", i % 20);
                match store.get(&key).await.unwrap() {
                    Some(entry) if i % 7 == 0 => {
                        store.delete(&key, entry.mod_revision).await.unwrap();
                    }
                    _ => drop(write(&*store, prefix, &format!("w{}", i % 20)).await),
                }
            }
        }
    });
    for round in 0..60 {
        cache.keep(things()).await.unwrap();
        let before = cache.snapshot(THINGS).unwrap();
        let mut watch = cache.watch(THINGS, before.revision()).unwrap();
        for _ in 0..round % 5 {
            tokio::task::yield_now().await;
        }
        let after = cache.snapshot(THINGS).unwrap();
        let mut state: BTreeMap<Arc<str>, u64> =
            before.iter().map(|o| (o.key.clone(), o.mod_revision)).collect();
        let mut last = before.revision();
        for event in futures::FutureExt::now_or_never(watch.next_batch(10_000)).unwrap_or_default()
        {
            let SubEvent::Event(event) = event else { continue };
            assert!(event.revision > last, "{} after {last}", event.revision);
            last = event.revision;
            if event.revision > after.revision() {
                break;
            }
            match event.kind {
                Kind::Deleted => assert!(state.remove(&event.object.key).is_some()),
                _ => drop(state.insert(event.object.key.clone(), event.revision)),
            }
        }
        let expected: BTreeMap<Arc<str>, u64> =
            after.iter().map(|o| (o.key.clone(), o.mod_revision)).collect();
        assert_eq!(state, expected);
        if round % 3 == 0 {
            cache.forget(THINGS).await.unwrap();
            while watch.next().await.is_some() {}
        }
    }
    writer.await.unwrap();
    cache.keep(things()).await.unwrap();
    cache.at_least(store.revision().await.unwrap()).await.unwrap();
    agrees(&cache).await;
    let left = store.list(ROOT, "", 0, 0).await.unwrap().entries;
    let left = left.iter().filter(|entry| entry.key.starts_with(THINGS)).count();
    assert_eq!(cache.snapshot(THINGS).unwrap().len(), left);
}

/// Reads what was written with one field more.
struct Completed;

impl Reader for Completed {
    fn has_fields(&self) -> bool {
        true
    }

    fn index(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        vec![("added".into(), object["added"].to_string())]
    }

    fn shown(&self, written: &Bytes) -> Option<Bytes> {
        let mut value: Value = serde_json::from_slice(written).ok()?;
        value["added"] = 1.into();
        Some(value.to_string().into())
    }
}

#[tokio::test]
async fn a_reader_may_show_another_object_than_was_written() {
    let (store, cache) = setup().await;
    write(&*store, THINGS, "listed").await;
    cache.keep(Resource { prefix: THINGS.into(), reader: Arc::new(Completed) }).await.unwrap();
    write(&*store, THINGS, "told").await;
    cache.fresh().await.unwrap();
    for name in ["listed", "told"] {
        let object = cache.get(THINGS, &format!("{THINGS}d/{name}")).unwrap();
        let value: Value = serde_json::from_slice(&object.json).unwrap();
        assert_eq!((&value["added"], object.index.field("added")), (&json!(1), Some("1")));
        assert_eq!(value["metadata"]["resourceVersion"], object.mod_revision.to_string());
    }
    let key = format!("{THINGS}d/bad");
    store.put(&key, "{".into(), Expect::Absent).await.unwrap();
    cache.fresh().await.unwrap();
    assert!(cache.unreadable_at(THINGS, &key).is_some());
    assert_eq!(cache.differences().await.unwrap(), Vec::<String>::new());
}
