//! NodeRestriction: what an agent writes is about its own node and the pods there.
//!
//! Knows: which writes of agents that concerns, and upstream's words. Refuses to know: what agents may read.

use std::collections::{BTreeMap, BTreeSet};

use leme_access::node_of;
use leme_meta::{Status, quote};
use leme_registry::{Asked, Operation, json};
use serde_json::Value;

use crate::{Facts, PlugIn, Seen};

const PODS: Seen = Seen { group: "", version: "v1", plural: "pods" };
const MANAGED_BY: &str = "snapshot.storage.kubernetes.io/managed-by";
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(crate) const PLUG_IN: PlugIn = PlugIn {
    name: "NodeRestriction",
    about: |asked| {
        node(asked).is_some()
            && matches!(
                (&*asked.kind.group, &*asked.kind.plural),
                ("", "pods" | "nodes" | "serviceaccounts")
                    | ("coordination.k8s.io", "leases")
                    | ("storage.k8s.io", "csinodes")
                    | ("resource.k8s.io", "resourceslices")
                    | ("snapshot.storage.k8s.io", "volumesnapshotcontents")
            )
    },
    sees: &[PODS],
    // What is posted below an object is refused before anybody looks at that one.
    mutate: |asked, body, _, facts| {
        let Some(node) = node(asked) else { return Ok(()) };
        match (&*asked.kind.plural, asked.subresource) {
            ("serviceaccounts", "token") => token(asked, node, body, facts),
            ("pods", "eviction") => {
                let pod = facts.get(&PODS, asked.namespace, asked.name)?;
                let own = pod.is_none_or(|pod| place_of(&pod) == node);
                let why = "can only evict pods with spec.nodeName set to itself";
                allowed(asked, own, || format!("node {} {why}", quote(node)))
            }
            _ => Ok(()),
        }
    },
    validate: |asked, new, old, _| {
        let Some(node) = node(asked) else { return Ok(()) };
        match (&*asked.kind.plural, asked.subresource, asked.operation) {
            ("pods", "", Operation::Create) => created_pod(asked, node, new),
            ("pods", "", Operation::Delete) => {
                let own = old.is_none_or(|pod| place_of(pod) == node);
                let why = "can only delete pods with spec.nodeName set to itself";
                allowed(asked, own, || format!("node {} {why}", quote(node)))
            }
            ("pods", "status", Operation::Update) => {
                let own = old.is_some_and(|pod| place_of(pod) == node);
                let why = "can only update pod status for pods with spec.nodeName set to itself";
                allowed(asked, own, || format!("node {} {why}", quote(node)))?;
                let labels = |of: Option<&Value>| {
                    of.and_then(|of| json::at(of, &["metadata", "labels"]).cloned())
                };
                let why = "cannot update labels through pod status";
                allowed(asked, labels(new) == labels(old), || format!("node {} {why}", quote(node)))
            }
            ("leases" | "csinodes", "", Operation::Create | Operation::Update) => {
                let name = new.map_or("", |new| json::text(new, &["metadata", "name"]));
                let kind = if &*asked.kind.plural == "leases" { "node lease" } else { "CSINode" };
                let why =
                    format!("can only access {kind} with the same name as the requesting node");
                allowed(asked, name == node, || why)
            }
            ("resourceslices", "", Operation::Create | Operation::Delete) => {
                let about = new.or(old);
                let own = about.is_none_or(|slice| place_of(slice) == node);
                let doing = if new.is_some() { "create" } else { "delete" };
                allowed(asked, own, || {
                    format!(
                        "can only {doing} ResourceSlice with the same NodeName as the requesting node"
                    )
                })
            }
            ("volumesnapshotcontents", sub, Operation::Update) => {
                own_snapshot(asked, node, sub, new, old)
            }
            ("nodes", _, Operation::Create | Operation::Update) => own_node(asked, node, new, old),
            _ => Ok(()),
        }
    },
    ..PlugIn::NONE
};

/// The node whose agent asks.
fn node<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    asked.user.and_then(|user| node_of(user.name, user.groups))
}

fn place_of(pod: &Value) -> &str {
    json::text(pod, &["spec", "nodeName"])
}

fn allowed(asked: &Asked, is: bool, why: impl FnOnce() -> String) -> Result<(), Status> {
    if is { Ok(()) } else { Err(asked.forbidden(&why())) }
}

fn created_pod(asked: &Asked, node: &str, pod: Option<&Value>) -> Result<(), Status> {
    let Some(pod) = pod else { return Ok(()) };
    let mirror = json::at(pod, &["metadata", "annotations", MIRROR]).is_some();
    allowed(asked, mirror, || {
        format!(
            "pod does not have {MIRROR:?} annotation, node {} can only create mirror pods",
            quote(node)
        )
    })?;
    allowed(asked, place_of(pod) == node, || {
        format!("node {} can only create pods with spec.nodeName set to itself", quote(node))
    })
}

