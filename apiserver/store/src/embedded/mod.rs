//! The embedded engine: one file, one writer thread, one sync per batch.
//!
//! Knows: durability, history, recovery. Refuses to know: other machines; several servers need etcd.
//!
//! Invariants: a revision is one change and is never used twice; what is acknowledged is on disk; what a reader or a
//! watcher sees is on disk; `index.compacted` moves before the records it frees are removed, and a reader opens its view
//! of the database while it holds the index, so it finds every record that the index told it of.

mod backend;
mod committer;
mod damage;
mod disk;
mod index;
mod offline;
mod overlay;
mod pages;
mod reader;
mod record;
mod request;
mod reserve;
mod space;
#[cfg(test)]
mod tests;
mod views;
mod walk;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};

pub use backend::{Fatal, Hook};
pub use committer::History;
pub use offline::{Report, backup, check, restore, salvage};

use crate::{Batch, Change, Entry, Expect, Outcome, Page, Store, StoreError};
use backend::{DataFile, Hooks};
use committer::Committer;
use disk::Disk;
use index::{Garbage, Index, Version};
use record::Trust;
use request::{Allowance, Request, Write};
use walk::Walk;

/// Writes that may wait for the committer; more wait for a place.
const QUEUE: usize = 4096;
/// Changes read from disk at once for a watcher that is behind.
const CATCH_UP: usize = 500;

/// How the engine is opened.
pub struct Options {
    /// How much history is kept.
    pub history: History,
    /// What happens after a failed sync; must not return in production.
    pub fatal: Fatal,
    /// Called before every sync, to make it fail in tests.
    pub before_sync: Option<Hook>,
    /// Called before every write to the file, to make it fail in tests.
    pub before_write: Option<Hook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History { age: Duration::from_secs(300), revisions: 50_000 },
            fatal: Arc::new(|why| {
                tracing::error!(why, "the store cannot go on");
                // On a full disk this fails as well, and the end must still come.
                let _ = writeln!(std::io::stderr(), "leme: the store cannot go on: {why}");
                std::process::exit(1);
            }),
            before_sync: None,
            before_write: None,
        }
    }
}

/// A store in one file.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    index: RwLock<Index>,
    disk: Disk,
    newest: watch::Sender<u64>,
}

impl EmbeddedStore {
    /// Opens the file, or creates it, for this process alone.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Options::default())
    }

    /// Opens the file with other options than the usual ones.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, StoreError> {
        let Options { before_sync, before_write, .. } = &options;
        let (before_sync, before_write) = (before_sync.clone(), before_write.clone());
        let file = DataFile::open(path, options.fatal, Hooks { before_write, before_sync })?;
        let (disk, revision, compacted) = Disk::open(file.clone())?;
        file.finish()?;
        let mut index = Index::default();
        index.start(revision, compacted);
        let loaded = load(&disk, &mut index)?;
        renew(&disk, &index, &loaded.renew)?;
        let newest = watch::channel(revision).0;
        let shared = Arc::new(Shared { index: RwLock::new(index), disk, newest });
        let (sender, receiver) = mpsc::channel(QUEUE);
        let failed = |e| StoreError::Unavailable(format!("cannot start a thread: {e}"));
        let committer =
            Committer::new(shared.clone(), options.history, loaded.garbage).map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("store-committer".into())
            .spawn(move || committer.run(receiver))
            .map_err(failed)?;
        Ok(Self { shared, queue: Some(sender), committer: Some(thread) })
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the store has stopped".into());
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn write(
        &self,
        key: &str,
        value: Option<Bytes>,
        expect: Expect,
        allowance: Allowance,
    ) -> Result<Outcome, StoreError> {
        let key = Arc::from(key);
        self.ask(|reply| Request::Write(Write { key, value, expect, allowance, reply })).await
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.committer.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}

/// What was found in the records beside what the index now holds.
struct Loaded {
    garbage: VecDeque<Garbage>,
    /// What lies in the database otherwise than it would be written now.
    renew: Vec<u64>,
}

/// Fills the index from the records. Records whose value is lost keep their names and have an empty value. A record of
/// which nothing can be told is an error, unless a later one says that it is superseded: nobody could say which object
/// is not what it should be.
fn load(disk: &Disk, index: &mut Index) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded { garbage: VecDeque::new(), renew: Vec::new() };
    let mut unknown = BTreeSet::new();
    disk.reader()?.scan(0, index.revision, |revision, read| {
        let Some((record, trust)) = read else {
            unknown.insert(revision);
            return Ok(true);
        };
        match trust {
            Trust::Whole => {}
            Trust::ValueLost => {
                let key = &record.key;
                tracing::error!(%key, revision, "the object's record is damaged: its value is lost");
            }
            Trust::Mended | Trust::Unchecked => loaded.renew.push(revision),
        }
        let key = match index.last(&record.key) {
            Some((key, _)) => key,
            None => Arc::from(&*record.key),
        };
        if unknown.remove(&record.previous) {
            // History from before this change cannot be told any more.
            index.compacted = index.compacted.max(revision);
            let (key, at, revision) = (key.clone(), revision, record.previous);
            loaded.garbage.push_back(Garbage { at, key, revision });
        }
        let version = Version { revision, created: record.created };
        let (superseded, tombstone) = index.add(key, version);
        loaded.garbage.extend(superseded.into_iter().chain(tombstone));
        Ok(true)
    })?;
    match unknown.len() {
        0 => Ok(loaded),
        n => Err(damage::damaged(&disk.file().path, &format!("{n} of its records"))),
    }
}

