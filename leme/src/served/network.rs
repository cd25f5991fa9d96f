//! When Services and Routes work: somebody is behind them.
//!
//! Knows: how endpoints are told. Refuses to know: how packets get there.

use jiff::SignedDuration;
use leme_meta::Object;
use serde_json::Value;

use super::events::{self, last_warning};
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
    if let Some(why) = absent_target(object, service, lister) {
        return State::Waits(why);
    }
    State::Works(object.text(&["spec", "host"]).to_owned())
}

fn all_backends(ingress: &Object) -> impl Iterator<Item = &Value> {
    let rules = ingress.at(&["spec", "rules"]).and_then(Value::as_array).into_iter().flatten();
    let paths = rules.flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten());
    paths.map(|path| &path["backend"]).chain(ingress.at(&["spec", "defaultBackend"]))
}

/// The Services that an Ingress names.
pub(super) fn backends(ingress: &Object) -> Vec<&str> {
    let mut names: Vec<&str> =
        all_backends(ingress).filter_map(|backend| backend["service"]["name"].as_str()).collect();
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
    if let Some(why) = refused(object, lister) {
        return State::Waits(why);
    }
    let empty = |name: &&str| ready_endpoints(object.namespace(), name, lister) == 0;
    if let Some(name) = backends(object).into_iter().find(empty) {
        return State::Waits(format!("Service {name} has no ready endpoints"));
    }
    if let Some(why) = absent_port(object, lister) {
        return State::Waits(why);
    }
    let address = first["ip"].as_str().or(first["hostname"].as_str());
    State::Works(address.unwrap_or("").to_owned())
}

/// What the router says of rules that it does not serve. It says it again as long as it holds.
fn refused(ingress: &Object, lister: &Lister) -> Option<String> {
    const REASONS: [&str; 6] = [
        "ExtendedValidationFailed",
        "HostAlreadyClaimed",
        "InvalidHost",
        "NoHostValue",
        "Rejected",
        "RouteNotAdmitted",
    ];
    let is = |event: &&&Value| event["reason"].as_str().is_some_and(|one| REASONS.contains(&one));
    let events = events::about(ingress, lister);
    let last = events.iter().rfind(is)?;
    let age = lister.now().duration_since(events::time(last)?);
    let text = |field: &str| last[field].as_str().unwrap_or("");
    (age < SAID_AGAIN).then(|| join(text("reason"), text("message")))
}

/// After how long what the router does not say again is over.
const SAID_AGAIN: SignedDuration = SignedDuration::from_secs(330);

/// A port of an Ingress's backends that its Service does not have.
fn absent_port(ingress: &Object, lister: &Lister) -> Option<String> {
    let find = |backend: &&Value| {
        let (name, port) = (backend["service"]["name"].as_str(), &backend["service"]["port"]);
        let mut services = lister.all("", "services");
        let service = services.find(|service| {
            service.namespace() == ingress.namespace() && Some(service.name()) == name
        });
        let ports = service?.at(&["spec", "ports"]).and_then(Value::as_array)?;
        let is = |one: &Value| match port["name"].as_str() {
            Some(name) => one["name"].as_str() == Some(name),
            None => one["port"] == port["number"],
        };
        let asked = port["name"].as_str().map(str::to_owned);
        let asked = asked.or_else(|| Some(port["number"].as_i64()?.to_string()))?;
        let name = name?;
        (!ports.iter().any(is)).then(|| format!("Service {name} has no port {asked}"))
    };
    all_backends(ingress).find_map(|backend| find(&backend))
}

/// Whether a Route asks for a port that no endpoint of its Service has.
fn absent_target(route: &Object, service: &str, lister: &Lister) -> Option<String> {
    let target = route.at(&["spec", "port", "targetPort"])?;
    let named = target.as_str().filter(|name| !name.is_empty());
    let asked = named.map(str::to_owned).or_else(|| Some(target.as_i64()?.to_string()))?;
    let is = |port: &Value| {
        port["name"].as_str() == Some(&asked)
            || port["port"].as_i64().is_some_and(|number| number.to_string() == asked)
    };
    let mut ports = slices(route.namespace(), service, lister)
        .flat_map(|slice| slice["ports"].as_array().into_iter().flatten());
    (!ports.any(is)).then(|| format!("no endpoint of Service {service} has a port {asked}"))
}

fn slices<'a>(
    namespace: &'a str,
    service: &'a str,
    lister: &'a Lister,
) -> impl Iterator<Item = &'a Value> {
    lister.all("discovery.k8s.io", "endpointslices").map(|slice| &slice.0).filter(move |slice| {
        slice["metadata"]["namespace"].as_str() == Some(namespace)
            && slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str() == Some(service)
    })
}

pub(super) fn ready_endpoints(namespace: &str, service: &str, lister: &Lister) -> usize {
    slices(namespace, service, lister)
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
