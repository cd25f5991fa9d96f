//! Which revisions of which keys exist.
//!
//! Knows: per key the revisions that can still be read, and the newest batches for watchers. Refuses to know: values
//! beyond those batches, disks.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::{Batch, Change, StoreError};

/// The newest batches kept for watchers that keep up; the others read the database.
const RECENT_BATCHES: usize = 2048;
const RECENT_BYTES: usize = 4 << 20;

/// A change of a key; `created` is 0 for a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) revision: u64,
    pub(super) created: u64,
}

struct Versions {
    last: Version,
    /// Oldest first.
    older: VecDeque<Version>,
}

/// A record that is no longer needed once history before `at` is forgotten.
pub(super) struct Garbage {
    pub(super) at: u64,
    pub(super) key: Arc<str>,
    pub(super) revision: u64,
}

/// All keys.
#[derive(Default)]
pub(super) struct Index {
    keys: BTreeMap<Arc<str>, Versions>,
    pub(super) revision: u64,
    pub(super) compacted: u64,
    recent: VecDeque<Arc<Batch>>,
    recent_bytes: usize,
    /// Every change after this revision is in `recent`.
    recent_after: u64,
}

/// What a watcher gets next.
pub(super) enum Next {
    Nothing,
    Batches(Vec<Arc<Batch>>),
    /// It is too far behind: read the database.
    FromDisk,
}

impl Index {
    pub(super) fn start(&mut self, revision: u64, compacted: u64) {
        self.revision = revision;
        self.compacted = compacted;
        self.recent_after = revision;
    }

    /// Keys and batches that are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len() + self.recent.len()
    }

    pub(super) fn last(&self, key: &str) -> Option<(Arc<str>, Version)> {
        let (key, versions) = self.keys.get_key_value(key)?;
        Some((key.clone(), versions.last))
    }

    /// Records a change and tells what it makes superfluous.
    pub(super) fn add(
        &mut self,
        key: Arc<str>,
        version: Version,
    ) -> (Option<Garbage>, Option<Garbage>) {
        let at = version.revision;
        let garbage = |revision| Garbage { at, key: key.clone(), revision };
        let tombstone = (version.created == 0).then(|| garbage(at));
        let superseded = match self.keys.get_mut(&key) {
            // A deletion that was superseded is already known to be superfluous.
            Some(versions) => {
                let old = std::mem::replace(&mut versions.last, version);
                versions.older.push_back(old);
                (old.created != 0).then(|| garbage(old.revision))
            }
            None => {
                self.keys.insert(key.clone(), Versions { last: version, older: VecDeque::new() });
                None
            }
        };
        (superseded, tombstone)
    }

    pub(super) fn forget(&mut self, garbage: &Garbage) {
        let Some(versions) = self.keys.get_mut(&garbage.key) else { return };
        // History is forgotten from its start, so it is the first one but for odd orders.
        match versions.older.front() {
            Some(first) if first.revision == garbage.revision => {
                versions.older.pop_front();
            }
            _ => versions.older.retain(|v| v.revision != garbage.revision),
        }
        if versions.older.is_empty() {
            versions.older = VecDeque::new();
        }
        if versions.last.revision == garbage.revision && versions.last.created == 0 {
            self.keys.remove(&garbage.key);
        }
    }

    pub(super) fn check_readable(&self, asked: u64) -> Result<(), StoreError> {
        if asked < self.compacted {
            return Err(StoreError::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.revision {
            return Err(StoreError::Future { asked, newest: self.revision });
        }
        Ok(())
    }

    /// Up to `limit` (0: all) keys as of `revision`, and whether there are more.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> (Vec<(Arc<str>, Version)>, bool) {
        let start = if after >= prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let mut found = Vec::new();
        let range = self.keys.range::<str, _>((start, Bound::Unbounded));
        for (key, versions) in range.take_while(|(key, _)| key.starts_with(prefix)) {
            let Some(version) = versions.as_of(revision) else { continue };
            if limit > 0 && found.len() == limit {
                return (found, true);
            }
            found.push((key.clone(), version));
        }
        (found, false)
    }

    pub(super) fn publish(&mut self, batch: Batch) {
        self.revision = batch.revision;
        self.recent_bytes += weight(&batch);
        self.recent.push_back(Arc::new(batch));
        while self.recent.len() > RECENT_BATCHES || self.recent_bytes > RECENT_BYTES {
            self.forget_batch();
        }
    }

    /// Lets go of the batches that no watcher may start from any more.
    pub(super) fn forget_batches(&mut self) {
        while self.recent.front().is_some_and(|batch| batch.revision <= self.compacted) {
            self.forget_batch();
        }
    }

    fn forget_batch(&mut self) {
        let Some(old) = self.recent.pop_front() else { return };
        self.recent_bytes -= weight(&old);
        self.recent_after = old.revision;
        if self.recent.is_empty() {
            self.recent = VecDeque::new();
        }
    }

    pub(super) fn next(&self, from: u64) -> Result<Next, StoreError> {
        if from < self.compacted {
            return Err(StoreError::Compacted { asked: from, oldest: self.compacted });
        }
        if from >= self.revision {
            return Ok(Next::Nothing);
        }
        if from < self.recent_after {
            return Ok(Next::FromDisk);
        }
        let first = self.recent.partition_point(|batch| batch.revision <= from);
        Ok(Next::Batches(self.recent.range(first..).cloned().collect()))
    }
}

impl Versions {
    fn as_of(&self, revision: u64) -> Option<Version> {
        let newest = if self.last.revision <= revision {
            Some(self.last)
        } else {
            let later = self.older.partition_point(|v| v.revision <= revision);
            self.older.range(..later).next_back().copied()
        };
        newest.filter(|v| v.created != 0)
    }
}

fn weight(batch: &Batch) -> usize {
    let of = |change: &Change| match change {
        Change::Put { entry, .. } => entry.value.len(),
        Change::Delete { previous, .. } => previous.value.len(),
    };
    batch.changes.iter().map(|change| of(change) + 256).sum()
}
