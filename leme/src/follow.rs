//! A picture of some kinds of objects that keeps itself up to date: list, then watch, for as long as it is held.
//!
//! Knows: resourceVersion, expiry, that a server can go away for a while. Refuses to know: any kind by name.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt;
use leme_kinds::Kind;
use leme_meta::Object;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::{self, Api, ApiError, JSON};

/// Pause before another try at a server that does not answer.
const PAUSE: Duration = Duration::from_millis(300);

/// Kind, namespace and name.
pub type Key = (&'static str, String, String);

/// What is there now of the kinds followed.
pub struct Picture {
    objects: HashMap<Key, Object>,
    updates: mpsc::Receiver<Update>,
    listed: usize,
    wanted: usize,
    _tasks: JoinSet<()>,
}

enum Update {
    /// Everything there is of a kind.
    Listed(&'static Kind, Vec<Object>),
    /// One object changed or went away.
    Changed(&'static Kind, Object, bool),
}

impl Picture {
    /// Follows the kinds in all namespaces.
    pub fn follow(api: &Api, kinds: &[&'static Kind]) -> Picture {
        let (sender, updates) = mpsc::channel(256);
        let mut tasks = JoinSet::new();
        for kind in kinds {
            tasks.spawn(feed(api.clone(), kind, sender.clone()));
        }
        Picture { objects: HashMap::new(), updates, listed: 0, wanted: kinds.len(), _tasks: tasks }
    }

    /// Waits for the next change and takes in all that are ready.
    pub async fn changed(&mut self) {
        if let Some(update) = self.updates.recv().await {
            self.take(update);
        }
        while let Ok(update) = self.updates.try_recv() {
            self.take(update);
        }
    }

    /// Whether every kind has been listed once.
    pub fn complete(&self) -> bool {
        self.listed >= self.wanted
    }

    /// One object.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&(kind.plural, namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, by its plural.
    pub fn all<'a>(&'a self, plural: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |(key, _)| key.0 == plural).map(|(_, object)| object)
    }

    /// Objects of a kind whose controller or owner has this uid, by name.
    pub fn owned<'a>(&'a self, plural: &'a str, uid: &'a str) -> Vec<&'a Object> {
        let owns = |object: &&Object| {
            let owners = object.0["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == Some(uid))
        };
        let mut owned: Vec<&Object> = self.all(plural).filter(owns).collect();
        owned.sort_by_key(|object| object.name());
        owned
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Listed(kind, items) => {
                self.objects.retain(|key, _| key.0 != kind.plural);
                for item in items {
                    self.objects.insert(key(kind, &item), item);
                }
                self.listed += 1;
            }
            Update::Changed(kind, object, true) => {
                self.objects.remove(&key(kind, &object));
            }
            Update::Changed(kind, object, false) => {
                self.objects.insert(key(kind, &object), object);
            }
        }
    }
}

fn key(kind: &'static Kind, object: &Object) -> Key {
    (kind.plural, object.namespace().to_owned(), object.name().to_owned())
}

/// Lists and watches one kind until nobody listens any more.
async fn feed(api: Api, kind: &'static Kind, sender: mpsc::Sender<Update>) {
    loop {
        match feed_once(&api, kind, &sender).await {
            Ok(false) => return,
            Ok(true) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// One list and the watches that follow from it; `false` when nobody listens any more.
async fn feed_once(
    api: &Api,
    kind: &'static Kind,
    sender: &mpsc::Sender<Update>,
) -> Result<bool, ApiError> {
    let (items, mut version) = api.list(kind, None, "").await?;
    if sender.send(Update::Listed(kind, items.into_iter().map(Object).collect())).await.is_err() {
        return Ok(false);
    }
    loop {
        let query = api::query(&[
            ("watch", Some("1")),
            ("allowWatchBookmarks", Some("true")),
            ("resourceVersion", Some(&version)),
        ]);
        let path = format!("{}{query}", api::path(kind, None, None, None));
        let mut events = api.watch(&path, JSON).await?;
        while let Some(event) = events.next().await {
            let (type_, object) = event?;
            let object = Object(object);
            version = object.resource_version().to_owned();
            if type_ == "BOOKMARK" {
                continue;
            }
            let update = Update::Changed(kind, object, type_ == "DELETED");
            if sender.send(update).await.is_err() {
                return Ok(false);
            }
        }
    }
}
