//! A cache of all objects of a kind, kept by LIST and WATCH, that resumes where it was after any interruption.
//!
//! Invariant: `seen` is a revision such that the cache holds every change of its kind up to it; it never goes back.
//! An object that cannot be read is named in the log and left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use futures::TryStreamExt;
use kube::core::WatchEvent;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

mod text;

use text::{Head, HeadMeta, Page};

use crate::client::{Caller, Refused};
use crate::queue::Key;
use crate::resource::Resource;

/// Called after the cache has changed: key, object before, object now.
pub type Handler<T> = Box<dyn Fn(&Key, Option<&Arc<T>>, Option<&Arc<T>>) + Send + Sync>;

/// How an object is read from its JSON; what it leaves out is not kept.
pub type Decode<T> = fn(&str) -> Result<T, serde_json::Error>;

/// What objects can be found by besides their names: a name for it, and an object's value, if it has one.
pub type Index<T> = (&'static str, fn(&T) -> Option<String>);

const PAGE: u32 = 500;
const WATCH_SECONDS: u32 = 290;
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(5);

struct Item<T> {
    uid: String,
    deleting: bool,
    revision: String,
    object: Arc<T>,
}

/// The objects, and the keys of each value of each index. Always changed together.
struct Items<T> {
    by_key: BTreeMap<Key, Item<T>>,
    by_value: Vec<HashMap<String, BTreeSet<Key>>>,
}

/// A cache of one kind.
pub struct Informer<T: 'static> {
    resource: Resource,
    decode: Decode<T>,
    indices: &'static [Index<T>],
    items: RwLock<Items<T>>,
    handlers: RwLock<Vec<Handler<T>>>,
    seen: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

impl<T: 'static> fmt::Debug for Informer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Informer({})", self.resource.plural)
    }
}

/// What the executor asks a cache whether it has seen.
pub trait Sight: Send + Sync {
    /// Changes whenever the cache does.
    fn seen(&self) -> watch::Receiver<u64>;
    /// Whether an object of that uid is there and not being deleted.
    fn is_live(&self, key: &Key, uid: &str) -> bool;
}

impl<T: Send + Sync + 'static> Sight for Informer<T> {
    fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    fn is_live(&self, key: &Key, uid: &str) -> bool {
        self.items().by_key.get(key).is_some_and(|item| item.uid == uid && !item.deleting)
    }
}

enum Broken {
    /// The revision is too old: list again.
    Expired,
    /// Try again from where it was.
    Other(String),
}

impl<T> Items<T> {
    /// Puts an object in the place of the one of that key, or takes that away. Gives the one before.
    fn replace(
        &mut self,
        indices: &[Index<T>],
        key: &Key,
        item: Option<Item<T>>,
    ) -> Option<Item<T>> {
        let new = item.as_ref().map(|item| item.object.clone());
        let old = match item {
            Some(item) => self.by_key.insert(key.clone(), item),
            None => self.by_key.remove(key),
        };
        for ((_, value), keys) in indices.iter().zip(&mut self.by_value) {
            let before = old.as_ref().and_then(|item| value(&item.object));
            let now = new.as_ref().and_then(|object| value(object));
            if before == now {
                continue;
            }
            if let Some(before) = before
                && let Some(set) = keys.get_mut(&before)
            {
                set.remove(key);
                if set.is_empty() {
                    keys.remove(&before);
                }
            }
            if let Some(now) = now {
                keys.entry(now).or_default().insert(key.clone());
            }
        }
        old
    }
}

