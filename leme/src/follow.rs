//! A picture of some kinds of objects that keeps itself up to date: list, then watch, for as long as it is held.
//!
//! Knows: resourceVersion, expiry, that a server can go away for a while, that it may refuse to show a kind. Refuses to
//! know: any kind by name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use leme_meta::Object;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::{self, Api, ApiError, JSON};
use crate::resource::{Kind, Resource};

/// Pause before another try at a server that does not answer.
const PAUSE: Duration = Duration::from_millis(300);

/// A kind, whatever its version: group and plural.
type Which = (String, String);

fn which(kind: &Resource) -> Which {
    (kind.group.clone(), kind.plural.clone())
}

/// Kind, namespace and name.
type Key = (Which, String, String);

/// What is there now of the kinds followed.
pub struct Picture {
    objects: HashMap<Key, Object>,
    updates: mpsc::Receiver<Update>,
    listed: HashSet<Which>,
    refused: BTreeMap<Which, ApiError>,
    wanted: usize,
    _tasks: JoinSet<()>,
}

enum Update {
    /// Everything there is of a kind.
    Listed(Kind, Vec<Object>),
    /// The server does not show a kind.
    Refused(Kind, ApiError),
    /// One object changed or went away.
    Changed(Kind, Object, bool),
}

impl Picture {
    /// Follows the kinds, those that are namespaced in one namespace or in all.
    pub fn follow(api: &Api, kinds: &[Kind], namespace: Option<&str>) -> Picture {
        let (sender, updates) = mpsc::channel(256);
        let mut tasks = JoinSet::new();
        for kind in kinds {
            let namespace = namespace.filter(|_| kind.namespaced).map(str::to_owned);
            tasks.spawn(feed(api.clone(), kind.clone(), namespace, sender.clone()));
        }
        Picture {
            objects: HashMap::new(),
            updates,
            listed: HashSet::new(),
            refused: BTreeMap::new(),
            wanted: kinds.len(),
            _tasks: tasks,
        }
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

    /// Whether of every kind is known what there is, or that the server does not show it.
    pub fn complete(&self) -> bool {
        self.listed.len() + self.refused.len() >= self.wanted
    }

    /// Why the server does not show a kind.
    pub fn refused(&self, kind: &Resource) -> Option<&ApiError> {
        self.refused.get(&which(kind))
    }

    /// Everything that the server does not show: the plural, and why.
    pub fn all_refused(&self) -> impl Iterator<Item = (&str, &ApiError)> {
        self.refused.iter().map(|((_, plural), why)| (plural.as_str(), why))
    }

    /// One object; the namespace does not matter for a kind without.
    pub fn get(&self, kind: &Resource, namespace: &str, name: &str) -> Option<&Object> {
        let namespace = if kind.namespaced { namespace } else { "" };
        self.objects.get(&(which(kind), namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, by its group and plural.
    pub fn all(&self, group: &str, plural: &str) -> impl Iterator<Item = &Object> {
        let matching =
            move |((known, _, _), _): &(&Key, &Object)| known.0 == group && known.1 == plural;
        self.objects.iter().filter(matching).map(|(_, object)| object)
    }

    /// Objects of a kind whose controller or owner has this uid, by name.
    pub fn owned(&self, group: &str, plural: &str, uid: &str) -> Vec<&Object> {
        let owns = |object: &&Object| {
            let owners = object.0["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == Some(uid))
        };
        let mut owned: Vec<&Object> = self.all(group, plural).filter(owns).collect();
        owned.sort_by_key(|object| object.name());
        owned
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Listed(kind, items) => {
                let which = which(&kind);
                self.objects.retain(|key, _| key.0 != which);
                for item in items {
                    self.objects.insert(key(&kind, &item), item);
                }
                self.refused.remove(&which);
                self.listed.insert(which);
            }
            Update::Refused(kind, why) => {
                self.listed.remove(&which(&kind));
                self.refused.insert(which(&kind), why);
            }
            Update::Changed(kind, object, true) => {
                self.objects.remove(&key(&kind, &object));
            }
            Update::Changed(kind, object, false) => {
                self.objects.insert(key(&kind, &object), object);
            }
        }
    }
}

#[cfg(test)]
impl Picture {
    /// A picture of these objects, each with its kind's group and plural, that never changes.
    pub fn still(
        objects: impl IntoIterator<Item = ((&'static str, &'static str), serde_json::Value)>,
    ) -> Picture {
        let keyed = objects.into_iter().map(|((group, plural), value)| {
            let which = (group.into(), plural.into());
            let object = Object(value);
            ((which, object.namespace().to_owned(), object.name().to_owned()), object)
        });
        Picture {
            objects: keyed.collect(),
            updates: mpsc::channel(1).1,
            listed: HashSet::new(),
            refused: BTreeMap::new(),
            wanted: 0,
            _tasks: JoinSet::new(),
        }
    }
}

fn key(kind: &Resource, object: &Object) -> Key {
    (which(kind), object.namespace().to_owned(), object.name().to_owned())
}

/// Lists and watches one kind until nobody listens any more.
async fn feed(api: Api, kind: Kind, namespace: Option<String>, sender: mpsc::Sender<Update>) {
    loop {
        match feed_once(&api, &kind, namespace.as_deref(), &sender).await {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                if error.is_final()
                    && sender.send(Update::Refused(kind.clone(), error)).await.is_err()
                {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// One list and the watches that follow from it; `false` when nobody listens any more.
async fn feed_once(
    api: &Api,
    kind: &Kind,
    namespace: Option<&str>,
    sender: &mpsc::Sender<Update>,
) -> Result<bool, ApiError> {
    let (items, mut version) = api.list(kind, namespace, "").await?;
    if sender
        .send(Update::Listed(kind.clone(), items.into_iter().map(Object).collect()))
        .await
        .is_err()
    {
        return Ok(false);
    }
    loop {
        let query = api::query(&[
            ("watch", Some("1")),
            ("allowWatchBookmarks", Some("true")),
            ("resourceVersion", Some(&version)),
        ]);
        let path = format!("{}{query}", api::path(kind, namespace, None, None));
        let mut events = api.watch(&path, JSON).await?;
        while let Some(event) = events.next().await {
            let (type_, object) = event?;
            let object = Object(object);
            version = object.resource_version().to_owned();
            if type_ == "BOOKMARK" {
                continue;
            }
            let update = Update::Changed(kind.clone(), object, type_ == "DELETED");
            if sender.send(update).await.is_err() {
                return Ok(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Served;
    use serde_json::json;

    fn picture(wanted: usize) -> Picture {
        let (_, updates) = mpsc::channel(1);
        let (objects, listed, refused) = (HashMap::new(), HashSet::new(), BTreeMap::new());
        Picture { objects, updates, listed, refused, wanted, _tasks: JoinSet::new() }
    }

    fn kind(word: &str) -> Kind {
        Served::builtin().by_word(word).unwrap().clone()
    }

    /// Red when lists are counted instead of kinds: the second list of pods counts for the events.
    #[test]
    fn a_picture_is_complete_when_every_kind_is_settled() {
        let mut seen = picture(2);
        seen.take(Update::Listed(kind("pods"), vec![]));
        seen.take(Update::Listed(kind("pods"), vec![]));
        assert!(!seen.complete());
        let forbidden =
            ApiError::Status { code: 403, reason: "Forbidden".to_owned(), message: String::new() };
        seen.take(Update::Refused(kind("events"), forbidden));
        assert!(seen.complete(), "what may not be seen is not waited for");
        assert!(seen.refused(&kind("events")).is_some());
        seen.take(Update::Listed(kind("events"), vec![]));
        assert!(seen.complete() && seen.refused(&kind("events")).is_none());
    }

    #[test]
    fn a_cluster_scoped_object_is_found_from_any_namespace() {
        let mut seen = picture(1);
        let node = json!({"metadata": {"name": "a"}});
        seen.take(Update::Listed(kind("nodes"), vec![Object(node)]));
        assert!(seen.get(&kind("nodes"), "default", "a").is_some());
        assert!(seen.get(&kind("pods"), "", "a").is_none());
    }
}
