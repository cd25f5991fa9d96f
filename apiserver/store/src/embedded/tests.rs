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
    let file = DataFile::open(&path, options().fatal, Hooks::default()).unwrap();
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

/// A store whose history grows old at once.
fn forgetful() -> (tempfile::TempDir, EmbeddedStore) {
    let (dir, path) = temp();
    let history = History { age: Duration::from_millis(40), revisions: u64::MAX };
    let store = EmbeddedStore::open_with(&path, Options { history, ..Options::default() }).unwrap();
    (dir, store)
}

#[tokio::test]
async fn history_grows_old() {
    let (_dir, store) = forgetful();
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

/// Red when history ages by writes only: what was deleted last stays in the file and in memory for ever.
#[tokio::test]
async fn history_grows_old_when_nobody_writes() {
    let (_dir, store) = forgetful();
    let first = put(&store, "/registry/a", "0", Expect::Absent).await;
    let Outcome::Done(last) = store.delete("/registry/a", first).await.unwrap() else { panic!() };
    let forgotten = async {
        while store.list("/registry/", "", 0, first).await.is_ok() || store.shared.index().len() > 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("history stays");
    assert_eq!(store.revision().await.unwrap(), last);
    assert_eq!(put(&store, "/registry/a", "1", Expect::Absent).await, last + 1);
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
    txn.open_table(meta).unwrap().insert("format", 3).unwrap();
    txn.commit().unwrap();
    drop(db);
    let Err(StoreError::Format(why)) = EmbeddedStore::open(&path) else { panic!() };
    assert!(why.contains("newer version (format 3"), "{why}");
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

/// Flips a bit of the file where `what` stands.
fn flip_in(path: &std::path::Path, what: &[u8], bit: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let found: Vec<_> =
        (0..bytes.len() - what.len()).filter(|at| bytes[*at..].starts_with(what)).collect();
    assert!(!found.is_empty(), "it is not there");
    for at in found {
        bytes[at + what.len() / 2] ^= 1 << bit;
    }
    std::fs::write(path, bytes).unwrap();
}

/// Red when the checksum of a value is not compared.
#[tokio::test]
async fn a_flipped_bit_costs_one_object_and_is_never_served() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    let mut last = 0;
    for name in ["a", "b", "c"] {
        let key = format!("/registry/things/{name}");
        last = put(&store, &key, &format!("value of {name}"), Expect::Absent).await;
    }
    drop(store);
    flip_in(&path, b"value of b", 0);
    let report = check(&path).unwrap();
    assert_eq!(report.lost, [("/registry/things/b".to_owned(), last - 1)]);
    assert_eq!((report.objects, report.pages), (2, 0));
    let store = EmbeddedStore::open(&path).unwrap();
    let page = store.list("/registry/", "", 0, 0).await.unwrap();
    let values: Vec<_> = page.entries.iter().map(|e| e.value.clone()).collect();
    assert_eq!(values, ["value of a", "", "value of c"]);
    let b = store.get("/registry/things/b").await.unwrap().unwrap();
    assert_eq!((b.mod_revision, b.value.len()), (last - 1, 0));
    // It can be deleted, and made again.
    let gone = store.delete("/registry/things/b", b.mod_revision).await.unwrap();
    assert_eq!(gone, Outcome::Done(last + 1));
    put(&store, "/registry/things/b", "again", Expect::Absent).await;
    drop(store);
    assert_eq!(check(&path).unwrap().objects, 3);
}

#[tokio::test]
async fn a_flipped_bit_in_a_name_is_mended() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    put(&store, "/registry/things/odd-name", "1", Expect::Absent).await;
    drop(store);
    flip_in(&path, b"odd-name", 1);
    for _ in 0..2 {
        let store = EmbeddedStore::open(&path).unwrap();
        let found = store.get("/registry/things/odd-name").await.unwrap().unwrap();
        assert_eq!(found.value, "1");
    }
    assert!(check(&path).unwrap().is_sound());
}

/// Red when pages are not looked at before the database opens the file: it panics then.
#[tokio::test]
async fn a_page_of_zeros_is_an_error_with_a_way_out() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    for i in 0..500 {
        put(&store, &format!("/registry/things/{i}"), &"x".repeat(300), Expect::Absent).await;
    }
    drop(store);
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        match EmbeddedStore::open(&path) {
            Ok(store) => {
                let page = store.list("/registry/", "", 0, 0).await.unwrap();
                assert_eq!(page.entries.len(), 500);
            }
            Err(StoreError::Format(why)) => {
                assert!(why.contains("leme store salvage"), "{why}");
                refused += 1;
            }
            Err(e) => panic!("{e:?}"),
        }
    }
    assert!(refused > 10, "{refused} pages matter");
}