impl<T: Send + Sync + 'static> Informer<T> {
    /// An empty cache.
    pub fn new(resource: Resource, decode: Decode<T>) -> Arc<Informer<T>> {
        Informer::indexed(resource, decode, &[])
    }

    /// An empty cache whose objects can be found by more than their names.
    pub fn indexed(
        resource: Resource,
        decode: Decode<T>,
        indices: &'static [Index<T>],
    ) -> Arc<Informer<T>> {
        let by_value = indices.iter().map(|_| HashMap::new()).collect();
        Arc::new(Informer {
            resource,
            decode,
            indices,
            items: RwLock::new(Items { by_key: BTreeMap::new(), by_value }),
            handlers: RwLock::default(),
            seen: watch::Sender::new(0),
            synced: watch::Sender::new(false),
        })
    }

    /// What it caches.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Calls `handler` on every change from now on.
    pub fn on_change(&self, handler: Handler<T>) {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).push(handler);
    }

    /// Waits for the first complete list.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as `self`.
        let _ = synced.wait_for(|done| *done).await;
    }

    /// An object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.items().by_key.get(&key).map(|item| item.object.clone())
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.items().by_key.values().map(|item| item.object.clone()).collect()
    }

    /// All objects that `keep` keeps.
    pub fn filter(&self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let items = self.items();
        let kept = items.by_key.values().filter(|item| keep(&item.object));
        kept.map(|item| item.object.clone()).collect()
    }

    /// The objects of that value in an index, by key; none where there is no such index.
    pub fn found_by(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        let Some(at) = self.indices.iter().position(|(name, _)| *name == index) else {
            return Vec::new();
        };
        let items = self.items();
        let keys = items.by_value[at].get(value);
        let found = keys.into_iter().flatten().filter_map(|key| items.by_key.get(key));
        found.map(|item| item.object.clone()).collect()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Key> {
        self.items().by_key.keys().cloned().collect()
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let from = (namespace.to_owned(), String::new());
        self.items()
            .by_key
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(|((found, _), _)| found == namespace)
            .map(|(_, item)| item.object.clone())
            .collect()
    }

    /// Forgets every object, as if all had gone: for a kind that is not served any more, once nobody keeps the cache.
    pub fn clear(&self) {
        for key in self.keys() {
            self.change(key, None);
        }
    }

    fn items(&self) -> RwLockReadGuard<'_, Items<T>> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the cache until cancelled.
    pub async fn run(self: Arc<Self>, caller: Caller, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.keep(&caller) => {}
        }
    }

    async fn keep(&self, caller: &Caller) {
        let mut revision: Option<String> = None;
        let mut delay = FIRST_DELAY;
        loop {
            let known = match revision.take() {
                Some(known) => Ok(known),
                None => self.relist(caller).await,
            };
            let mut at = match known {
                Ok(at) => at,
                Err(error) => {
                    debug!(resource = self.resource.plural, error, "cannot list");
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(LAST_DELAY);
                    continue;
                }
            };
            let before = at.clone();
            match self.follow(caller, &mut at).await {
                Err(Broken::Expired) => continue,
                Ok(()) if before != at => delay = FIRST_DELAY,
                Ok(()) => tokio::time::sleep(FIRST_DELAY).await,
                Err(Broken::Other(error)) => {
                    debug!(resource = self.resource.plural, error, "watch broke");
                    delay = if before == at { (delay * 2).min(LAST_DELAY) } else { FIRST_DELAY };
                    tokio::time::sleep(delay).await;
                }
            }
            revision = Some(at);
        }
    }

    async fn relist(&self, caller: &Caller) -> Result<String, String> {
        let mut fresh = BTreeMap::new();
        let mut next = String::new();
        let revision = loop {
            let mut query = format!("{}?limit={PAGE}", self.resource.collection(""));
            if !next.is_empty() {
                query.push_str("&continue=");
                query.push_str(&escape(&next));
            }
            let page: Page =
                caller.read(&query).await.map_err(|refused| refused.message().to_owned())?;
            let items = page.items.iter().flatten();
            fresh.extend(items.filter_map(|object| self.read(object, Head::of(object))));
            next = page.metadata.r#continue.unwrap_or_default();
            if next.is_empty() {
                break page.metadata.resource_version.unwrap_or_else(|| "0".to_owned());
            }
        };
        let gone: Vec<Key> =
            self.keys().into_iter().filter(|key| !fresh.contains_key(key)).collect();
        for (key, item) in fresh {
            self.change(key, Some(item));
        }
        for key in gone {
            self.change(key, None);
        }
        self.advance(&revision);
        self.synced.send_replace(true);
        Ok(revision)
    }

    async fn follow(&self, caller: &Caller, revision: &mut String) -> Result<(), Broken> {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            self.resource.collection(""),
            escape(revision)
        );
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|error| Broken::Other(error.to_string()))?;
        let broken = |error: kube::Error| match Refused::from(error) {
            Refused::Gone => Broken::Expired,
            other => Broken::Other(other.message().to_owned()),
        };
        let events =
            caller.client().request_events::<Box<RawValue>>(request).await.map_err(broken)?;
        futures::pin_mut!(events);
        while let Some(event) = events.try_next().await.map_err(broken)? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let head = Head::of(&object);
                    *revision = head.revision();
                    if let Some((key, item)) = self.read(&object, head) {
                        self.change(key, Some(item));
                    }
                }
                WatchEvent::Deleted(object) => {
                    let mut head = Head::of(&object);
                    *revision = head.revision();
                    self.change(head.key(), None);
                }
                WatchEvent::Bookmark(bookmark) => *revision = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == 410 => return Err(Broken::Expired),
                WatchEvent::Error(status) => return Err(Broken::Other(status.message)),
            }
            self.advance(revision);
        }
        Ok(())
    }

    fn read(&self, object: &RawValue, mut head: HeadMeta) -> Option<(Key, Item<T>)> {
        let key = head.key();
        let (revision, deleting) = (head.revision(), head.deletion_timestamp.is_some());
        let uid = head.uid.unwrap_or_default();
        match (self.decode)(object.get()) {
            Ok(object) => Some((key, Item { uid, deleting, revision, object: Arc::new(object) })),
            Err(error) => {
                let name = format!("{}/{}", key.0, key.1);
                warn!(resource = self.resource.plural, name, %error, "left out an object that cannot be read");
                None
            }
        }
    }

    fn change(&self, key: Key, item: Option<Item<T>>) {
        let new = item.as_ref().map(|item| item.object.clone());
        let old = {
            let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
            let same =
                |old: &Item<T>, new: &Item<T>| old.revision == new.revision && old.uid == new.uid;
            if let (Some(old), Some(new)) = (items.by_key.get(&key), &item)
                && same(old, new)
            {
                return;
            }
            items.replace(self.indices, &key, item)
        };
        let old = old.map(|item| item.object);
        for handler in self.handlers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            handler(&key, old.as_ref(), new.as_ref());
        }
    }

    fn advance(&self, revision: &str) {
        let revision: u64 = revision.parse().unwrap_or(0);
        self.seen.send_if_modified(|seen| {
            let later = revision > *seen;
            *seen = revision.max(*seen);
            later
        });
    }
}

