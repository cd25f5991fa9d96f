//! A cache of all objects of a kind, kept by LIST and WATCH, that resumes where it was after any interruption.
//!
//! Invariant: `seen` is a revision such that the cache holds every change of its kind up to it; it never goes back.
//! An object that cannot be read is named in the log and left out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::TryStreamExt;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::client::{Caller, Refused};
use crate::queue::Key;
use crate::resource::Resource;

/// Called after the cache has changed: key, object before, object now.
pub type Handler<T> = Box<dyn Fn(&Key, Option<&Arc<T>>, Option<&Arc<T>>) + Send + Sync>;

/// How an object is read; what it leaves out is not kept.
pub type Decode<T> = fn(Value) -> Result<T, serde_json::Error>;

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

/// A cache of one kind.
pub struct Informer<T> {
    resource: Resource,
    decode: Decode<T>,
    items: RwLock<BTreeMap<Key, Item<T>>>,
    handlers: RwLock<Vec<Handler<T>>>,
    seen: watch::Sender<u64>,
    synced: watch::Sender<bool>,
}

impl<T> fmt::Debug for Informer<T> {
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
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.get(key).is_some_and(|item| item.uid == uid && !item.deleting)
    }
}

enum Broken {
    /// The revision is too old: list again.
    Expired,
    /// Try again from where it was.
    Other(String),
}

impl<T: Send + Sync + 'static> Informer<T> {
    /// An empty cache.
    pub fn new(resource: Resource, decode: Decode<T>) -> Arc<Informer<T>> {
        Arc::new(Informer {
            resource,
            decode,
            items: RwLock::default(),
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
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.get(&(namespace.to_owned(), name.to_owned())).map(|item| item.object.clone())
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<T>> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.values().map(|item| item.object.clone()).collect()
    }

    /// All objects that `keep` keeps.
    pub fn filter(&self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items.values().filter(|item| keep(&item.object)).map(|item| item.object.clone()).collect()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Key> {
        self.items.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        let from = (namespace.to_owned(), String::new());
        items
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(|((found, _), _)| found == namespace)
            .map(|(_, item)| item.object.clone())
            .collect()
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
            let mut page =
                caller.get(&query).await.map_err(|refused| refused.message().to_owned())?;
            let items = page["items"].take();
            for value in items.as_array().cloned().into_iter().flatten() {
                if let Some((key, item)) = self.read(value) {
                    fresh.insert(key, item);
                }
            }
            next = page["metadata"]["continue"].as_str().unwrap_or("").to_owned();
            if next.is_empty() {
                break page["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
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
        let events = caller.client().request_events::<Value>(request).await.map_err(broken)?;
        futures::pin_mut!(events);
        while let Some(event) = events.try_next().await.map_err(broken)? {
            match event {
                WatchEvent::Added(value) | WatchEvent::Modified(value) => {
                    *revision = revision_of(&value);
                    if let Some((key, item)) = self.read(value) {
                        self.change(key, Some(item));
                    }
                }
                WatchEvent::Deleted(value) => {
                    *revision = revision_of(&value);
                    self.change(key_of(&value), None);
                }
                WatchEvent::Bookmark(bookmark) => *revision = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == 410 => return Err(Broken::Expired),
                WatchEvent::Error(status) => return Err(Broken::Other(status.message)),
            }
            self.advance(revision);
        }
        Ok(())
    }

    fn read(&self, value: Value) -> Option<(Key, Item<T>)> {
        let key = key_of(&value);
        let meta = &value["metadata"];
        let uid = meta["uid"].as_str().unwrap_or("").to_owned();
        let deleting = !meta["deletionTimestamp"].is_null();
        let revision = revision_of(&value);
        match (self.decode)(value) {
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
            match item {
                Some(item) => {
                    if items
                        .get(&key)
                        .is_some_and(|old| old.revision == item.revision && old.uid == item.uid)
                    {
                        return;
                    }
                    items.insert(key.clone(), item)
                }
                None => items.remove(&key),
            }
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

fn key_of(value: &Value) -> Key {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or("").to_owned();
    (text("namespace"), text("name"))
}

fn revision_of(value: &Value) -> String {
    value["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned()
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
