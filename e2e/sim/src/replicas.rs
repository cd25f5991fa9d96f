//! What the plans get to see that keep pods in number.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_plan::common::controller_of;
use leme_plan::deployment_config::config::DeploymentConfig;
use leme_plan::deployment_config::images::ImageStream;
use leme_plan::{deployment, deployment_config, replica_set, replication};

use crate::cluster::Cluster;
use crate::observe::place;

/// Whether one of `owners` controls an object.
fn controlled(meta: &ObjectMeta, owners: &[&str]) -> bool {
    controller_of(meta).is_some_and(|owner| owners.contains(&owner.uid.as_str()))
}

impl Cluster {
    pub(crate) fn replication(&mut self) {
        for found in self.api.typed::<ReplicationController>(None) {
            let (space, name) = place(&found.metadata);
            let key = format!("{space}/{name}");
            let seen = replication::Observed {
                controller: Some(found),
                pods: self.api.typed::<Pod>(Some(&space)),
                failure: self.failures.get(&("replication".to_owned(), key.clone())).cloned(),
            };
            let plan = replication::plan(&seen, self.api.now);
            self.run_plan("replication", &key, &plan);
        }
    }

    pub(crate) fn replica_sets(&mut self) {
        for found in self.api.typed::<ReplicaSet>(None) {
            let (space, name) = place(&found.metadata);
            let key = format!("{space}/{name}");
            let pods = self.api.typed::<Pod>(Some(&space));
            let seen = replica_set::Observed {
                related: self.related(&space, &found.metadata, &pods),
                set: Some(found),
                pods,
                failure: self.failures.get(&("replica-sets".to_owned(), key.clone())).cloned(),
            };
            let plan = replica_set::plan(&seen, self.api.now);
            self.run_plan("replica-sets", &key, &plan);
        }
    }

    pub(crate) fn deployments(&mut self) {
        for found in self.api.typed::<Deployment>(None) {
            let (space, name) = place(&found.metadata);
            let key = format!("{space}/{name}");
            let namesake = deployment::name_of_new(&found)
                .and_then(|name| self.api.typed_get::<ReplicaSet>(&space, &name));
            let sets = self.api.typed::<ReplicaSet>(Some(&space));
            let uids: Vec<&str> =
                sets.iter().filter_map(|set| set.metadata.uid.as_deref()).collect();
            let pods = self.api.typed::<Pod>(Some(&space));
            let pods = pods.into_iter().filter(|pod| controlled(&pod.metadata, &uids)).collect();
            let seen = deployment::Observed {
                deployment: Some(found),
                sets,
                namesake,
                pods,
                failure: self.failures.get(&("deployments".to_owned(), key.clone())).cloned(),
            };
            let plan = deployment::plan(&seen, self.api.now);
            self.run_plan("deployments", &key, &plan);
        }
    }

    pub(crate) fn configs(&mut self) {
        for found in self.api.typed::<DeploymentConfig>(None) {
            let (space, name) = place(&found.metadata);
            let key = format!("{space}/{name}");
            let uid = found.metadata.uid.clone().unwrap_or_default();
            let controllers = self.api.typed::<ReplicationController>(Some(&space));
            let owned: Vec<_> = controllers
                .iter()
                .filter(|one| controlled(&one.metadata, &[&uid]))
                .cloned()
                .collect();
            let done = deployment_config::completed_last(&owned);
            let done = done.and_then(|done| done.metadata.uid.clone()).unwrap_or_default();
            let pods = self.api.typed::<Pod>(Some(&space));
            let helps = |pod: &&Arc<Pod>| {
                let labels = pod.metadata.labels.as_ref();
                let rollout = labels.and_then(|all| all.get(deployment_config::HELPER_OF));
                let named = |one: &Arc<ReplicationController>| {
                    let names = deployment_config::names_of_helpers(one);
                    pod.metadata.name.as_ref().is_some_and(|name| names.contains(name))
                };
                owned.iter().any(|one| one.metadata.name.as_ref() == rollout || named(one))
            };
            let old = |pod: &&Arc<Pod>| controlled(&pod.metadata, &[&done]);
            let seen = deployment_config::Observed {
                namesake: self
                    .api
                    .typed_get::<ReplicationController>(&space, &found.name_of_latest()),
                old_pods: pods.iter().filter(old).cloned().collect(),
                helpers: pods.iter().filter(helps).cloned().collect(),
                controllers,
                streams: self.api.typed::<ImageStream>(None),
                failure: self.failures.get(&("configs".to_owned(), key.clone())).cloned(),
                config: Some(found),
            };
            let plan = deployment_config::plan(&seen, self.api.now);
            self.run_plan("configs", &key, &plan);
        }
    }

    fn related(&self, space: &str, set: &ObjectMeta, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
        let Some(owner) = controller_of(set) else { return Vec::new() };
        let sets = self.api.typed::<ReplicaSet>(Some(space));
        let siblings = sets.iter().filter(|one| controlled(&one.metadata, &[&owner.uid]));
        let uids: Vec<&str> = siblings.filter_map(|one| one.metadata.uid.as_deref()).collect();
        pods.iter().filter(|pod| controlled(&pod.metadata, &uids)).cloned().collect()
    }
}
