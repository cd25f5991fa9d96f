//! The watch cache: every object as bytes, every read answered from memory, every change encoded once.
//!
//! Knows: resources by key prefix, revisions, recent events. Refuses to know: kinds, selectors, HTTP; and it never
//! keeps a decoded object.

mod check;
mod event;
mod feed;
mod gap;
mod object;
mod outline;
mod resource;
mod snapshot;
mod splice;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use event::{ENCODINGS, Event, Kind, frame};
pub use object::{Cached, Index, Reader};
pub use snapshot::Snapshot;
pub use splice::{insert_resource_version, splice_resource_version};
pub use subscription::{SubEvent, Subscription};

use crate::{Store, StoreError};
use feed::{Feed, Order, Resources, Task};
use resource::ResourceCache;

/// How long a read waits for the cache to catch up.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the store gets to deliver by itself before it is asked for progress, and how often it is asked again.
const NUDGE_FIRST: Duration = Duration::from_millis(50);
const NUDGE_AGAIN: Duration = Duration::from_millis(500);

/// A resource the cache keeps.
#[derive(Clone)]
pub struct Resource {
    /// Where its keys lie, such as `/registry/pods/`. No other resource's lie below.
    pub prefix: String,
    /// How its objects are read.
    pub reader: Arc<dyn Reader>,
}

/// A key whose object cannot be read: no list shows it, and nothing but an unsafe deletion gets rid of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// The key.
    pub key: Arc<str>,
    /// Revision of its last write.
    pub revision: u64,
    /// What is wrong.
    pub why: Arc<str>,
}

