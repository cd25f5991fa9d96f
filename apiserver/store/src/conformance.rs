//! What every engine must do, as one suite that is run against each of them.
//!
//! Knows: the contract of [`Store`] only. Panics with what was expected where an engine falls short.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::{Batch, Change, Entry, Expect, Outcome, Store, StoreError};

/// Makes an empty store; its revision may be any.
pub type Fresh<'a> = &'a (dyn Fn() -> BoxFuture<'static, Arc<dyn Store>> + Sync);
type Watch = BoxStream<'static, Result<Batch, StoreError>>;

/// No answer takes longer, or the engine hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the whole suite.
pub async fn run(fresh: Fresh<'_>) {
    creates_and_reads(fresh().await).await;
    compares_before_it_writes(fresh().await).await;
    deletes_and_creates_again(fresh().await).await;
    lists_in_pages(fresh().await).await;
    lists_the_past(fresh().await).await;
    watches_in_order(fresh().await).await;
    watches_from_the_past(fresh().await).await;
    watches_from_the_future(fresh().await).await;
    forgets_what_is_compacted(fresh().await).await;
    loses_no_update(fresh().await).await;
    watches_are_whole_under_compaction(fresh().await).await;
    tells_progress(fresh().await).await;
    holds_large_and_odd_values(fresh().await).await;
}

fn key(name: &str) -> String {
    format!("/registry/things/{name}")
}

async fn create(store: &dyn Store, name: &str, value: &str) -> u64 {
    done(store.put(&key(name), value.to_owned().into(), Expect::Absent).await)
}

async fn update(store: &dyn Store, name: &str, value: &str, revision: u64) -> u64 {
    done(store.put(&key(name), value.to_owned().into(), Expect::Revision(revision)).await)
}

fn done(outcome: Result<Outcome, StoreError>) -> u64 {
    match outcome {
        Ok(Outcome::Done(revision)) => revision,
        other => panic!("the write should have been done: {other:?}"),
    }
}

fn entry(name: &str, value: &str, create_revision: u64, mod_revision: u64) -> Entry {
    let value = Bytes::from(value.to_owned());
    Entry { key: key(name).into(), value, create_revision, mod_revision }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("took too long: {what}"),
    }
}

/// The next changes of a watch, at least `count` of them.
async fn changes(watch: &mut Watch, count: usize) -> Vec<Change> {
    let mut found = Vec::new();
    let (mut last, mut reached) = (0, 0);
    while found.len() < count {
        let batch = soon("the next batch of a watch", watch.next()).await;
        let batch = batch.expect("a watch does not end").expect("a watch does not fail");
        for change in &batch.changes {
            assert!(change.revision() >= last, "changes come in order");
            assert!(change.revision() > reached, "a revision is never split between batches");
            assert!(change.revision() <= batch.revision, "a batch covers its changes");
            last = change.revision();
        }
        assert!(batch.revision >= reached, "progress never goes back");
        reached = batch.revision;
        found.extend(batch.changes);
    }
    found
}

async fn creates_and_reads(store: Arc<dyn Store>) {
    let before = store.revision().await.unwrap();
    assert!(before >= 1, "no state has revision 0");
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    let revision = create(&*store, "a", "1").await;
    assert!(revision > before);
    assert_eq!(store.revision().await.unwrap(), revision);
    let a = entry("a", "1", revision, revision);
    assert_eq!(store.get(&key("a")).await.unwrap(), Some(a.clone()));
    let again = store.put(&key("a"), "2".into(), Expect::Absent).await.unwrap();
    assert_eq!(again, Outcome::Conflict(Some(a)));
    assert_eq!(store.revision().await.unwrap(), revision, "what is not done moves nothing");
    assert_eq!(store.get(&key("")).await.unwrap(), None, "a prefix is no key");
}

async fn compares_before_it_writes(store: Arc<dyn Store>) {
    let absent = store.put(&key("a"), "1".into(), Expect::Revision(1)).await.unwrap();
    assert_eq!(absent, Outcome::Conflict(None));
    let first = create(&*store, "a", "1").await;
    let second = update(&*store, "a", "2", first).await;
    assert!(second > first);
    let now = entry("a", "2", first, second);
    for stale in [first, second + 1, 0] {
        let put = store.put(&key("a"), "3".into(), Expect::Revision(stale)).await.unwrap();
        assert_eq!(put, Outcome::Conflict(Some(now.clone())));
        let delete = store.delete(&key("a"), stale).await.unwrap();
        assert_eq!(delete, Outcome::Conflict(Some(now.clone())));
    }
    assert_eq!(store.delete(&key("b"), 0).await.unwrap(), Outcome::Conflict(None));
}

