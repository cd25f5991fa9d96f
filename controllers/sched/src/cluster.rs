//! What every node has and what is on it, kept up object by object; and the choice of a node.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use leme_plan::{pods, quantity};

use crate::filter::{self, Unschedulable, VolumeFacts};
use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;
use crate::score;

/// Namespace and name of a pod.
pub type PodKey = (String, String);

/// A node. Kept while pods are on it, even when its object is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeState {
    pub(crate) name: String,
    /// Whether its object exists.
    pub(crate) exists: bool,
    pub(crate) unschedulable: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) taints: Vec<Taint>,
    pub(crate) allocatable: Resources,
    pub(crate) pods_allowed: i64,
    /// Sum of the requests of the pods on it.
    pub(crate) used: Resources,
    /// Sum of their weights for scoring.
    pub(crate) weight: (i64, i64),
    /// Number of pods on it.
    pub(crate) pods: i64,
    pub(crate) ports: Vec<HostPort>,
}

#[derive(Debug)]
struct Placed {
    node: usize,
    assumed: bool,
    info: PodInfo,
}

/// The cluster as the scheduler sees it.
#[derive(Debug, Default)]
pub struct Cluster {
    nodes: Vec<NodeState>,
    by_name: HashMap<String, usize>,
    placed: HashMap<PodKey, Placed>,
    /// How many pods of an owner each node has.
    owners: HashMap<String, HashMap<usize, i64>>,
    /// Where the next search starts, so that equals are used in turn.
    next: usize,
}

impl Cluster {
    /// Takes in a node, or that it is gone. Whether pods that did not fit may fit now.
    pub fn set_node(&mut self, name: &str, node: Option<&Node>) -> bool {
        let index = self.index(name);
        let state = &mut self.nodes[index];
        let Some(node) = node else {
            state.exists = false;
            return false;
        };
        let spec = node.spec.clone().unwrap_or_default();
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let fresh = NodeState {
            name: name.to_owned(),
            exists: node.metadata.deletion_timestamp.is_none(),
            unschedulable: spec.unschedulable == Some(true),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            allocatable: Resources::read(allocatable),
            pods_allowed: allocatable.and_then(|all| all.get("pods")).map_or(0, quantity::whole),
            ..NodeState::default()
        };
        let changed = (state.exists, state.unschedulable, state.pods_allowed)
            != (fresh.exists, fresh.unschedulable, fresh.pods_allowed)
            || state.labels != fresh.labels
            || state.taints != fresh.taints
            || state.allocatable != fresh.allocatable;
        let old = std::mem::replace(state, fresh);
        state.used = old.used;
        state.weight = old.weight;
        state.pods = old.pods;
        state.ports = old.ports;
        changed
    }

    /// Takes in a pod, or that it is gone. Whether pods that did not fit may fit now.
    pub fn set_pod(&mut self, key: &PodKey, pod: Option<&Pod>) -> bool {
        let live = pod.filter(|pod| !pods::is_terminal(pod));
        let node = live.map_or("", |pod| pods::node_name(pod));
        if let (Some(pod), Some(placed)) = (live, self.placed.get(key)) {
            let same = pod.metadata.uid.as_deref() == Some(&placed.info.uid);
            if same && node.is_empty() && placed.assumed {
                return false;
            }
            if same && self.nodes[placed.node].name == node {
                // Placed as assumed or as known; requests of a bound pod do not change.
                if let Some(placed) = self.placed.get_mut(key) {
                    placed.assumed = false;
                }
                return false;
            }
        }
        let freed = self.remove(key);
        if let (Some(pod), false) = (live, node.is_empty()) {
            let index = self.index(node);
            self.place(index, PodInfo::read(pod), false);
        }
        freed
    }

    /// Takes back an assumed placement whose binding failed.
    pub fn forget(&mut self, key: &PodKey) {
        if self.placed.get(key).is_some_and(|placed| placed.assumed) {
            self.remove(key);
        }
    }

