//! Wakes deployments: by their own changes and by those of replica sets they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use leme_controller_runtime::Queue;
use leme_plan::common::selects_some;
use leme_plan::deployment::{self, name_of_new};

use crate::cache::{CONTROLLER, uncontrolled};
use crate::wake::{wake, wake_by};
use crate::{Start, Wiring, controller};

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let informer = &wiring.cache.deployments;
    wake(&queue, informer);
    wake_by(&queue, &wiring.cache.replica_sets, informer, |one: &Deployment, labels| {
        one.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
    });
    controller(wiring, "deployment-controller", queue, None, |wiring, key, failure| async move {
        let cache = &wiring.cache;
        let found = cache.deployments.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.as_deref());
        let owned = uid.map(|uid| cache.replica_sets.found_by(CONTROLLER, uid)).unwrap_or_default();
        let uids = owned.iter().filter_map(|set: &Arc<ReplicaSet>| set.metadata.uid.as_deref());
        let pods = uids.flat_map(|uid| cache.pods.found_by(CONTROLLER, uid)).collect();
        let name = found.as_deref().and_then(name_of_new);
        let namesake = name.and_then(|name| cache.replica_sets.get(&key.0, &name));
        let mut sets = owned.clone();
        sets.extend(cache.replica_sets.found_by(CONTROLLER, &uncontrolled(&key.0)));
        let seen = deployment::Observed { deployment: found, sets, namesake, pods, failure };
        Ok(deployment::plan(&seen, Timestamp::now()))
    })
}
