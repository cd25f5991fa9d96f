//! A full disk: writes fail and say so, reads go on, and it mends by itself when there is space again.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use leme_store::embedded::{EmbeddedStore, History, Options};
use leme_store::{Expect, Outcome, Store, StoreError};

const PLACE: &str = "FULL_TEST_PLACE";

#[test]
fn a_full_disk_stops_writes_only() {
    in_a_namespace("on_a_small_disk");
}

/// Red when deletions leave holes in the file and nothing gives them back to the disk (the next page then lies where there
/// is none: no write ever succeeds again), when ordinary writes go on while the reserve is not whole (each round takes a
/// piece of it), and when the last revisions keep what was deleted last.
#[test]
fn few_deletions_make_room_each_time() {
    in_a_namespace("filled_again_and_again");
}

/// Red when what reports how things are may use all that is kept back: then nothing can be deleted.
#[test]
fn reports_leave_enough_for_deletions() {
    in_a_namespace("filled_by_reports");
}

/// In a mount namespace of its own, so that no mount can be left behind.
fn in_a_namespace(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(PLACE, dir.path())
        .output()
        .expect("unshare is installed by: apt-get install util-linux");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "(needs root) {text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by another test, in a namespace of its own"]
fn on_a_small_disk() {
    on_a_disk(|place| async move { fill_and_free(&place).await });
}

#[test]
#[ignore = "run by another test, in a namespace of its own"]
fn filled_again_and_again() {
    on_a_disk(|place| async move {
        let path = place.join("store.db");
        // So long that what was deleted last would not grow old in time by itself.
        let open = || {
            let history = History { age: Duration::from_secs(60), revisions: 50_000 };
            let options = Options { history, ..Options::default() };
            EmbeddedStore::open_with(&path, options).unwrap()
        };
        let mut store = open();
        let kept = || std::fs::metadata(place.join("store.db.reserve")).unwrap().len();
        let whole = kept();
        let mut live = std::collections::VecDeque::new();
        for round in 0..3 {
            while let Ok(Outcome::Done(revision)) = put_large(&store, round, live.len()).await {
                live.push_back((large(round, live.len()), revision));
            }
            if round % 2 == 1 {
                drop(store);
                fill(&place);
                store = open();
            }
            for _ in 0..3 {
                let (key, revision) = live.pop_front().expect("a few fit");
                let gone = store.delete(&key, revision).await;
                assert!(matches!(gone, Ok(Outcome::Done(_))), "round {round}: {gone:?}");
            }
            let mut tries = 0;
            let revision = loop {
                match put_large(&store, round, 1000).await {
                    Ok(Outcome::Done(revision)) => break revision,
                    Err(StoreError::Full(_)) => {}
                    other => panic!("round {round}: {other:?}"),
                }
                tries += 1;
                assert!(tries < 300, "round {round}: deletions make no room");
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            live.push_back((large(round, 1000), revision));
            assert_eq!(kept(), whole, "round {round}");
            let _ = std::fs::remove_file(place.join("filler"));
        }
        drop(store);
        let report = leme_store::embedded::check(&path).unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.objects, live.len());
    });
}

#[test]
#[ignore = "run by another test, in a namespace of its own"]
fn filled_by_reports() {
    on_a_disk(|place| async move {
        let store = EmbeddedStore::open(&place.join("store.db")).unwrap();
        let mut live = Vec::new();
        while let Ok(Outcome::Done(revision)) = put_large(&store, 0, live.len()).await {
            live.push(revision);
        }
        let report = |n: usize| bytes::Bytes::from(vec![n as u8; 20_000]);
        let mut n = 0;
        while let Ok(Outcome::Done(_)) =
            store.put_reserved(&key(n), report(n), Expect::Absent).await
        {
            n += 1;
            assert!(n < 1000, "the disk is never full");
        }
        for (n, revision) in live.into_iter().enumerate() {
            let gone = store.delete(&large(0, n), revision).await;
            assert!(matches!(gone, Ok(Outcome::Done(_))), "{n}: {gone:?}");
        }
    });
}

