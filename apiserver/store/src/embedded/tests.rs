//! The embedded engine: the contract, recovery, trouble.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;

use super::*;
use crate::conformance;

fn temp() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sub/store.db");
    (dir, path)
}

async fn put(store: &EmbeddedStore, key: &str, value: &str, expect: Expect) -> u64 {
    match store.put(key, value.to_owned().into(), expect).await.unwrap() {
        Outcome::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    let fresh = || {
        let path = dir.path().join(number.fetch_add(1, Ordering::Relaxed).to_string());
        async move { Arc::new(EmbeddedStore::open(&path).unwrap()) as Arc<dyn Store> }.boxed()
    };
    conformance::run(&fresh).await;
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    let a1 = put(&store, "/registry/a", "1", Expect::Absent).await;
    let a2 = put(&store, "/registry/a", "2", Expect::Revision(a1)).await;
    let b1 = put(&store, "/registry/b", "1", Expect::Absent).await;
    let b2 = store.delete("/registry/b", b1).await.unwrap();
    assert_eq!(b2, Outcome::Done(b1 + 1));
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.revision().await.unwrap(), b1 + 1);
    let a = store.get("/registry/a").await.unwrap().unwrap();
    assert_eq!((a.create_revision, a.mod_revision, &*a.value), (a1, a2, &b"2"[..]));
    assert_eq!(store.list("/registry/", "", 0, a1).await.unwrap().entries[0].value, "1");
    let mut watch = store.watch("/registry/", a1).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().changes.len(), 3);
    // With every record of them gone, revisions still do not come again.
    let a3 = store.delete("/registry/a", a2).await.unwrap();
    assert_eq!(a3, Outcome::Done(b1 + 2));
    store.compact(b1 + 2).await.unwrap();
    drop((store, watch));
    for _ in 0..2 {
        let store = EmbeddedStore::open(&path).unwrap();
        assert_eq!(store.revision().await.unwrap(), b1 + 2);
        assert!(matches!(
            store.list("/registry/", "", 0, b1).await,
            Err(StoreError::Compacted { .. })
        ));
    }
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(put(&store, "/registry/a", "9", Expect::Absent).await, b1 + 3);
}

#[tokio::test]
async fn history_is_bounded() {
    let (_dir, path) = temp();
    let history = History { age: Duration::from_secs(300), revisions: 20 };
    let options = || Options { history, ..Options::default() };
    let store = EmbeddedStore::open_with(&path, options()).unwrap();
    let mut last = put(&store, "/registry/a", "0", Expect::Absent).await;
    for i in 1..200 {
        last = put(&store, "/registry/a", &i.to_string(), Expect::Revision(last)).await;
    }
    let old = store.list("/registry/", "", 0, last - 30).await;
    assert!(matches!(old, Err(StoreError::Compacted { .. })));
    assert!(store.list("/registry/", "", 0, last - 15).await.is_ok());
    drop(store);
    let file = DataFile::open(&path, options().fatal, None).unwrap();
    let (disk, revision, _) = Disk::open(file).unwrap();
    let mut records = 0;
    disk.reader()
        .unwrap()
        .scan(0, revision, |_, _| {
            records += 1;
            Ok(true)
        })
        .unwrap();
    assert!(records <= 25, "{records} records are left");
}

#[tokio::test]
async fn history_grows_old() {
    let (_dir, path) = temp();
    let history = History { age: Duration::from_millis(40), revisions: u64::MAX };
    let store = EmbeddedStore::open_with(&path, Options { history, ..Options::default() }).unwrap();
    let first = put(&store, "/registry/a", "0", Expect::Absent).await;
    let mut last = first;
    for i in 0..500 {
        last = put(&store, "/registry/a", &i.to_string(), Expect::Revision(last)).await;
        if store.list("/registry/", "", 0, first).await.is_err() {
            assert!(store.list("/registry/", "", 0, last).await.is_ok());
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("history never grows old");
}

#[tokio::test]
async fn only_one_may_have_it() {
    let (_dir, path) = temp();
    let _store = EmbeddedStore::open(&path).unwrap();
    let Err(StoreError::InUse(why)) = EmbeddedStore::open(&path) else { panic!() };
    assert!(why.contains("store.db is in use by another process"), "{why}");
}

#[tokio::test]
async fn foreign_and_newer_files_are_refused() {
    let (dir, path) = temp();
    let foreign = dir.path().join("foreign");
    for content in
        [&b"not a database at all, and longer than any header would have to be"[..], &[0; 8192]]
    {
        std::fs::write(&foreign, content).unwrap();
        let Err(error) = EmbeddedStore::open(&foreign) else { panic!() };
        assert!(matches!(&error, StoreError::Format(why) if why.contains("foreign")), "{error:?}");
        assert_eq!(std::fs::read(&foreign).unwrap(), content, "it is left alone");
    }
    drop(EmbeddedStore::open(&path).unwrap());
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(meta).unwrap().insert("format", 2).unwrap();
    txn.commit().unwrap();
    drop(db);
    let Err(StoreError::Format(why)) = EmbeddedStore::open(&path) else { panic!() };
    assert!(why.contains("newer version (format 2"), "{why}");
}

#[tokio::test]
async fn a_failed_sync_is_the_end() {
    let (_dir, path) = temp();
    let (fail, dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (failing, died) = (fail.clone(), dead.clone());
    let options = Options {
        fatal: Arc::new(move |_| died.store(true, Ordering::SeqCst)),
        before_sync: Some(Arc::new(move || match failing.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("injected")),
            false => Ok(()),
        })),
        ..Options::default()
    };
    let store = EmbeddedStore::open_with(&path, options).unwrap();
    let kept = put(&store, "/registry/a", "1", Expect::Absent).await;
    fail.store(true, Ordering::SeqCst);
    let lost = store.put("/registry/a", "2".into(), Expect::Revision(kept)).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    assert!(dead.load(Ordering::SeqCst));
    // Even when syncs would work again, nothing is acknowledged any more.
    fail.store(false, Ordering::SeqCst);
    let later = store.put("/registry/b", "1".into(), Expect::Absent).await;
    assert!(matches!(later, Err(StoreError::Unavailable(_))), "{later:?}");
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(store.get("/registry/a").await.unwrap().is_some());
    assert!(store.get("/registry/b").await.unwrap().is_none());
}
