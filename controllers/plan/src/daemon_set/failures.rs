//! Pods of a daemon set that fail again and again: their node has to wait longer each time before it gets the next one.
//!
//! Knows: what this process has seen fail, since when and how often. Refuses to know: what is done about it; who forgets
//! all of this starts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;

use super::nodes::node_of;
use crate::common::{after, controller_of, until};
use crate::pods;

/// The longest wait, in seconds. After twice that without a failure the first one is a first one again.
const LONGEST: i64 = 15 * 60;

/// The failures of one daemon set.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    generation: Option<i64>,
    nodes: BTreeMap<String, Failed>,
}

#[derive(Clone, Debug)]
struct Failed {
    /// The failed pods that are still there, by uid.
    pods: BTreeSet<String>,
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// Takes in what failed since the last look. Another template is given another chance.
    pub fn look(&mut self, set: &DaemonSet, all: &[Arc<Pod>], now: Timestamp) {
        if self.generation != set.metadata.generation {
            *self = Failures { generation: set.metadata.generation, nodes: BTreeMap::new() };
        }
        let mut there: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let own = |pod: &Pod| {
            controller_of(&pod.metadata)
                .is_some_and(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
        };
        for pod in all.iter().filter(|pod| pods::phase(pod) == "Failed" && own(pod)) {
            if let (Some(node), Some(uid)) = (node_of(pod), pod.metadata.uid.clone()) {
                there.entry(node).or_default().insert(uid);
            }
        }
        let forgotten = |one: &Failed| after(one.last, 2 * LONGEST) < now;
        self.nodes.retain(|node, one| there.contains_key(node.as_str()) || !forgotten(one));
        for (node, uids) in there {
            let known = self.nodes.entry(node.to_owned()).or_insert_with(|| Failed {
                pods: BTreeSet::new(),
                count: 0,
                last: now,
            });
            if !uids.is_subset(&known.pods) {
                known.count = if forgotten(known) { 1 } else { known.count.saturating_add(1) };
                known.last = now;
            }
            known.pods = uids;
        }
    }

    /// How long a failed pod has to stay on its node: the first one not at all.
    pub(super) fn wait(&self, node: &str, now: Timestamp) -> Duration {
        let Some(failed) = self.nodes.get(node) else { return Duration::ZERO };
        let doublings = failed.count.checked_sub(2);
        let delay = doublings.map_or(0, |times| (1_i64 << times.min(30)).min(LONGEST));
        until(after(failed.last, delay), now)
    }
}