    /// Whether the pod has been placed, bound or assumed.
    pub fn is_placed(&self, key: &PodKey, uid: &str) -> bool {
        self.placed.get(key).is_some_and(|placed| placed.info.uid == uid)
    }

    /// Whether the node's object exists.
    pub fn has_node(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|index| self.nodes[*index].exists)
    }

    /// Chooses a node for a pod and assumes that it goes there.
    pub fn schedule(
        &mut self,
        pod: &PodInfo,
        volumes: &VolumeFacts,
    ) -> Result<String, Unschedulable> {
        let all = self.nodes.iter().filter(|node| node.exists).count();
        if let Some(why) = &volumes.blocked {
            return Err(Unschedulable::before_any_node(all, why));
        }
        let enough = enough(all);
        let mut feasible = Vec::with_capacity(enough.min(all));
        let mut looked_at = 0;
        for step in 0..self.nodes.len() {
            let index = (self.next + step) % self.nodes.len();
            looked_at = step + 1;
            let node = &self.nodes[index];
            if node.exists && filter::fits(node, pod, volumes) {
                feasible.push(index);
                if feasible.len() >= enough {
                    break;
                }
            }
        }
        if feasible.is_empty() {
            let nodes = self.nodes.iter().filter(|node| node.exists);
            return Err(filter::explain(nodes, pod, volumes));
        }
        let empty = HashMap::new();
        let siblings =
            pod.owner.as_ref().and_then(|owner| self.owners.get(owner)).unwrap_or(&empty);
        let best = score::best(&self.nodes, &feasible, siblings, pod);
        self.next = if looked_at < self.nodes.len() {
            (self.next + looked_at) % self.nodes.len()
        } else {
            (best + 1) % self.nodes.len()
        };
        self.remove(&pod.key);
        self.place(best, pod.clone(), true);
        Ok(self.nodes[best].name.clone())
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = self.nodes.len();
        self.nodes.push(NodeState { name: name.to_owned(), ..NodeState::default() });
        self.by_name.insert(name.to_owned(), index);
        index
    }

    fn place(&mut self, index: usize, info: PodInfo, assumed: bool) {
        let node = &mut self.nodes[index];
        node.used.add(&info.requests);
        node.weight.0 += info.weight.0;
        node.weight.1 += info.weight.1;
        node.pods += 1;
        node.ports.extend(info.ports.iter().cloned());
        if let Some(owner) = &info.owner {
            *self.owners.entry(owner.clone()).or_default().entry(index).or_default() += 1;
        }
        self.placed.insert(info.key.clone(), Placed { node: index, assumed, info });
    }

    fn remove(&mut self, key: &PodKey) -> bool {
        let Some(placed) = self.placed.remove(key) else { return false };
        let node = &mut self.nodes[placed.node];
        node.used.subtract(&placed.info.requests);
        node.weight.0 -= placed.info.weight.0;
        node.weight.1 -= placed.info.weight.1;
        node.pods -= 1;
        for port in &placed.info.ports {
            if let Some(at) = node.ports.iter().position(|one| one == port) {
                node.ports.swap_remove(at);
            }
        }
        if let Some(owner) = &placed.info.owner {
            let emptied = self.owners.get_mut(owner).is_some_and(|counts| {
                if let Some(count) = counts.get_mut(&placed.node) {
                    *count -= 1;
                }
                counts.retain(|_, count| *count > 0);
                counts.is_empty()
            });
            if emptied {
                self.owners.remove(owner);
            }
        }
        true
    }
}

