//! The embedded engine: one file, one writer thread, one sync per batch.
//!
//! Knows: durability, history, recovery. Refuses to know: other machines; several servers need etcd.
//!
//! Invariants: a revision is one change and is never used twice; what is acknowledged is on disk; what a reader or a
//! watcher sees is on disk; `index.compacted` moves before the records it frees are removed, and a reader opens its view
//! of the database while it holds the index, so it finds every record that the index told it of.

mod backend;
mod committer;
mod disk;
mod index;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};

pub use backend::{Fatal, SyncHook};
pub use committer::History;

use crate::{Batch, Change, Entry, Expect, Outcome, Page, Store, StoreError};
use backend::DataFile;
use committer::{Committer, Request, Write};
use disk::Disk;
use index::{Garbage, Index, Next, Version};

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
    pub before_sync: Option<SyncHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History { age: Duration::from_secs(300), revisions: 50_000 },
            fatal: Arc::new(|why| {
                tracing::error!(why, "the store cannot go on");
                eprintln!("leme: the store cannot go on: {why}");
                std::process::exit(1);
            }),
            before_sync: None,
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
        let file = DataFile::open(path, options.fatal, options.before_sync)?;
        let (disk, revision, compacted) = Disk::open(file.clone())?;
        file.finish()?;
        let mut index = Index::default();
        index.start(revision, compacted);
        let garbage = load(&disk, &mut index)?;
        let newest = watch::channel(revision).0;
        let shared = Arc::new(Shared { index: RwLock::new(index), disk, newest });
        let (sender, receiver) = mpsc::channel(QUEUE);
        let committer = Committer::new(shared.clone(), options.history, garbage);
        let thread = std::thread::Builder::new()
            .name("store-committer".into())
            .spawn(move || committer.run(receiver))
            .map_err(|e| StoreError::Unavailable(format!("cannot start a thread: {e}")))?;
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
    ) -> Result<Outcome, StoreError> {
        let key = Arc::from(key);
        self.ask(|reply| Request::Write(Write { key, value, expect, reply })).await
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

/// Fills the index from the records; gives the superfluous ones.
fn load(disk: &Disk, index: &mut Index) -> Result<VecDeque<Garbage>, StoreError> {
    let mut garbage = VecDeque::new();
    let revision = index.revision;
    disk.reader()?.scan(0, revision, |revision, record| {
        let key = index.last(record.key).map_or_else(|| Arc::from(record.key), |(key, _)| key);
        let version = Version { revision, created: record.created };
        let (superseded, tombstone) = index.add(key, version);
        garbage.extend(superseded.into_iter().chain(tombstone));
        Ok(true)
    })?;
    Ok(garbage)
}

impl Shared {
    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let (found, reader) = {
            let index = self.index();
            let Some(found) = index.last(key).filter(|(_, v)| v.created != 0) else {
                return Ok(None);
            };
            (found, self.disk.reader()?)
        };
        reader.entry(&found.0, found.1.revision).map(Some)
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
        let entries = found.iter().map(|(key, revision)| reader.entry(key, *revision));
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
        reader.scan(from, until, |revision, record| {
            if !record.key.starts_with(prefix) {
                return Ok(true);
            }
            let key = keys.entry(record.key.into()).or_insert_with(|| record.key.into()).clone();
            let previous = match record.previous {
                0 => None,
                previous => Some(reader.entry(&key, previous)?),
            };
            batch.changes.push(match (record.created, previous) {
                (0, Some(previous)) => Change::Delete { previous, revision },
                (0, None) => {
                    return Err(StoreError::Format(format!("{key} was deleted before it was")));
                }
                (_, previous) => Change::Put { entry: record.entry(key, revision), previous },
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
        self.write(key, Some(value), expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        self.write(key, None, Expect::Revision(revision)).await
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

/// One watcher's place in history; it does not keep the store open.
struct Walk {
    shared: Weak<Shared>,
    newest: watch::Receiver<u64>,
    prefix: String,
    from: u64,
    ended: bool,
}

impl Walk {
    async fn step(mut self) -> Option<(Result<Batch, StoreError>, Self)> {
        while !self.ended {
            self.newest.mark_unchanged();
            let shared = self.shared.upgrade()?;
            let next = shared.index().next(self.from);
            let taken = match next {
                Err(e) => Err(e),
                Ok(Next::Nothing) => {
                    drop(shared);
                    self.newest.changed().await.ok()?;
                    continue;
                }
                Ok(Next::Batches(batches)) => Ok(self.join(&batches)),
                Ok(Next::FromDisk) => {
                    let (prefix, from) = (self.prefix.clone(), self.from);
                    aside(move || shared.catch_up(&prefix, from)).await
                }
            };
            match &taken {
                Ok(batch) => self.from = batch.revision,
                Err(_) => self.ended = true,
            }
            return Some((taken, self));
        }
        None
    }

    /// The wanted changes of several batches as one.
    fn join(&self, batches: &[Arc<Batch>]) -> Batch {
        let wanted = batches.iter().flat_map(|batch| &batch.changes);
        let wanted = wanted
            .filter(|c| c.revision() > self.from && c.key().starts_with(&self.prefix))
            .cloned()
            .collect();
        Batch { changes: wanted, revision: batches.last().map_or(self.from, |b| b.revision) }
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
