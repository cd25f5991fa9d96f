//! Whether an object works, and what it waits for if it does not: the rules behind `apply --wait`, `up` and `why`.
//!
//! Pure: a lister goes in, a state comes out. One row per kind. A kind of the program that nobody acts on is only stored;
//! any other without a row works as soon as it exists and does not say otherwise.

mod causes;
mod events;
mod gateways;
mod network;
mod pods;
mod storage;
#[cfg(test)]
mod tests;
mod workloads;

use leme_meta::gateway::GROUP as GATEWAYS;
use leme_meta::{Object, gvk};
use serde_json::Value;

use crate::documents::Document;
use crate::follow::Lister;
pub use causes::{Cause, causes};
pub use events::{about as events, in_order, time as event_time};
pub use pods::again;

/// Whether an object works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does; a word about it, or nothing.
    Works(String),
    /// It is stored, and more does not become of it in this cluster; why.
    Stored(&'static str),
    /// It does not yet; what it waits for.
    Waits(String),
    /// It has failed for good, and waiting does not help; why.
    Failed(String),
}

impl State {
    /// Why it does not work, if it does not.
    pub fn trouble(&self) -> Option<String> {
        match self {
            State::Works(_) | State::Stored(_) => None,
            State::Waits(why) => Some(why.clone()),
            State::Failed(why) => Some(join("it has failed", why)),
        }
    }

    /// What is said of an object, as a verb and the rest.
    pub fn told(&self) -> (&'static str, &str) {
        match self {
            State::Works(word) => ("works", word),
            State::Stored(why) => ("is stored", why),
            State::Waits(why) => ("waits", why),
            State::Failed(why) => ("has failed", why),
        }
    }
}

/// Conditions by which most kinds say that an object works.
const SAID: [&str; 3] = ["Ready", "Available", "Established"];

type Rule = fn(&Object, &Lister) -> State;

/// The kinds whose objects can exist without working.
const RULES: &[(&str, &str, Rule)] = &[
    ("", "Pod", pods::pod),
    ("", "ReplicationController", workloads::replicated),
    ("apps", "ReplicaSet", workloads::replicated),
    ("apps", "Deployment", workloads::deployment),
    ("apps", "StatefulSet", workloads::stateful),
    ("apps", "DaemonSet", workloads::daemon),
    ("apps.openshift.io", "DeploymentConfig", workloads::config),
    ("autoscaling", "HorizontalPodAutoscaler", workloads::autoscaler),
    ("batch", "Job", workloads::job),
    ("build.openshift.io", "Build", workloads::build),
    ("build.openshift.io", "BuildConfig", workloads::builds),
    ("", "PersistentVolumeClaim", storage::claim),
    ("snapshot.storage.k8s.io", "VolumeSnapshot", storage::snapshot),
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent", storage::snapshot),
    ("", "Namespace", namespace),
    ("", "Node", node),
    ("", "Service", network::service),
    ("networking.k8s.io", "Ingress", network::ingress),
    ("route.openshift.io", "Route", network::route),
    (GATEWAYS, "Gateway", gateways::gateway),
    (GATEWAYS, "GatewayClass", gateways::class),
    (GATEWAYS, "GRPCRoute", gateways::route),
    (GATEWAYS, "HTTPRoute", gateways::route),
    (GATEWAYS, "TLSRoute", gateways::route),
];

/// Kinds that the rules look at besides the object's own.
pub const LOOKED_AT: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "events"),
    ("apps", "replicasets"),
    ("build.openshift.io", "builds"),
    ("discovery.k8s.io", "endpointslices"),
];

/// Kinds in which the causes of what does not work are, besides those.
pub const CAUSES_IN: &[(&str, &str)] = &[
    ("", "nodes"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "replicationcontrollers"),
    ("", "services"),
    ("batch", "jobs"),
    ("storage.k8s.io", "storageclasses"),
];

/// Kinds whose objects an object may have made to do its work: group, plural and the word for one.
const PARTS: &[(&str, &str, &str)] = &[
    ("apps", "replicasets", "replicaset"),
    ("", "replicationcontrollers", "replicationcontroller"),
    ("batch", "jobs", "job"),
    ("build.openshift.io", "builds", "build"),
    ("", "pods", "pod"),
];

