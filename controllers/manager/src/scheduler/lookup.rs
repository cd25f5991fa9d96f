//! What the scheduler looks up for a pod: its claims, what it is spread among, budgets.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use leme_controller_runtime::Resource;
use leme_controllers::Cache;
use leme_plan::common::controller_of;
use leme_sched::{Budget, PodInfo, Profile, Selector, Storage, VolumeFacts};

const READS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Node"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolume"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("v1", "ReplicationController"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("policy/v1", "PodDisruptionBudget"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("storage.k8s.io/v1", "CSINode"),
];

/// Whether the scheduler looks at a kind: all that is kept for it where it runs alone. It may read nothing else of the API.
pub(crate) fn reads(resource: &Resource) -> bool {
    let known = (resource.api_version.as_str(), resource.kind.as_str());
    READS.contains(&known)
}

/// The cache, as the scheduler looks into it.
pub(super) struct Stored<'a>(pub(super) &'a Cache);

impl Storage for Stored<'_> {
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.0.claims.get(namespace, name)
    }

    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.0.volumes.get("", name)
    }

    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.0.classes.get("", name)
    }

    fn volumes(&self) -> Vec<Arc<PersistentVolume>> {
        self.0.volumes.list()
    }
}

/// What a pod asks for, and what its volumes say.
pub(super) fn read(cache: &Cache, pod: &Pod, profile: &Arc<Profile>) -> (PodInfo, VolumeFacts) {
    let info = PodInfo::read(pod).under(profile).spread_by_default(&in_common(cache, pod));
    (info, VolumeFacts::of(pod, &Stored(cache)))
}

fn in_common(cache: &Cache, pod: &Pod) -> Selector {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
    let services = cache.services.in_namespace(namespace);
    let selectors = services.iter().filter_map(|one| one.spec.as_ref()?.selector.as_ref());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    Selector::in_common(&labels, selectors, of_owner(cache, pod, namespace))
}

fn of_owner(cache: &Cache, pod: &Pod, namespace: &str) -> Option<Selector> {
    let owner = controller_of(&pod.metadata)?;
    match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => {
            let found = cache.replication.get(namespace, &owner.name)?;
            Some(Selector::pairs(found.spec.as_ref()?.selector.as_ref()?))
        }
        ("apps/v1", "ReplicaSet") => {
            let found = cache.replica_sets.get(namespace, &owner.name)?;
            Some(Selector::read(Some(&found.spec.as_ref()?.selector)))
        }
        ("apps/v1", "StatefulSet") => {
            let found = cache.stateful_sets.get(namespace, &owner.name)?;
            Some(Selector::read(Some(&found.spec.as_ref()?.selector)))
        }
        _ => None,
    }
}

/// All budgets of disruptions.
pub(super) fn budgets(cache: &Cache) -> Vec<Budget> {
    cache.budgets.list().iter().filter_map(|budget| Budget::read(budget)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when a kind is misspelt: a scheduler that runs alone would take it for empty.
    #[test]
    fn what_is_read_is_kept() {
        let cache = Cache::new();
        let kept = cache.all().iter().filter(|one| reads(one.resource())).count();
        assert_eq!(kept, READS.len());
    }
}
