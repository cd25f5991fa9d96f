//! The engine that forgets: everything in one map, for tests and simulated clusters.
//!
//! Knows: the whole contract of [`Store`]. Refuses to know: disks, threads, time.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use crate::{Batch, Change, Entry, Expect, Outcome, Page, Store, StoreError};

/// Changes delivered to a watcher in one go at most; whole revisions only.
const BATCH: usize = 1000;

/// A store in memory.
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    newest: watch::Sender<u64>,
}

struct State {
    revision: u64,
    compacted: u64,
    /// Per key its versions since the compaction, oldest first; `None` is a deletion.
    keys: BTreeMap<Arc<str>, Vec<Version>>,
    log: BTreeMap<u64, Change>,
}

struct Version {
    revision: u64,
    entry: Option<Entry>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store at revision 1.
    pub fn new() -> Self {
        let state =
            State { revision: 1, compacted: 0, keys: BTreeMap::new(), log: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), newest: watch::channel(1).0 }
    }

    fn write(
        &self,
        key: &str,
        allowed: impl FnOnce(Option<&Entry>) -> bool,
        value: Option<Bytes>,
    ) -> Outcome {
        let mut state = lock(&self.state);
        let current = state.current(key);
        if !allowed(current.as_ref()) {
            return Outcome::Conflict(current);
        }
        let revision = state.revision + 1;
        let entry = value.map(|value| Entry {
            key: current.as_ref().map_or_else(|| Arc::from(key), |e| e.key.clone()),
            value,
            create_revision: current.as_ref().map_or(revision, |e| e.create_revision),
            mod_revision: revision,
        });
        state.record(key, revision, entry, current);
        drop(state);
        self.newest.send_replace(revision);
        Outcome::Done(revision)
    }
}

impl State {
    fn current(&self, key: &str) -> Option<Entry> {
        self.keys.get(key)?.last()?.entry.clone()
    }

    fn record(&mut self, key: &str, revision: u64, entry: Option<Entry>, previous: Option<Entry>) {
        let change = match (&entry, previous) {
            (Some(entry), previous) => {
                let previous = previous.map(|entry| entry.mod_revision);
                Change::Put { entry: entry.clone(), previous }
            }
            (None, Some(previous)) => Change::Delete { previous, revision },
            (None, None) => return,
        };
        let name: Arc<str> = entry.as_ref().map_or_else(|| Arc::from(key), |e| e.key.clone());
        self.keys.entry(name).or_default().push(Version { revision, entry });
        self.log.insert(revision, change);
        self.revision = revision;
    }

    fn check_readable(&self, asked: u64) -> Result<(), StoreError> {
        if asked < self.compacted {
            return Err(StoreError::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.revision {
            return Err(StoreError::Future { asked, newest: self.revision });
        }
        Ok(())
    }

    fn compact(&mut self, at: u64) {
        self.compacted = at;
        self.log = self.log.split_off(&(at + 1));
        self.keys.retain(|_, versions| {
            let keep = versions.iter().rposition(|v| v.revision <= at).unwrap_or(0);
            versions.drain(..keep);
            !(versions.len() == 1 && versions[0].entry.is_none() && versions[0].revision <= at)
        });
    }

    fn after(&self, from: u64, prefix: &str) -> Result<Batch, StoreError> {
        if from < self.compacted {
            return Err(StoreError::Compacted { asked: from, oldest: self.compacted });
        }
        let mut batch = Batch { changes: Vec::new(), revision: from.max(self.revision) };
        for (revision, change) in self.log.range(from + 1..) {
            if batch.changes.len() == BATCH {
                batch.revision = revision - 1;
                break;
            }
            if change.key().starts_with(prefix) {
                batch.changes.push(change.clone());
            }
        }
        Ok(batch)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(lock(&self.state).current(key))
    }

    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError> {
        let state = lock(&self.state);
        let revision = if revision == 0 { state.revision } else { revision };
        state.check_readable(revision)?;
        let start = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let mut page = Page { entries: Vec::new(), revision, more: false };
        let range = state.keys.range::<str, _>((start, Bound::Unbounded));
        for (_, versions) in range.take_while(|(k, _)| k.starts_with(prefix)) {
            let as_of = versions.iter().rev().find(|v| v.revision <= revision);
            let Some(entry) = as_of.and_then(|v| v.entry.as_ref()) else { continue };
            if limit > 0 && page.entries.len() == limit {
                page.more = true;
                break;
            }
            page.entries.push(entry.clone());
        }
        Ok(page)
    }

    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError> {
        Ok(self.write(key, |current| expect.holds(current.map(|e| e.mod_revision)), Some(value)))
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError> {
        Ok(self.write(key, |current| current.is_some_and(|e| e.mod_revision == revision), None))
    }

    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError> {
        lock(&self.state).after(from, prefix)?;
        let walk = Walk {
            state: Arc::downgrade(&self.state),
            newest: self.newest.subscribe(),
            prefix: prefix.to_owned(),
            from,
            ended: false,
        };
        Ok(stream::unfold(walk, Walk::step).boxed())
    }

    async fn revision(&self) -> Result<u64, StoreError> {
        Ok(lock(&self.state).revision)
    }

    async fn compact(&self, revision: u64) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if revision > state.compacted {
            state.check_readable(revision)?;
            state.compact(revision);
        }
        Ok(())
    }
}

/// One watcher's place in the log; it does not keep the store alive.
struct Walk {
    state: std::sync::Weak<Mutex<State>>,
    newest: watch::Receiver<u64>,
    prefix: String,
    from: u64,
    ended: bool,
}

impl Walk {
    async fn step(mut self) -> Option<(Result<Batch, StoreError>, Self)> {
        while !self.ended {
            let newest = *self.newest.borrow_and_update();
            if newest <= self.from {
                self.newest.changed().await.ok()?;
                continue;
            }
            let taken = lock(&*self.state.upgrade()?).after(self.from, &self.prefix);
            match &taken {
                Ok(batch) => self.from = batch.revision,
                Err(_) => self.ended = true,
            }
            return Some((taken, self));
        }
        None
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        let fresh = || async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }.boxed();
        conformance::run(&fresh).await;
    }
}