async fn deletes_and_creates_again(store: Arc<dyn Store>) {
    let first = create(&*store, "a", "1").await;
    let gone = done(store.delete(&key("a"), first).await);
    assert!(gone > first);
    assert_eq!(store.get(&key("a")).await.unwrap(), None);
    assert_eq!(store.delete(&key("a"), first).await.unwrap(), Outcome::Conflict(None));
    let stale = store.put(&key("a"), "2".into(), Expect::Revision(first)).await.unwrap();
    assert_eq!(stale, Outcome::Conflict(None));
    let second = create(&*store, "a", "2").await;
    assert_eq!(store.get(&key("a")).await.unwrap(), Some(entry("a", "2", second, second)));
    let old = store.list(&key(""), "", 0, first).await.unwrap();
    assert_eq!(old.entries, [entry("a", "1", first, first)]);
    assert!(store.list(&key(""), "", 0, gone).await.unwrap().entries.is_empty());
}

async fn names(store: &dyn Store, prefix: &str, after: &str, limit: usize) -> (String, bool) {
    let page = store.list(prefix, after, limit, 0).await.unwrap();
    let strip = |e: &Entry| e.key.strip_prefix("/registry/things/").unwrap_or(&e.key).to_owned();
    (page.entries.iter().map(strip).collect::<Vec<_>>().join(" "), page.more)
}

async fn lists_in_pages(store: Arc<dyn Store>) {
    for name in ["b/2", "a/1", "b/1", "b-c/1", "c/1", "b/3"] {
        create(&*store, name, name).await;
    }
    done(store.put("/registry/thingsx/a", "x".into(), Expect::Absent).await);
    let check = async |prefix: &str, after: &str, limit, expected: &str, more| {
        let found = names(&*store, &key(prefix), after, limit).await;
        assert_eq!(found, (expected.to_owned(), more), "list {prefix} after {after} limit {limit}");
    };
    check("", "", 0, "a/1 b-c/1 b/1 b/2 b/3 c/1", false).await;
    check("b/", "", 0, "b/1 b/2 b/3", false).await;
    check("b/", "", 3, "b/1 b/2 b/3", false).await;
    check("b/", "", 2, "b/1 b/2", true).await;
    check("b/", &key("b/2"), 2, "b/3", false).await;
    check("b/", &key("b/15"), 1, "b/2", true).await;
    check("b/", &key("b/9"), 0, "", false).await;
    check("b/", &key("a/1"), 0, "b/1 b/2 b/3", false).await;
    check("b/", &key("c/1"), 0, "", false).await;
    check("zzz", "", 5, "", false).await;
}

async fn lists_the_past(store: Arc<dyn Store>) {
    let first = create(&*store, "a", "1").await;
    let second = create(&*store, "b", "1").await;
    let third = update(&*store, "a", "2", first).await;
    let fourth = done(store.delete(&key("b"), second).await);
    let then = async |revision: u64, limit: usize| {
        let page = store.list(&key(""), "", limit, revision).await.unwrap();
        assert_eq!(page.revision, revision);
        (page.entries, page.more)
    };
    assert_eq!(then(first, 0).await, (vec![entry("a", "1", first, first)], false));
    let both = vec![entry("a", "2", first, third), entry("b", "1", second, second)];
    assert_eq!(then(third, 2).await, (both, false));
    assert_eq!(then(fourth, 1).await, (vec![entry("a", "2", first, third)], false));
    let newest = store.revision().await.unwrap();
    let future = store.list(&key(""), "", 0, newest + 1).await;
    assert!(matches!(future, Err(StoreError::Future { .. })), "{future:?}");
}

