//! What a pod's volumes say about where it can run.
//!
//! Knows: claims, volumes and classes as they are shown. Refuses to know: who binds and makes volumes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{NodeSelector, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use leme_plan::common::{Labels, annotation};
use leme_plan::volume::SELECTED_NODE;
use leme_plan::{placement, pods, volume};

use crate::node::NodeState;
use crate::why::{Reason, Refusal};

/// The provisioner of classes for which nobody makes volumes.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// Labels of volumes that say where they can be reached from.
const ZONES: &[&str] = &[
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// Looks things up.
pub trait Storage {
    /// A claim by namespace and name.
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>>;
    /// A volume.
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>>;
    /// A class.
    fn class(&self, name: &str) -> Option<Arc<StorageClass>>;
    /// All volumes.
    fn volumes(&self) -> Vec<Arc<PersistentVolume>>;
}

/// How many volumes of each driver a node can attach, as far as that is bounded.
pub fn volume_limits(node: Option<&CSINode>) -> BTreeMap<String, i64> {
    let drivers = node.into_iter().flat_map(|node| &node.spec.drivers);
    let bounded =
        drivers.filter_map(|one| Some((one.name.clone(), one.allocatable.as_ref()?.count?.into())));
    bounded.collect()
}

/// The driver and the handle of the volume that a claim is bound to, if a driver keeps it.
pub fn attachment(
    namespace: &str,
    claim: &str,
    storage: &impl Storage,
) -> Option<(String, String)> {
    let claim = storage.claim(namespace, claim)?;
    let volume = storage.volume(claim.spec.as_ref()?.volume_name.as_deref()?)?;
    let csi = volume.spec.as_ref()?.csi.as_ref()?;
    Some((csi.driver.clone(), csi.volume_handle.clone()))
}

/// A volume that a claim could be bound to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Free {
    name: String,
    affinity: Option<NodeSelector>,
}

/// A claim that is bound when its pod has a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    claim: String,
    /// The best first.
    free: Vec<Free>,
    /// Whether somebody makes volumes for it, and for which nodes.
    made: Option<Vec<NodeSelector>>,
    /// The node that it has been promised to.
    selected: Option<String>,
}

/// What the pod's volumes say about where it can run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeFacts {
    /// Why no node will do yet, such as an unbound claim.
    pub blocked: Option<String>,
    /// Node affinities of its volumes; all must match.
    pub(crate) affinities: Vec<NodeSelector>,
    /// The zones of its volumes: label and values.
    pub(crate) zones: Vec<(String, Vec<String>)>,
    /// A claim is bound to a volume that does not exist.
    pub(crate) volume_missing: bool,
    /// Claims that only one pod at a time can use.
    pub(crate) once: Vec<String>,
    pub(crate) waiting: Vec<Waiting>,
}

/// What happens to a claim when its pod gets a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The volume becomes the claim's.
    Bind {
        /// Name of the claim in the pod's namespace.
        claim: String,
        /// Name of the volume.
        volume: String,
    },
    /// A volume is to be made for the node.
    Make {
        /// Name of the claim in the pod's namespace.
        claim: String,
    },
}

impl VolumeFacts {
    /// Looks at a pod's claims.
    pub fn of(pod: &Pod, storage: &impl Storage) -> VolumeFacts {
        let mut facts = VolumeFacts::default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
        for name in pods::claims(pod) {
            let Some(claim) = storage.claim(namespace, name) else {
                facts.blocked = Some(format!("persistentvolumeclaim {name:?} not found"));
                return facts;
            };
            if let Err(why) = facts.take(name, &claim, storage) {
                facts.blocked = Some(why);
                return facts;
            }
        }
        facts
    }

