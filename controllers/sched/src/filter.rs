//! Filters: whether a node can take a pod, and if not, why. In the order of upstream's default profile; the first that
//! refuses gives the reasons.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Taint;
use leme_plan::placement;
use leme_plan::taints::{self, tolerates};

use crate::case::Case;
use crate::node::NodeState;
use crate::pod::{Disk, HostPort, PodInfo};
use crate::profile::Filter;
use crate::topology::Topology;
use crate::why::{Reason, Refusal};

/// A volume of a driver: its name, and the volume's there.
pub(crate) type Attached = (String, String);
/// The volumes that claims are bound to, by namespace and name of the claim.
pub(crate) type Attachments = HashMap<(String, String), Attached>;

/// Why a node, which has this number, cannot take the pod of a case; `None` if it can.
pub(crate) fn refuses(
    node: &NodeState,
    index: usize,
    case: &Case,
    topology: &Topology,
    attachments: &Attachments,
) -> Option<Refusal> {
    let pod = case.pod;
    let has = |filter: Filter| pod.profile.has(filter);
    if node.unschedulable && has(Filter::Unschedulable) && !tolerates_unschedulable(pod) {
        return Some(Refusal::for_good(Reason::Unschedulable));
    }
    if !node.taints.is_empty() && has(Filter::Taints) && !tolerated(node, pod) {
        return Some(Refusal::for_good(Reason::Taints));
    }
    if has(Filter::NodeAffinity) && !wanted_by_profile(node, pod) {
        return Some(Refusal::for_good(Reason::AddedAffinity));
    }
    if has(Filter::NodeAffinity) && !asked_for(node, pod) {
        return Some(Refusal::for_good(Reason::NodeAffinity));
    }
    if has(Filter::Ports) && !ports_free(node, pod) {
        return Some(Refusal::for_now(Reason::Ports));
    }
    if has(Filter::Fit) && !has_room(node, pod) {
        return Some(lacking(node, pod));
    }
    volumes(node, case, attachments).or_else(|| case.kept_from(index, topology))
}

fn volumes(node: &NodeState, case: &Case, attachments: &Attachments) -> Option<Refusal> {
    let (pod, volumes) = (case.pod, case.volumes);
    let has = |filter: Filter| pod.profile.has(filter).then_some(());
    let restricts = has(Filter::VolumeRestrictions).is_some();
    if restricts && !pod.disks.is_empty() && pod.disks.iter().any(|disk| clashes(disk, node)) {
        return Some(Refusal::for_now(Reason::Disk));
    }
    if pod.claims.is_empty() {
        return None;
    }
    has(Filter::VolumeRestrictions)
        .and_then(|()| volumes.restricted(node, &pod.key.0))
        .or_else(|| {
            over_limit(node, pod, attachments).filter(|_| pod.profile.has(Filter::VolumeLimits))
        })
        .or_else(|| volumes.unreachable(node).filter(|_| pod.profile.has(Filter::VolumeBinding)))
        .or_else(|| volumes.elsewhere(node).filter(|_| pod.profile.has(Filter::VolumeZone)))
}

fn tolerates_unschedulable(pod: &PodInfo) -> bool {
    const KEY: &str = "node.kubernetes.io/unschedulable";
    let taint = Taint { key: KEY.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
    pod.tolerations.iter().any(|toleration| tolerates(toleration, &taint))
}

/// Whether the pod tolerates the taints that would keep it off.
pub(crate) fn tolerated(node: &NodeState, pod: &PodInfo) -> bool {
    taints::untolerated(&node.taints, &pod.tolerations, &["NoSchedule", "NoExecute"]).is_none()
}

/// Whether the pod's profile gives it this node.
fn wanted_by_profile(node: &NodeState, pod: &PodInfo) -> bool {
    let added =
        pod.profile.added_affinity.required_during_scheduling_ignored_during_execution.as_ref();
    added.is_none_or(|one| placement::selects(one, node.place()))
}

/// Whether the pod asks for the node, or leaves it open.
pub(crate) fn asked_for(node: &NodeState, pod: &PodInfo) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod.required.as_ref().is_none_or(|one| placement::selects(one, node.place()))
}

