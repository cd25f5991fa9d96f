//! What every node has and what is on it, kept up object by object; and the choice of a node.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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

impl NodeState {
    fn add(&mut self, info: &PodInfo) {
        self.used.add(&info.requests);
        self.weight.0 += info.weight.0;
        self.weight.1 += info.weight.1;
        self.pods += 1;
        self.ports.extend(info.ports.iter().cloned());
    }

    fn subtract(&mut self, info: &PodInfo) {
        self.used.subtract(&info.requests);
        self.weight.0 -= info.weight.0;
        self.weight.1 -= info.weight.1;
        self.pods -= 1;
        for port in &info.ports {
            if let Some(at) = self.ports.iter().position(|one| one == port) {
                self.ports.swap_remove(at);
            }
        }
    }
}

/// What some nodes have left, as a copy to try things on.
#[derive(Debug)]
pub(crate) struct Room(Vec<NodeState>);

impl Room {
    /// Whether there is no node to try.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes a pod in, if one of the nodes can have it; gives that node's name.
    pub(crate) fn take(&mut self, pod: &PodInfo, volumes: &VolumeFacts) -> Option<String> {
        if volumes.blocked.is_some() {
            return None;
        }
        let node = self.0.iter_mut().find(|node| filter::fits(node, pod, volumes))?;
        node.add(pod);
        Some(node.name.clone())
    }
}

/// The cluster as the scheduler sees it.
#[derive(Debug, Default)]
pub struct Cluster {
    /// By number. The number of a node that is gone and has no pods is used again.
    nodes: Vec<NodeState>,
    by_name: HashMap<String, usize>,
    /// The numbers of the nodes that exist: those that are searched.
    live: Vec<usize>,
    /// The numbers that can be used again.
    vacant: Vec<usize>,
    placed: HashMap<PodKey, Placed>,
    /// How many pods of an owner each node has.
    owners: HashMap<String, HashMap<usize, i64>>,
    /// Where in `live` the next search starts, so that equals are used in turn.
    next: usize,
}

impl Cluster {
    /// Takes in a node, or that it is gone. Whether pods that did not fit may fit now.
    pub fn set_node(&mut self, name: &str, node: Option<&Node>) -> bool {
        let Some(node) = node else {
            if let Some(index) = self.by_name.get(name).copied() {
                self.nodes[index].exists = false;
                self.live.retain(|one| *one != index);
                self.vacate(index);
            }
            return false;
        };
        let index = self.index(name);
        let state = &mut self.nodes[index];
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
        match (old.exists, self.nodes[index].exists) {
            (false, true) => self.live.push(index),
            (true, false) => self.live.retain(|one| *one != index),
            _ => {}
        }
        changed
    }

    /// Takes in a pod, or that it is gone. Gives the node that has more room now.
    pub fn set_pod(&mut self, key: &PodKey, pod: Option<&Pod>) -> Option<String> {
        let live = pod.filter(|pod| !pods::is_terminal(pod));
        let node = live.map_or("", |pod| pods::node_name(pod));
        if let (Some(pod), Some(placed)) = (live, self.placed.get(key)) {
            let same = pod.metadata.uid.as_deref() == Some(&placed.info.uid);
            if same && node.is_empty() && placed.assumed {
                return None;
            }
            if same && self.nodes[placed.node].name == node {
                // Placed as assumed or as known; requests of a bound pod do not change.
                if let Some(placed) = self.placed.get_mut(key) {
                    placed.assumed = false;
                }
                return None;
            }
        }
        let freed = self.remove(key);
        if let (Some(pod), false) = (live, node.is_empty()) {
            let index = self.index(node);
            self.place(index, PodInfo::read(pod), false);
        }
        freed
    }

    /// Takes back an assumed placement whose binding failed. Gives the node that has more room now.
    pub fn forget(&mut self, key: &PodKey) -> Option<String> {
        self.placed.get(key).filter(|placed| placed.assumed)?;
        self.remove(key)
    }

    /// Whether the pod has been placed, bound or assumed.
    pub fn is_placed(&self, key: &PodKey, uid: &str) -> bool {
        self.placed.get(key).is_some_and(|placed| placed.info.uid == uid)
    }

    /// What those of the nodes have left that exist.
    pub(crate) fn room(&self, names: &BTreeSet<String>) -> Room {
        let found = names.iter().filter_map(|name| self.by_name.get(name));
        Room(found.map(|index| &self.nodes[*index]).filter(|node| node.exists).cloned().collect())
    }

