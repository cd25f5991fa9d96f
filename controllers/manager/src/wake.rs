//! What wakes the controllers of owners: changes of their own kind, of what they own, and of what they could own.
//!
//! Knows: ownerReferences. Refuses to know: any kind by name, and what is done about a change.

use std::sync::Arc;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::Pod;
use leme_controller_runtime::{Informer, Queue};
use leme_plan::common::{Labels, controller_of};

use crate::cache::{CONTROLLER, Cache, HasMeta, uncontrolled};

/// Wakes by changes of the kind itself.
pub(crate) fn wake<K: HasMeta>(queue: &Arc<Queue>, informer: &Informer<K>) {
    let waker = queue.clone();
    informer.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
}

/// Wakes owners by changes of what they own, and those that could own it by changes of what nobody owns, also of what
/// was just let go.
pub(crate) fn wake_by<C, K>(
    queue: &Arc<Queue>,
    children: &Informer<C>,
    owners: &Arc<Informer<K>>,
    selects: fn(&K, Option<&Labels>) -> bool,
) where
    C: HasMeta,
    K: HasMeta + Resource,
{
    let (waker, owners) = (queue.clone(), owners.clone());
    children.on_change(Box::new(move |key, old, new| {
        for child in [old, new].into_iter().flatten() {
            let owner = controller_of(child.meta());
            let owner =
                owner.filter(|one| one.kind == K::KIND && one.api_version == K::API_VERSION);
            if let Some(owner) = owner {
                waker.add((key.0.clone(), owner.name.clone()));
            }
        }
        let child = new.map(|child| child.meta());
        let Some(child) = child.filter(|child| controller_of(child).is_none()) else { return };
        for one in owners.in_namespace(&key.0) {
            if selects(&one, child.labels.as_ref()) {
                waker.add((key.0.clone(), one.meta().name.clone().unwrap_or_default()));
            }
        }
    }));
}

/// The revisions that an owner has or could adopt.
pub(crate) fn revisions_of<K: HasMeta>(
    cache: &Cache,
    owner: Option<&Arc<K>>,
) -> Vec<Arc<ControllerRevision>> {
    found_of(&cache.revisions, owner)
}

/// The pods that an owner has or could adopt.
pub(crate) fn pods_of<K: HasMeta>(cache: &Cache, owner: Option<&Arc<K>>) -> Vec<Arc<Pod>> {
    found_of(&cache.pods, owner)
}

fn found_of<C, K: HasMeta>(children: &Informer<C>, owner: Option<&Arc<K>>) -> Vec<Arc<C>>
where
    C: HasMeta,
{
    let Some(meta) = owner.map(|owner| owner.meta()) else { return Vec::new() };
    let Some(uid) = meta.uid.as_deref() else { return Vec::new() };
    let mut found = children.found_by(CONTROLLER, uid);
    let namespace = meta.namespace.as_deref().unwrap_or("");
    found.extend(children.found_by(CONTROLLER, &uncontrolled(namespace)));
    found
}
