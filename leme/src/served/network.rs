//! When Services and Routes work: somebody is behind them.
//!
//! Knows: how endpoints are told. Refuses to know: how packets get there.

use leme_meta::Object;
use serde_json::Value;

use super::events::last_warning;
use super::{State, condition_in, join, pods, state};
use crate::follow::Lister;

pub(super) fn service(object: &Object, lister: &Lister) -> State {
    let address = object.text(&["spec", "clusterIP"]).to_owned();
    if selector(object).is_empty() {
        return State::Works(address);
    }
    let outside = object.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
    let is_balanced = object.text(&["spec", "type"]) == "LoadBalancer";
    let without = match is_balanced && outside.is_none_or(Vec::is_empty) {
        true => ", no load balancer has given it an address",
        false => "",
    };
    match ready_endpoints(object.namespace(), object.name(), lister) {
        0 => State::Waits(join("no ready endpoints", &nobody(object, lister))),
        1 => State::Works(format!("{address}, 1 endpoint{without}")),
        count => State::Works(format!("{address}, {count} endpoints{without}")),
    }
}

/// The labels of a Service's pods.
pub(super) fn selector(service: &Object) -> Vec<(&str, &str)> {
    let pairs = service.at(&["spec", "selector"]).and_then(Value::as_object);
    pairs.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?))).collect()
}

/// The pods that a Service selects, by name.
pub(super) fn selected<'a>(service: &Object, lister: &'a Lister) -> Vec<&'a Object> {
    let wanted = selector(service);
    let has = |pod: &Object, pair: &(&str, &str)| pod.labels().any(|label| label == *pair);
    let is = |pod: &&Object| {
        pod.namespace() == service.namespace() && wanted.iter().all(|pair| has(pod, pair))
    };
    let mut pods: Vec<&Object> = lister.all("", "pods").filter(is).collect();
    pods.sort_by_key(|pod| pod.name());
    pods
}

/// Why nobody is behind a Service.
fn nobody(service: &Object, lister: &Lister) -> String {
    if !lister.knows("", "pods") {
        return String::new();
    }
    let pods = selected(service, lister);
    if pods.is_empty() {
        let labels: Vec<String> =
            selector(service).iter().map(|(key, value)| format!("{key}={value}")).collect();
        return format!("no pod has the labels {}", labels.join(","));
    }
    let trouble = |pod: &&Object| Some((pod.name().to_owned(), state(pod, lister).trouble()?));
    pods.iter()
        .find_map(trouble)
        .map_or_else(String::new, |(name, why)| format!("pod {name}: {why}"))
}

pub(super) fn route(object: &Object, lister: &Lister) -> State {
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
    if ready_endpoints(object.namespace(), service, lister) == 0 {
        return State::Waits(format!("Service {service} has no ready endpoints"));
    }
    State::Works(object.text(&["spec", "host"]).to_owned())
}

/// The Services that an Ingress names.
pub(super) fn backends(ingress: &Object) -> Vec<&str> {
    let rules = ingress.at(&["spec", "rules"]).and_then(Value::as_array).into_iter().flatten();
    let paths = rules.flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten());
    let all = paths.map(|path| &path["backend"]).chain(ingress.at(&["spec", "defaultBackend"]));
    let mut names: Vec<&str> =
        all.filter_map(|backend| backend["service"]["name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

pub(super) fn ingress(object: &Object, lister: &Lister) -> State {
    let told = object.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
    let Some(first) = told.and_then(|told| told.first()) else {
        let class = object.text(&["spec", "ingressClassName"]);
        let none = match class {
            "" => "no router has taken it".to_owned(),
            class => format!("no router of the class {class} has taken it"),
        };
        return State::Waits(last_warning(object, lister).unwrap_or(none));
    };
    let empty = |name: &&str| ready_endpoints(object.namespace(), name, lister) == 0;
    if let Some(name) = backends(object).into_iter().find(empty) {
        return State::Waits(format!("Service {name} has no ready endpoints"));
    }
    let address = first["ip"].as_str().or(first["hostname"].as_str());
    State::Works(address.unwrap_or("").to_owned())
}

fn ready_endpoints(namespace: &str, service: &str, lister: &Lister) -> usize {
    lister
        .all("discovery.k8s.io", "endpointslices")
        .map(|slice| &slice.0)
        .filter(|slice| {
            slice["metadata"]["namespace"].as_str() == Some(namespace)
                && slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str()
                    == Some(service)
        })
        .flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten())
        .filter(|endpoint| endpoint["conditions"]["ready"].as_bool().unwrap_or(true))
        .filter(|endpoint| !is_stale(endpoint, lister))
        .count()
}

/// Whether an endpoint calls a pod ready that is not: after a restart slices are behind.
fn is_stale(endpoint: &Value, lister: &Lister) -> bool {
    let Some(uid) = endpoint["targetRef"]["uid"].as_str() else { return false };
    lister.all("", "pods").any(|pod| pod.uid() == uid && !pods::is_ready(pod, lister))
}
