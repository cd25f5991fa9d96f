//! Wakes budgets of disruptions: by their own changes, by those of pods they select, and by those of the sizes that the
//! controllers of these pods want.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use leme_controller_runtime::{Informer, Queue};
use leme_plan::common::{controller_of, selects};
use leme_plan::disruption::{self, Size};

use crate::cache::{Cache, HasMeta};
use crate::wake::wake;
use crate::{Start, Wiring, controller};

fn is_for(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selects(selector, pod.metadata.labels.as_ref()))
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let cache = &wiring.cache;
    wake(&queue, &cache.budgets);
    let (waker, budgets) = (queue.clone(), cache.budgets.clone());
    cache.pods.on_change(Box::new(move |key, old, new| {
        for budget in budgets.in_namespace(&key.0) {
            if [old, new].into_iter().flatten().any(|pod| is_for(&budget, pod)) {
                waker.add((key.0.clone(), budget.metadata.name.clone().unwrap_or_default()));
            }
        }
    }));
    wake_all(&queue, &cache.budgets, &cache.replication);
    wake_all(&queue, &cache.budgets, &cache.replica_sets);
    wake_all(&queue, &cache.budgets, &cache.deployments);
    wake_all(&queue, &cache.budgets, &cache.stateful_sets);
    controller(wiring, "disruption", queue, None, |wiring, key, _| async move {
        let cache = &wiring.cache;
        let budget = cache.budgets.get(&key.0, &key.1);
        let pods: Vec<Arc<Pod>> = match &budget {
            Some(budget) => cache
                .pods
                .in_namespace(&key.0)
                .into_iter()
                .filter(|pod| is_for(budget, pod))
                .collect(),
            None => Vec::new(),
        };
        let sizes = sizes(cache, &key.0, &pods);
        let seen = disruption::Observed { budget, pods, sizes };
        Ok(disruption::plan(&seen, Timestamp::now()))
    })
}

/// Wakes all budgets of a namespace by changes of what has a size.
fn wake_all<K: HasMeta>(
    queue: &Arc<Queue>,
    budgets: &Arc<Informer<PodDisruptionBudget>>,
    informer: &Informer<K>,
) {
    let (waker, budgets) = (queue.clone(), budgets.clone());
    informer.on_change(Box::new(move |key, _, _| {
        for budget in budgets.in_namespace(&key.0) {
            waker.add((key.0.clone(), budget.metadata.name.clone().unwrap_or_default()));
        }
    }));
}

/// The sizes that the controllers of pods want, by the controllers' uids; of a replica set its deployment's.
fn sizes(cache: &Cache, namespace: &str, pods: &[Arc<Pod>]) -> BTreeMap<String, Size> {
    let mut sizes = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller_of(&pod.metadata) else { continue };
        if sizes.contains_key(&owner.uid) {
            continue;
        }
        let (uid, name) = (&owner.uid, owner.name.as_str());
        let replicas = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => {
                let found = the(cache.replication.get(namespace, name), uid);
                found.map(|it| (uid.clone(), it.spec.as_ref().and_then(|spec| spec.replicas)))
            }
            ("apps/v1", "StatefulSet") => {
                let found = the(cache.stateful_sets.get(namespace, name), uid);
                found.map(|it| (uid.clone(), it.spec.as_ref().and_then(|spec| spec.replicas)))
            }
            ("apps/v1", "ReplicaSet") => {
                let found = the(cache.replica_sets.get(namespace, name), uid);
                found.map(|set| {
                    let own = set.spec.as_ref().and_then(|spec| spec.replicas);
                    above(cache, namespace, &set).unwrap_or((uid.clone(), own))
                })
            }
            _ => None,
        };
        if let Some((uid, replicas)) = replicas {
            sizes.insert(owner.uid.clone(), Size { uid, replicas: replicas.unwrap_or(1) });
        }
    }
    sizes
}

/// The object found by a name, if it is the one of a uid.
fn the<K: HasMeta>(found: Option<Arc<K>>, uid: &str) -> Option<Arc<K>> {
    found.filter(|found| found.meta().uid.as_deref() == Some(uid))
}

/// The uid of the Deployment that a replica set is of, and the size that it wants.
fn above(cache: &Cache, namespace: &str, set: &ReplicaSet) -> Option<(String, Option<i32>)> {
    let above = controller_of(&set.metadata).filter(|above| above.kind == "Deployment")?;
    let deployment = cache.deployments.get(namespace, &above.name)?;
    Some((above.uid.clone(), deployment.spec.as_ref().and_then(|spec| spec.replicas)))
}
