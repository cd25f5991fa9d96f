//! Stateful sets: woken by their own changes, by those of pods and revisions they own or could own, and by those of claims
//! that have the name of one of theirs.

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use leme_lister::key_of;
use leme_plan::common::{Labels, selects_some};
use leme_plan::stateful_set::{self, name_of_new, uses};

use crate::controller::Controller;
use crate::view::children_of;
use crate::watch::Watch;

fn selects(set: &StatefulSet, labels: Option<&Labels>) -> bool {
    set.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
}

pub(crate) fn controller() -> Controller {
    let watches = vec![
        Watch::itself::<StatefulSet>(),
        Watch::owned::<Pod, StatefulSet>(selects),
        Watch::owned::<ControllerRevision, StatefulSet>(selects),
        Watch::on::<PersistentVolumeClaim>(|change, wake| {
            let (namespace, name) = change.key;
            for set in change.cache.stateful_sets.in_namespace(namespace) {
                if uses(&set, name) {
                    wake(key_of(&set.metadata));
                }
            }
        }),
    ];
    Controller::new("statefulset-controller", watches, |view, key| {
        let cache = view.cache;
        let found = cache.stateful_sets.get(&key.0, &key.1);
        let name = found.as_deref().and_then(name_of_new);
        let seen = stateful_set::Observed {
            pods: children_of(&cache.pods, found.as_ref()),
            claims: cache.claims.in_namespace(&key.0),
            revisions: children_of(&cache.revisions, found.as_ref()),
            namesake: name.and_then(|name| cache.revisions.get(&key.0, &name)),
            set: found,
        };
        Ok(stateful_set::plan(&seen, view.now))
    })
}