async fn watches_in_order(store: Arc<dyn Store>) {
    let start = store.revision().await.unwrap();
    let mut all = store.watch(&key(""), start).await.unwrap();
    let mut some = store.watch(&key("b"), start).await.unwrap();
    let a1 = create(&*store, "a", "1").await;
    let b1 = create(&*store, "b", "1").await;
    let a2 = update(&*store, "a", "2", a1).await;
    let b2 = done(store.delete(&key("b"), b1).await);
    let b3 = create(&*store, "b", "3").await;
    let put = |entry: Entry, previous: Option<u64>| Change::Put { entry, previous };
    let old_b = entry("b", "1", b1, b1);
    let of_b = [
        put(old_b.clone(), None),
        Change::Delete { previous: old_b, revision: b2 },
        put(entry("b", "3", b3, b3), None),
    ];
    let of_a = [put(entry("a", "1", a1, a1), None), put(entry("a", "2", a1, a2), Some(a1))];
    assert_eq!(changes(&mut some, 3).await, of_b);
    let mut expected = [of_a.as_slice(), of_b.as_slice()].concat();
    expected.sort_by_key(Change::revision);
    assert_eq!(changes(&mut all, 5).await, expected);
}

async fn watches_from_the_past(store: Arc<dyn Store>) {
    let mut revisions = vec![create(&*store, "a", "0").await];
    for i in 1..2500 {
        let last = revisions[revisions.len() - 1];
        revisions.push(update(&*store, "a", &i.to_string(), last).await);
    }
    for skip in [1, 700, 2499] {
        let mut watch = store.watch(&key(""), revisions[skip - 1]).await.unwrap();
        let found = changes(&mut watch, revisions.len() - skip).await;
        let found: Vec<u64> = found.iter().map(Change::revision).collect();
        assert_eq!(found, revisions[skip..]);
    }
}

async fn watches_from_the_future(store: Arc<dyn Store>) {
    let start = store.revision().await.unwrap();
    let mut watch = store.watch(&key(""), start + 2).await.unwrap();
    create(&*store, "a", "1").await;
    create(&*store, "b", "1").await;
    let late = create(&*store, "c", "1").await;
    let found = changes(&mut watch, 1).await;
    assert_eq!(found, [Change::Put { entry: entry("c", "1", late, late), previous: None }]);
}

async fn refused(store: &dyn Store, from: u64) {
    let first = match store.watch(&key(""), from).await {
        Err(e) => Err(e),
        Ok(mut watch) => {
            let first = soon("the refusal of a watch", watch.next()).await.expect("an answer");
            if first.is_err() {
                let after = soon("the end of a watch", watch.next()).await;
                assert!(after.is_none(), "an error is the last item");
            }
            first
        }
    };
    assert!(matches!(first, Err(StoreError::Compacted { .. })), "watch from {from}: {first:?}");
}

async fn forgets_what_is_compacted(store: Arc<dyn Store>) {
    let a1 = create(&*store, "a", "1").await;
    let b1 = create(&*store, "b", "1").await;
    let a2 = update(&*store, "a", "2", a1).await;
    let a3 = update(&*store, "a", "3", a2).await;
    let b2 = done(store.delete(&key("b"), b1).await);
    let c1 = create(&*store, "c", "1").await;
    store.compact(a3).await.unwrap();
    let list = async |revision| store.list(&key(""), "", 0, revision).await;
    let old = list(a2).await;
    assert!(matches!(old, Err(StoreError::Compacted { .. })), "{old:?}");
    assert_eq!(list(a3).await.unwrap().entries, [entry("a", "3", a1, a3), entry("b", "1", b1, b1)]);
    refused(&*store, a1).await;
    refused(&*store, a2).await;
    let mut watch = store.watch(&key(""), a3).await.unwrap();
    let found = changes(&mut watch, 2).await;
    assert_eq!(found[0], Change::Delete { previous: entry("b", "1", b1, b1), revision: b2 });
    store.compact(b2).await.unwrap();
    let mut watch = store.watch(&key(""), b2).await.unwrap();
    assert_eq!(changes(&mut watch, 1).await[0].revision(), c1);
    store.compact(a2).await.unwrap();
    assert_eq!(list(0).await.unwrap().entries.len(), 2);
    let future = store.compact(c1 + 10).await;
    assert!(matches!(future, Err(StoreError::Future { .. })), "{future:?}");
    assert_eq!(store.revision().await.unwrap(), c1, "compaction is no change");
    store.compact(c1).await.unwrap();
    let a4 = update(&*store, "a", "4", a3).await;
    assert!(a4 > c1, "no revision is used twice");
    assert_eq!(store.get(&key("a")).await.unwrap(), Some(entry("a", "4", a1, a4)));
}