/// A query value with everything but unreserved characters escaped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BY_NODE: &[Index<Value>] = &[("node", |pod| pod["node"].as_str().map(str::to_owned))];

    /// Red when the old value's key is left in its set.
    #[test]
    fn an_index_follows_every_change() {
        let resource = Resource {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
            namespaced: true,
        };
        let cache = Informer::indexed(resource, |json| serde_json::from_str(json), BY_NODE);
        let set = |name: &str, revision: u32, node: Value| {
            let pod = json!({"metadata": {"namespace": "n", "name": name, "uid": name,
                "resourceVersion": revision.to_string()}, "node": node});
            let pod = RawValue::from_string(pod.to_string()).unwrap();
            let (key, item) = cache.read(&pod, Head::of(&pod)).unwrap();
            cache.change(key, Some(item));
        };
        let on = |node: &str| -> Vec<String> {
            let found = cache.found_by("node", node);
            found.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
        };
        set("a", 1, json!("x"));
        set("b", 2, json!("x"));
        set("c", 3, Value::Null);
        assert_eq!(on("x"), ["a", "b"]);
        set("a", 4, json!("y"));
        assert_eq!((on("x"), on("y")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        cache.change(("n".to_owned(), "b".to_owned()), None);
        set("a", 5, Value::Null);
        assert!(on("x").is_empty() && on("y").is_empty());
        assert!(cache.items().by_value[0].is_empty(), "no empty set is kept");
        assert!(cache.found_by("no such index", "x").is_empty());
    }
}
