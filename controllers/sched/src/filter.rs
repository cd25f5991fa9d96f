//! Filters: whether a node can take a pod, and the count of why not, worded as upstream words it.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{NodeSelector, Taint};
use leme_plan::placement::{self, Place};
use leme_plan::taints::{self, tolerates};

use crate::cluster::NodeState;
use crate::pod::{HostPort, PodInfo};

/// What the pod's volumes say about where it can run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VolumeFacts {
    /// Why no node will do yet, such as an unbound claim.
    pub blocked: Option<String>,
    /// Node affinities of its volumes; all must match.
    pub affinities: Vec<NodeSelector>,
    /// A claim is bound to a volume that does not exist.
    pub volume_missing: bool,
}

/// Why no node will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable {
    message: String,
}

impl fmt::Display for Unschedulable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unschedulable {}

impl Unschedulable {
    /// Ruled out before any node was looked at.
    pub(crate) fn before_any_node(nodes: usize, why: &str) -> Unschedulable {
        if nodes == 0 {
            return Unschedulable { message: "no nodes available to schedule pods".to_owned() };
        }
        Unschedulable { message: format!("0/{nodes} nodes are available: {why}.") }
    }
}

type Filter = fn(&NodeState, &PodInfo, &VolumeFacts) -> bool;
type Explain = fn(&NodeState, &PodInfo, &VolumeFacts) -> Vec<String>;

/// The filters in upstream's order: the first that fails gives a node's reasons.
const FILTERS: &[(Filter, Explain)] = &[
    (schedulable, |_, _, _| one("node(s) were unschedulable")),
    (
        |node, pod, _| untolerated(node, pod).is_none(),
        |node, pod, _| {
            let (key, value) = untolerated(node, pod)
                .map(|taint| (taint.key.clone(), taint.value.clone().unwrap_or_default()))
                .unwrap_or_default();
            one(format!("node(s) had untolerated taint {{{key}: {value}}}"))
        },
    ),
    (affine, |_, _, _| one("node(s) didn't match Pod's node affinity/selector")),
    (ports_free, |_, _, _| one("node(s) didn't have free ports for the requested pod ports")),
    (room, |node, pod, _| lacking(node, pod)),
    (
        |_, _, volumes| !volumes.volume_missing,
        |_, _, _| one("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
    ),
    (
        |node, _, volumes| {
            volumes.affinities.iter().all(|affinity| selector_matches(affinity, node))
        },
        |_, _, _| one("node(s) had volume node affinity conflict"),
    ),
];

fn one(reason: impl Into<String>) -> Vec<String> {
    vec![reason.into()]
}

/// Whether the node can take the pod.
pub(crate) fn fits(node: &NodeState, pod: &PodInfo, volumes: &VolumeFacts) -> bool {
    FILTERS.iter().all(|(filter, _)| filter(node, pod, volumes))
}

/// Why none of the nodes will do.
pub(crate) fn explain<'a>(
    nodes: impl Iterator<Item = &'a NodeState>,
    pod: &PodInfo,
    volumes: &VolumeFacts,
) -> Unschedulable {
    let mut total = 0usize;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        total += 1;
        let failed = FILTERS.iter().find(|(filter, _)| !filter(node, pod, volumes));
        for reason in failed.map(|(_, explain)| explain(node, pod, volumes)).unwrap_or_default() {
            *counts.entry(reason).or_default() += 1;
        }
    }
    if total == 0 {
        return Unschedulable::before_any_node(0, "");
    }
    let mut reasons: Vec<String> =
        counts.iter().map(|(text, count)| format!("{count} {text}")).collect();
    reasons.sort();
    let message = format!("0/{total} nodes are available: {}.", reasons.join(", "));
    Unschedulable { message }
}

fn schedulable(node: &NodeState, pod: &PodInfo, _: &VolumeFacts) -> bool {
    const KEY: &str = "node.kubernetes.io/unschedulable";
    if !node.unschedulable {
        return true;
    }
    let taint = Taint { key: KEY.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    pod.tolerations.iter().any(|toleration| tolerates(toleration, &taint))
}

fn untolerated<'a>(node: &'a NodeState, pod: &PodInfo) -> Option<&'a Taint> {
    taints::untolerated(&node.taints, &pod.tolerations, &["NoSchedule", "NoExecute"])
}

fn affine(node: &NodeState, pod: &PodInfo, _: &VolumeFacts) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod.required.as_ref().is_none_or(|selector| selector_matches(selector, node))
}

fn selector_matches(selector: &NodeSelector, node: &NodeState) -> bool {
    placement::selects(selector, place(node))
}

/// The node as terms see it.
pub(crate) fn place(node: &NodeState) -> Place<'_> {
    Place { name: &node.name, labels: Some(&node.labels) }
}

fn ports_free(node: &NodeState, pod: &PodInfo, _: &VolumeFacts) -> bool {
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    let clash = |a: &HostPort, b: &HostPort| {
        a.0 == b.0 && a.1 == b.1 && (any(&a.2) || any(&b.2) || a.2 == b.2)
    };
    !pod.ports.iter().any(|port| node.ports.iter().any(|taken| clash(port, taken)))
}

/// Name, asked for, used, allocatable.
fn amounts<'a>(
    node: &'a NodeState,
    pod: &'a PodInfo,
) -> impl Iterator<Item = (&'a str, i64, i64, i64)> {
    let (ask, used, all) = (&pod.requests, &node.used, &node.allocatable);
    let fixed = [
        ("cpu", ask.cpu, used.cpu, all.cpu),
        ("memory", ask.memory, used.memory, all.memory),
        ("ephemeral-storage", ask.ephemeral, used.ephemeral, all.ephemeral),
    ];
    let get = |map: &BTreeMap<String, i64>, name: &String| map.get(name).copied().unwrap_or(0);
    let extended = ask.extended.iter().map(move |(name, ask)| {
        (name.as_str(), *ask, get(&used.extended, name), get(&all.extended, name))
    });
    fixed.into_iter().chain(extended)
}

fn room(node: &NodeState, pod: &PodInfo, _: &VolumeFacts) -> bool {
    node.pods < node.pods_allowed
        && amounts(node, pod).all(|(_, ask, used, all)| ask == 0 || ask <= all.saturating_sub(used))
}

fn lacking(node: &NodeState, pod: &PodInfo) -> Vec<String> {
    let mut reasons = Vec::new();
    if node.pods >= node.pods_allowed {
        reasons.push("Too many pods".to_owned());
    }
    for (name, ask, used, all) in amounts(node, pod) {
        if ask > 0 && ask > all.saturating_sub(used) {
            reasons.push(format!("Insufficient {name}"));
        }
    }
    reasons
}
