//! Wakes the garbage collector: every change of ownership or deletion, of any kind. Keys name the cache of the kind by
//! its number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use leme_controller_runtime::{Brake, Key, Queue, Resource};
use leme_plan::gc::{self, Graph, Owner, Place};
use leme_plan::{ObjectRef, Plan};
use serde_json::Value;

use crate::cache::Metadata;
use crate::{Start, Wiring, controller};

/// The caches of all kinds, by number: first those of the program's.
#[derive(Clone)]
struct Kinds {
    own: Arc<Vec<Arc<dyn Metadata>>>,
    others: Arc<crate::kinds::Kinds>,
}

impl Kinds {
    fn numbered(&self, number: usize) -> Option<Arc<dyn Metadata>> {
        self.own.get(number).cloned().or_else(|| self.others.numbered(number))
    }

    fn of(&self, resource: &Resource) -> Option<Arc<dyn Metadata>> {
        let own = self.own.iter().find(|cache| cache.resource() == resource).cloned();
        own.or_else(|| self.others.of(resource))
    }
}

fn lock(graph: &Mutex<Graph>) -> MutexGuard<'_, Graph> {
    graph.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key_of(place: &Place) -> Key {
    (format!("{}/{}", place.0, place.1), place.2.clone())
}

fn place_of(key: &Key) -> Option<Place> {
    let (number, namespace) = key.0.split_once('/')?;
    Some((number.parse().ok()?, namespace.to_owned(), key.1.clone()))
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let graph = Arc::new(Mutex::new(Graph::default()));
    let kinds = Kinds { own: Arc::new(wiring.cache.all()), others: wiring.cache.kinds.clone() };
    let (waker, seen) = (queue.clone(), graph.clone());
    let watch = move |number: usize, cache: &dyn Metadata| {
        let (waker, graph) = (waker.clone(), seen.clone());
        cache.on_meta(Arc::new(move |key, old, new| {
            let place = (number, key.0.clone(), key.1.clone());
            let wake = lock(&graph).observe(place, old, new);
            wake.iter().for_each(|place| waker.add(key_of(place)));
        }));
    };
    for (number, cache) in kinds.own.iter().enumerate() {
        watch(number, &**cache);
    }
    wiring.cache.kinds.on_come(Box::new(move |number, cache| watch(number, &**cache)));
    // Owners of kinds that were not known may be now.
    let (waker, owned) = (queue.clone(), graph.clone());
    wiring.cache.kinds.on_change(Box::new(move || {
        lock(&owned).owned().for_each(|place| waker.add(key_of(place)));
    }));
    let brake = Some(Brake::new(200, 50));
    controller(wiring, "garbage-collector-controller", queue, brake, move |wiring, key, _| {
        let (kinds, graph) = (kinds.clone(), graph.clone());
        async move {
            let Some(seen) = observe(&wiring, &kinds, &graph, &key).await else {
                return Ok(Plan::default());
            };
            Ok(gc::plan(&seen, Timestamp::now()))
        }
    })
}

async fn observe(
    wiring: &Wiring,
    kinds: &Kinds,
    graph: &Mutex<Graph>,
    key: &Key,
) -> Option<gc::Observed> {
    let place = place_of(key)?;
    let (target, meta) = find(kinds, &place)?;
    if !gc::concerns(&meta) {
        return None;
    }
    let uid = meta.uid.clone().unwrap_or_default();
    let owned = meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    let (places, circle) = {
        let graph = lock(graph);
        let places: Vec<Place> = graph.dependents(&uid).cloned().collect();
        (places, owned && graph.on_circle(&place, &uid))
    };
    let dependents = places
        .iter()
        .filter_map(|place| find(kinds, place))
        .map(|(target, meta)| gc::Dependent { target, meta })
        .collect();
    let mut owners = Vec::new();
    if meta.deletion_timestamp.is_none() {
        for reference in meta.owner_references.iter().flatten() {
            owners.push(owner(wiring, kinds, &target, reference).await);
        }
    }
    Some(gc::Observed { target, meta, owners, dependents, circle })
}

fn find(kinds: &Kinds, place: &Place) -> Option<(ObjectRef, ObjectMeta)> {
    let cache = kinds.numbered(place.0)?;
    let meta = cache.meta(&(place.1.clone(), place.2.clone()))?;
    let resource = cache.resource();
    Some((ObjectRef::of_meta(&resource.api_version, &resource.kind, &meta), meta))
}

/// An owner as the cache has it; if the cache does not, as the API itself has it.
async fn owner(
    wiring: &Wiring,
    kinds: &Kinds,
    dependent: &ObjectRef,
    reference: &OwnerReference,
) -> Owner {
    let resource = wiring.cache.resolve(&reference.api_version, &reference.kind);
    let Some(resource) = resource else {
        return Owner::Unknown(format!(
            "no kind {} in {} is served",
            reference.kind, reference.api_version
        ));
    };
    if resource.namespaced && dependent.namespace.is_empty() {
        return Owner::Unknown("a cluster-scoped object names a namespaced owner".to_owned());
    }
    let namespace = if resource.namespaced { dependent.namespace.clone() } else { String::new() };
    let key = (namespace.clone(), reference.name.clone());
    let cached = kinds.of(&resource).and_then(|cache| cache.meta(&key));
    match cached.filter(|meta| meta.uid.as_deref() == Some(&reference.uid)) {
        Some(meta) => present(&meta),
        None => ask(wiring, &resource, &namespace, reference).await,
    }
}

fn present(meta: &ObjectMeta) -> Owner {
    let waits = leme_plan::common::has_finalizer(meta, gc::FOREGROUND);
    Owner::Present { foreground: meta.deletion_timestamp.is_some() && waits }
}

async fn ask(
    wiring: &Wiring,
    resource: &Resource,
    namespace: &str,
    reference: &OwnerReference,
) -> Owner {
    if !Resource::is_name(&reference.name) {
        return Owner::Absent;
    }
    let path = resource.object(namespace, &reference.name, "");
    match wiring.executor.client().get(&path).await {
        Ok(mut live) => read(live["metadata"].take(), reference),
        Err(error) if error.is_not_found() => Owner::Absent,
        Err(other) => Owner::Unknown(other.message().to_owned()),
    }
}

fn read(mut meta: Value, reference: &OwnerReference) -> Owner {
    if let Some(fields) = meta.as_object_mut() {
        fields.remove("managedFields");
    }
    match serde_json::from_value::<ObjectMeta>(meta) {
        Ok(meta) if meta.uid.as_deref() == Some(&reference.uid) => present(&meta),
        Ok(meta) if meta.uid.is_some() => Owner::Absent,
        Ok(_) => Owner::Unknown("the answer has no uid".to_owned()),
        Err(error) => Owner::Unknown(error.to_string()),
    }
}
