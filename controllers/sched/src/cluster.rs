//! What every node has and what is on it, kept up object by object.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use leme_plan::common::Labels;
use leme_plan::pods;

use crate::case::Ground;
use crate::census::{Census, Terms};
use crate::filter::Attachments;
use crate::node::NodeState;
use crate::nominations::Nominations;
use crate::pod::{PodInfo, ZONE};
use crate::score::Images;
use crate::selector::Namespaces;
use crate::topology::Topology;

/// Namespace and name of a pod.
pub type PodKey = (String, String);

#[derive(Debug)]
struct Placed {
    node: usize,
    assumed: bool,
    info: Arc<PodInfo>,
}

/// What a pod's change came to.
#[derive(Debug, Default)]
pub struct Change {
    /// The node that has more room now.
    pub freed: Option<String>,
    /// The pod that was placed, if it is not any more as it was.
    pub gone: Option<Arc<PodInfo>>,
    /// The pod that is placed now, if it was not before as it is.
    pub come: Option<Arc<PodInfo>>,
}

/// The cluster as the scheduler sees it.
#[derive(Debug, Default)]
pub struct Cluster {
    /// By number. The number of a node that is gone and has no pods is used again.
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) by_name: HashMap<String, usize>,
    /// The numbers of the nodes that exist: those that are searched, zone by zone in turn.
    pub(crate) live: Vec<usize>,
    /// Whether `live` has to be made anew.
    stale: bool,
    /// The numbers that can be used again.
    vacant: Vec<usize>,
    placed: HashMap<PodKey, Placed>,
    pub(crate) nominations: Nominations,
    pub(crate) topology: Topology,
    pub(crate) census: Census,
    pub(crate) terms: Terms,
    pub(crate) namespaces: Namespaces,
    /// How many nodes have each image.
    pub(crate) images: Images,
    pub(crate) attachments: Attachments,
    /// Where in `live` the next search starts, so that equals are used in turn.
    pub(crate) next: usize,
}

impl Cluster {
    /// Takes in a node, or that it is gone. Whether pods that did not fit may fit now.
    pub fn set_node(&mut self, name: &str, node: Option<&Node>) -> bool {
        let Some(node) = node else {
            if let Some(index) = self.by_name.get(name).copied() {
                let gone = NodeState { name: name.to_owned(), ..NodeState::default() };
                self.renew(index, gone);
                self.vacate(index);
            }
            return false;
        };
        let index = self.index(name);
        self.renew(index, NodeState::read(name, node))
    }

    /// Takes in how many volumes of each driver a node can attach. Whether that has changed.
    pub fn set_volume_limits(&mut self, name: &str, limits: BTreeMap<String, i64>) -> bool {
        let Some(index) = self.by_name.get(name) else { return false };
        let known = &mut self.nodes[*index].volume_limits;
        let changed = *known != limits;
        *known = limits;
        changed
    }

    /// Takes in which volume of which driver a claim is bound to, or that it is to none.
    pub fn set_attachment(&mut self, claim: (String, String), volume: Option<(String, String)>) {
        match volume {
            Some(volume) => drop(self.attachments.insert(claim, volume)),
            None => drop(self.attachments.remove(&claim)),
        }
    }