/// The nodes that the pod asks for by name, if it asks for nodes by name whatever else they are.
pub(crate) fn named(pod: &PodInfo) -> Option<BTreeSet<&str>> {
    let terms = &pod.required.as_ref()?.node_selector_terms;
    let mut all = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<&str>> = None;
        for field in term.match_fields.iter().flatten() {
            if field.key == placement::NAME_FIELD && field.operator == "In" {
                let names = field.values.iter().flatten().map(String::as_str).collect();
                of_term = Some(match of_term {
                    None => names,
                    Some(known) => known.intersection(&names).copied().collect(),
                });
            }
        }
        all.extend(of_term?);
    }
    (!terms.is_empty()).then_some(all)
}

fn ports_free(node: &NodeState, pod: &PodInfo) -> bool {
    const ANY: &str = "0.0.0.0";
    let clash = |a: &HostPort, b: &HostPort| {
        a.0 == b.0 && a.1 == b.1 && (a.2 == ANY || b.2 == ANY || a.2 == b.2)
    };
    pod.ports.is_empty()
        || !pod.ports.iter().any(|port| node.ports.iter().any(|one| clash(port, one)))
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
    let counts = move |(name, _): &(&String, &i64)| !pod.profile.ignores(name);
    let extended = ask.extended.iter().filter(counts).map(move |(name, ask)| {
        (name.as_str(), *ask, get(&used.extended, name), get(&all.extended, name))
    });
    fixed.into_iter().chain(extended)
}

/// Whether the node has room for one more pod that asks for so much.
pub(crate) fn has_room(node: &NodeState, pod: &PodInfo) -> bool {
    i64::try_from(node.pods.len()).is_ok_and(|pods| pods < node.pods_allowed)
        && amounts(node, pod).all(|(_, ask, used, all)| ask == 0 || ask <= all.saturating_sub(used))
}

fn lacking(node: &NodeState, pod: &PodInfo) -> Refusal {
    let mut refusal = Refusal { reasons: Vec::new(), for_now: true };
    if i64::try_from(node.pods.len()).is_ok_and(|pods| pods >= node.pods_allowed) {
        refusal.reasons.push(Reason::TooManyPods);
    }
    for (name, ask, used, all) in amounts(node, pod) {
        if ask > 0 && ask > all.saturating_sub(used) {
            refusal.reasons.push(Reason::Insufficient(name.to_owned().into()));
            refusal.for_now &= ask <= all;
        }
    }
    refusal
}

fn clashes(disk: &Disk, node: &NodeState) -> bool {
    node.pods.iter().flat_map(|pod| &pod.disks).any(|other| {
        other.name == disk.name && !(disk.shared_by_readers && disk.read_only && other.read_only)
    })
}

/// Whether the node can attach no more volumes of a driver.
fn over_limit(node: &NodeState, pod: &PodInfo, attachments: &Attachments) -> Option<Refusal> {
    if node.volume_limits.is_empty() {
        return None;
    }
    let of =
        |namespace: &str, claim: &str| attachments.get(&(namespace.to_owned(), claim.to_owned()));
    let there: BTreeSet<&Attached> =
        node.claims().into_iter().filter_map(|(namespace, claim)| of(namespace, claim)).collect();
    let fresh: BTreeSet<&Attached> =
        pod.claims.iter().filter_map(|claim| of(&pod.key.0, claim)).collect();
    let count = |all: &BTreeSet<&Attached>, driver: &str| {
        i64::try_from(all.iter().filter(|one| one.0 == driver).count()).unwrap_or(i64::MAX)
    };
    let fresh: BTreeSet<&Attached> = fresh.difference(&there).copied().collect();
    let over = node.volume_limits.iter().any(|(driver, limit)| {
        let new = count(&fresh, driver);
        new > 0 && count(&there, driver).saturating_add(new) > *limit
    });
    over.then(|| Refusal::for_now(Reason::VolumeLimit))
}
