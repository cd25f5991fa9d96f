//! What the agent of a node may read of single objects: those that lead to its node.
//!
//! Knows: what pods, volumes, attachments and slices refer to. Refuses to know: which verbs agents have, and where objects
//! come from.
//!
//! A pod holds what it names, for its node; what a claim is bound to, and what a volume names, is reached through that. It
//! is counted which nodes reach a thing, so that a question is one look-up however many pods there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use leme_meta::local_path::{PROVISIONED_BY, PROVISIONER};
use serde_json::Value;

use crate::refer;

/// What an object is, as far as nodes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Thing {
    Account,
    Attachment,
    Claim,
    ConfigMap,
    Pod,
    ResourceClaim,
    Secret,
    Slice,
    Volume,
}

/// An object.
pub(crate) type Vertex = (Thing, Box<str>);

/// The object of this kind, namespace and name.
pub(crate) fn vertex(thing: Thing, namespace: &str, name: &str) -> Vertex {
    (thing, [namespace, "/", name].concat().into())
}

/// The kinds whose objects say which node reaches what: group, plural resource.
pub const WATCHED: [(&str, &str); 4] = [
    ("", "pods"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "volumeattachments"),
    ("resource.k8s.io", "resourceslices"),
];

/// What an object holds for a node.
#[derive(Debug)]
struct Held {
    uid: Box<str>,
    node: Arc<str>,
    things: Box<[Vertex]>,
    /// Whether it may come to hold something else.
    open: bool,
}

/// What leads to which node. It follows the objects that it is told of.
#[derive(Debug, Default)]
pub struct Graph(RwLock<Edges>);

#[derive(Debug, Default)]
struct Edges {
    held: HashMap<Vertex, Held>,
    /// Which nodes reach a thing, and in how many ways.
    nodes: HashMap<Vertex, BTreeMap<Arc<str>, u32>>,
    /// What is reached through a thing: volumes through claims, secrets through volumes.
    through: HashMap<Vertex, BTreeSet<Vertex>>,
    /// What a volume is the reason of in `through`.
    volumes: HashMap<Vertex, Box<[(Vertex, Vertex)]>>,
}

/// One object, and what it is now; nothing once it is gone.
pub struct Change<'a> {
    /// Its plural resource, one of those that are watched.
    pub plural: &'a str,
    /// Namespace and name.
    pub place: (&'a str, &'a str),
    /// The object.
    pub object: Option<Value>,
}

impl Graph {
    /// Whether a node reaches an object.
    pub(crate) fn reaches(&self, node: &str, thing: Thing, namespace: &str, name: &str) -> bool {
        let edges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let nodes = edges.nodes.get(&vertex(thing, namespace, name));
        nodes.is_some_and(|nodes| nodes.contains_key(node))
    }

    /// Whether a pod of this uid on this node is known with all that it can ever hold.
    pub fn is_settled(&self, (namespace, name): (&str, &str), uid: &str, node: &str) -> bool {
        let edges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let held = edges.held.get(&vertex(Thing::Pod, namespace, name));
        held.is_some_and(|held| !held.open && *held.uid == *uid && *held.node == *node)
    }

    /// Takes changes in, in their order.
    pub fn take<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) {
        let mut edges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| edges.take(change));
    }

    /// Takes in all that there is of a kind, in place of what was known.
    pub fn renew<'a>(&self, plural: &str, all: impl IntoIterator<Item = Change<'a>>) {
        let mut edges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = edges.held.keys().chain(edges.volumes.keys());
        let known: Vec<Vertex> =
            known.filter(|one| Some(one.0) == thing(plural)).cloned().collect();
        known.into_iter().for_each(|one| edges.put(one, None));
        all.into_iter().for_each(|change| edges.take(change));
    }
}

