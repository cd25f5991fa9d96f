//! A node: what it is, what it has, which pods are on it.
//!
//! Invariant: sums and ports are those of the pods on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};
use leme_plan::common::Labels;
use leme_plan::placement::Place;
use leme_plan::quantity;

use crate::pod::{HostPort, PodInfo};
use crate::resources::Resources;

/// A node. Kept while pods are on it, even when its object is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeState {
    pub(crate) name: String,
    /// Whether its object exists.
    pub(crate) exists: bool,
    pub(crate) unschedulable: bool,
    pub(crate) labels: Labels,
    pub(crate) taints: Vec<Taint>,
    pub(crate) allocatable: Resources,
    pub(crate) pods_allowed: i64,
    /// Images by name, with their sizes.
    pub(crate) images: BTreeMap<String, i64>,
    /// How many volumes of a driver it can attach.
    pub(crate) volume_limits: BTreeMap<String, i64>,
    /// Sum of the requests of the pods on it.
    pub(crate) used: Resources,
    /// Sum of their weights for scoring.
    pub(crate) weight: (i64, i64),
    pub(crate) pods: Vec<Arc<PodInfo>>,
    pub(crate) ports: Vec<HostPort>,
}

impl NodeState {
    /// Reads a node's object; nothing is on it.
    pub(crate) fn read(name: &str, node: &Node) -> NodeState {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref());
        let images = status.and_then(|status| status.images.as_ref()).into_iter().flatten();
        let named = images.flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        });
        NodeState {
            name: name.to_owned(),
            exists: node.metadata.deletion_timestamp.is_none(),
            unschedulable: spec.is_some_and(|spec| spec.unschedulable == Some(true)),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            allocatable: Resources::read(allocatable),
            pods_allowed: allocatable.and_then(|all| all.get("pods")).map_or(0, quantity::whole),
            images: named.collect(),
            ..NodeState::default()
        }
    }

    /// The same node as it is now, with what is on it.
    pub(crate) fn renewed(&mut self, fresh: NodeState) -> NodeState {
        let old = std::mem::replace(self, fresh);
        (self.used, self.weight) = (old.used.clone(), old.weight);
        (self.pods, self.ports) = (old.pods.clone(), old.ports.clone());
        self.volume_limits.clone_from(&old.volume_limits);
        old
    }

    /// Whether pods that did not fit the other may fit this.
    pub(crate) fn differs(&self, other: &NodeState) -> bool {
        (self.exists, self.unschedulable, self.pods_allowed)
            != (other.exists, other.unschedulable, other.pods_allowed)
            || self.labels != other.labels
            || self.taints != other.taints
            || self.allocatable != other.allocatable
    }

    /// The node as terms see it.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { name: &self.name, labels: Some(&self.labels) }
    }

    /// Puts a pod on it.
    pub(crate) fn add(&mut self, pod: &Arc<PodInfo>) {
        self.used.add(&pod.requests);
        self.weight.0 += pod.weight.0;
        self.weight.1 += pod.weight.1;
        self.ports.extend(pod.ports.iter().cloned());
        self.pods.push(pod.clone());
    }

    /// Takes a pod away.
    pub(crate) fn remove(&mut self, pod: &PodInfo) {
        let Some(at) = self.pods.iter().position(|one| one.key == pod.key) else { return };
        let pod = self.pods.swap_remove(at);
        self.used.subtract(&pod.requests);
        self.weight.0 -= pod.weight.0;
        self.weight.1 -= pod.weight.1;
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|one| one == port) {
                self.ports.swap_remove(at);
            }
        }
    }

    /// The claims that pods on it use.
    pub(crate) fn claims(&self) -> BTreeSet<(&str, &str)> {
        self.pods
            .iter()
            .flat_map(|pod| pod.claims.iter().map(|claim| (pod.key.0.as_str(), claim.as_str())))
            .collect()
    }
}
