//! A full disk: writes fail and say so, reads go on, and it mends by itself when there is space again.

use std::path::Path;
use std::process::Command;

use leme_store::embedded::EmbeddedStore;
use leme_store::{Expect, Outcome, Store, StoreError};

const PLACE: &str = "FULL_TEST_PLACE";

/// In a mount namespace of its own, so that no mount can be left behind.
#[test]
fn a_full_disk_stops_writes_only() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["on_a_small_disk", "--exact", "--ignored", "--nocapture"])
        .env(PLACE, dir.path())
        .output()
        .expect("unshare is installed by: apt-get install util-linux");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "(needs root) {text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the other test, in a namespace of its own"]
fn on_a_small_disk() {
    let place = std::env::var(PLACE).expect("the directory to mount on");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "small-disk", &place])
        .status()
        .unwrap();
    assert!(mounted.success(), "cannot mount a tmpfs");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill_and_free(Path::new(&place)));
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
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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
