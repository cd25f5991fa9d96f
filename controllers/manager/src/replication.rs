//! Wakes what keeps pods in number, replication controllers and replica sets: by their own changes and by those of pods
//! they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::{Metadata, Resource};
use leme_controller_runtime::{Informer, Queue};
use leme_plan::common::{Labels, controller_of, matches, selects_some};
use leme_plan::{replica_set, replication};

use crate::cache::{CONTROLLER, Cache, HasMeta, uncontrolled};
use crate::{Start, Wiring, controller};

pub(crate) fn controllers(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let informer = &wiring.cache.replication;
    wake(&queue, informer);
    wake_by(&queue, &wiring.cache.pods, informer, |one: &ReplicationController, labels| {
        let selector = one.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| matches(selector, labels))
    });
    controller(wiring, "replication-controller", queue, None, |wiring, key, failure| async move {
        let cache = &wiring.cache;
        let found = cache.replication.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.as_deref());
        let pods = uid.map(|uid| pods_of(cache, &key.0, uid)).unwrap_or_default();
        let seen = replication::Observed { controller: found, pods, failure };
        Ok(replication::plan(&seen, Timestamp::now()))
    })
}

pub(crate) fn sets(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let informer = &wiring.cache.replica_sets;
    wake(&queue, informer);
    wake_by(&queue, &wiring.cache.pods, informer, |one: &ReplicaSet, labels| {
        one.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
    });
    controller(wiring, "replicaset-controller", queue, None, |wiring, key, failure| async move {
        let cache = &wiring.cache;
        let found = cache.replica_sets.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.as_deref());
        let pods = uid.map(|uid| pods_of(cache, &key.0, uid)).unwrap_or_default();
        let related = found.as_ref().map(|found| related(cache, found)).unwrap_or_default();
        let seen = replica_set::Observed { set: found, pods, related, failure };
        Ok(replica_set::plan(&seen, Timestamp::now()))
    })
}

/// Wakes by changes of the kind itself.
pub(crate) fn wake<K: HasMeta>(queue: &Arc<Queue>, informer: &Informer<K>) {
    let waker = queue.clone();
    informer.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
}

/// Wakes owners by changes of what they own, and those that could own it by changes of what nobody owns.
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
        let mut owned = false;
        for child in [old, new].into_iter().flatten() {
            let owner = controller_of(child.meta());
            let owner =
                owner.filter(|one| one.kind == K::KIND && one.api_version == K::API_VERSION);
            if let Some(owner) = owner {
                owned = true;
                waker.add((key.0.clone(), owner.name.clone()));
            }
        }
        let Some(child) = new.filter(|_| !owned).map(|child| child.meta()) else { return };
        if controller_of(child).is_some() {
            return;
        }
        for one in owners.in_namespace(&key.0) {
            if selects(&one, child.labels.as_ref()) {
                waker.add((key.0.clone(), one.meta().name.clone().unwrap_or_default()));
            }
        }
    }));
}

/// The pods that an owner has or could adopt.
fn pods_of(cache: &Cache, namespace: &str, uid: &str) -> Vec<Arc<Pod>> {
    let mut pods = cache.pods.found_by(CONTROLLER, uid);
    pods.extend(cache.pods.found_by(CONTROLLER, &uncontrolled(namespace)));
    pods
}

/// The pods of the replica sets that have the same controller.
fn related(cache: &Cache, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let Some(owner) = controller_of(set.metadata()) else { return Vec::new() };
    let siblings = cache.replica_sets.found_by(CONTROLLER, &owner.uid);
    let uids = siblings.iter().filter_map(|sibling| sibling.metadata.uid.as_deref());
    uids.flat_map(|uid| cache.pods.found_by(CONTROLLER, uid)).collect()
}
