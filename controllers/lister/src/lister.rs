//! The objects of one kind, and who is told of their changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_meta::resource::Resource;

use crate::{Key, key_of};

/// What has metadata.
pub trait HasMeta: Send + Sync + 'static {
    /// The metadata.
    fn meta(&self) -> &ObjectMeta;
}

impl<T: Metadata<Ty = ObjectMeta> + Send + Sync + 'static> HasMeta for T {
    fn meta(&self) -> &ObjectMeta {
        self.metadata()
    }
}

/// An object of which only the metadata is kept.
#[derive(Debug)]
pub struct Meta(pub ObjectMeta);

impl HasMeta for Meta {
    fn meta(&self) -> &ObjectMeta {
        &self.0
    }
}

/// Called after the lister has changed: key, object before, object now.
pub type Handler<T> = Box<dyn Fn(&Key, Option<&Arc<T>>, Option<&Arc<T>>) + Send + Sync>;

/// Called with an object's key and its metadata before and now.
pub type MetaHandler = Arc<dyn Fn(&Key, Option<&ObjectMeta>, Option<&ObjectMeta>) + Send + Sync>;

/// How an object is read from its JSON; what it leaves out is not kept.
pub type Decode<T> = fn(&str) -> Result<T, serde_json::Error>;

/// What objects can be found by besides their names: a name for it, and an object's value, if it has one.
pub type Index<T> = (&'static str, fn(&T) -> Option<String>);

/// The objects, and the keys of each value of each index. Always changed together.
struct Items<T> {
    by_key: BTreeMap<Key, Arc<T>>,
    by_value: Vec<HashMap<String, BTreeSet<Key>>>,
}

/// The objects of one kind.
pub struct Lister<T: 'static> {
    resource: Resource,
    decode: Decode<T>,
    indices: &'static [Index<T>],
    items: RwLock<Items<T>>,
    handlers: RwLock<Vec<Handler<T>>>,
}

impl<T: 'static> fmt::Debug for Lister<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lister({})", self.resource.plural)
    }
}

/// A lister of any kind: fed with JSON, looked at for metadata.
pub trait AnyLister: Send + Sync {
    /// What it lists.
    fn resource(&self) -> &Resource;

    /// Takes in an object as it is now. Gives its key.
    ///
    /// # Errors
    /// It cannot be read; nothing has changed.
    fn put(&self, json: &str) -> Result<Key, serde_json::Error>;

    /// Takes in that an object has gone.
    fn remove(&self, key: &Key);

    /// All keys.
    fn keys(&self) -> Vec<Key>;

    /// Whether an object of that uid is there and not being deleted.
    fn is_live(&self, key: &Key, uid: &str) -> bool;

    /// The metadata of an object.
    fn meta(&self, key: &Key) -> Option<ObjectMeta>;

    /// Calls `handler` on every change from now on.
    fn on_meta(&self, handler: MetaHandler);
}

impl<T: HasMeta> AnyLister for Lister<T> {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn put(&self, json: &str) -> Result<Key, serde_json::Error> {
        let object = (self.decode)(json)?;
        let key = key_of(object.meta());
        self.change(&key, Some(Arc::new(object)));
        Ok(key)
    }

    fn remove(&self, key: &Key) {
        self.change(key, None);
    }

    fn keys(&self) -> Vec<Key> {
        self.items().by_key.keys().cloned().collect()
    }

    fn is_live(&self, key: &Key, uid: &str) -> bool {
        self.items().by_key.get(key).is_some_and(|object| {
            let meta = object.meta();
            meta.uid.as_deref().unwrap_or("") == uid && meta.deletion_timestamp.is_none()
        })
    }

    fn meta(&self, key: &Key) -> Option<ObjectMeta> {
        self.items().by_key.get(key).map(|object| object.meta().clone())
    }

    fn on_meta(&self, handler: MetaHandler) {
        self.on_change(Box::new(move |key, old, new| {
            handler(key, old.map(|object| object.meta()), new.map(|object| object.meta()));
        }));
    }
}

