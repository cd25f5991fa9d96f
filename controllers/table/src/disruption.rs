//! Budgets of disruptions: woken by their own changes, by those of pods they select, and by those of the sizes that the
//! controllers of these pods want.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use leme_lister::{HasMeta, key_of};
use leme_plan::common::{controller_of, selects};
use leme_plan::disruption::{self, Size};

use crate::cache::{Cache, Kept};
use crate::controller::Controller;
use crate::watch::Watch;

fn is_for(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selects(selector, pod.metadata.labels.as_ref()))
}

/// Wakes all budgets of a namespace by changes of what has a size.
fn by_sizes<K: Kept>() -> Watch {
    Watch::on::<K>(|change, wake| {
        for budget in change.cache.budgets.in_namespace(&change.key.0) {
            wake(key_of(&budget.metadata));
        }
    })
}

fn by_pods() -> Watch {
    Watch::on::<Pod>(|change, wake| {
        for budget in change.cache.budgets.in_namespace(&change.key.0) {
            if change.both().any(|pod| is_for(&budget, pod)) {
                wake(key_of(&budget.metadata));
            }
        }
    })
}

pub(crate) fn controller() -> Controller {
    let watches = vec![
        Watch::itself::<PodDisruptionBudget>(),
        by_pods(),
        by_sizes::<ReplicationController>(),
        by_sizes::<ReplicaSet>(),
        by_sizes::<Deployment>(),
        by_sizes::<StatefulSet>(),
    ];
    Controller::new("disruption", watches, |view, key| {
        let budget = view.cache.budgets.get(&key.0, &key.1);
        let mut pods = Vec::new();
        if let Some(budget) = &budget {
            pods = view.cache.pods.in_namespace(&key.0);
            pods.retain(|pod| is_for(budget, pod));
        }
        let sizes = sizes(view.cache, &key.0, &pods);
        let seen = disruption::Observed { budget, pods, sizes };
        Ok(disruption::plan(&seen, view.now))
    })
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
