//! A cache of all objects of a kind, kept by what happens to them.
//!
//! Invariant: `seen` is a revision such that the cache holds every change of its kind up to it; it never goes back.
//! An object that cannot be read is named in the log and left out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::StreamExt;
use leme_client::{Client, Event, Head, Resource, Scope, follow};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::queue::Key;

/// Called after the cache has changed: key, object before, object now.
pub type Handler<T> = Box<dyn Fn(&Key, Option<&Arc<T>>, Option<&Arc<T>>) + Send + Sync>;

/// How an object is read from its JSON; what it leaves out is not kept.
pub type Decode<T> = fn(&str) -> Result<T, serde_json::Error>;

/// What objects can be found by besides their names: a name for it, and an object's value, if it has one.
pub type Index<T> = (&'static str, fn(&T) -> Option<String>);

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
pub trait CacheReader: Send + Sync {
    /// Changes whenever the cache does.
    fn seen(&self) -> watch::Receiver<u64>;
    /// Whether an object of that uid is there and not being deleted.
    fn is_live(&self, key: &Key, uid: &str) -> bool;
}

impl<T: Send + Sync + 'static> CacheReader for Informer<T> {
    fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    fn is_live(&self, key: &Key, uid: &str) -> bool {
        self.items().by_key.get(key).is_some_and(|item| item.uid == uid && !item.deleting)
    }
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
    pub async fn run(self: Arc<Self>, client: Client, token: CancellationToken) {
        tokio::select! {
            () = token.cancelled() => {}
            () = self.keep(&client) => {}
        }
    }

    async fn keep(&self, client: &Client) {
        let scope = Scope::all(self.resource.clone());
        let mut events = follow(client.clone(), scope);
        // The keys of a list that is not complete yet.
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            // What fails is told where it fails, and tried again there.
            let Ok(event) = event else { continue };
            match event {
                Event::Begin => listed.clear(),
                Event::Listed(head, object) => {
                    if let Some((key, item)) = self.read(&object, head) {
                        listed.insert(key.clone());
                        self.change(key, Some(item));
                    }
                }
                Event::Complete(revision) => {
                    let listed = std::mem::take(&mut listed);
                    for key in self.keys().into_iter().filter(|key| !listed.contains(key)) {
                        self.change(key, None);
                    }
                    self.advance(&revision);
                    self.synced.send_replace(true);
                }
                Event::Changed(head, object) => {
                    let revision = head.revision.clone();
                    if let Some((key, item)) = self.read(&object, head) {
                        self.change(key, Some(item));
                    }
                    self.advance(&revision);
                }
                Event::Gone(head) => {
                    self.change(head.key, None);
                    self.advance(&head.revision);
                }
                Event::Seen(revision) => self.advance(&revision),
            }
        }
    }

    fn read(&self, object: &RawValue, head: Head) -> Option<(Key, Item<T>)> {
        let decoded = (self.decode)(&head.without_owners(object));
        let Head { key, uid, revision, deleting, .. } = head;
        match decoded {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const BY_NODE: &[Index<Value>] = &[("node", |pod| pod["node"].as_str().map(str::to_owned))];

    /// Red when the old value's key is left in its set.
    #[test]
    fn an_index_follows_every_change() {
        let resource = Resource::namespaced("v1", "Pod", "pods");
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