/// A snapshot is its node's as long as it is: that says what has become of it, and lets it go.
fn own_snapshot(
    asked: &Asked,
    node: &str,
    subresource: &str,
    new: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
    match snapshot_refusal(node, subresource, new, old) {
        Some(why) => Err(asked.forbidden(&format!("node {} {why}", quote(node)))),
        None => Ok(()),
    }
}

/// Why an agent may not change a snapshot so, if it may not.
pub(crate) fn snapshot_refusal(
    node: &str,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Option<&'static str> {
    let own = |content| json::text(content, &["metadata", "labels", MANAGED_BY]) == node;
    if !own(old) || !own(new) {
        return Some("can only update VolumeSnapshotContents that it manages");
    }
    let same = |path: &[&str]| json::at(old, path) == json::at(new, path);
    let handle = ["status", "snapshotHandle"];
    let is_new = json::text(old, &handle).is_empty();
    let fits = if subresource == "status" { is_new || same(&handle) } else { same(&["spec"]) };
    (!fits).then_some("cannot change what a VolumeSnapshotContent is of")
}

/// A token that an agent asks for is one of a pod on its node.
fn token(asked: &Asked, node: &str, body: &Value, facts: &dyn Facts) -> Result<(), Status> {
    let reference = |field| json::text(body, &["spec", "boundObjectRef", field]);
    let is_pod = reference("apiVersion") == "v1"
        && reference("kind") == "Pod"
        && !reference("name").is_empty();
    allowed(asked, is_pod, || "node requested token not bound to a pod".to_owned())?;
    allowed(asked, !reference("uid").is_empty(), || {
        "node requested token with a pod binding without a uid".to_owned()
    })?;
    let pod = facts.get(&PODS, asked.namespace, reference("name"))?;
    // One that is gone is told by whoever makes the token.
    let Some(pod) = pod else { return Ok(()) };
    allowed(asked, json::text(&pod, &["metadata", "uid"]) == reference("uid"), || {
        format!(
            "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
            reference("uid")
        )
    })?;
    allowed(asked, place_of(&pod) == node, || {
        "node requested token bound to a pod scheduled on a different node".to_owned()
    })?;
    audiences(asked, body, &pod)
}

/// A token is for whom the pod wants one.
fn audiences(asked: &Asked, body: &Value, pod: &Value) -> Result<(), Status> {
    let volumes = json::list(pod, &["spec", "volumes"]).iter();
    let sources = volumes.flat_map(|volume| json::list(volume, &["projected", "sources"]));
    let tokens = sources.filter_map(|source| json::at(source, &["serviceAccountToken"]));
    let wanted: Vec<&str> = tokens.map(|token| json::text(token, &["audience"])).collect();
    let asked_for = json::list(body, &["spec", "audiences"]).iter().filter_map(Value::as_str);
    for audience in asked_for {
        allowed(asked, wanted.contains(&audience), || {
            format!("audience {} not found in pod spec volume", quote(audience))
        })?;
    }
    Ok(())
}

/// Labels of these kinds say to whom a node belongs, or what may be put there: they are not the node's to say.
fn is_restricted(label: &str) -> bool {
    const OWN: [&str; 10] = [
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/",
    ];
    let (domain, _) = label.split_once('/').unwrap_or(("", label));
    let within = |of: &str| domain == of || domain.ends_with(&format!(".{of}"));
    let own = OWN
        .iter()
        .any(|known| label == *known || (known.ends_with('/') && label.starts_with(known)));
    let given = ["kubelet.kubernetes.io", "node.kubernetes.io"].into_iter().any(within);
    (within("kubernetes.io") || within("k8s.io")) && !own && !given
}

fn own_node(
    asked: &Asked,
    node: &str,
    new: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), Status> {
    let Some(new) = new else { return Ok(()) };
    let name = json::text(new, &["metadata", "name"]);
    let is_own = name == node || (name.is_empty() && asked.name == node);
    allowed(asked, is_own, || {
        format!("node {} is not allowed to modify node {}", quote(node), quote(name))
    })?;
    let labels = |of: Option<&Value>| -> BTreeMap<String, Value> {
        let all = of.map(|of| json::entries(of, &["metadata", "labels"]));
        all.into_iter().flatten().map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    let (before, after) = (labels(old), labels(Some(new)));
    let changed: BTreeSet<&str> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key) && is_restricted(key))
        .map(String::as_str)
        .collect();
    let shown = || changed.iter().copied().collect::<Vec<_>>().join(", ");
    let doing = if old.is_some() { "modify" } else { "set" };
    allowed(asked, changed.is_empty(), || {
        format!("is not allowed to {doing} the following labels: {}", shown())
    })?;
    let owners = |of: &Value| json::list(of, &["metadata", "ownerReferences"]).to_vec();
    let same = old.map_or(owners(new).is_empty(), |old| owners(old) == owners(new));
    let why = "is not allowed to modify ownerReferences";
    allowed(asked, same, || format!("node {} {why}", quote(node)))?;
    let taints = |of: &Value| json::list(of, &["spec", "taints"]).to_vec();
    let same = old.is_none_or(|old| taints(old) == taints(new));
    allowed(asked, same, || format!("node {} is not allowed to modify taints", quote(node)))
}