    /// Chooses a node for a pod and assumes that it goes there.
    pub fn schedule(
        &mut self,
        pod: &PodInfo,
        volumes: &VolumeFacts,
    ) -> Result<String, Unschedulable> {
        let all = self.live.len();
        if let Some(why) = &volumes.blocked {
            return Err(Unschedulable::before_any_node(all, why));
        }
        let enough = enough(all);
        let mut feasible = Vec::with_capacity(enough.min(all));
        let mut looked_at = 0;
        for step in 0..all {
            let index = self.live[(self.next + step) % all];
            looked_at = step + 1;
            if filter::fits(&self.nodes[index], pod, volumes) {
                feasible.push(index);
                if feasible.len() >= enough {
                    break;
                }
            }
        }
        if feasible.is_empty() {
            let nodes = self.live.iter().map(|index| &self.nodes[*index]);
            return Err(filter::explain(nodes, pod, volumes));
        }
        let empty = HashMap::new();
        let siblings =
            pod.owner.as_ref().and_then(|owner| self.owners.get(owner)).unwrap_or(&empty);
        let best = score::best(&self.nodes, &feasible, siblings, pod);
        self.next = if looked_at < all {
            (self.next + looked_at) % all
        } else {
            // All were looked at: the next search starts behind the one taken.
            self.live.iter().position(|index| *index == best).map_or(0, |at| (at + 1) % all)
        };
        self.remove(&pod.key);
        self.place(best, pod.clone(), true);
        Ok(self.nodes[best].name.clone())
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let fresh = NodeState { name: name.to_owned(), ..NodeState::default() };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.nodes[index] = fresh;
                index
            }
            None => {
                self.nodes.push(fresh);
                self.nodes.len() - 1
            }
        };
        self.by_name.insert(name.to_owned(), index);
        index
    }

    /// Forgets a node whose object is gone, once no pod is on it.
    fn vacate(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.exists || node.pods > 0 {
            return;
        }
        if self.by_name.remove(&node.name).is_some() {
            *node = NodeState::default();
            self.vacant.push(index);
        }
    }

    fn place(&mut self, index: usize, info: PodInfo, assumed: bool) {
        self.nodes[index].add(&info);
        if let Some(owner) = &info.owner {
            *self.owners.entry(owner.clone()).or_default().entry(index).or_default() += 1;
        }
        self.placed.insert(info.key.clone(), Placed { node: index, assumed, info });
    }

    fn remove(&mut self, key: &PodKey) -> Option<String> {
        let placed = self.placed.remove(key)?;
        let node = &mut self.nodes[placed.node];
        node.subtract(&placed.info);
        let name = node.name.clone();
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
        self.vacate(placed.node);
        Some(name)
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
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {role: db}.",
        );
        check(&mut Cluster::default(), &pod("p", json!({})), "no nodes available to schedule pods");
        let mut full = cluster(&[node("a", "1", json!({}))]);
        check(&mut full, &pod("p", json!({})), "a");
        check(&mut full, &pod("q", json!({})), "0/1 nodes are available: 1 Insufficient cpu.");
        check(
            &mut full,
            &pod("r", json!({"nodeSelector": {"disk": "ssd"}})),
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
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
        assert_eq!(cluster.set_pod(&key, Some(&unbound)), None);
        assert!(cluster.is_placed(&key, "p"));
        let mut bound = pod("p", json!({"nodeName": "a"}));
        assert_eq!(cluster.set_pod(&key, Some(&bound)), None);
        cluster.forget(&key);
        assert!(cluster.is_placed(&key, "p"), "bound pods are not forgotten");
        bound.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
        assert_eq!(cluster.set_pod(&key, Some(&bound)).as_deref(), Some("a"));
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
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
        );
    }

    #[test]
    fn five_thousand_nodes_are_searched_in_part() {
        assert_eq!(
            (enough(0), enough(100), enough(1000), enough(5000), enough(50_000)),
            (1, 100, 420, 500, 2500)
        );
    }

    /// Red when the slot of a node that is gone is kept: each new name takes another one, and each is searched.
    #[test]
    fn nodes_that_are_gone_are_forgotten_once_their_pods_are() {
        let mut cluster = cluster(&[node("a", "1", json!({}))]);
        let key = ("n".to_owned(), "p".to_owned());
        cluster.set_pod(&key, Some(&pod("p", json!({"nodeName": "a"}))));
        cluster.set_node("a", None);
        assert_eq!((cluster.live.len(), cluster.by_name.len()), (0, 1), "a pod is still on it");
        check(&mut cluster, &pod("q", json!({})), "no nodes available to schedule pods");
        cluster.set_pod(&key, None);
        assert!(cluster.by_name.is_empty());
        for number in 0..20 {
            let name = format!("n{number}");
            cluster.set_node(&name, Some(&node(&name, "1", json!({}))));
            check(&mut cluster, &pod("q", json!({})), &name);
            cluster.set_pod(&("n".to_owned(), "q".to_owned()), None);
            cluster.set_node(&name, None);
        }
        assert_eq!((cluster.nodes.len(), cluster.live.len()), (1, 0));
    }
}
