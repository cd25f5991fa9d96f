//! Whether an object works, and what it waits for if it does not: the rules behind `apply --wait`, `up` and `why`.
//!
//! Pure: a picture goes in, a state comes out. One row per kind; a kind without a row works as soon as it exists.

mod workloads;

use leme_meta::Object;
use serde_json::Value;

use crate::documents::Document;
use crate::follow::Picture;
use workloads::{build, daemon, deployment, job, replicated, stateful};

/// Whether an object works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does; a word about it, or nothing.
    Works(String),
    /// It does not yet; what it waits for.
    Waits(String),
}

type Rule = fn(&Object, &Picture) -> State;

/// The kinds whose objects can exist without working.
const RULES: &[(&str, Rule)] = &[
    ("Pod", pod),
    ("ReplicationController", replicated),
    ("ReplicaSet", replicated),
    ("Deployment", deployment),
    ("StatefulSet", stateful),
    ("DaemonSet", daemon),
    ("DeploymentConfig", replicated),
    ("Job", job),
    ("Build", build),
    ("PersistentVolumeClaim", claim),
    ("Namespace", namespace),
    ("Node", node),
    ("Service", service),
    ("Route", route),
];

/// Kinds that the rules look at besides the object's own.
pub const LOOKED_AT: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "events"),
    ("apps", "replicasets"),
    ("discovery.k8s.io", "endpointslices"),
];

/// Kinds whose objects an object may have made to do its work: group, plural and the word for one.
const PARTS: &[(&str, &str, &str)] = &[("apps", "replicasets", "replicaset"), ("", "pods", "pod")];

/// The state of a document's object.
pub fn document(document: &Document, picture: &Picture) -> State {
    match picture.get(&document.kind, &document.namespace, &document.name) {
        Some(object) => state(object, picture),
        None => State::Waits("not created yet".to_owned()),
    }
}

/// The state of an object.
pub fn state(object: &Object, picture: &Picture) -> State {
    if object.is_deleting() {
        return State::Waits("is being deleted".to_owned());
    }
    match RULES.iter().find(|(kind, _)| *kind == object.kind()) {
        Some((_, rule)) => rule(object, picture),
        None => reported(object),
    }
}

/// The state of an object of a kind without a rule of its own: what it says of itself, in the words that most kinds use.
fn reported(object: &Object) -> State {
    match ["Ready", "Available", "Established"].iter().find_map(|name| condition(object, name)) {
        Some((false, message)) if message.is_empty() => State::Waits("it says so".to_owned()),
        Some((false, message)) => State::Waits(message),
        Some((true, _)) | None => State::Works(String::new()),
    }
}

/// What an object owns that does its work, each with how it is shown.
pub fn parts<'a>(object: &Object, picture: &'a Picture) -> Vec<(String, &'a Object)> {
    let of = |&(group, plural, word): &(&str, &str, &str)| {
        let owned = picture.owned(group, plural, object.uid()).into_iter();
        owned.map(move |part| (format!("{word}/{}", part.name()), part)).collect::<Vec<_>>()
    };
    PARTS.iter().flat_map(of).collect()
}

fn pod(object: &Object, picture: &Picture) -> State {
    let phase = object.text(&["status", "phase"]);
    if phase == "Succeeded"
        || (phase == "Running" && condition(object, "Ready").is_some_and(|c| c.0))
    {
        return State::Works(object.text(&["status", "podIP"]).to_owned());
    }
    if phase == "Failed" {
        let why = join(object.text(&["status", "reason"]), object.text(&["status", "message"]));
        return State::Waits(join("it has failed", &why));
    }
    let statuses = ["initContainerStatuses", "containerStatuses"];
    let containers = statuses
        .iter()
        .flat_map(|list| object.at(&["status", list]).and_then(Value::as_array))
        .flatten();
    for container in containers {
        let waiting = &container["state"]["waiting"];
        let text = |key: &str| waiting[key].as_str().unwrap_or("");
        if !text("reason").is_empty() && text("reason") != "PodInitializing" {
            let name = container["name"].as_str().unwrap_or("");
            return State::Waits(join(
                &format!("container {name}: {}", text("reason")),
                text("message"),
            ));
        }
    }
    if let Some(event) = last_warning(object, picture) {
        return State::Waits(event);
    }
    for name in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        if let Some((false, message)) = condition(object, name)
            && !message.is_empty()
        {
            return State::Waits(message);
        }
    }
    State::Waits(if phase.is_empty() { "a node".to_owned() } else { phase.to_owned() })
}

