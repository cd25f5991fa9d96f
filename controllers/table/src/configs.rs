//! DeploymentConfigs: woken by their own changes, by those of replication controllers they own or could own, and by those
//! of the pods that belong to a rollout itself or end because of one; and by those of the ImageStreams they follow.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use leme_lister::key_of;
use leme_plan::common::controller_of;
use leme_plan::deployment_config::config::DeploymentConfig;
use leme_plan::deployment_config::images::streams_of;
use leme_plan::deployment_config::{self, HELPER_OF, completed_last, names_of_helpers, selects};
use leme_plan::image_stream::ImageStream;

use crate::cache::{CONTROLLER, Cache, HELPER, uncontrolled};
use crate::controller::Controller;
use crate::watch::Watch;

pub(crate) fn controller() -> Controller {
    let watches = vec![
        Watch::itself::<DeploymentConfig>(),
        Watch::owned::<ReplicationController, DeploymentConfig>(selects),
        by_pods(),
        by_streams(),
    ];
    Controller::new("deploymentconfig-controller", watches, |view, key| {
        let cache = view.cache;
        let config = cache.configs.get(&key.0, &key.1);
        let uid = config.as_ref().and_then(|found| found.metadata.uid.clone());
        let owned = uid.map(|uid| cache.replication.found_by(CONTROLLER, &uid)).unwrap_or_default();
        let followed = config.iter().flat_map(|config| streams_of(config));
        let streams = followed.filter_map(|(space, name)| cache.streams.get(space, name)).collect();
        let name = config.as_ref().map(|config| config.name_of_latest());
        let namesake = name.and_then(|name| cache.replication.get(&key.0, &name));
        let (old_pods, helpers) = (pods_of(cache, completed_last(&owned)), helpers(cache, &owned));
        let mut controllers = owned;
        controllers.extend(cache.replication.found_by(CONTROLLER, &uncontrolled(&key.0)));
        let failure = view.failure.cloned();
        let seen = deployment_config::Observed {
            config,
            controllers,
            namesake,
            old_pods,
            helpers,
            streams,
            failure,
        };
        Ok(deployment_config::plan(&seen, view.now))
    })
}

/// Wakes by the streams that a configuration follows.
fn by_streams() -> Watch {
    Watch::on::<ImageStream>(|change, wake| {
        let key = (change.key.0.as_str(), change.key.1.as_str());
        let follows = |config: &DeploymentConfig| streams_of(config).any(|stream| stream == key);
        for config in change.cache.configs.filter(follows) {
            wake(key_of(&config.metadata));
        }
    })
}

fn pods_of(cache: &Cache, rollout: Option<&Arc<ReplicationController>>) -> Vec<Arc<Pod>> {
    let uid = rollout.and_then(|rollout| rollout.metadata.uid.as_deref());
    uid.map(|uid| cache.pods.found_by(CONTROLLER, uid)).unwrap_or_default()
}

/// The pods of rollouts themselves, and whoever has one of their names.
fn helpers(cache: &Cache, rollouts: &[Arc<ReplicationController>]) -> Vec<Arc<Pod>> {
    let named = rollouts.iter().flat_map(|one| {
        let namespace = one.metadata.namespace.as_deref().unwrap_or("");
        let names = names_of_helpers(one).into_iter();
        names.filter_map(|name| cache.pods.get(namespace, &name)).filter(|pod| {
            let labels = pod.metadata.labels.as_ref();
            labels.and_then(|all| all.get(HELPER_OF)) != one.metadata.name.as_ref()
        })
    });
    let labelled = rollouts.iter().flat_map(|one| {
        let (namespace, name) = key_of(&one.metadata);
        cache.pods.found_by(HELPER, &format!("{namespace}/{name}"))
    });
    labelled.chain(named).collect()
}

/// Wakes by the pods that a rollout itself has, and by the end of those that its replication controller had.
fn by_pods() -> Watch {
    Watch::on::<Pod>(|change, wake| {
        let Some(pod) = change.last() else { return };
        let helped = pod.metadata.labels.as_ref().and_then(|all| all.get(HELPER_OF));
        let owner =
            || controller_of(&pod.metadata).filter(|one| one.kind == "ReplicationController");
        let rollout = match helped {
            Some(name) => Some(name),
            None if change.new.is_none() => owner().map(|owner| &owner.name),
            None => None,
        };
        let rollouts = &change.cache.replication;
        let rollout = rollout.and_then(|name| rollouts.get(&change.key.0, name));
        if let Some(owner) = rollout.as_ref().and_then(|rollout| controller_of(&rollout.metadata)) {
            wake((change.key.0.clone(), owner.name.clone()));
        }
    })
}
