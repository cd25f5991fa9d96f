//! Where a daemon set runs: which nodes should have a pod, which may keep one, and how a pod is bound to its node.
//!
//! Knows: affinity, taints, the tolerations that every daemon has. Refuses to know: which pods there are.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    Toleration,
};

use crate::placement::{self, NAME_FIELD, Place};
use crate::taints::untolerated;

/// Whether a node should have a pod of a daemon set, and whether it may keep one that it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// It should have one.
    pub should: bool,
    /// It may keep one.
    pub may: bool,
}

/// What a node means to a daemon set.
pub fn runs_on(set: &DaemonSet, node: &Node) -> Runs {
    let spec = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    spec.map(|spec| runs(spec, &tolerations(spec), node)).unwrap_or_default()
}

/// The same, for the pods' own spec and all that they tolerate.
pub(super) fn runs(spec: &PodSpec, tolerations: &[Toleration], node: &Node) -> Runs {
    let place = Place::of(node);
    let elsewhere =
        spec.node_name.as_ref().is_some_and(|name| !name.is_empty() && name != place.name);
    if elsewhere || !placement::admits(spec, place) {
        return Runs::default();
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerates = |effects: &[&str]| untolerated(taints, tolerations, effects).is_none();
    Runs { should: tolerates(&["NoSchedule", "NoExecute"]), may: tolerates(&["NoExecute"]) }
}

/// What daemons tolerate besides what their template says: troubles of their node.
const TOLERATED: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// What they tolerate that bring no network of their own along.
const TOLERATED_ON_HOST: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// All that a daemon tolerates. One that the template has is replaced, with its time.
pub(super) fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let on_host = (spec.host_network == Some(true)).then_some(&TOLERATED_ON_HOST);
    for (key, effect) in TOLERATED.iter().chain(on_host) {
        let wanted = Toleration {
            key: Some((*key).to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some((*effect).to_owned()),
            ..Toleration::default()
        };
        let same = |one: &Toleration| {
            let value = one.value.as_deref().unwrap_or("");
            one.key == wanted.key
                && one.operator == wanted.operator
                && one.effect == wanted.effect
                && value.is_empty()
        };
        match all.iter_mut().find(|one| same(one)) {
            Some(known) => *known = wanted,
            None => all.push(wanted),
        }
    }
    all
}

/// Has the scheduler bind a pod to the node and to no other.
pub(super) fn bind_to(spec: &mut PodSpec, node: &str) {
    let name = NodeSelectorRequirement {
        key: NAME_FIELD.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![name]), ..NodeSelectorTerm::default() };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let affinity = affinity.node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}

/// The node that a pod is on or is made for.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
        return Some(name);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_fields.iter().flatten())
        .find(|field| field.key == NAME_FIELD && field.operator == "In")?;
    match fields.values.as_deref()? {
        [name] => Some(name),
        _ => None,
    }
}