fn number(object: &Object, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or(0)
}

fn claim(object: &Object, picture: &Picture) -> State {
    match object.text(&["status", "phase"]) {
        "Bound" => State::Works(format!("bound to {}", object.text(&["spec", "volumeName"]))),
        phase => {
            let why =
                last_event(object, picture).unwrap_or_else(|| "a PersistentVolume".to_owned());
            State::Waits(join(if phase.is_empty() { "Pending" } else { phase }, &why))
        }
    }
}

fn namespace(object: &Object, _: &Picture) -> State {
    match object.text(&["status", "phase"]) {
        "Terminating" => State::Waits("is being deleted".to_owned()),
        _ => State::Works(String::new()),
    }
}

fn node(object: &Object, _: &Picture) -> State {
    match condition(object, "Ready") {
        Some((true, _)) => State::Works("Ready".to_owned()),
        Some((false, message)) => State::Waits(message),
        None => State::Waits("the node agent's first report".to_owned()),
    }
}

fn service(object: &Object, picture: &Picture) -> State {
    let address = object.text(&["spec", "clusterIP"]).to_owned();
    let selects = object.at(&["spec", "selector"]).and_then(Value::as_object);
    if selects.is_none_or(|selector| selector.is_empty()) {
        return State::Works(address);
    }
    let outside = object.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
    let is_balanced = object.text(&["spec", "type"]) == "LoadBalancer";
    let without = match is_balanced && outside.is_none_or(Vec::is_empty) {
        true => ", no load balancer has given it an address",
        false => "",
    };
    match ready_endpoints(object.namespace(), object.name(), picture) {
        0 => State::Waits("no ready endpoints".to_owned()),
        1 => State::Works(format!("{address}, 1 endpoint{without}")),
        count => State::Works(format!("{address}, {count} endpoints{without}")),
    }
}

fn route(object: &Object, picture: &Picture) -> State {
    let ingress =
        object.at(&["status", "ingress"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let Some(first) = ingress.first() else { return State::Waits("the router".to_owned()) };
    let admitted = condition_in(&first["conditions"], "Admitted");
    match admitted {
        Some((true, _)) => {}
        Some((false, message)) => return State::Waits(format!("not admitted: {message}")),
        None => return State::Waits("the router".to_owned()),
    }
    let service = object.text(&["spec", "to", "name"]);
    if ready_endpoints(object.namespace(), service, picture) == 0 {
        return State::Waits(format!("Service {service} has no ready endpoints"));
    }
    State::Works(object.text(&["spec", "host"]).to_owned())
}

fn ready_endpoints(namespace: &str, service: &str, picture: &Picture) -> usize {
    picture
        .all("discovery.k8s.io", "endpointslices")
        .map(|slice| &slice.0)
        .filter(|slice| {
            slice["metadata"]["namespace"].as_str() == Some(namespace)
                && slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str()
                    == Some(service)
        })
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .filter(|endpoint| endpoint["conditions"]["ready"].as_bool().unwrap_or(true))
        .filter(|endpoint| !is_stale(endpoint, picture))
        .count()
}

/// Whether an endpoint calls a pod ready that says of itself that it is not: after a restart slices are behind.
fn is_stale(endpoint: &Value, picture: &Picture) -> bool {
    let Some(uid) = endpoint["targetRef"]["uid"].as_str() else { return false };
    picture.all("", "pods").any(|pod| pod.uid() == uid && !is_ready(pod))
}

fn is_ready(pod: &Object) -> bool {
    condition(pod, "Ready").is_some_and(|(ready, _)| ready)
}

/// Whether a condition is true, and its message; `None` if it is not there.
pub fn condition(object: &Object, type_: &str) -> Option<(bool, String)> {
    condition_in(object.at(&["status", "conditions"])?, type_)
}

fn condition_in(conditions: &Value, type_: &str) -> Option<(bool, String)> {
    let found = conditions
        .as_array()?
        .iter()
        .find(|condition| condition["type"].as_str() == Some(type_))?;
    let message = found["message"].as_str().unwrap_or("").to_owned();
    Some((found["status"].as_str() == Some("True"), message))
}

/// Events about an object, oldest first.
pub fn events<'a>(object: &Object, picture: &'a Picture) -> Vec<&'a Value> {
    let uid = object.uid().to_owned();
    let mut events: Vec<&Value> = picture
        .all("", "events")
        .map(|event| &event.0)
        .filter(|event| event["involvedObject"]["uid"].as_str() == Some(&uid))
        .collect();
    events.sort_by_key(|event| event_time(event));
    events
}

