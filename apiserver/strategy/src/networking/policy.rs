//! NetworkPolicies.
//!
//! Knows: peers, ports, blocks of addresses. Refuses to know: who drops packets.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::ip;
use crate::pod_spec::selector;

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const TYPES: [&str; 2] = ["Ingress", "Egress"];

/// Directions, and how each names the other side.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

pub(crate) static STRATEGY: Strategy = Strategy {
    default,
    validate_create: |policy| validate(policy, &[]),
    validate_update: |new, old| {
        let blocks = blocks(old);
        let stored: Vec<&str> = blocks.iter().map(|(_, network)| *network).collect();
        validate(new, &stored)
    },
    warn: |policy, _| {
        let blocks = blocks(policy);
        let odd = blocks.iter().flat_map(|(path, network)| ip::network_warnings(path, network));
        odd.collect()
    },
    generation: Some(Strategy::spec_changed),
    ..Strategy::PLAIN
};

fn default(policy: &mut Value) {
    let spec = json::child(policy, "spec");
    for (direction, _) in DIRECTIONS {
        for rule in json::list_mut(spec, &[direction]) {
            for port in json::list_mut(rule, &["ports"]).iter_mut().filter(|port| port.is_object())
            {
                if port.get("protocol").is_none_or(Value::is_null) {
                    json::set(port, "protocol", "TCP");
                }
            }
        }
    }
    if json::unset(spec, "policyTypes") {
        let both = !json::list(spec, &["egress"]).is_empty();
        json::set(spec, "policyTypes", if both { json!(TYPES) } else { json!(["Ingress"]) });
    }
}

/// Every network that a policy names, with its path.
fn blocks(policy: &Value) -> Vec<(Path, &str)> {
    let mut found = Vec::new();
    for (direction, side) in DIRECTIONS {
        let rules = json::list(policy, &["spec", direction]).iter().enumerate();
        for (rule_at, rule) in rules {
            for (peer_at, peer) in json::list(rule, &[side]).iter().enumerate() {
                let Some(block) = json::at(peer, &["ipBlock"]) else { continue };
                let rule = Path::new("spec").child(direction).index(rule_at);
                let path = rule.child(side).index(peer_at).child("ipBlock");
                found.push((path.child("cidr"), json::text(block, &["cidr"])));
                for (index, except) in json::list(block, &["except"]).iter().enumerate() {
                    let at = path.child("except").index(index);
                    found.push((at, except.as_str().unwrap_or("")));
                }
            }
        }
    }
    found
}

fn validate(policy: &Value, stored: &[&str]) -> Errors {
    let path = Path::new("spec");
    let spec = policy.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let pods = spec.get("podSelector").unwrap_or(&Value::Null);
    selector(pods, &path.child("podSelector"), &mut errors);
    for (direction, side) in DIRECTIONS {
        for (index, rule) in json::list(spec, &[direction]).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in json::list(rule, &["ports"]).iter().enumerate() {
                self::port(port, &path.child("ports").index(index), &mut errors);
            }
            for (index, peer) in json::list(rule, &[side]).iter().enumerate() {
                self::peer(peer, stored, &path.child(side).index(index), &mut errors);
            }
        }
    }
    let types = json::list(spec, &["policyTypes"]);
    let at = path.child("policyTypes");
    if types.len() > TYPES.len() {
        let why = "may not specify more than two policyTypes";
        errors.push(FieldError::invalid(&at, &spec["policyTypes"], why));
        return errors;
    }
    for (index, one) in types.iter().enumerate() {
        if !TYPES.iter().any(|known| one == known) {
            errors.push(FieldError::not_supported(&at.index(index), one, &TYPES));
        }
    }
    errors
}

fn port(port: &Value, path: &Path, errors: &mut Errors) {
    check::one_of(port, "protocol", path, &PROTOCOLS, errors);
    let end = json::int(port, &["endPort"]);
    let at = path.child("endPort");
    match json::at(port, &["port"]) {
        None => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(&at, end, why));
            }
        }
        Some(Value::String(name)) => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&at, end, why));
            }
            check::named(&path.child("port"), name, &names::port_name(name), errors);
        }
        Some(number) => {
            let number = number.as_i64().unwrap_or(0);
            for why in names::port_number(number) {
                errors.push(FieldError::invalid(&path.child("port"), number, &why));
            }
            let Some(end) = end else { return };
            if end < number {
                let why = "must be greater than or equal to `port`";
                errors.push(FieldError::invalid(&at, end, why));
            }
            for why in names::port_number(end) {
                errors.push(FieldError::invalid(&at, end, &why));
            }
        }
    }
}

fn peer(peer: &Value, stored: &[&str], path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(wish) = json::at(peer, &[field]) {
            count += 1;
            selector(wish, &path.child(field), errors);
        }
    }
    let block = json::at(peer, &["ipBlock"]);
    if let Some(block) = block {
        ip_block(block, stored, &path.child("ipBlock"), errors);
    }
    match (count, block) {
        (0, None) => errors.push(FieldError::required(path, "must specify a peer")),
        (1.., Some(_)) => {
            let why = "may not specify both ipBlock and another peer";
            errors.push(FieldError::forbidden(path, why));
        }
        _ => {}
    }
}

fn ip_block(block: &Value, stored: &[&str], path: &Path, errors: &mut Errors) {
    let text = check::required(block, "cidr", path, errors);
    if text.is_empty() {
        return;
    }
    ip::any_network(text, stored, &path.child("cidr"), errors);
    let Some(outer) = ip::network(text) else { return };
    for (index, except) in json::list(block, &["except"]).iter().enumerate() {
        let (text, at) = (except.as_str().unwrap_or(""), path.child("except").index(index));
        ip::any_network(text, stored, &at, errors);
        let Some(inner) = ip::network(text) else { continue };
        if !ip::contains(outer, inner) || outer.1 >= inner.1 {
            let why = "must be a strict subset of `cidr`";
            errors.push(FieldError::invalid(&at, text, why));
        }
    }
}
