//! What keeps pods in number, replication controllers and replica sets: woken by their own changes and by those of pods
//! they own or could own.

use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use leme_plan::common::{controller_of, matches, selects_some};
use leme_plan::{replica_set, replication};

use crate::cache::{CONTROLLER, Cache};
use crate::controller::Controller;
use crate::view::children_of;
use crate::watch::Watch;

pub(crate) fn controllers() -> Controller {
    let watches = vec![
        Watch::itself::<ReplicationController>(),
        Watch::owned::<Pod, ReplicationController>(|one, labels| {
            let selector = one.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| matches(selector, labels))
        }),
    ];
    Controller::new("replication-controller", watches, |view, key| {
        let found = view.cache.replication.get(&key.0, &key.1);
        let pods = children_of(&view.cache.pods, found.as_ref());
        let failure = view.failure.cloned();
        let seen = replication::Observed { controller: found, pods, failure };
        Ok(replication::plan(&seen, view.now))
    })
}

pub(crate) fn sets() -> Controller {
    let watches = vec![
        Watch::itself::<ReplicaSet>(),
        Watch::owned::<Pod, ReplicaSet>(|one, labels| {
            one.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
        }),
    ];
    Controller::new("replicaset-controller", watches, |view, key| {
        let found = view.cache.replica_sets.get(&key.0, &key.1);
        let pods = children_of(&view.cache.pods, found.as_ref());
        let related = found.as_ref().map(|found| related(view.cache, found)).unwrap_or_default();
        let failure = view.failure.cloned();
        let seen = replica_set::Observed { set: found, pods, related, failure };
        Ok(replica_set::plan(&seen, view.now))
    })
}

/// The pods of the replica sets that have the same controller.
fn related(cache: &Cache, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let Some(owner) = controller_of(set.metadata()) else { return Vec::new() };
    let siblings = cache.replica_sets.found_by(CONTROLLER, &owner.uid);
    let uids = siblings.iter().filter_map(|sibling| sibling.metadata.uid.as_deref());
    uids.flat_map(|uid| cache.pods.found_by(CONTROLLER, uid)).collect()
}