/// When an event was last seen, as RFC 3339 text.
pub fn event_time(event: &Value) -> &str {
    ["lastTimestamp", "eventTime", "firstTimestamp"]
        .iter()
        .find_map(|field| event[*field].as_str())
        .unwrap_or_else(|| event["metadata"]["creationTimestamp"].as_str().unwrap_or(""))
}

fn last_event(object: &Object, picture: &Picture) -> Option<String> {
    Some(events(object, picture).last()?["message"].as_str()?.to_owned())
}

fn last_warning(object: &Object, picture: &Picture) -> Option<String> {
    let last = *events(object, picture).last()?;
    let text = |field: &str| last[field].as_str().unwrap_or("");
    (text("type") == "Warning").then(|| join(text("reason"), text("message")))
}

fn join(what: &str, why: &str) -> String {
    match (what, why) {
        (what, "") => what.to_owned(),
        ("", why) => why.to_owned(),
        (what, why) => format!("{what}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the API holds when a cluster is resumed: counts and slices are from before the stop, the pod has said already
    /// that it is not ready. Red when the counts are believed: `up` says that all is served while nothing is.
    #[test]
    fn what_a_pod_says_of_itself_counts_more_than_what_others_counted() {
        let check = |ready: &str, works: bool| {
            let pod = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "uid": "p1",
                "ownerReferences": [{"uid": "rc1"}]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
            let slice = json!({"metadata": {"name": "s-1", "namespace": "n",
                    "labels": {"kubernetes.io/service-name": "s"}},
                "endpoints": [{"conditions": {"ready": true}, "targetRef": {"uid": "p1"}}]});
            let picture = Picture::still([
                (("", "pods"), pod),
                (("discovery.k8s.io", "endpointslices"), slice),
            ]);
            let service = json!({"kind": "Service", "metadata": {"name": "s", "namespace": "n"},
                "spec": {"selector": {"a": "b"}, "clusterIP": "10.0.0.1"}});
            let controller = json!({"kind": "ReplicationController",
                "metadata": {"name": "r", "namespace": "n", "uid": "rc1", "generation": 1},
                "spec": {"replicas": 1},
                "status": {"replicas": 1, "readyReplicas": 1, "observedGeneration": 1}});
            for object in [service, controller] {
                let state = state(&Object(object), &picture);
                assert_eq!(matches!(state, State::Works(_)), works, "{ready}: {state:?}");
            }
        };
        check("True", true);
        check("False", false);
    }

    /// Red when what has no rule works: a Job that has failed did.
    #[test]
    fn a_job_works_when_it_is_complete_and_a_build_too() {
        let check = |kind: &str, spec: Value, status: Value, expected: State| {
            let pod = json!({"kind": "Pod", "metadata": {"name": "p", "ownerReferences": [{"uid": "j"}]},
                "status": {"phase": "Failed", "message": "no room"}});
            let object = json!({"kind": kind, "spec": spec, "status": status,
                "metadata": {"name": "j", "uid": "j"}});
            let picture = Picture::still([(("", "pods"), pod)]);
            assert_eq!(state(&Object(object), &picture), expected);
        };
        let is = |type_: &str, message: &str| json!({"succeeded": 1, "conditions": [{"type": type_, "status": "True", "message": message}]});
        let (works, waits) = (
            |text: &str| State::Works(text.to_owned()),
            |text: &str| State::Waits(text.to_owned()),
        );
        let two = || json!({"completions": 2});
        check("Job", two(), is("Complete", ""), works("1/2 completed"));
        check("Job", two(), is("Failed", "too often"), waits("it has failed: too often"));
        check("Job", two(), is("Suspended", ""), waits("1/2 completed: it is suspended"));
        check("Job", json!({}), json!({}), waits("0 completed: pod p: it has failed: no room"));
        check("Build", json!({}), json!({"phase": "New"}), waits("New"));
        check("Build", json!({}), json!({"phase": "Complete"}), works(""));
        check("Build", json!({}), json!({}), works(""));
    }

    #[test]
    fn a_deployment_works_when_nothing_of_an_older_template_is_left() {
        let check = |spec: Value, status: Value, ready: &str, expected: State| {
            let owned = |kind: &str, name: &str, owner: &str| {
                json!({"kind": kind, "metadata": {"name": name, "namespace": "n", "uid": name,
                    "ownerReferences": [{"uid": owner}]}})
            };
            let mut pod = owned("Pod", "d-1-a", "d-1");
            pod["status"] = json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": ready, "message": "not yet"}]});
            let set = owned("ReplicaSet", "d-1", "d");
            let picture = Picture::still([(("apps", "replicasets"), set), (("", "pods"), pod)]);
            let mut object = json!({"kind": "Deployment", "spec": spec, "status": status,
                "metadata": {"name": "d", "namespace": "n", "uid": "d", "generation": 2}});
            object["spec"]["replicas"] = 1.into();
            assert_eq!(state(&Object(object), &picture), expected);
        };
        let (works, waits) = (
            |text: &str| State::Works(text.to_owned()),
            |text: &str| State::Waits(text.to_owned()),
        );
        let status = |replicas: i64, updated: i64, seen: i64| {
            json!({"replicas": replicas, "updatedReplicas": updated, "availableReplicas": 1,
                "observedGeneration": seen})
        };
        check(json!({}), status(1, 1, 2), "True", works("1/1 available"));
        check(json!({}), status(1, 1, 2), "False", waits("0/1 available: pod d-1-a: not yet"));
        check(json!({}), status(2, 1, 2), "True", waits("1/1 available, 1 up to date"));
        check(json!({}), status(1, 1, 1), "True", waits("1/1 available"));
        let paused = json!({"paused": true});
        check(paused, status(1, 0, 2), "True", waits("1/1 available, 0 up to date: it is paused"));
    }

    #[test]
    fn sets_work_when_their_pods_are_of_the_newest_template() {
        let check = |kind: &str, spec: Value, status: Value, ready: &str, expected: State| {
            let pod = json!({"kind": "Pod", "metadata": {"name": "s-0", "namespace": "n", "uid": "p",
                    "ownerReferences": [{"uid": "s"}]},
                "status": {"phase": "Running", "conditions": [
                    {"type": "Ready", "status": ready, "message": "not yet"}]}});
            let picture = Picture::still([(("", "pods"), pod)]);
            let mut object = json!({"kind": kind, "spec": spec, "status": status,
                "metadata": {"name": "s", "namespace": "n", "uid": "s", "generation": 2}});
            object["status"]["observedGeneration"] = 2.into();
            assert_eq!(state(&Object(object), &picture), expected);
        };
        let works = |text: &str| State::Works(text.to_owned());
        let waits = |text: &str| State::Waits(text.to_owned());
        let counted =
            |updated: i64| json!({"replicas": 1, "readyReplicas": 1, "updatedReplicas": updated});
        let rolling = json!({"replicas": 1, "updateStrategy": {"type": "RollingUpdate"}});
        let held = json!({"replicas": 1, "updateStrategy": {"rollingUpdate": {"partition": 1}}});
        let kind = "StatefulSet";
        check(kind, rolling.clone(), counted(1), "True", works("1/1 ready"));
        check(kind, rolling.clone(), counted(0), "True", waits("1/1 ready, 0 up to date"));
        check(kind, rolling, counted(1), "False", waits("0/1 ready: pod s-0: not yet"));
        check(kind, held, counted(0), "True", works("1/1 ready"));
        let counted = |updated: i64| json!({"desiredNumberScheduled": 1, "numberAvailable": 1, "updatedNumberScheduled": updated});
        let deletes = json!({"updateStrategy": {"type": "OnDelete"}});
        let kind = "DaemonSet";
        check(kind, json!({}), counted(1), "True", works("1/1 available"));
        check(kind, json!({}), counted(0), "True", waits("1/1 available, 0 up to date"));
        check(kind, json!({}), counted(1), "False", waits("0/1 available: pod s-0: not yet"));
        check(kind, deletes, counted(0), "True", works("1/1 available"));
    }
}