/// Writes records of an older format, and those that were mended, as they should be; without space that can wait.
fn renew(disk: &Disk, index: &Index, revisions: &[u64]) -> Result<(), StoreError> {
    match disk.rewrite(revisions, index.revision, index.compacted) {
        Err(StoreError::Full(why)) => {
            tracing::warn!(%why, "records without checksums stay as they are until the next start");
            Ok(())
        }
        other => other,
    }
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that a key has now, if it is there.
    fn live(&self, key: &str) -> Option<(Arc<str>, Version)> {
        self.index().last(key).filter(|(_, version)| version.created != 0)
    }

    fn current(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (found, reader) = {
            let index = self.index();
            let Some(found) = index.last(key).filter(|(_, v)| v.created != 0) else {
                return Ok(None);
            };
            (found, self.disk.reader()?)
        };
        reader.entry(&found.0, found.1).map(Some)
    }

    fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        asked: u64,
    ) -> Result<Page, StoreError> {
        let (revision, found, more, reader) = {
            let index = self.index();
            let revision = if asked == 0 { index.revision } else { asked };
            index.check_readable(revision)?;
            let (found, more) = index.list(prefix, after, limit, revision);
            (revision, found, more, self.disk.reader()?)
        };
        let entries = found.iter().map(|(key, version)| reader.entry(key, *version));
        Ok(Page { entries: entries.collect::<Result<_, _>>()?, revision, more })
    }

    /// Changes after `from`, read from the database.
    fn catch_up(&self, prefix: &str, from: u64) -> Result<Batch, StoreError> {
        let (until, reader) = {
            let index = self.index();
            if from < index.compacted {
                return Err(StoreError::Compacted { asked: from, oldest: index.compacted });
            }
            (index.revision, self.disk.reader()?)
        };
        let mut batch = Batch { changes: Vec::new(), revision: until };
        let mut keys: HashMap<String, Arc<str>> = HashMap::new();
        reader.scan(from, until, |revision, read| {
            let Some((record, _)) = read else {
                return Err(damage::damaged(
                    &self.disk.file().path,
                    &format!("revision {revision}"),
                ));
            };
            if !record.key.starts_with(prefix) {
                return Ok(true);
            }
            let key = match keys.get(&*record.key) {
                Some(key) => key.clone(),
                None => Arc::from(&*record.key),
            };
            keys.entry(record.key.to_string()).or_insert_with(|| key.clone());
            let previous = Some(record.previous).filter(|revision| *revision != 0);
            batch.changes.push(match (record.created, previous) {
                (0, Some(last)) => {
                    let last = Version { revision: last, created: last };
                    Change::Delete { previous: reader.entry(&key, last)?, revision }
                }
                (0, None) => {
                    return Err(StoreError::Format(format!("{key} was deleted before it was")));
                }
                (_, previous) => Change::Put { entry: record.entry(key), previous },
            });
            if batch.changes.len() == CATCH_UP {
                batch.revision = revision;
            }
            Ok(batch.changes.len() < CATCH_UP)
        })?;
        Ok(batch)
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.shared.current(key)
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        let (shared, prefix, after) = (self.shared.clone(), prefix.to_owned(), after.to_owned());
        aside(move || shared.page(&prefix, &after, limit, revision)).await
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        self.write(key, Some(value), expect, Allowance::Ordinary).await
    }

    async fn put_reserved(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
    ) -> Result<Outcome, StoreError> {
        self.write(key, Some(value), expect, Allowance::Reserved).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        self.write(key, None, Expect::Revision(revision), Allowance::Removal).await
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        let newest = self.shared.newest.subscribe();
        self.shared.index().next(from)?;
        let shared = Arc::downgrade(&self.shared);
        let walk = Walk { shared, newest, prefix: prefix.into(), from, ended: false };
        Ok(stream::unfold(walk, Walk::step).boxed())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.shared.index().revision)
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        self.ask(|reply| Request::Compact { revision, reply }).await
    }
}

/// Runs what reads much from disk where it may block.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| StoreError::Unavailable(format!("a read ended early: {e}")))?
}
