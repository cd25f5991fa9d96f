//! Wakes daemon sets: by their own changes, by those of pods and revisions they own or could own, and by nodes that come,
//! go, or begin or cease to be for them. Keeps what it has seen fail, which the API forgets with each pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use leme_controller_runtime::{Key, Queue};
use leme_plan::common::{Labels, selects_some};
use leme_plan::daemon_set::{self, Failures, name_of_new, runs_on};

use crate::wake::{pods_of, revisions_of, wake, wake_by};
use crate::{Start, Wiring, controller};

/// The failures of each daemon set.
#[derive(Clone, Default)]
struct Failed(Arc<Mutex<HashMap<Key, Failures>>>);

impl Failed {
    fn look(&self, key: &Key, set: Option<&DaemonSet>, pods: &[Arc<Pod>]) -> Failures {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = set else {
            all.remove(key);
            return Failures::default();
        };
        let known = all.entry(key.clone()).or_default();
        known.look(set, pods, Timestamp::now());
        known.clone()
    }
}

fn selects(set: &DaemonSet, labels: Option<&Labels>) -> bool {
    set.spec.as_ref().is_some_and(|spec| selects_some(&spec.selector, labels))
}

/// Whether the change can mean anything to a daemon set: heartbeats come often.
fn moved(old: &Node, new: &Node) -> bool {
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    old.metadata.labels != new.metadata.labels || taints(old) != taints(new)
}

fn wake_by_nodes(wiring: &Wiring, queue: &Arc<Queue>) {
    let (waker, sets) = (queue.clone(), wiring.cache.daemon_sets.clone());
    wiring.cache.nodes.on_change(Box::new(move |_, old, new| {
        if let (Some(old), Some(new)) = (old, new)
            && !moved(old, new)
        {
            return;
        }
        let runs = |set: &DaemonSet, node: Option<&Arc<Node>>| node.map(|node| runs_on(set, node));
        for key in sets.keys() {
            let set = sets.get(&key.0, &key.1);
            if set.is_some_and(|set| runs(&set, old) != runs(&set, new)) {
                waker.add(key);
            }
        }
    }));
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let informer = &wiring.cache.daemon_sets;
    wake(&queue, informer);
    wake_by(&queue, &wiring.cache.pods, informer, selects);
    wake_by(&queue, &wiring.cache.revisions, informer, selects);
    wake_by_nodes(wiring, &queue);
    let failed = Failed::default();
    controller(wiring, "daemonset-controller", queue, None, move |wiring, key, _| {
        let failed = failed.clone();
        async move {
            let cache = &wiring.cache;
            let found = cache.daemon_sets.get(&key.0, &key.1);
            let pods = pods_of(cache, found.as_ref());
            let name = found.as_deref().and_then(name_of_new);
            let seen = daemon_set::Observed {
                nodes: cache.nodes.list(),
                revisions: revisions_of(cache, found.as_ref()),
                namesake: name.and_then(|name| cache.revisions.get(&key.0, &name)),
                failures: failed.look(&key, found.as_deref(), &pods),
                pods,
                set: found,
            };
            Ok(daemon_set::plan(&seen, Timestamp::now()))
        }
    })
}