/// How many feasible nodes are enough to choose from: all of a small cluster, a part of a large one.
fn enough(nodes: usize) -> usize {
    const ALL_BELOW: usize = 100;
    if nodes <= ALL_BELOW {
        return nodes.max(1);
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(ALL_BELOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, cpu: &str, extra: Value) -> Node {
        let mut node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {}, "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "10"}},
        });
        for (key, value) in extra.as_object().into_iter().flatten() {
            node["spec"][key] = value.clone();
        }
        serde_json::from_value(node).unwrap()
    }

    fn pod(name: &str, spec: Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "n", "uid": name,
                "ownerReferences": [{"apiVersion": "v1", "kind": "RC", "name": "o", "uid": "o", "controller": true}]},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
        });
        for (key, value) in spec.as_object().into_iter().flatten() {
            pod["spec"][key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    fn cluster(nodes: &[Node]) -> Cluster {
        let mut cluster = Cluster::default();
        for node in nodes {
            cluster.set_node(node.metadata.name.as_deref().unwrap(), Some(node));
        }
        cluster
    }

    fn check(cluster: &mut Cluster, pod: &Pod, expected: &str) {
        let info = PodInfo::read(pod);
        let got = match cluster.schedule(&info, &VolumeFacts::default()) {
            Ok(node) => node,
            Err(why) => why.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn the_message_counts_reasons_as_upstream_does() {
        let taints = json!({"taints": [{"key": "role", "value": "db", "effect": "NoSchedule"}]});
        let mut small = cluster(&[
            node("a", "500m", json!({})),
            node("b", "4", taints.clone()),
            node("c", "4", taints),
        ]);
        check(
            &mut small,
            &pod("p", json!({})),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {role: db}. \
             preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        );
        check(&mut Cluster::default(), &pod("p", json!({})), "no nodes available to schedule pods");
        let mut full = cluster(&[node("a", "1", json!({}))]);
        check(&mut full, &pod("p", json!({})), "a");
        check(
            &mut full,
            &pod("q", json!({})),
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
             1 No preemption victims found for incoming pod.",
        );
        check(
            &mut full,
            &pod("r", json!({"nodeSelector": {"disk": "ssd"}})),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. \
             preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        );
    }

    #[test]
    fn a_burst_spreads_and_never_over_commits() {
        let mut cluster = cluster(&[node("a", "2", json!({})), node("b", "2", json!({}))]);
        let mut counts = BTreeMap::new();
        for number in 0..4 {
            let info = PodInfo::read(&pod(&format!("p{number}"), json!({})));
            let node = cluster.schedule(&info, &VolumeFacts::default()).unwrap();
            *counts.entry(node).or_insert(0) += 1;
        }
        assert_eq!(counts, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]));
        let more = PodInfo::read(&pod("p9", json!({})));
        assert!(cluster.schedule(&more, &VolumeFacts::default()).is_err());
        cluster.forget(&("n".to_owned(), "p0".to_owned()));
        assert!(cluster.schedule(&more, &VolumeFacts::default()).is_ok());
    }

    #[test]
    fn a_stale_event_keeps_the_assumption_and_an_end_frees_the_node() {
        let mut cluster = cluster(&[node("a", "1", json!({}))]);
        let unbound = pod("p", json!({}));
        let key = ("n".to_owned(), "p".to_owned());
        check(&mut cluster, &unbound, "a");
        assert!(!cluster.set_pod(&key, Some(&unbound)));
        assert!(cluster.is_placed(&key, "p"));
        let mut bound = pod("p", json!({"nodeName": "a"}));
        assert!(!cluster.set_pod(&key, Some(&bound)));
        cluster.forget(&key);
        assert!(cluster.is_placed(&key, "p"), "bound pods are not forgotten");
        bound.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
        assert!(cluster.set_pod(&key, Some(&bound)));
        check(&mut cluster, &pod("q", json!({})), "a");
    }

    #[test]
    fn host_ports_do_not_clash() {
        let mut cluster = cluster(&[node("a", "4", json!({}))]);
        let with_port = |name: &str| {
            pod(
                name,
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]}),
            )
        };
        check(&mut cluster, &with_port("p"), "a");
        check(
            &mut cluster,
            &with_port("q"),
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. \
             preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
        );
    }

    #[test]
    fn five_thousand_nodes_are_searched_in_part() {
        assert_eq!(
            (enough(0), enough(100), enough(1000), enough(5000), enough(50_000)),
            (1, 100, 420, 500, 2500)
        );
    }
}
