//! What keeps the cache true to the store: the first list, the watch, and starting over when something is missing.
//!
//! Knows: revisions and gaps. Refuses to know: objects, subscribers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Notify, watch};

use super::gap::Gap;
use super::shelf::{Loading, Shelf};
use crate::{Batch, Change, ROOT, Store, StoreError};

/// Entries asked for at once.
const PAGE: usize = 500;
/// How far back the first list goes, so that watchers from before a restart can resume.
const LOOK_BACK: u64 = 2000;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often idle subscriptions hear of progress and old events are let go.
const TICK: Duration = Duration::from_secs(30);

/// The shelves and how far they are.
pub(super) struct Feed {
    pub(super) store: Arc<dyn Store>,
    pub(super) shelves: BTreeMap<String, Arc<Shelf>>,
    pub(super) reached: Arc<AtomicU64>,
    pub(super) progress: watch::Sender<u64>,
    /// Rung when the store's revision was seen to go back.
    pub(super) distrust: Notify,
}

/// Why following the store's watch ended.
enum End {
    Store(StoreError),
    Gap(Gap),
}

impl Feed {
    /// The shelf a key belongs to: the one with the longest prefix of it.
    pub(super) fn shelf(&self, key: &str) -> Option<&Arc<Shelf>> {
        let below = self.shelves.range::<str, _>((Bound::Unbounded, Bound::Included(key))).rev();
        below.map(|(_, shelf)| shelf).find(|shelf| key.starts_with(&shelf.prefix))
    }

    /// Fills the shelves from a list a little in the past; the watch brings the rest.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        let newest = self.store.revision().await?;
        let past = newest.saturating_sub(LOOK_BACK).max(1);
        match self.fill(past).await {
            Err(StoreError::Compacted { oldest, .. }) if oldest > past && oldest <= newest => {
                match self.fill(oldest).await {
                    Err(StoreError::Compacted { .. }) => self.fill(0).await,
                    other => other,
                }
            }
            Err(StoreError::Compacted { .. }) => self.fill(0).await,
            other => other,
        }
    }

    /// Replaces everything by what the store holds at `revision` (0: newest).
    async fn fill(&self, revision: u64) -> Result<(), StoreError> {
        let mut found: BTreeMap<&str, Loading> = BTreeMap::new();
        let (mut after, mut revision) = (String::new(), revision);
        loop {
            let page = self.store.list(ROOT, &after, PAGE, revision).await?;
            revision = page.revision;
            for entry in &page.entries {
                if let Some(shelf) = self.shelf(&entry.key) {
                    shelf.load(found.entry(&shelf.prefix).or_default(), entry);
                }
            }
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => break,
            }
        }
        for shelf in self.shelves.values() {
            shelf.reset(found.remove(&*shelf.prefix).unwrap_or_default(), revision);
        }
        self.reach(revision);
        Ok(())
    }

    fn reach(&self, revision: u64) {
        self.reached.store(revision, Ordering::Release);
        self.progress.send_replace(revision);
    }

    fn revision(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Follows the store for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let before = self.revision();
            let end = self.follow().await;
            if self.revision() > before {
                backoff = BACKOFF_FIRST;
            }
            let over = match end {
                End::Store(StoreError::Compacted { .. }) => true,
                End::Store(why) => {
                    tracing::warn!(%why, revision = self.revision(), "the store's watch ended; resuming");
                    false
                }
                End::Gap(Gap(why)) => {
                    tracing::error!(%why, "the store's watch is not whole");
                    true
                }
            };
            if over {
                tracing::warn!(
                    revision = self.revision(),
                    "listing everything again; watchers are reset"
                );
                if let Err(why) = self.fill(0).await {
                    tracing::warn!(%why, "cannot list the store");
                } else {
                    continue;
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn follow(&self) -> End {
        let mut stream = match self.store.watch(ROOT, self.revision()).await {
            Ok(stream) => stream,
            Err(why) => return End::Store(why),
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                item = stream.next() => match item {
                    Some(Ok(batch)) => {
                        if let Err(gap) = self.apply(&batch) {
                            return End::Gap(gap);
                        }
                    }
                    Some(Err(why)) => return End::Store(why),
                    None => return End::Store(StoreError::Unavailable("the watch was closed".into())),
                },
                _ = tick.tick() => self.shelves.values().for_each(|shelf| shelf.tick()),
                () = self.distrust.notified() => {
                    return End::Gap(Gap("the store's revision went back".into()));
                }
            }
        }
    }

    /// Applies a batch. What was seen before is left out; what goes back in time is a gap.
    pub(super) fn apply(&self, batch: &Batch) -> Result<(), Gap> {
        let reached = self.revision();
        let mut last = reached;
        let mut groups: BTreeMap<&str, (&Arc<Shelf>, Vec<&Change>)> = BTreeMap::new();
        for change in &batch.changes {
            let revision = change.revision();
            if revision <= reached {
                tracing::warn!(key = %change.key(), revision, reached, "the store repeated a change");
                continue;
            }
            if revision < last || revision > batch.revision {
                return Err(Gap(format!(
                    "revision {revision} of {} is out of order",
                    change.key()
                )));
            }
            last = revision;
            if let Some(shelf) = self.shelf(change.key()) {
                groups.entry(&shelf.prefix).or_insert_with(|| (shelf, Vec::new())).1.push(change);
            }
        }
        for (shelf, changes) in groups.values() {
            shelf.apply(changes)?;
        }
        if batch.revision > reached {
            self.reach(batch.revision);
        }
        Ok(())
    }

    /// Waits until `revision` is reached.
    pub(super) async fn wait(&self, revision: u64) -> bool {
        let mut progress = self.progress.subscribe();
        progress.wait_for(|reached| *reached >= revision).await.is_ok()
    }
}
