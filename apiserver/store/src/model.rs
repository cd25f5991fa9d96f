//! The contract of a store: entries, revisions, expectations, pages, changes, errors, and the trait.
//!
//! Knows: what every engine promises. Refuses to know: how any of them keeps it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A key with its value as of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key, such as `/registry/pods/default/web`.
    pub key: Arc<str>,
    /// Value as written; the resourceVersion is not part of it. Empty, which no object is: the engine has lost it, and
    /// says so instead of giving something else.
    pub value: Bytes,
    /// Revision of the write that created the key.
    pub create_revision: u64,
    /// Revision of the last write.
    pub mod_revision: u64,
}

/// What must be true of a key for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key's last write was this revision.
    Revision(u64),
}

impl Expect {
    /// Whether a key whose last write was `current` (`None`: no such key) is as expected.
    pub fn holds(self, current: Option<u64>) -> bool {
        match self {
            Expect::Absent => current.is_none(),
            Expect::Revision(revision) => current == Some(revision),
        }
    }
}

/// Who gets the space that is kept back for when there is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not this: without space it is refused.
    Ordinary,
    /// This: what frees space, or what everything else stands still without.
    Reserved,
}

/// What a compare-and-put or compare-and-delete came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done and durable, at this revision.
    Done(u64),
    /// Not done: the expectation failed; this is what is there instead.
    Conflict(Option<Entry>),
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Entries in key order.
    pub entries: Vec<Entry>,
    /// The revision of the whole list.
    pub revision: u64,
    /// Whether keys follow after the last entry.
    pub more: bool,
}

/// A change, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was written.
    Put {
        /// What it is now.
        entry: Entry,
        /// The revision of what it was before, if there was something.
        previous: Option<u64>,
    },
    /// The key was deleted.
    Delete {
        /// Its last value.
        previous: Entry,
        /// The revision of the deletion.
        revision: u64,
    },
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &Arc<str> {
        match self {
            Change::Put { entry, .. } => &entry.key,
            Change::Delete { previous, .. } => &previous.key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> u64 {
        match self {
            Change::Put { entry, .. } => entry.mod_revision,
            Change::Delete { revision, .. } => *revision,
        }
    }
}

/// What a watch delivers: all changes of one or more whole revisions, in order, or just progress.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The changes, ordered by revision; empty for progress.
    pub changes: Vec<Change>,
    /// Everything up to and including this revision has been delivered.
    pub revision: u64,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The revision asked for has been compacted away.
    #[error("revision {asked} has been compacted; the oldest is {oldest}")]
    Compacted {
        /// What was asked for.
        asked: u64,
        /// What could be had.
        oldest: u64,
    },
    /// The revision asked for does not exist yet.
    #[error("revision {asked} is in the future; the newest is {newest}")]
    Future {
        /// What was asked for.
        asked: u64,
        /// What there is.
        newest: u64,
    },
    /// No space: writes fail, reads go on.
    #[error("the store is out of space: {0}")]
    Full(String),
    /// The data is from a newer version, or is not ours.
    #[error("{0}")]
    Format(String),
    /// Another process has the data open.
    #[error("{0}")]
    InUse(String),
    /// The value is larger than the store takes.
    #[error("{0}")]
    TooLarge(String),
    /// The store could not be asked, so nothing happened.
    #[error("the store is unavailable: {0}")]
    Unreachable(String),
    /// The store could not be reached or answered nonsense; whether a write happened is unknown.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// The same error for another who waits for the same thing.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Compacted { asked, oldest } => Self::Compacted { asked: *asked, oldest: *oldest },
            Self::Future { asked, newest } => Self::Future { asked: *asked, newest: *newest },
            Self::Full(why) => Self::Full(why.clone()),
            Self::Format(why) => Self::Format(why.clone()),
            Self::InUse(why) => Self::InUse(why.clone()),
            Self::TooLarge(why) => Self::TooLarge(why.clone()),
            Self::Unreachable(why) => Self::Unreachable(why.clone()),
            Self::Unavailable(why) => Self::Unavailable(why.clone()),
        }
    }
}

/// Revisioned bytes. Every method is linearizable; an acknowledged write is durable.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry of a key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Up to `limit` entries (0: all) whose keys start with `prefix` and sort after `after`, as of `revision` (0: newest).
    async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: u64,
    ) -> Result<Page, StoreError>;

    /// Writes a value if the expectation holds.
    async fn put(&self, key: &str, value: Bytes, expect: Expect) -> Result<Outcome, StoreError>;

    /// Writes a value if the expectation holds, also where there is no space for anything else. An engine that keeps no
    /// space back does what [`Store::put`] does.
    async fn put_reserved(
        &self,
        key: &str,
        value: Bytes,
        expect: Expect,
    ) -> Result<Outcome, StoreError> {
        self.put(key, value, expect).await
    }

    /// Deletes a key if its last write was `revision`; never refused for want of space as long as any is kept back.
    async fn delete(&self, key: &str, revision: u64) -> Result<Outcome, StoreError>;

    /// Every change under `prefix` after revision `from`, for ever. An item that is an error is the last one.
    async fn watch(
        &self,
        prefix: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Batch, StoreError>>, StoreError>;

    /// The newest revision, linearizably.
    async fn revision(&self) -> Result<u64, StoreError>;

    /// Forgets history before `revision`: lists at it and watches from it still work, older ones are refused.
    async fn compact(&self, revision: u64) -> Result<(), StoreError>;

    /// Asks every open watch to tell how far it is, for stores where revisions can pass without a change under the
    /// watched prefix. A hint: the answer, if one is needed, is an empty [`Batch`].
    async fn request_progress(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives up what keeps other servers out. Nothing may be asked afterwards.
    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
