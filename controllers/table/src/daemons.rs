//! Daemon sets: woken by their own changes, by those of pods and revisions they own or could own, and by nodes that come,
//! go, or begin or cease to be for them. Keeps what it has seen fail, which the API forgets with each pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use leme_lister::{Key, key_of};
use leme_plan::common::{Labels, selects_some};
use leme_plan::daemon_set::{self, Failures, name_of_new, runs_on};

use crate::controller::Controller;
use crate::view::children_of;
use crate::watch::Watch;

/// The failures of each daemon set.
#[derive(Default)]
struct Failed(Mutex<HashMap<Key, Failures>>);

impl Failed {
    fn look(
        &self,
        key: &Key,
        set: Option<&DaemonSet>,
        pods: &[Arc<Pod>],
        now: Timestamp,
    ) -> Failures {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = set else {
            all.remove(key);
            return Failures::default();
        };
        let known = all.entry(key.clone()).or_default();
        known.look(set, pods, now);
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

fn by_nodes() -> Watch {
    Watch::on::<Node>(|change, wake| {
        if let (Some(old), Some(new)) = (change.old, change.new)
            && !moved(old, new)
        {
            return;
        }
        let runs = |set: &DaemonSet, node: Option<&Arc<Node>>| node.map(|node| runs_on(set, node));
        for set in change.cache.daemon_sets.list() {
            if runs(&set, change.old) != runs(&set, change.new) {
                wake(key_of(&set.metadata));
            }
        }
    })
}

pub(crate) fn controller() -> Controller {
    let watches = vec![
        Watch::itself::<DaemonSet>(),
        Watch::owned::<Pod, DaemonSet>(selects),
        Watch::owned::<ControllerRevision, DaemonSet>(selects),
        by_nodes(),
    ];
    let failed = Failed::default();
    Controller::new("daemonset-controller", watches, move |view, key| {
        let cache = view.cache;
        let found = cache.daemon_sets.get(&key.0, &key.1);
        let pods = children_of(&cache.pods, found.as_ref());
        let name = found.as_deref().and_then(name_of_new);
        let seen = daemon_set::Observed {
            nodes: cache.nodes.list(),
            revisions: children_of(&cache.revisions, found.as_ref()),
            namesake: name.and_then(|name| cache.revisions.get(&key.0, &name)),
            failures: failed.look(key, found.as_deref(), &pods, view.now),
            pods,
            set: found,
        };
        Ok(daemon_set::plan(&seen, view.now))
    })
}
