//! When Gateways and their routes work: the router says so, and somebody is behind them.
//!
//! Knows: conditions as the Gateway API has them. Refuses to know: what the router decides by.

use leme_meta::Object;
use serde_json::Value;

use super::network::ready_endpoints;
use super::{State, condition_in};
use crate::follow::Lister;

pub(super) fn class(object: &Object, _: &Lister) -> State {
    let none =
        || State::Waits(format!("the controller {}", object.text(&["spec", "controllerName"])));
    let conditions = object.at(&["status", "conditions"]).unwrap_or(&Value::Null);
    match condition_in(conditions, "Accepted") {
        Some((true, _)) => State::Works(String::new()),
        Some((false, message)) if !is_unknown(conditions) => State::Waits(message),
        _ => none(),
    }
}

/// Whether nobody has said anything yet.
fn is_unknown(conditions: &Value) -> bool {
    conditions.as_array().into_iter().flatten().any(|one| one["status"] == "Unknown")
}

fn list<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.at(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What a condition says, if it does not hold.
fn denied(conditions: &Value, name: &str) -> Option<String> {
    condition_in(conditions, name).filter(|(holds, _)| !holds).map(|(_, message)| message)
}

pub(super) fn gateway(object: &Object, _: &Lister) -> State {
    let conditions = object.at(&["status", "conditions"]).unwrap_or(&Value::Null);
    if condition_in(conditions, "Accepted").is_none() || is_unknown(conditions) {
        let class = object.text(&["spec", "gatewayClassName"]);
        return State::Waits(format!("no controller of the class {class} has taken it"));
    }
    for listener in list(object, &["status", "listeners"]) {
        let name = listener["name"].as_str().unwrap_or("");
        let why = ["Accepted", "ResolvedRefs", "Programmed"];
        if let Some(why) = why.iter().find_map(|one| denied(&listener["conditions"], one)) {
            return State::Waits(format!("listener {name}: {why}"));
        }
    }
    match ["Accepted", "Programmed"].iter().find_map(|one| denied(conditions, one)) {
        Some(why) => State::Waits(why),
        None => {
            let addresses = list(object, &["status", "addresses"]);
            let all: Vec<&str> = addresses.iter().filter_map(|one| one["value"].as_str()).collect();
            State::Works(all.join(", "))
        }
    }
}

pub(super) fn route(object: &Object, lister: &Lister) -> State {
    let parents = list(object, &["status", "parents"]);
    if parents.is_empty() {
        return State::Waits("no Gateway has taken it".to_owned());
    }
    for parent in parents {
        let conditions = &parent["conditions"];
        let name = parent["parentRef"]["name"].as_str().unwrap_or("");
        if let Some(why) = denied(conditions, "Accepted") {
            return State::Waits(format!("not accepted by the Gateway {name}: {why}"));
        }
        if let Some(why) = denied(conditions, "ResolvedRefs") {
            return State::Waits(why);
        }
        if let Some((true, why)) = condition_in(conditions, "PartiallyInvalid") {
            return State::Waits(why);
        }
    }
    let rules = list(object, &["spec", "rules"]).iter();
    let backends = rules.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten());
    for backend in backends {
        let name = backend["name"].as_str().unwrap_or("");
        let namespace = backend["namespace"].as_str().unwrap_or(object.namespace());
        if ready_endpoints(namespace, name, lister) == 0 {
            return State::Waits(format!("Service {name} has no ready endpoints"));
        }
    }
    let hosts: Vec<&str> =
        list(object, &["spec", "hostnames"]).iter().filter_map(Value::as_str).collect();
    State::Works(hosts.join(", "))
}