    fn take(
        &mut self,
        name: &str,
        claim: &PersistentVolumeClaim,
        storage: &impl Storage,
    ) -> Result<(), String> {
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let spec = claim.spec.as_ref();
        let modes = spec.and_then(|spec| spec.access_modes.as_ref());
        if modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod")) {
            self.once.push(name.to_owned());
        }
        let volume = spec.and_then(|spec| spec.volume_name.as_deref()).unwrap_or("");
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Lost") {
            return Err(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
        }
        let bound = annotation(&claim.metadata, volume::BIND_COMPLETED).is_some();
        if !volume.is_empty() && (bound || phase == Some("Bound")) {
            match storage.volume(volume) {
                None => self.volume_missing = true,
                Some(volume) => self.take_bound(&volume),
            }
            return Ok(());
        }
        let unbound = || "pod has unbound immediate PersistentVolumeClaims".to_owned();
        let class = storage.class(volume::class_of(claim)).ok_or_else(unbound)?;
        if class.volume_binding_mode.as_deref() != Some("WaitForFirstConsumer") {
            return Err(unbound());
        }
        if !volume.is_empty() {
            return Err(unbound());
        }
        self.waiting.push(waiting(name, claim, &class, storage));
        Ok(())
    }

    fn take_bound(&mut self, volume: &PersistentVolume) {
        let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
        self.affinities.extend(affinity.and_then(|affinity| affinity.required.clone()));
        let labels = volume.metadata.labels.iter().flatten();
        let zones = labels.filter(|(key, _)| ZONES.contains(&key.as_str()));
        self.zones.extend(
            zones.map(|(key, value)| (key.clone(), value.split("__").map(str::to_owned).collect())),
        );
    }

    /// Whether every claim that is bound late names its node by now.
    pub fn is_promised(&self) -> bool {
        self.waiting.iter().all(|one| one.selected.is_some())
    }

    /// Whether another pod on the node uses a claim that only one can use.
    pub(crate) fn restricted(&self, node: &NodeState, namespace: &str) -> Option<Refusal> {
        let taken = node.claims();
        let used = self.once.iter().any(|claim| taken.contains(&(namespace, claim.as_str())));
        used.then(|| Refusal::for_now(Reason::ClaimInUse))
    }

    /// Whether the volumes can be used on the node.
    pub(crate) fn unreachable(&self, node: &NodeState) -> Option<Refusal> {
        if self.volume_missing {
            return Some(Refusal::for_good(Reason::VolumeMissing));
        }
        let reached = |selector: &NodeSelector| placement::selects(selector, node.place());
        let mut reasons = Vec::new();
        if !self.affinities.iter().all(reached) {
            reasons.push(Reason::VolumeAffinity);
        }
        if self.promises(&node.name, Some(&node.labels)).is_none() {
            reasons.push(Reason::NoVolume);
        }
        (!reasons.is_empty()).then_some(Refusal { reasons, for_now: false })
    }

    /// Whether the node is in the zones of the volumes. Nodes without any such label are everywhere.
    pub(crate) fn elsewhere(&self, node: &NodeState) -> Option<Refusal> {
        if !ZONES.iter().any(|key| node.labels.contains_key(*key)) {
            return None;
        }
        let here = |(key, values): &(String, Vec<String>)| {
            node.labels.get(key).is_some_and(|value| values.contains(value))
        };
        (!self.zones.iter().all(here)).then(|| Refusal::for_good(Reason::VolumeZone))
    }

    /// What happens to the claims that have no volume yet when the pod goes to a node; `None` if one would have none.
    pub(crate) fn promises(&self, node: &str, labels: Option<&Labels>) -> Option<Vec<Promise>> {
        let place = placement::Place { name: node, labels };
        let reached = |selector: &NodeSelector| placement::selects(selector, place);
        let mut promises = Vec::new();
        let mut taken: Vec<&str> = Vec::new();
        for one in &self.waiting {
            if one.selected.as_deref().is_some_and(|selected| selected != node) {
                return None;
            }
            let free = one.free.iter().find(|free| {
                !taken.contains(&free.name.as_str()) && free.affinity.as_ref().is_none_or(reached)
            });
            if let (Some(free), None) = (free, &one.selected) {
                taken.push(&free.name);
                let (claim, volume) = (one.claim.clone(), free.name.clone());
                promises.push(Promise::Bind { claim, volume });
                continue;
            }
            let made = one.made.as_ref()?;
            if !(made.is_empty() || made.iter().any(reached)) {
                return None;
            }
            promises.push(Promise::Make { claim: one.claim.clone() });
        }
        Some(promises)
    }
}

fn waiting(
    name: &str,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    storage: &impl Storage,
) -> Waiting {
    let all = storage.volumes();
    let free = volume::candidates(claim, &all).into_iter().map(|volume| Free {
        name: volume.metadata.name.clone().unwrap_or_default(),
        affinity: volume
            .spec
            .as_ref()
            .and_then(|spec| spec.node_affinity.as_ref())
            .and_then(|affinity| affinity.required.clone()),
    });
    let terms = class.allowed_topologies.iter().flatten().map(topology);
    Waiting {
        claim: name.to_owned(),
        free: free.collect(),
        made: (class.provisioner != NO_PROVISIONER).then(|| terms.collect()),
        selected: annotation(&claim.metadata, SELECTED_NODE).map(str::to_owned),
    }
}

/// A term of a class's topologies as nodes are selected elsewhere.
fn topology(term: &k8s_openapi::api::core::v1::TopologySelectorTerm) -> NodeSelector {
    use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
    let needs = term.match_label_expressions.iter().flatten().map(|one| NodeSelectorRequirement {
        key: one.key.clone(),
        operator: "In".to_owned(),
        values: Some(one.values.clone()),
    });
    let needs = Some(needs.collect());
    NodeSelector {
        node_selector_terms: vec![NodeSelectorTerm {
            match_expressions: needs,
            match_fields: None,
        }],
    }
}
