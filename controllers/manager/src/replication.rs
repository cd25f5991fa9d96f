//! Wakes replication controllers: by their own changes and by those of pods they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_controller_runtime::Queue;
use leme_plan::common::{controller_of, matches};
use leme_plan::replication;

use crate::cache::{CONTROLLER, uncontrolled};
use crate::{Start, Wiring, controller};

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.replication.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let (waker, controllers) = (queue.clone(), wiring.cache.replication.clone());
    wiring.cache.pods.on_change(Box::new(move |key, old, new| {
        let mut owned = false;
        for pod in [old, new].into_iter().flatten() {
            if let Some(owner) = owner(pod) {
                owned = true;
                waker.add((key.0.clone(), owner));
            }
        }
        let Some(pod) = new.filter(|_| !owned) else { return };
        if controller_of(&pod.metadata).is_some() {
            return;
        }
        for one in controllers.in_namespace(&key.0) {
            let selector = one.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            if selector.is_some_and(|selector| matches(selector, pod.metadata.labels.as_ref())) {
                waker.add((key.0.clone(), one.metadata.name.clone().unwrap_or_default()));
            }
        }
    }));
    controller(wiring, "replication-controller", queue, None, |wiring, key, failure| async move {
        let cache = &wiring.cache;
        let found = cache.replication.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.as_deref());
        let pods = uid.map(|uid| {
            let mut pods = cache.pods.found_by(CONTROLLER, uid);
            pods.extend(cache.pods.found_by(CONTROLLER, &uncontrolled(&key.0)));
            pods
        });
        let pods = pods.unwrap_or_default();
        let seen = replication::Observed { controller: found, pods, failure };
        Ok(replication::plan(&seen, Timestamp::now()))
    })
}

fn owner(pod: &Pod) -> Option<String> {
    let owner = controller_of(&pod.metadata)?;
    (owner.kind == "ReplicationController" && owner.api_version == "v1").then(|| owner.name.clone())
}
