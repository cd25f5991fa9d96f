//! ClusterRoles that are made of others: woken by every change of a role.

use k8s_openapi::api::rbac::v1::ClusterRole;
use leme_lister::key_of;
use leme_plan::aggregation;

use crate::controller::Controller;
use crate::watch::Watch;

pub(crate) fn aggregation() -> Controller {
    let by_parts = Watch::on::<ClusterRole>(|change, wake| {
        for whole in change.cache.cluster_roles.filter(aggregation::is_made_of_others) {
            wake(key_of(&whole.metadata));
        }
    });
    Controller::new("clusterrole-aggregation-controller", vec![by_parts], |view, key| {
        let mut all = view.cache.cluster_roles.list();
        all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let seen = aggregation::Observed { role: view.cache.cluster_roles.get("", &key.1), all };
        Ok(aggregation::plan(&seen, view.now))
    })
}
