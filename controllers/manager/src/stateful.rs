//! Wakes stateful sets: by their own changes, by those of pods and revisions they own or could own, and by those of claims
//! that have the name of one of theirs.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use leme_controller_runtime::Queue;
use leme_plan::common::{Labels, selects_some};
use leme_plan::stateful_set::{self, name_of_new, uses};

use crate::wake::{pods_of, revisions_of, wake, wake_by};
use crate::{Start, Wiring, controller};

fn selects(set: &StatefulSet, labels: Option<&Labels>) -> bool {
    set.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let informer = &wiring.cache.stateful_sets;
    wake(&queue, informer);
    wake_by(&queue, &wiring.cache.pods, informer, selects);
    wake_by(&queue, &wiring.cache.revisions, informer, selects);
    let (waker, sets) = (queue.clone(), informer.clone());
    wiring.cache.claims.on_change(Box::new(move |key, _, _| {
        for set in sets.in_namespace(&key.0).iter().filter(|set| uses(set, &key.1)) {
            waker.add((key.0.clone(), set.metadata.name.clone().unwrap_or_default()));
        }
    }));
    controller(wiring, "statefulset-controller", queue, None, |wiring, key, _| async move {
        let cache = &wiring.cache;
        let found = cache.stateful_sets.get(&key.0, &key.1);
        let name = found.as_deref().and_then(name_of_new);
        let seen = stateful_set::Observed {
            pods: pods_of(cache, found.as_ref()),
            claims: cache.claims.in_namespace(&key.0),
            revisions: revisions_of(cache, found.as_ref()),
            namesake: name.and_then(|name| cache.revisions.get(&key.0, &name)),
            set: found,
        };
        Ok(stateful_set::plan(&seen, Timestamp::now()))
    })
}