/// The watch cache over one store. Dropping it ends its subscriptions.
pub struct Cache {
    feed: Arc<Feed>,
    orders: mpsc::UnboundedSender<Order>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Cache {
    /// Lists the store, starts to follow it, and returns when the cache is as new as the store was.
    pub async fn start(
        store: Arc<dyn Store>,
        resources: Vec<Resource>,
    ) -> Result<Arc<Cache>, StoreError> {
        let reached = Arc::new(AtomicU64::new(0));
        let resources: Resources = resources
            .into_iter()
            .map(|r| {
                (
                    r.prefix.clone(),
                    Arc::new(ResourceCache::new(r.prefix, r.reader, reached.clone())),
                )
            })
            .collect();
        let (progress, distrust) = (watch::channel(0).0, Notify::new());
        let resources = ArcSwap::from_pointee(resources);
        let feed = Arc::new(Feed { store, resources, reached, progress, distrust });
        feed.load().await?;
        let (orders, taken) = mpsc::unbounded_channel();
        let task = Mutex::new(Some(tokio::spawn(feed.clone().run(taken))));
        let cache = Arc::new(Cache { feed, orders, task });
        cache.fresh().await?;
        Ok(cache)
    }

    /// Waits until the cache is as new as the store is now, and tells that revision; what is read after that is
    /// linearizable. At most 3 seconds.
    pub async fn fresh(&self) -> Result<u64, StoreError> {
        let known = self.revision();
        let newest = match tokio::time::timeout(PATIENCE, self.feed.store.revision()).await {
            Ok(newest) => newest?,
            Err(_) => return Err(late("the store did not tell its revision in time")),
        };
        if newest < known {
            self.feed.distrust.notify_one();
            return Err(late(&format!("the store's revision went back from {known} to {newest}")));
        }
        self.at_least(newest).await?;
        Ok(newest)
    }

    /// Waits until the cache has reached `revision`, at most 3 seconds.
    pub async fn at_least(&self, revision: u64) -> Result<(), StoreError> {
        if self.revision() >= revision {
            return Ok(());
        }
        let nudging = async {
            tokio::time::sleep(NUDGE_FIRST).await;
            loop {
                if let Err(why) = self.feed.store.request_progress().await {
                    tracing::warn!(%why, "cannot ask the store for progress");
                }
                tokio::time::sleep(NUDGE_AGAIN).await;
            }
        };
        tokio::select! {
            true = self.feed.wait(revision) => Ok(()),
            () = nudging => Ok(()),
            () = tokio::time::sleep(PATIENCE) => {
                let newest = self.revision();
                Err(late(&format!("the cache is at revision {newest}, {revision} was asked for")))
            }
        }
    }

    /// The revision the cache has reached.
    pub fn revision(&self) -> u64 {
        self.feed.reached.load(Ordering::Acquire)
    }

    /// Keeps one more resource, or one that is kept in another way: what there is of it is there when this returns, and
    /// its watches end, for they were of the way before.
    ///
    /// # Errors
    /// What the store said; nothing has changed then.
    pub async fn keep(&self, resource: Resource) -> Result<(), StoreError> {
        // What the store still has of it is listed as of where the cache is.
        self.fresh().await?;
        self.order(Task::Keep(resource)).await
    }

    /// Keeps a resource no longer; its watches end. What the store has of it stays there.
    ///
    /// # Errors
    /// Only of a cache that has been stopped.
    pub async fn forget(&self, prefix: &str) -> Result<(), StoreError> {
        self.order(Task::Forget(prefix.to_owned())).await
    }

    async fn order(&self, task: Task) -> Result<(), StoreError> {
        let stopped = || late("the cache has stopped");
        let (done, answer) = oneshot::channel();
        self.orders.send(Order { task, done }).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// The object with this full key, of the resource with this prefix.
    pub fn get(&self, prefix: &str, key: &str) -> Option<Arc<Cached>> {
        self.feed.resources.load().get(prefix)?.get(key)
    }

    /// Why there is no object with this full key although the store has something there, if that is so.
    pub fn unreadable_at(&self, prefix: &str, key: &str) -> Option<Arc<str>> {
        self.feed.resources.load().get(prefix)?.skipped(key)
    }

    /// All keys whose objects cannot be read, in order.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        let resources = self.feed.resources.load();
        let mut all: Vec<_> =
            resources.values().flat_map(|resource| resource.unreadable()).collect();
        all.sort();
        all
    }

    /// All objects of a resource; `None` if the cache does not keep it.
    pub fn snapshot(&self, prefix: &str) -> Option<Snapshot> {
        Some(self.feed.resources.load().get(prefix)?.snapshot())
    }

    /// The revision of the last change of a resource; 0 if the cache does not keep it.
    pub fn changed(&self, prefix: &str) -> u64 {
        self.feed.resources.load().get(prefix).map_or(0, |resource| resource.read().changed)
    }

    /// All objects of a resource as of exactly `revision`.
    pub fn snapshot_at(&self, prefix: &str, revision: u64) -> Result<Snapshot, StoreError> {
        self.known(prefix)?.snapshot_at(revision)
    }

    /// The events of a resource after revision `from`: first those that happened, then those to come. A `from` in the
    /// future waits for its successor.
    pub fn watch(&self, prefix: &str, from: u64) -> Result<Subscription, StoreError> {
        let resource = self.known(prefix)?;
        let next = resource.read().position(from)?;
        Ok(Subscription::new(resource, next, from))
    }

    /// Ends it: no more events, and when this returns nothing of it uses the store but the cache itself, so that
    /// dropping both closes the store.
    pub async fn stop(&self) {
        if let Some(task) = self.halt() {
            // It was cancelled; there is nothing to learn from how it ended.
            let _ = task.await;
        }
    }

    fn halt(&self) -> Option<JoinHandle<()>> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        task.abort();
        self.feed.resources.load().values().for_each(|resource| resource.close());
        Some(task)
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.feed.store
    }

    /// The prefixes of all resources kept.
    pub fn prefixes(&self) -> Vec<String> {
        self.feed.resources.load().keys().cloned().collect()
    }

    fn known(&self, prefix: &str) -> Result<Arc<ResourceCache>, StoreError> {
        let missing = || StoreError::Unavailable(format!("the cache does not keep {prefix}"));
        self.feed.resources.load().get(prefix).cloned().ok_or_else(missing)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        drop(self.halt());
    }
}

fn late(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
