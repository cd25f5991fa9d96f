//! Wakes what keeps pods in number, replication controllers and replica sets: by their own changes and by those of pods
//! they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use leme_controller_runtime::Queue;
use leme_plan::common::{controller_of, matches, selects_some};
use leme_plan::{replica_set, replication};

use crate::cache::{CONTROLLER, Cache};
use crate::wake::{pods_of, wake, wake_by};
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
        let pods = pods_of(cache, found.as_ref());
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
        let pods = pods_of(cache, found.as_ref());
        let related = found.as_ref().map(|found| related(cache, found)).unwrap_or_default();
        let seen = replica_set::Observed { set: found, pods, related, failure };
        Ok(replica_set::plan(&seen, Timestamp::now()))
    })
}

/// The pods of the replica sets that have the same controller.
fn related(cache: &Cache, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let Some(owner) = controller_of(set.metadata()) else { return Vec::new() };
    let siblings = cache.replica_sets.found_by(CONTROLLER, &owner.uid);
    let uids = siblings.iter().filter_map(|sibling| sibling.metadata.uid.as_deref());
    uids.flat_map(|uid| cache.pods.found_by(CONTROLLER, uid)).collect()
}