async fn loses_no_update(store: Arc<dyn Store>) {
    const WRITERS: usize = 16;
    const EACH: usize = 8;
    create(&*store, "n", "0").await;
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut revisions = Vec::new();
            while revisions.len() < EACH {
                let now = store.get(&key("n")).await.unwrap().unwrap();
                let count: u64 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
                let (next, expect) = ((count + 1).to_string(), Expect::Revision(now.mod_revision));
                if let Outcome::Done(r) = store.put(&key("n"), next.into(), expect).await.unwrap() {
                    revisions.push(r);
                }
            }
            revisions
        }));
    }
    let mut revisions = BTreeSet::new();
    for task in tasks {
        revisions.extend(soon("the writers", task).await.unwrap());
    }
    assert_eq!(revisions.len(), WRITERS * EACH, "every write has a revision of its own");
    let last = store.get(&key("n")).await.unwrap().unwrap();
    assert_eq!(last.value, (WRITERS * EACH).to_string());
}

/// Writes in random order from several tasks; gives what was acknowledged by revision.
async fn scribble(store: Arc<dyn Store>, seed: usize, rounds: usize) -> BTreeMap<u64, String> {
    let mut log = BTreeMap::new();
    for i in 0..rounds {
        let name = format!("{}-{}", seed, i * 7 % 5);
        let now = store.get(&key(&name)).await.unwrap();
        let revision = match now {
            Some(now) if i % 3 == 0 => done(store.delete(&key(&name), now.mod_revision).await),
            Some(now) => update(&*store, &name, "x", now.mod_revision).await,
            None => create(&*store, &name, "x").await,
        };
        log.insert(revision, key(&name));
    }
    log
}

async fn watches_are_whole_under_compaction(store: Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 60;
    let start = store.revision().await.unwrap();
    let writers: Vec<_> =
        (0..WRITERS).map(|seed| tokio::spawn(scribble(store.clone(), seed, ROUNDS))).collect();
    // A watcher that is cut off again and again, and resumes where it was, while what it has seen is compacted.
    let mut seen = BTreeMap::new();
    let mut from = start;
    while seen.len() < WRITERS * ROUNDS {
        let mut watch = store.watch(&key(""), from).await.unwrap();
        for _ in 0..3 {
            if seen.len() == WRITERS * ROUNDS {
                break;
            }
            let batch = soon("a batch", watch.next()).await.unwrap().unwrap();
            for change in &batch.changes {
                let again = seen.insert(change.revision(), change.key().to_string());
                assert_eq!(again, None, "a change comes once");
                assert!(change.revision() > from, "a change is newer than what was asked for");
            }
            from = batch.revision;
        }
        store.compact(from).await.unwrap();
    }
    let mut written = BTreeMap::new();
    for writer in writers {
        written.extend(soon("a writer", writer).await.unwrap());
    }
    assert_eq!(seen, written);
}

async fn tells_progress(store: Arc<dyn Store>) {
    let start = store.revision().await.unwrap();
    let mut watch = store.watch("/registry/other/", start).await.unwrap();
    let newest = create(&*store, "a", "1").await;
    let mut reached = start;
    soon("progress", async {
        while reached < newest {
            store.request_progress().await.unwrap();
            let next = tokio::time::timeout(Duration::from_millis(500), watch.next()).await;
            if let Ok(batch) = next {
                let batch = batch.unwrap().unwrap();
                assert!(batch.changes.is_empty());
                reached = batch.revision;
            }
        }
    })
    .await;
    assert!(store.list("/registry/other/", "", 0, 0).await.unwrap().entries.is_empty());
}

async fn holds_large_and_odd_values(store: Arc<dyn Store>) {
    let large = Bytes::from(vec![b'x'; 1_400_000]);
    let odd = Bytes::from_static(&[0, 255, 254, 10, 0]);
    let start = store.revision().await.unwrap();
    let mut watch = store.watch(&key(""), start).await.unwrap();
    for (name, value) in [("large", &large), ("odd ü/\u{1}", &odd), ("empty", &Bytes::new())] {
        done(store.put(&key(name), value.clone(), Expect::Absent).await);
        assert_eq!(store.get(&key(name)).await.unwrap().unwrap().value, value);
    }
    for name in ["large2", "large3", "large4"] {
        done(store.put(&key(name), large.clone(), Expect::Absent).await);
    }
    assert_eq!(changes(&mut watch, 6).await.len(), 6);
    assert_eq!(store.list(&key(""), "", 0, 0).await.unwrap().entries.len(), 6);
    let mut late = store.watch(&key(""), start).await.unwrap();
    assert_eq!(changes(&mut late, 6).await.len(), 6);
}
