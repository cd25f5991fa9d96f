//! What a service says about traffic from outside the cluster: policies, balancers, their ranges and health checks.
//!
//! Knows: which type of service may say what. Refuses to know: who balances.

use std::net::IpAddr;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::{self, Errors};

const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ONLY_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";

/// Whether a rule holds for the spec of a service.
type Fits = fn(&Value) -> bool;

/// Fields that go when a service changes its type to one that has no use for them.
const OF_TYPE: [(&str, Fits); 4] = [
    ("allocateLoadBalancerNodePorts", is_balancer),
    ("externalTrafficPolicy", is_reachable),
    ("healthCheckNodePort", has_health_check),
    ("loadBalancerClass", is_balancer),
];

fn is_balancer(spec: &Value) -> bool {
    json::text(spec, &["type"]) == "LoadBalancer"
}

/// Whether packets from outside the cluster may come to a service.
pub(super) fn is_reachable(spec: &Value) -> bool {
    match json::text(spec, &["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => !json::list(spec, &["externalIPs"]).is_empty(),
        _ => false,
    }
}

fn has_health_check(spec: &Value) -> bool {
    is_balancer(spec) && json::text(spec, &["externalTrafficPolicy"]) == "Local"
}

/// Takes out what the former type needed and the client only repeats.
pub(super) fn drop_of_type(spec: &mut Value, before: &Value) {
    // All are asked before one is taken out: the health check hangs on the policy.
    let gone: Vec<&str> = OF_TYPE
        .iter()
        .filter(|(field, fits)| fits(before) && !fits(spec) && spec.get(field) == before.get(field))
        .map(|(field, _)| *field)
        .collect();
    for field in gone {
        json::remove(spec, field);
    }
}

/// Checks the ranges that a balancer lets in: those of the field or, if it has none, of the annotation.
pub(super) fn ranges(service: &Value, path: &Path, errors: &mut Errors) {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let list = json::list(spec, &["loadBalancerSourceRanges"]);
    let annotation = json::at(service, &["metadata", "annotations", RANGES]);
    // Upstream's name of the field in this message is not the one in JSON.
    let at = match (list, annotation) {
        ([], Some(_)) => Path::new("metadata").child("annotations").key(RANGES),
        ([], None) => return,
        _ => path.child("LoadBalancerSourceRanges"),
    };
    if !is_balancer(spec) {
        errors.push(FieldError::forbidden(&at, ONLY_BALANCER));
    }
    for (index, range) in list.iter().enumerate() {
        self::range(range.as_str().unwrap_or("").trim(), &at.index(index), errors);
    }
    let text = annotation.and_then(Value::as_str).unwrap_or("").trim();
    if list.is_empty() && !text.is_empty() {
        text.split(',').for_each(|range| self::range(range.trim(), &at, errors));
    }
}

fn range(text: &str, path: &Path, errors: &mut Errors) {
    let fits = text.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.bytes().all(|byte| byte.is_ascii_digit())
            && length.parse::<u32>().is_ok_and(|length| length <= most)
    });
    if !fits {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.push(FieldError::invalid(path, text, why));
    }
}

/// Checks what only balancers, or only services that can be reached from outside, may say.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    let set = |field: &str| json::at(spec, &[field]).is_some();
    let nodes = "allocateLoadBalancerNodePorts";
    if set(nodes) && !is_balancer(spec) {
        errors.push(FieldError::forbidden(&path.child(nodes), ONLY_BALANCER));
    }
    let class = path.child("loadBalancerClass");
    if is_balancer(spec) && set("loadBalancerClass") {
        let text = json::text(spec, &["loadBalancerClass"]);
        check::named(&class, text, &names::qualified_name(text), errors);
    } else if set("loadBalancerClass") {
        errors.push(FieldError::forbidden(&class, ONLY_BALANCER));
    }
    let policy = json::text(spec, &["externalTrafficPolicy"]);
    if is_reachable(spec) {
        let known = ["Cluster", "Local"];
        check::required_one_of(spec, "externalTrafficPolicy", path, &known, errors);
    } else if !policy.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid(&path.child("externalTrafficPolicy"), policy, why));
    }
    let port = json::int(spec, &["healthCheckNodePort"]).unwrap_or(0);
    if has_health_check(spec) && port != 0 {
        check::port_number(spec, "healthCheckNodePort", path, errors);
    } else if port != 0 {
        let why =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(&path.child("healthCheckNodePort"), port, why));
    }
}

/// Checks that a balancer stays who it is.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let same = |field: &str| json::at(new, &[field]) == json::at(old, &[field]);
    if is_balancer(new) && is_balancer(old) && !same("loadBalancerClass") {
        let class = new.get("loadBalancerClass").unwrap_or(&Value::Null);
        let at = path.child("loadBalancerClass");
        errors.push(FieldError::invalid(&at, class, "may not change once set"));
    }
    if has_health_check(new) && has_health_check(old) && !same("healthCheckNodePort") {
        let at = path.child("healthCheckNodePort");
        errors.push(FieldError::forbidden(&at, "field is immutable"));
    }
}