/// The state of a document's object.
pub fn document(document: &Document, lister: &Lister) -> State {
    match lister.get(&document.kind, &document.namespace, &document.name) {
        Some(object) => state(object, lister),
        None => State::Waits("not created yet".to_owned()),
    }
}

/// The state of an object. What says of itself that it is ready is believed, whatever its kind.
pub fn state(object: &Object, lister: &Lister) -> State {
    if object.is_deleting() {
        return State::Waits("is being deleted".to_owned());
    }
    let (group, _) = gvk::split_api_version(object.api_version());
    match leme_kinds::idle(group, object.kind()) {
        Some(why) if !SAID.iter().any(|name| condition(object, name).is_some_and(|c| c.0)) => {
            State::Stored(why)
        }
        _ => judged(object, lister),
    }
}

/// The state of an object of a kind that somebody acts on.
fn judged(object: &Object, lister: &Lister) -> State {
    let (group, _) = gvk::split_api_version(object.api_version());
    match RULES.iter().find(|(known, kind, _)| *known == group && *kind == object.kind()) {
        Some((.., rule)) => rule(object, lister),
        None => reported(object),
    }
}

/// The state of an object of a kind without a rule of its own: what it says of itself, in the words that most kinds use.
fn reported(object: &Object) -> State {
    match SAID.iter().find_map(|name| condition(object, name)) {
        Some((false, message)) if message.is_empty() => State::Waits("it says so".to_owned()),
        Some((false, message)) => State::Waits(message),
        Some((true, _)) | None => State::Works(String::new()),
    }
}

/// What an object owns that does its work, each with how it is shown.
pub fn parts<'a>(object: &Object, lister: &'a Lister) -> Vec<(String, &'a Object)> {
    let of = |&(group, plural, word): &(&str, &str, &str)| {
        let owned = lister.owned(group, plural, object.uid()).into_iter();
        owned.map(move |part| (format!("{word}/{}", part.name()), part)).collect::<Vec<_>>()
    };
    PARTS.iter().flat_map(of).collect()
}

/// What an object, or what it has made, waits for that comes by somebody's hand alone.
pub fn by_hand(object: &Object, lister: &Lister) -> Option<String> {
    /// Cron jobs make jobs, which make pods: nothing that works is deeper.
    const DEEPEST: usize = 3;
    by_hand_below(object, lister, DEEPEST)
}

fn by_hand_below(object: &Object, lister: &Lister, depth: usize) -> Option<String> {
    match (object.api_version(), object.kind()) {
        ("v1", "Pod") => return pods::absent_image(object),
        ("v1", "PersistentVolumeClaim") => return storage::unmakeable(object, lister),
        _ => {}
    }
    let below = depth.checked_sub(1)?;
    parts(object, lister).into_iter().find_map(|(shown, part)| {
        let why = by_hand_below(part, lister, below)?;
        Some(if part.kind() == "Pod" { format!("{shown}: {why}") } else { why })
    })
}

fn number(object: &Object, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or(0)
}

fn namespace(object: &Object, _: &Lister) -> State {
    match object.text(&["status", "phase"]) {
        "Terminating" => State::Waits("is being deleted".to_owned()),
        _ => State::Works(String::new()),
    }
}

fn node(object: &Object, _: &Lister) -> State {
    match condition(object, "Ready") {
        Some((true, _)) => State::Works("Ready".to_owned()),
        Some((false, message)) => State::Waits(message),
        None => State::Waits("the node agent's first report".to_owned()),
    }
}

/// Whether a condition is true, and its message; `None` if it is not there.
pub fn condition(object: &Object, type_: &str) -> Option<(bool, String)> {
    condition_in(object.at(&["status", "conditions"])?, type_)
}

fn condition_in(conditions: &Value, type_: &str) -> Option<(bool, String)> {
    let found = found_in(conditions, type_)?;
    let message = found["message"].as_str().unwrap_or("").to_owned();
    Some((found["status"].as_str() == Some("True"), message))
}

fn found_in<'a>(conditions: &'a Value, type_: &str) -> Option<&'a Value> {
    let all = conditions.as_array()?;
    all.iter().find(|condition| condition["type"].as_str() == Some(type_))
}

fn join(what: &str, why: &str) -> String {
    match (what, why) {
        (what, "") => what.to_owned(),
        ("", why) => why.to_owned(),
        (what, why) => format!("{what}: {why}"),
    }
}
