//! What the plans get to see that keep a pod for each node or each ordinal.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use leme_plan::{daemon_set, stateful_set};

use crate::cluster::Cluster;
use crate::observe::place;

impl Cluster {
    pub(crate) fn daemon_sets(&mut self) {
        let now = self.api.now;
        for found in self.api.typed::<DaemonSet>(None) {
            let (space, name) = place(&found.metadata);
            let key = format!("{space}/{name}");
            let namesake = daemon_set::name_of_new(&found)
                .and_then(|name| self.api.typed_get::<ControllerRevision>(&space, &name));
            let pods = self.api.typed::<Pod>(Some(&space));
            let failures = self.daemons.entry(key.clone()).or_default();
            failures.look(&found, &pods, now);
            let seen = daemon_set::Observed {
                failures: failures.clone(),
                set: Some(found),
                nodes: self.api.typed::<Node>(None),
                pods,
                revisions: self.api.typed::<ControllerRevision>(Some(&space)),
                namesake,
            };
            let plan = daemon_set::plan(&seen, now);
            self.run_plan("daemon-sets", &key, &plan);
        }
    }

    pub(crate) fn stateful_sets(&mut self) {
        for found in self.api.typed::<StatefulSet>(None) {
            let (space, name) = place(&found.metadata);
            let namesake = stateful_set::name_of_new(&found)
                .and_then(|name| self.api.typed_get::<ControllerRevision>(&space, &name));
            let seen = stateful_set::Observed {
                set: Some(found),
                pods: self.api.typed::<Pod>(Some(&space)),
                claims: self.api.typed::<PersistentVolumeClaim>(Some(&space)),
                revisions: self.api.typed::<ControllerRevision>(Some(&space)),
                namesake,
            };
            let plan = stateful_set::plan(&seen, self.api.now);
            self.run_plan("stateful-sets", &format!("{space}/{name}"), &plan);
        }
    }
}