impl<T> Items<T> {
    /// Puts an object in the place of the one of that key, or takes that away. Gives the one before.
    fn replace(&mut self, indices: &[Index<T>], key: &Key, new: Option<&Arc<T>>) -> Option<Arc<T>> {
        let old = match new {
            Some(object) => self.by_key.insert(key.clone(), object.clone()),
            None => self.by_key.remove(key),
        };
        for ((_, value), keys) in indices.iter().zip(&mut self.by_value) {
            let before = old.as_deref().and_then(value);
            let now = new.and_then(|object| value(object));
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

impl<T: HasMeta> Lister<T> {
    /// A lister of nothing yet.
    pub fn new(
        resource: Resource,
        decode: Decode<T>,
        indices: &'static [Index<T>],
    ) -> Arc<Lister<T>> {
        let by_value = indices.iter().map(|_| HashMap::new()).collect();
        Arc::new(Lister {
            resource,
            decode,
            indices,
            items: RwLock::new(Items { by_key: BTreeMap::new(), by_value }),
            handlers: RwLock::default(),
        })
    }

    /// Calls `handler` on every change from now on.
    pub fn on_change(&self, handler: Handler<T>) {
        self.handlers.write().unwrap_or_else(PoisonError::into_inner).push(handler);
    }

    /// An object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.items().by_key.get(&key).cloned()
    }

    /// All objects, by key.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.items().by_key.values().cloned().collect()
    }

    /// All objects that `keep` keeps.
    pub fn filter(&self, keep: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let items = self.items();
        items.by_key.values().filter(|object| keep(object)).cloned().collect()
    }

    /// The objects of that value in an index, by key; none where there is no such index.
    pub fn found_by(&self, index: &str, value: &str) -> Vec<Arc<T>> {
        let Some(at) = self.indices.iter().position(|(name, _)| *name == index) else {
            return Vec::new();
        };
        let items = self.items();
        let keys = items.by_value[at].get(value);
        keys.into_iter().flatten().filter_map(|key| items.by_key.get(key)).cloned().collect()
    }

    /// The objects of a namespace.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let from = (namespace.to_owned(), String::new());
        self.items()
            .by_key
            .range((Bound::Included(from), Bound::Unbounded))
            .take_while(|((found, _), _)| found == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    fn items(&self) -> RwLockReadGuard<'_, Items<T>> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a change; what is no change is told to nobody.
    fn change(&self, key: &Key, new: Option<Arc<T>>) {
        let old = {
            let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
            match (items.by_key.get(key), &new) {
                (Some(old), Some(new)) if same(old.meta(), new.meta()) => return,
                (None, None) => return,
                _ => items.replace(self.indices, key, new.as_ref()),
            }
        };
        for handler in self.handlers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            handler(key, old.as_ref(), new.as_ref());
        }
    }
}

fn same(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.resource_version == new.resource_version && old.uid == new.uid
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    const BY_NODE: &[Index<Pod>] = &[("node", |pod| pod.spec.as_ref()?.node_name.clone())];

    /// Red when the old value's key is left in its set.
    #[test]
    fn an_index_follows_every_change() {
        let resource = Resource::namespaced("v1", "Pod", "pods");
        let lister = Lister::new(resource, |json| serde_json::from_str(json), BY_NODE);
        let set = |name: &str, revision: u32, node: Option<&str>| {
            let pod = json!({"metadata": {"namespace": "n", "name": name, "uid": name,
                "resourceVersion": revision.to_string()}, "spec": {"containers": [], "nodeName": node}});
            assert_eq!(lister.put(&pod.to_string()).unwrap(), ("n".to_owned(), name.to_owned()));
        };
        let on = |node: &str| -> Vec<String> {
            let found = lister.found_by("node", node);
            found.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
        };
        set("a", 1, Some("x"));
        set("b", 2, Some("x"));
        set("c", 3, None);
        assert_eq!(on("x"), ["a", "b"]);
        set("a", 4, Some("y"));
        assert_eq!((on("x"), on("y")), (vec!["b".to_owned()], vec!["a".to_owned()]));
        lister.remove(&("n".to_owned(), "b".to_owned()));
        set("a", 5, None);
        assert!(on("x").is_empty() && on("y").is_empty());
        assert!(lister.items().by_value[0].is_empty(), "no empty set is kept");
        assert!(lister.found_by("no such index", "x").is_empty());
    }

    /// Red when a list that brings what is known already wakes everybody, or a removal is told twice.
    #[test]
    fn handlers_hear_of_changes_only() {
        let resource = Resource::namespaced("v1", "Pod", "pods");
        let lister: Arc<Lister<Pod>> =
            Lister::new(resource, |json| serde_json::from_str(json), BY_NODE);
        let told = Arc::new(RwLock::new(Vec::new()));
        let to = told.clone();
        lister.on_change(Box::new(move |key, old, new| {
            to.write().unwrap().push((key.1.clone(), old.is_some(), new.is_some()));
        }));
        let pod = |revision: u32| {
            json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": revision.to_string()}})
                .to_string()
        };
        for revision in [1, 1, 2] {
            lister.put(&pod(revision)).unwrap();
        }
        assert!(lister.is_live(&(String::new(), "a".to_owned()), "u"));
        lister.remove(&(String::new(), "a".to_owned()));
        lister.remove(&(String::new(), "a".to_owned()));
        let a = |old, new| ("a".to_owned(), old, new);
        assert_eq!(*told.read().unwrap(), [a(false, true), a(true, true), a(true, false)]);
        assert!(lister.put("{").is_err());
    }
}
