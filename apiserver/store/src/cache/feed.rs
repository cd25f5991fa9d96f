//! What keeps the cache true to the store: the first list, the watch, and starting over when something is missing.
//!
//! Knows: revisions and gaps. Refuses to know: objects, subscribers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::StreamExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::gap::Gap;
use super::shelf::{Loading, Shelf};
use super::{PATIENCE, Resource};
use crate::{Batch, Change, ROOT, Store, StoreError};

/// Entries asked for at once.
const PAGE: usize = 500;
/// How far back the first list goes, so that watchers from before a restart can resume.
const LOOK_BACK: u64 = 2000;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often idle subscriptions hear of progress and old events are let go.
const TICK: Duration = Duration::from_secs(30);

/// The shelves by their prefixes.
pub(super) type Shelves = BTreeMap<String, Arc<Shelf>>;

/// What is to be done between two batches, and who waits for it.
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// A change of the set of shelves.
pub(super) enum Task {
    /// One more, or one in the place of another.
    Keep(Resource),
    /// The one with this prefix goes.
    Forget(String),
}

/// The shelves and how far they are. Only the task that follows the store changes the set of them.
pub(super) struct Feed {
    pub(super) store: Arc<dyn Store>,
    pub(super) shelves: ArcSwap<Shelves>,
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

/// The shelf a key belongs to: the one with the longest prefix of it.
fn shelf_of<'a>(shelves: &'a Shelves, key: &str) -> Option<&'a Arc<Shelf>> {
    let below = shelves.range::<str, _>((Bound::Unbounded, Bound::Included(key))).rev();
    below.map(|(_, shelf)| shelf).find(|shelf| key.starts_with(&shelf.prefix))
}

impl Feed {
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
        let shelves = self.shelves.load_full();
        let mut found: BTreeMap<&str, Loading> = BTreeMap::new();
        let (mut after, mut revision) = (String::new(), revision);
        loop {
            let page = self.store.list(ROOT, &after, PAGE, revision).await?;
            revision = page.revision;
            for entry in &page.entries {
                if let Some(shelf) = shelf_of(&shelves, &entry.key) {
                    shelf.load(found.entry(&shelf.prefix).or_default(), entry);
                }
            }
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => break,
            }
        }
        for shelf in shelves.values() {
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
    pub(super) async fn run(self: Arc<Self>, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let before = self.revision();
            let end = self.follow(&mut orders).await;
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
            let waited = tokio::time::sleep(backoff);
            tokio::pin!(waited);
            loop {
                tokio::select! {
                    () = &mut waited => break,
                    Some(order) = orders.recv() => self.carry_out(order).await,
                }
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Changes the set of shelves. No batch is applied meanwhile, so that a new shelf is of the same revision as the others.
    async fn carry_out(&self, Order { task, done }: Order) {
        let result = match task {
            Task::Keep(resource) => {
                let late = || StoreError::Unavailable("the store did not list in time".to_owned());
                let loaded = tokio::time::timeout(PATIENCE, self.loaded(resource)).await;
                let kept = loaded.unwrap_or_else(|_| Err(late()));
                kept.map(|shelf| self.exchange(&shelf.prefix.clone(), Some(shelf)))
            }
            Task::Forget(prefix) => {
                self.exchange(&prefix, None);
                Ok(())
            }
        };
        // Whoever does not wait any more has the same.
        let _ = done.send(result);
    }

    /// A shelf with what the store holds of it at the revision that all are at.
    async fn loaded(&self, resource: Resource) -> Result<Arc<Shelf>, StoreError> {
        let revision = self.revision();
        let shelf = Shelf::new(resource.prefix, resource.reader, self.reached.clone());
        let (mut loading, mut after) = (Loading::default(), String::new());
        loop {
            let page = self.store.list(&shelf.prefix, &after, PAGE, revision).await?;
            page.entries.iter().for_each(|entry| shelf.load(&mut loading, entry));
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => break,
            }
        }
        shelf.reset(loading, revision);
        Ok(Arc::new(shelf))
    }

    /// Puts a shelf, or none, in the place of the one with this prefix, which ends.
    fn exchange(&self, prefix: &str, shelf: Option<Arc<Shelf>>) {
        let mut shelves = Shelves::clone(&self.shelves.load());
        let before = match shelf {
            Some(shelf) => shelves.insert(prefix.to_owned(), shelf),
            None => shelves.remove(prefix),
        };
        self.shelves.store(Arc::new(shelves));
        if let Some(before) = before {
            before.close();
        }
    }

    async fn follow(&self, orders: &mut mpsc::UnboundedReceiver<Order>) -> End {
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
                _ = tick.tick() => self.shelves.load().values().for_each(|shelf| shelf.tick()),
                Some(order) = orders.recv() => self.carry_out(order).await,
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
        let shelves = self.shelves.load_full();
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
            if let Some(shelf) = shelf_of(&shelves, change.key()) {
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