    /// Takes in the labels of a namespace, or that it is gone. Whether they have changed.
    pub fn set_namespace(&mut self, name: &str, labels: Option<&Labels>) -> bool {
        let old = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()),
            None => self.namespaces.remove(name),
        };
        let changed = old.as_ref() != labels;
        if changed {
            self.census.namespaces_changed();
        }
        changed
    }

    /// Takes in a pod, or that it is gone.
    pub fn set_pod(&mut self, key: &PodKey, pod: Option<&Pod>) -> Change {
        let live = pod.filter(|pod| !pods::is_terminal(pod));
        let node = live.map_or("", |pod| pods::node_name(pod));
        if let (Some(pod), Some(placed)) = (live, self.placed.get_mut(key)) {
            let same = pod.metadata.uid.as_deref() == Some(&placed.info.uid);
            if same && node.is_empty() && placed.assumed {
                return Change::default();
            }
            if self.nodes[placed.node].name == node && placed.info.is_still(pod) {
                placed.assumed = false;
                return Change::default();
            }
        }
        match live {
            Some(pod) if node.is_empty() => self.nominations.told(&Arc::new(PodInfo::read(pod))),
            _ => self.nominations.remove(key),
        }
        let mut change = self.remove(key);
        if let (Some(pod), false) = (live, node.is_empty()) {
            let index = self.index(node);
            let info = self.place(index, &PodInfo::read(pod), false);
            let grown = change.gone.as_ref().is_some_and(|old| old.requests == info.requests);
            if grown && change.freed.as_deref() == Some(node) {
                change.freed = None;
            }
            change.come = Some(info);
        }
        change
    }

    /// Takes back an assumed placement whose binding failed. Gives the node that has more room now.
    pub fn forget(&mut self, key: &PodKey) -> Change {
        match self.placed.get(key) {
            Some(placed) if placed.assumed => self.remove(key),
            _ => Change::default(),
        }
    }

    /// Whether the pod has been placed, bound or assumed.
    pub fn is_placed(&self, key: &PodKey, uid: &str) -> bool {
        self.placed.get(key).is_some_and(|placed| placed.info.uid == uid)
    }

    /// The node that room has been made on for the pod.
    pub fn nominated(&self, key: &PodKey) -> Option<&str> {
        self.nominations.node(key)
    }

    /// Forgets that room has been made for the pod.
    pub fn unnominate(&mut self, key: &PodKey) {
        self.nominations.remove(key);
    }

    /// What cases are worked out on.
    pub(crate) fn ground(&mut self) -> Ground<'_> {
        Ground {
            nodes: &self.nodes,
            live: &self.live,
            topology: &mut self.topology,
            census: &mut self.census,
            terms: &self.terms,
            namespaces: &self.namespaces,
        }
    }

    /// Makes ready for a decision.
    pub(crate) fn freshen(&mut self) {
        self.topology.trim();
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let mut zones: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.exists) {
            let label = |key: &str| node.labels.get(key).map_or("", String::as_str);
            zones
                .entry((label("topology.kubernetes.io/region"), label(ZONE)))
                .or_default()
                .push(index);
        }
        self.live.clear();
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        for turn in 0..longest {
            self.live.extend(zones.values().filter_map(|zone| zone.get(turn)));
        }
    }

    /// Puts the pod on the node, before the API says so.
    pub(crate) fn assume(&mut self, index: usize, pod: &PodInfo) {
        self.remove(&pod.key);
        self.nominations.remove(&pod.key);
        self.place(index, pod, true);
    }

    /// Whether pods that did not fit may fit now.
    fn renew(&mut self, index: usize, fresh: NodeState) -> bool {
        let count_images = |images: &mut Images, node: &NodeState, by: i64| {
            for image in node.images.keys().filter(|_| node.exists) {
                let count = images.entry(image.clone()).or_default();
                *count += by;
                if *count == 0 {
                    images.remove(image);
                }
            }
        };
        let old = self.nodes[index].renewed(fresh);
        let new = &self.nodes[index];
        if old.images != new.images || old.exists != new.exists {
            count_images(&mut self.images, &old, -1);
            count_images(&mut self.images, new, 1);
        }
        let changed = new.differs(&old);
        if changed {
            self.stale |= old.exists != new.exists || old.labels != new.labels;
            self.topology.set(index, new.exists.then_some(&new.labels));
        }
        changed
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
        if node.exists || !node.pods.is_empty() {
            return;
        }
        if self.by_name.remove(&node.name).is_some() {
            *node = NodeState::default();
            self.vacant.push(index);
        }
    }

    fn place(&mut self, index: usize, pod: &PodInfo, assumed: bool) -> Arc<PodInfo> {
        let info = Arc::new(pod.placed(self.census.known(&pod.class)));
        self.nodes[index].add(&info);
        self.census.count(&info.class, index, 1, &self.namespaces);
        self.terms.count(&info, index, 1);
        let placed = Placed { node: index, assumed, info: info.clone() };
        self.placed.insert(info.key.clone(), placed);
        info
    }

    fn remove(&mut self, key: &PodKey) -> Change {
        let Some(placed) = self.placed.remove(key) else { return Change::default() };
        let (node, info) = (placed.node, placed.info);
        self.nodes[node].remove(&info);
        self.census.count(&info.class, node, -1, &self.namespaces);
        self.terms.count(&info, node, -1);
        let freed = Some(self.nodes[node].name.clone());
        self.vacate(node);
        Change { freed, gone: Some(info), come: None }
    }
}

#[cfg(test)]
mod tests;
