//! A writer is killed in the middle of its work, again and again: nothing that it was told is done may be missing.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use leme_store::embedded::{EmbeddedStore, History, Options};
use leme_store::{Expect, Outcome, Store};

const FILE: &str = "CRASH_TEST_FILE";
const KILLS: usize = 20;
const WRITERS: usize = 16;

fn open(path: &Path) -> EmbeddedStore {
    // Little history, so that compaction is always at work.
    let history = History { age: Duration::from_secs(300), revisions: 40 };
    EmbeddedStore::open_with(path, Options { history, ..Options::default() }).unwrap()
}

fn key(writer: usize) -> String {
    format!("/registry/counters/{writer}")
}

/// The process that is killed: counts up under one key per task, and says so after each acknowledgement.
#[test]
#[ignore = "run by the other test, in a process of its own"]
fn writer() {
    let path = std::env::var(FILE).expect("the file to write to");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(open(Path::new(&path)));
        let tasks = (0..WRITERS).map(|w| tokio::spawn(count(store.clone(), w)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

async fn count(store: Arc<EmbeddedStore>, writer: usize) {
    let key = key(writer);
    for round in 0.. {
        let now = store.get(&key).await.unwrap();
        let count = now.as_ref().map_or(0, |e| number(&e.value)) + 1;
        let outcome = match now {
            Some(now) if round % 10 == 9 => {
                // Delete and create, so that tombstones are in it too. A crash between the two loses the count.
                store.delete(&key, now.mod_revision).await.unwrap();
                store.put(&key, value(count), Expect::Absent).await
            }
            Some(now) => store.put(&key, value(count), Expect::Revision(now.mod_revision)).await,
            None => store.put(&key, value(count), Expect::Absent).await,
        };
        let Ok(Outcome::Done(revision)) = outcome else { panic!("{outcome:?}") };
        let line = format!("done {writer} {count} {revision}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn value(count: u64) -> bytes::Bytes {
    format!("{count:0>900}").into()
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

/// What a writer was told before it was killed: (key, count) by revision.
fn run_and_kill(path: &Path, after: usize) -> HashMap<u64, (usize, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["writer", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = HashMap::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        let Ok(line) = line else { break };
        // The test harness may write in front of the first one; the last one may be cut.
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|w| *w == "done")
            && let [writer, count, revision] = words[at + 1..]
        {
            told.insert(
                revision.parse().unwrap(),
                (writer.parse().unwrap(), count.parse().unwrap()),
            );
        }
        if told.len() == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    told
}

#[test]
fn no_acknowledged_write_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut newest = 0;
    for kill in 0..KILLS {
        let mut told: Vec<_> = run_and_kill(&path, 30 + kill * 41).into_iter().collect();
        told.sort_unstable();
        assert!(told.len() >= 30, "the writer ended early: {} writes", told.len());
        let first = told[0].0;
        assert!(first > newest, "revision {first} came again");
        let store = open(&path);
        let reached = runtime.block_on(store.revision()).unwrap();
        assert!(told.iter().all(|(revision, _)| *revision <= reached));
        let last: HashMap<usize, (u64, u64)> =
            told.iter().map(|(revision, (writer, count))| (*writer, (*revision, *count))).collect();
        for (writer, (revision, count)) in last {
            match runtime.block_on(store.get(&key(writer))).unwrap() {
                Some(now) if now.mod_revision == revision => assert_eq!(number(&now.value), count),
                Some(now) => assert!(now.mod_revision > revision, "{writer} lost {revision}"),
                // Between a deletion and the next creation.
                None => assert!(reached > revision, "{writer} lost {revision}"),
            }
        }
        newest = reached;
    }
}