fn thing(plural: &str) -> Option<Thing> {
    match plural {
        "pods" => Some(Thing::Pod),
        "persistentvolumes" => Some(Thing::Volume),
        "volumeattachments" => Some(Thing::Attachment),
        "resourceslices" => Some(Thing::Slice),
        _ => None,
    }
}

/// The node that an object is on, and what it holds there.
fn holds(of: &Vertex, object: &Value) -> Option<Held> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let (mut things, mut open) = (vec![of.clone()], false);
    let node = match of.0 {
        Thing::Pod => {
            let (found, may_change) = refer::of_pod(object);
            things.extend(found);
            open = may_change;
            text("/spec/nodeName")
        }
        // A directory of a node is that node's, whoever has it.
        Thing::Volume => {
            let annotations = object["metadata"]["annotations"].get(PROVISIONED_BY);
            match annotations.is_some_and(|by| by == PROVISIONER) {
                true => {
                    text("/spec/nodeAffinity/required/nodeSelectorTerms/0/matchFields/0/values/0")
                }
                false => "",
            }
        }
        _ => text("/spec/nodeName"),
    };
    let uid = text("/metadata/uid").into();
    (!node.is_empty()).then(|| Held { uid, node: node.into(), things: things.into(), open })
}

impl Edges {
    fn take(&mut self, change: Change<'_>) {
        let Change { plural, place: (namespace, name), object } = change;
        if let Some(thing) = thing(plural) {
            self.put(vertex(thing, namespace, name), object.as_ref());
        }
    }

    fn put(&mut self, of: Vertex, object: Option<&Value>) {
        if let Some(held) = self.held.remove(&of) {
            held.things.iter().for_each(|thing| self.lose(thing, &held.node));
        }
        for (from, to) in self.volumes.remove(&of).into_iter().flatten() {
            self.unlink(&from, &to);
        }
        let Some(object) = object else { return };
        if of.0 == Thing::Volume {
            let links = refer::of_volume(&of, object);
            links.iter().for_each(|(from, to)| self.link(from, to));
            self.volumes.insert(of.clone(), links.into());
        }
        if let Some(held) = holds(&of, object) {
            held.things.iter().for_each(|thing| self.gain(thing, &held.node));
            self.held.insert(of, held);
        }
    }

    fn gain(&mut self, thing: &Vertex, node: &Arc<str>) {
        let nodes = self.nodes.entry(thing.clone()).or_default();
        let ways = nodes.entry(Arc::clone(node)).or_default();
        *ways += 1;
        if *ways > 1 {
            return;
        }
        for next in self.through.get(thing).cloned().into_iter().flatten() {
            self.gain(&next, node);
        }
    }

    fn lose(&mut self, thing: &Vertex, node: &Arc<str>) {
        let Some(nodes) = self.nodes.get_mut(thing) else { return };
        let Some(ways) = nodes.get_mut(node) else { return };
        *ways -= 1;
        if *ways > 0 {
            return;
        }
        nodes.remove(node);
        if nodes.is_empty() {
            self.nodes.remove(thing);
        }
        for next in self.through.get(thing).cloned().into_iter().flatten() {
            self.lose(&next, node);
        }
    }

    fn link(&mut self, from: &Vertex, to: &Vertex) {
        if self.through.entry(from.clone()).or_default().insert(to.clone()) {
            let nodes: Vec<_> = self.nodes.get(from).into_iter().flatten().map(first).collect();
            nodes.iter().for_each(|node| self.gain(to, node));
        }
    }

    fn unlink(&mut self, from: &Vertex, to: &Vertex) {
        let Some(all) = self.through.get_mut(from) else { return };
        if all.remove(to) {
            if all.is_empty() {
                self.through.remove(from);
            }
            let nodes: Vec<_> = self.nodes.get(from).into_iter().flatten().map(first).collect();
            nodes.iter().for_each(|node| self.lose(to, node));
        }
    }
}

fn first((node, _): (&Arc<str>, &u32)) -> Arc<str> {
    Arc::clone(node)
}