// Red when a file that is gone or empty is made anew: the cluster began with nothing, and said nothing.
#[tokio::test]
async fn a_store_that_is_gone_is_not_begun_anew() {
    let (_dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    put(&store, "/registry/things/a", "a", Expect::Absent).await;
    drop(store);
    std::fs::write(&path, b"").unwrap();
    let refused = |what: &str| match EmbeddedStore::open(&path) {
        Err(StoreError::Format(why)) => assert!(why.contains(what), "{why}"),
        other => panic!("{:?}", other.map(|_| "opened")),
    };
    refused("is empty, and there was a store");
    std::fs::remove_file(&path).unwrap();
    refused("is gone, and there was a store");
    // What a crash leaves of the very first start is begun anew.
    std::fs::write(path.with_added_extension("new"), b"half").unwrap();
    EmbeddedStore::open(&path).unwrap();
}

#[tokio::test]
async fn one_bad_page_after_a_crash_leaves_the_rest_to_be_salvaged() {
    let (dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    for i in 0..300 {
        let value = format!("<{i:03}>").repeat(80);
        put(&store, &format!("/registry/things/{i}"), &value, Expect::Absent).await;
    }
    // As a crash leaves it: never closed.
    let crashed = dir.path().join("crashed.db");
    std::fs::copy(&path, &crashed).unwrap();
    flip_in(&crashed, "<007>".repeat(80).as_bytes(), 2);
    assert!(matches!(EmbeddedStore::open(&crashed), Err(StoreError::Format(_))));
    let (report, _) = salvage(&crashed).unwrap();
    assert_eq!((report.objects, report.lost.len()), (299, 1));
    let saved = EmbeddedStore::open(&crashed).unwrap();
    assert_eq!(saved.list("/registry/", "", 0, 0).await.unwrap().entries.len(), 299);
}

/// A file as format 1 wrote it: no checksums.
fn write_format_1(path: &std::path::Path) {
    let record = |key: &str, value: &str| {
        let mut bytes = vec![1];
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        bytes.extend((key.len() as u32).to_le_bytes());
        bytes.extend(key.bytes().chain(value.bytes()));
        bytes
    };
    let db = redb::Database::create(path).unwrap();
    let txn = db.begin_write().unwrap();
    let data: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("data");
    let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
    txn.open_table(data).unwrap().insert(2, &*record("/registry/things/a", "one")).unwrap();
    let mut meta = txn.open_table(meta).unwrap();
    for (name, n) in [("format", 1), ("revision", 2), ("compacted", 0)] {
        meta.insert(name, n).unwrap();
    }
    drop(meta);
    txn.commit().unwrap();
}

#[tokio::test]
async fn a_file_without_checksums_gets_them_when_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    write_format_1(&path);
    let report = check(&path).unwrap();
    assert_eq!((report.objects, report.unchecked), (1, 1));
    let store = EmbeddedStore::open(&path).unwrap();
    let a = store.get("/registry/things/a").await.unwrap().unwrap();
    assert_eq!((&*a.value, a.create_revision, a.mod_revision), (&b"one"[..], 2, 2));
    drop(store);
    let report = check(&path).unwrap();
    assert_eq!((report.objects, report.unchecked), (1, 0));
}

/// Red when a write that is durable although it failed ends the process, or counts as failed.
#[tokio::test]
async fn a_write_without_space_happens_or_does_not_and_is_answered_so() {
    let (_dir, path) = temp();
    let (mut last, mut full) = (0, 0);
    for n in 0..40i64 {
        let left = Arc::new(std::sync::atomic::AtomicI64::new(i64::MAX));
        let dead = Arc::new(AtomicBool::new(false));
        let (counted, died) = (left.clone(), dead.clone());
        let options = Options {
            history: History { age: Duration::from_secs(300), revisions: 4 },
            fatal: Arc::new(move |_| died.store(true, Ordering::SeqCst)),
            before_write: Some(Arc::new(move || match counted.fetch_sub(1, Ordering::SeqCst) {
                0 => Err(std::io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            })),
            ..Options::default()
        };
        let store = EmbeddedStore::open_with(&path, options).unwrap();
        for i in 0..4 {
            let expect = if last == 0 { Expect::Absent } else { Expect::Revision(last) };
            last = put(&store, "/registry/a", &i.to_string(), expect).await;
        }
        // What was superseded is given back to the disk once, and the write done after all.
        left.store(1, Ordering::SeqCst);
        last = put(&store, "/registry/a", "newer", Expect::Revision(last)).await;
        left.store(n, Ordering::SeqCst);
        let written = store.put("/registry/a", "new".into(), Expect::Revision(last)).await;
        left.store(i64::MAX, Ordering::SeqCst);
        let now = store.get("/registry/a").await.unwrap().unwrap();
        match written {
            Ok(Outcome::Done(revision)) => {
                assert_eq!((now.mod_revision, &*now.value), (revision, &b"new"[..]));
                last = revision;
            }
            Err(StoreError::Full(_)) => {
                assert_eq!(now.mod_revision, last);
                full += 1;
                // What frees space or keeps alive goes on all the same.
                let beat = store.put_reserved("/registry/b", "1".into(), Expect::Absent).await;
                let Ok(Outcome::Done(revision)) = beat else { panic!("{beat:?}") };
                let gone = store.delete("/registry/b", revision).await.unwrap();
                assert_eq!(gone, Outcome::Done(revision + 1));
            }
            other => panic!("{other:?}"),
        }
        assert!(!dead.load(Ordering::SeqCst), "write {n}");
    }
    assert!(full > 0, "no write failed");
}

/// Red when the database's own panics are printed, whether it is opened, read, written, checked or closed.
#[test]
fn a_damaged_file_is_said_in_errors_only() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["embedded::tests::each_page_damaged", "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[tokio::test]
#[ignore = "run by another test, which reads what it prints"]
async fn each_page_damaged() {
    let (dir, path) = temp();
    let store = EmbeddedStore::open(&path).unwrap();
    for i in 0..200 {
        put(&store, &format!("/registry/things/{i}"), &"x".repeat(300), Expect::Absent).await;
    }
    let crashed = std::fs::read(&path).unwrap();
    drop(store);
    let closed = std::fs::read(&path).unwrap();
    let damaged = dir.path().join("damaged.db");
    let options = || Options { fatal: Arc::new(|_| {}), ..Options::default() };
    let mut refused = 0;
    for (whole, fill) in [(&closed, 0), (&crashed, 0), (&closed, 0xa5), (&crashed, 0xa5)] {
        for page in 0..whole.len().div_ceil(4096) {
            let mut bytes = whole.clone();
            let end = whole.len().min((page + 1) * 4096);
            // The head of the file is what makes it one of the kind.
            bytes[(page * 4096).max(16)..end].fill(fill);
            std::fs::write(&damaged, &bytes).unwrap();
            let _ = check(&damaged);
            match EmbeddedStore::open_with(&damaged, options()) {
                Ok(store) => {
                    let _ = store.list("/registry/", "", 0, 0).await;
                    let _ = store.put("/registry/a", "a".into(), Expect::Absent).await;
                }
                Err(e) => {
                    assert_eq!(e.to_string().lines().count(), 1, "{e}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 10, "{refused} pages matter");
}
