//! One watcher's way through the store's history.
//!
//! Knows: where the next changes are to be had. Refuses to know: how they came about.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::index::Next;
use super::{Shared, aside};
use crate::{Batch, StoreError};

/// One watcher's place in history; it does not keep the store open.
pub(super) struct Walk {
    pub(super) shared: Weak<Shared>,
    pub(super) newest: watch::Receiver<u64>,
    pub(super) prefix: String,
    pub(super) from: u64,
    pub(super) ended: bool,
}

impl Walk {
    pub(super) async fn step(mut self) -> Option<(Result<Batch, StoreError>, Self)> {
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
