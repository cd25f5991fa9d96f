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
use super::resource::{Loading, ResourceCache};
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

/// The resources by their prefixes.
pub(super) type Resources = BTreeMap<String, Arc<ResourceCache>>;

/// What is to be done between two batches, and who waits for it.
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// A change of the set of resources.
pub(super) enum Task {
    /// One more, or one in the place of another.
    Keep(Resource),
    /// The one with this prefix goes.
    Forget(String),
}

/// The resources and how far they are. Only the task that follows the store changes the set of them.
pub(super) struct Feed {
    pub(super) store: Arc<dyn Store>,
    pub(super) resources: ArcSwap<Resources>,
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

/// The resource a key belongs to: the one with the longest prefix of it.
fn cache_of<'a>(resources: &'a Resources, key: &str) -> Option<&'a Arc<ResourceCache>> {
    let below = resources.range::<str, _>((Bound::Unbounded, Bound::Included(key))).rev();
    below.map(|(_, resource)| resource).find(|resource| key.starts_with(&resource.prefix))
}

impl Feed {
    /// Fills the resources from a list a little in the past; the watch brings the rest.
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
        let resources = self.resources.load_full();
        let mut found: BTreeMap<&str, Loading> = BTreeMap::new();
        let (mut after, mut revision) = (String::new(), revision);
        loop {
            let page = self.store.list(ROOT, &after, PAGE, revision).await?;
            revision = page.revision;
            for entry in &page.entries {
                if let Some(resource) = cache_of(&resources, &entry.key) {
                    resource.load(found.entry(&resource.prefix).or_default(), entry);
                }
            }
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => break,
            }
        }
        for resource in resources.values() {
            resource.reset(found.remove(&*resource.prefix).unwrap_or_default(), revision);
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

    /// Changes the set of resources. No batch is applied meanwhile, so that a new resource is of the same revision as the others.
    async fn carry_out(&self, Order { task, done }: Order) {
        let result = match task {
            Task::Keep(resource) => {
                let late = || StoreError::Unavailable("the store did not list in time".to_owned());
                let loaded = tokio::time::timeout(PATIENCE, self.loaded(resource)).await;
                let kept = loaded.unwrap_or_else(|_| Err(late()));
                kept.map(|resource| self.exchange(&resource.prefix.clone(), Some(resource)))
            }
            Task::Forget(prefix) => {
                self.exchange(&prefix, None);
                Ok(())
            }
        };
        // Whoever does not wait any more has the same.
        let _ = done.send(result);
    }

    /// A resource with what the store holds of it at the revision that all are at.
    async fn loaded(&self, resource: Resource) -> Result<Arc<ResourceCache>, StoreError> {
        let revision = self.revision();
        let resource = ResourceCache::new(resource.prefix, resource.reader, self.reached.clone());
        let (mut loading, mut after) = (Loading::default(), String::new());
        loop {
            let page = self.store.list(&resource.prefix, &after, PAGE, revision).await?;
            page.entries.iter().for_each(|entry| resource.load(&mut loading, entry));
            match page.entries.last() {
                Some(last) if page.more => after = last.key.to_string(),
                _ => break,
            }
        }
        resource.reset(loading, revision);
        Ok(Arc::new(resource))
    }

    /// Puts a resource, or none, in the place of the one with this prefix, which ends.
    fn exchange(&self, prefix: &str, resource: Option<Arc<ResourceCache>>) {
        let mut resources = Resources::clone(&self.resources.load());
        let before = match resource {
            Some(resource) => resources.insert(prefix.to_owned(), resource),
            None => resources.remove(prefix),
        };
        self.resources.store(Arc::new(resources));
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
                _ = tick.tick() => self.resources.load().values().for_each(|resource| resource.tick()),
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
        let resources = self.resources.load_full();
        let mut groups: BTreeMap<&str, (&Arc<ResourceCache>, Vec<&Change>)> = BTreeMap::new();
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
            if let Some(resource) = cache_of(&resources, change.key()) {
                groups
                    .entry(&resource.prefix)
                    .or_insert_with(|| (resource, Vec::new()))
                    .1
                    .push(change);
            }
        }
        for (resource, changes) in groups.values() {
            resource.apply(changes)?;
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