fn large(round: usize, n: usize) -> String {
    format!("/registry/large/{round}-{n:04}")
}

async fn put_large(store: &EmbeddedStore, round: usize, n: usize) -> Result<Outcome, StoreError> {
    store.put(&large(round, n), vec![n as u8; 300_000].into(), Expect::Absent).await
}

/// Mounts a small disk and works on it.
fn on_a_disk<F: Future<Output = ()>>(work: impl FnOnce(PathBuf) -> F) {
    let place = std::env::var(PLACE).expect("the directory to mount on");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "small-disk", &place])
        .status()
        .unwrap();
    assert!(mounted.success(), "cannot mount a tmpfs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work(place.into()));
}

fn key(i: usize) -> String {
    format!("/registry/things/{i:05}")
}

async fn put(store: &EmbeddedStore, i: usize) -> Result<Outcome, StoreError> {
    store.put(&key(i), vec![i as u8; 20_000].into(), Expect::Absent).await
}

async fn check(store: &EmbeddedStore, written: usize) {
    let page = store.list("/registry/", "", 0, 0).await.unwrap();
    assert_eq!(page.entries.len(), written);
    for i in 0..written {
        let entry = store.get(&key(i)).await.unwrap().unwrap();
        assert_eq!(entry.value, vec![i as u8; 20_000]);
    }
}

async fn fill_and_free(place: &Path) {
    let path = place.join("store.db");
    let ballast = place.join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    let store = EmbeddedStore::open(&path).unwrap();
    let mut written = 0;
    let refused = loop {
        match put(&store, written).await {
            Ok(_) => written += 1,
            Err(e) => break e,
        }
        assert!(written < 1000, "the disk is never full");
    };
    assert!(written > 50, "only {written} fit");
    assert!(matches!(&refused, StoreError::Full(why) if why.contains("store.db")), "{refused:?}");
    for _ in 0..20 {
        let again = put(&store, written).await;
        assert!(matches!(again, Err(StoreError::Full(_))), "{again:?}");
        check(&store, written).await;
    }
    // What is kept back serves heartbeats and deletions; also after a restart, and nothing else meanwhile.
    let heartbeat = "/registry/leases/one";
    let beat = |n: usize| bytes::Bytes::from(n.to_string());
    let Outcome::Done(mut last) =
        store.put_reserved(heartbeat, beat(0), Expect::Absent).await.unwrap()
    else {
        panic!()
    };
    drop(store);
    fill(place);
    let store = EmbeddedStore::open(&path).unwrap();
    for n in 1..50 {
        let beaten = store.put_reserved(heartbeat, beat(n), Expect::Revision(last)).await;
        let Ok(Outcome::Done(revision)) = beaten else { panic!("{n}: {beaten:?}") };
        last = revision;
    }
    let gone = store.delete(heartbeat, last).await.unwrap();
    assert!(matches!(gone, Outcome::Done(_)));
    for _ in 0..20 {
        written -= 1;
        let entry = store.get(&key(written)).await.unwrap().unwrap();
        let gone = store.delete(&key(written), entry.mod_revision).await.unwrap();
        assert!(matches!(gone, Outcome::Done(_)), "{gone:?}");
    }
    let again = put(&store, written).await;
    assert!(matches!(again, Err(StoreError::Full(_))), "{again:?}");
    // Enough deletions make room by themselves.
    for _ in 0..100 {
        written -= 1;
        let entry = store.get(&key(written)).await.unwrap().unwrap();
        store.delete(&key(written), entry.mod_revision).await.unwrap();
    }
    let mut tries = 0;
    while put(&store, written).await.is_err() {
        tries += 1;
        assert!(tries < 300, "deletions make no room");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    written += 1;
    std::fs::remove_file(place.join("filler")).unwrap();
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..20 {
        assert!(matches!(put(&store, written).await, Ok(Outcome::Done(_))));
        written += 1;
    }
    check(&store, written).await;
    drop(store);
    check(&EmbeddedStore::open(&path).unwrap(), written).await;
}

/// Takes what is left of the disk.
fn fill(place: &Path) {
    use std::io::Write;
    let mut filler = std::fs::File::create(place.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
}
