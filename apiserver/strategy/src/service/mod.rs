//! Services.
//!
//! Knows: types, ports, addresses as they are asked for and handed out. Refuses to know: which numbers are free.

use leme_meta::quote;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};

mod addresses;
mod allocate;
mod outside;
mod warnings;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::label_name,
    default,
    prepare_create: |new, _: &Context| {
        json::set(new, "status", json!({ "loadBalancer": {} }));
        addresses::follow(json::child(new, "spec"), None);
    },
    prepare_update,
    allocate: |new, old, _, alloc| allocate::allocate(new, old, alloc),
    validate,
    validate_update,
    deny,
    warn: warnings::of,
    create_on_update: true,
    returns_deleted: true,
    ..Strategy::PLAIN
};

fn default(service: &mut Value) {
    let spec = json::child(service, "spec");
    json::default(spec, "sessionAffinity", "None");
    json::default(spec, "type", "ClusterIP");
    if json::text(spec, &["sessionAffinity"]) == "None" {
        json::remove(spec, "sessionAffinityConfig");
    } else if json::text(spec, &["sessionAffinity"]) == "ClientIP" {
        let client = json::child(json::child(spec, "sessionAffinityConfig"), "clientIP");
        json::default(client, "timeoutSeconds", 10_800);
    }
    for port in json::list_mut(spec, &["ports"]) {
        json::default(port, "protocol", "TCP");
        let number = json::int(port, &["port"]).unwrap_or(0);
        if matches!(port.get("targetPort"), None | Some(Value::Null))
            || port["targetPort"] == 0
            || port["targetPort"] == ""
        {
            json::set(port, "targetPort", number);
        }
    }
    let type_ = json::text(spec, &["type"]).to_owned();
    if outside::is_reachable(spec) {
        json::default(spec, "externalTrafficPolicy", "Cluster");
    }
    if type_ != "ExternalName" {
        json::default(spec, "internalTrafficPolicy", "Cluster");
    }
    if type_ == "LoadBalancer" {
        json::default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

fn is_headless(spec: &Value) -> bool {
    json::text(spec, &["clusterIP"]) == "None"
}

fn has_address(spec: &Value) -> bool {
    json::text(spec, &["type"]) != "ExternalName"
}

fn has_node_ports(spec: &Value) -> bool {
    match json::text(spec, &["type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            json::at(spec, &["allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

/// Carries over what was handed out before and drops what the new type has no use for.
fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    json::keep(new, old, "status");
    let before = old.get("spec").unwrap_or(&Value::Null);
    let spec = json::child(new, "spec");
    if has_address(spec) && has_address(before) {
        if json::unset(spec, "clusterIP") && json::unset(spec, "clusterIPs") {
            json::keep(spec, before, "clusterIP");
            json::keep(spec, before, "clusterIPs");
        }
        addresses::follow(spec, Some(before));
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if json::unset(spec, field) {
                json::keep(spec, before, field);
            }
        }
    }
    if !has_address(spec) && has_address(before) {
        for field in ["clusterIP", "clusterIPs"] {
            if spec.get(field) == before.get(field) {
                json::remove(spec, field);
            }
        }
        for field in ["ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            json::remove(spec, field);
        }
    }
    let identity =
        |port: &Value| (json::text(port, &["protocol"]).to_owned(), json::int(port, &["port"]));
    let mut had_ports = HashMap::new();
    for old in json::list(before, &["ports"]) {
        had_ports.entry(identity(old)).or_insert(old);
    }
    let (needs, needed) = (has_node_ports(spec), has_node_ports(before));
    for port in json::list_mut(spec, &["ports"]) {
        let same = had_ports.get(&identity(port));
        let number = same.and_then(|old| json::int(old, &["nodePort"])).unwrap_or(0);
        if needs && needed && number != 0 {
            json::default_number(port, "nodePort", number);
        } else if !needs && needed && json::int(port, &["nodePort"]) == Some(number) {
            json::remove(port, "nodePort");
        }
    }
    outside::drop_of_type(spec, before);
}

fn validate(service: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let list = json::list(spec, &["ports"]);
    let type_ = json::text(spec, &["type"]);
    if list.is_empty() && !is_headless(spec) && has_address(spec) {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    if type_ == "LoadBalancer" && is_headless(spec) {
        let at = path.child("clusterIPs").index(0);
        errors.push(FieldError::invalid(
            &at,
            "None",
            "may not be set to 'None' for LoadBalancer services",
        ));
    }
    if type_ == "NodePort" && is_headless(spec) {
        let at = path.child("clusterIPs").index(0);
        errors.push(FieldError::invalid(
            &at,
            "None",
            "may not be set to 'None' for NodePort services",
        ));
    }
    external_name(spec, &path, &mut errors);
    ports(spec, list, &path, &mut errors);
    errors.extend(meta::labels(spec.get("selector"), &path.child("selector")));
    check::required_one_of(spec, "sessionAffinity", &path, &["ClientIP", "None"], &mut errors);
    if let Some(seconds) = json::int(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"])
        && !(1..=86_400).contains(&seconds)
    {
        let at = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "must be greater than 0 and less than 86400",
        ));
    }
    addresses::validate(spec, &path, &mut errors);
    external_addresses(spec, &path, &mut errors);
    check::required_one_of(spec, "type", &path, &TYPES, &mut errors);
    outside::ranges(service, &path, &mut errors);
    outside::validate(spec, &path, &mut errors);
    check::one_of(spec, "internalTrafficPolicy", &path, &["Cluster", "Local"], &mut errors);
    check::one_of(
        spec,
        "trafficDistribution",
        &path,
        &["PreferClose", "PreferSameNode", "PreferSameZone"],
        &mut errors,
    );
    errors
}

fn external_name(spec: &Value, path: &Path, errors: &mut Errors) {
    if has_address(spec) {
        return;
    }
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !json::unset(spec, field) {
            errors.push(FieldError::forbidden(
                &path.child(field),
                "may not be set for ExternalName services",
            ));
        }
    }
    let name = json::text(spec, &["externalName"]);
    let name = name.strip_suffix('.').unwrap_or(name);
    let at = path.child("externalName");
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        check::named(&at, name, &names::dns1123_subdomain(name), errors);
    }
}

fn ports(spec: &Value, list: &[Value], path: &Path, errors: &mut Errors) {
    let (mut seen, mut numbers, mut node_ports) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (index, port) in list.iter().enumerate() {
        let path = path.child("ports").index(index);
        let name = json::text(port, &["name"]);
        if name.is_empty() && list.len() > 1 {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            check::named(&path.child("name"), name, &names::dns1123_label(name), errors);
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        check::required_port(port, "port", &path, errors);
        check::required_one_of(port, "protocol", &path, &["SCTP", "TCP", "UDP"], errors);
        check::port_or_name(port, "targetPort", &path, errors);
        if let Some(protocol) = json::at(port, &["appProtocol"]).and_then(Value::as_str) {
            let wrong = names::qualified_name(protocol);
            check::named(&path.child("appProtocol"), protocol, &wrong, errors);
        }
        let protocol = json::text(port, &["protocol"]);
        if !numbers.insert((protocol, json::int(port, &["port"]))) {
            // Upstream shows what it compares by: the other fields are empty.
            let number = check::go_field(port, &["port"]);
            let shown = check::go_struct(&[
                ("Name", "\"\"".to_owned()),
                ("Protocol", quote(&protocol)),
                ("AppProtocol", "null".to_owned()),
                ("Port", number),
                ("TargetPort", "0".to_owned()),
                ("NodePort", "0".to_owned()),
            ]);
            errors.push(FieldError::duplicate(&path, shown));
        }
        let node_port = json::int(port, &["nodePort"]).unwrap_or(0);
        if node_port == 0 {
            continue;
        }
        match json::text(spec, &["type"]) {
            type_ @ ("ClusterIP" | "ExternalName") => {
                let why = format!("may not be used when `type` is '{type_}'");
                errors.push(FieldError::forbidden(&path.child("nodePort"), &why));
            }
            _ => check::port_number(port, "nodePort", &path, errors),
        }
        if !node_ports.insert((protocol, node_port)) {
            errors.push(FieldError::duplicate(&path.child("nodePort"), node_port));
        }
    }
}

fn external_addresses(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, address) in json::list(spec, &["externalIPs"]).iter().enumerate() {
        let (text, at) = (address.as_str().unwrap_or(""), path.child("externalIPs").index(index));
        if text.parse::<IpAddr>().is_err() {
            errors.push(FieldError::invalid(&at, text, check::BAD_IP));
        } else {
            check::endpoint_ip(text, &at, errors);
        }
    }
}

/// Who may name any address takes the packets that others send there: external addresses may stay, none may be added.
fn deny(new: &Value, old: Option<&Value>, _: &Context) -> Option<String> {
    let before = old.map_or(&[][..], |old| json::list(old, &["spec", "externalIPs"]));
    let added =
        json::list(new, &["spec", "externalIPs"]).iter().any(|address| !before.contains(address));
    added.then(|| "Use of external IPs is denied by admission control.".to_owned())
}

fn validate_update(new: &Value, old: &Value) -> Errors {
    let (new, old) =
        (new.get("spec").unwrap_or(&Value::Null), old.get("spec").unwrap_or(&Value::Null));
    let mut errors = Vec::new();
    addresses::validate_update(new, old, &mut errors);
    outside::validate_update(new, old, &mut errors);
    errors
}
