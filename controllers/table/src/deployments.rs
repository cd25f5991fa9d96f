//! Deployments: woken by their own changes and by those of replica sets they own or could own.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use leme_plan::common::selects_some;
use leme_plan::deployment::{self, name_of_new};

use crate::cache::{CONTROLLER, uncontrolled};
use crate::controller::Controller;
use crate::watch::Watch;

pub(crate) fn controller() -> Controller {
    let watches = vec![
        Watch::itself::<Deployment>(),
        Watch::owned::<ReplicaSet, Deployment>(|one, labels| {
            one.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
        }),
    ];
    Controller::new("deployment-controller", watches, |view, key| {
        let cache = view.cache;
        let found = cache.deployments.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.as_deref());
        let mut sets =
            uid.map(|uid| cache.replica_sets.found_by(CONTROLLER, uid)).unwrap_or_default();
        let uids = sets.iter().filter_map(|set| set.metadata.uid.as_deref());
        let pods = uids.flat_map(|uid| cache.pods.found_by(CONTROLLER, uid)).collect();
        let name = found.as_deref().and_then(name_of_new);
        let namesake = name.and_then(|name| cache.replica_sets.get(&key.0, &name));
        sets.extend(cache.replica_sets.found_by(CONTROLLER, &uncontrolled(&key.0)));
        let failure = view.failure.cloned();
        let seen = deployment::Observed { deployment: found, sets, namesake, pods, failure };
        Ok(deployment::plan(&seen, view.now))
    })
}
