//! The garbage collector: woken by every change of ownership or deletion, of any kind. Keys name the kind by its number in
//! the cache.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use leme_lister::Key;
use leme_meta::resource::Resource;
use leme_plan::gc::{self, Graph, Owner, Place};
use leme_plan::{ObjectRef, Plan};
use serde_json::Value;

use crate::cache::Cache;
use crate::controller::Controller;
use crate::view::{Answer, Blocked, Question, Refusal, View};
use crate::watch::Watch;

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

pub(crate) fn controller() -> Controller {
    let graph = Arc::new(Mutex::new(Graph::default()));
    let (seen, owned) = (graph.clone(), graph.clone());
    let watches = vec![
        Watch::on_all(move |change, wake| {
            let place = (change.number, change.key.0.clone(), change.key.1.clone());
            let woken = lock(&seen).observe(place, change.old, change.new);
            woken.iter().map(key_of).for_each(wake);
        }),
        // Owners of kinds that were not known may be now.
        Watch::on_kinds(move |wake| lock(&owned).owned().map(key_of).for_each(wake)),
    ];
    let controller = Controller::new("garbage-collector-controller", watches, move |view, key| {
        Ok(match observe(view, &graph, key)? {
            Some(seen) => gc::plan(&seen, view.now),
            None => Plan::default(),
        })
    });
    controller.with_brake(200, 50)
}

fn observe(
    view: &View<'_>,
    graph: &Mutex<Graph>,
    key: &Key,
) -> Result<Option<gc::Observed>, Blocked> {
    let Some(place) = place_of(key) else { return Ok(None) };
    let Some((target, meta)) = find(view.cache, &place) else { return Ok(None) };
    if !gc::concerns(&meta) {
        return Ok(None);
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
        .filter_map(|place| find(view.cache, place))
        .map(|(target, meta)| gc::Dependent { target, meta })
        .collect();
    let mut owners = Vec::new();
    if meta.deletion_timestamp.is_none() {
        for reference in meta.owner_references.iter().flatten() {
            owners.push(owner(view, &target, reference)?);
        }
    }
    Ok(Some(gc::Observed { target, meta, owners, dependents, circle }))
}

fn find(cache: &Cache, place: &Place) -> Option<(ObjectRef, ObjectMeta)> {
    let lister = cache.numbered(place.0)?;
    let meta = lister.meta(&(place.1.clone(), place.2.clone()))?;
    let resource = lister.resource();
    Some((ObjectRef::of_meta(&resource.api_version, &resource.kind, &meta), meta))
}

/// An owner as the cache has it; if the cache does not, as the API itself has it.
fn owner(
    view: &View<'_>,
    dependent: &ObjectRef,
    reference: &OwnerReference,
) -> Result<Owner, Blocked> {
    let resource = view.cache.resolve(&reference.api_version, &reference.kind);
    let Some(resource) = resource else {
        let (kind, version) = (&reference.kind, &reference.api_version);
        return Ok(Owner::Unknown(format!("no kind {kind} in {version} is served")));
    };
    if resource.namespaced && dependent.namespace.is_empty() {
        let message = "a cluster-scoped object names a namespaced owner";
        return Ok(Owner::Unknown(message.to_owned()));
    }
    let namespace = if resource.namespaced { dependent.namespace.clone() } else { String::new() };
    let key = (namespace, reference.name.clone());
    let cached = view.cache.meta(&resource, &key);
    match cached.filter(|meta| meta.uid.as_deref() == Some(&reference.uid)) {
        Some(meta) => Ok(present(&meta)),
        None => ask(view, resource, key, reference),
    }
}

fn present(meta: &ObjectMeta) -> Owner {
    let waits = leme_plan::common::has_finalizer(meta, gc::FOREGROUND);
    Owner::Present { foreground: meta.deletion_timestamp.is_some() && waits }
}

fn ask(
    view: &View<'_>,
    resource: Resource,
    (namespace, name): Key,
    reference: &OwnerReference,
) -> Result<Owner, Blocked> {
    if !Resource::is_name(&name) {
        return Ok(Owner::Absent);
    }
    let question = Question::Object { resource, namespace, name, subresource: "" };
    Ok(match view.ask(question)? {
        Ok(Answer::Object(live)) => read(&live["metadata"], reference),
        Ok(Answer::Kinds(_) | Answer::Certificate(_)) => {
            Owner::Unknown("the answer is no object".to_owned())
        }
        Err(Refusal { not_found: true, .. }) => Owner::Absent,
        Err(refusal) => Owner::Unknown(refusal.message.clone()),
    })
}

fn read(meta: &Value, reference: &OwnerReference) -> Owner {
    let mut meta = meta.clone();
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
