//! What the committer is asked to do, and where the answer goes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{Expect, Outcome, StoreError};

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the committer is asked to do.
pub(super) enum Request {
    /// Write or delete a key.
    Write(Write),
    /// Forget history before a revision.
    Compact { revision: u64, reply: Reply<()> },
}

/// What a write may use where there is no other space; each may use less than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Allowance {
    /// All that is kept back: nothing else makes room.
    Removal,
    /// What removals can spare of it.
    Reserved,
    /// None of it.
    Ordinary,
}

/// A compare-and-put, or a compare-and-delete where there is no value.
pub(super) struct Write {
    pub(super) key: Arc<str>,
    pub(super) value: Option<Bytes>,
    pub(super) expect: Expect,
    pub(super) allowance: Allowance,
    pub(super) reply: Reply<Outcome>,
}

impl Write {
    pub(super) fn answer(self, outcome: Result<Outcome, StoreError>) {
        // Whoever asked may be gone.
        let _ = self.reply.send(outcome);
    }
}
