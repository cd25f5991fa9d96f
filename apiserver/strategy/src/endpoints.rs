//! Endpoints and EndpointSlices.
//!
//! Knows: addresses and ports. Refuses to know: which pods stand behind them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::ip;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// Most endpoints and ports of a slice; most addresses and hints of an endpoint.
const MAX_ENDPOINTS: usize = 1000;
const MAX_PORTS: usize = 20_000;
const MAX_ADDRESSES: usize = 100;
const MAX_HINTS: usize = 8;

/// What is wrong with a name.
type Rule = fn(&str) -> Vec<String>;

/// What tells who should send to an endpoint, and the rule for each name there.
const HINTS: [(&str, Rule); 2] =
    [("forZones", names::label_value), ("forNodes", names::dns1123_subdomain)];

pub(crate) static ENDPOINTS: Strategy = Strategy {
    default: |endpoints| {
        for subset in json::list_mut(endpoints, &["subsets"]) {
            for port in json::list_mut(subset, &["ports"]) {
                json::default(port, "protocol", "TCP");
            }
        }
    },
    validate: validate_endpoints,
    deny: |new, old, ctx| deny(new, old, ctx, endpoint_ips),
    create_on_update: true,
    generation: None,
    deprecated: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ..Strategy::PLAIN
};

pub(crate) static SLICE: Strategy = Strategy {
    default: |slice| {
        for port in json::list_mut(slice, &["ports"]) {
            if port.get("name").is_none() {
                json::set(port, "name", "");
            }
            json::default(port, "protocol", "TCP");
        }
    },
    prepare_create: |new, _| drop_topology(new),
    prepare_update: |new, old, _| {
        if new.get("endpoints") != old.get("endpoints") {
            drop_topology(new);
        }
    },
    validate: validate_slice,
    deny: |new, old, ctx| deny(new, old, ctx, slice_ips),
    validate_update: |new, old| meta::immutable(new, old, &["addressType"]).into_iter().collect(),
    generation: Some(|new, old| {
        ["endpoints", "ports", "addressType"].iter().any(|field| new.get(field) != old.get(field))
            || json::at(new, &["metadata", "labels"]) != json::at(old, &["metadata", "labels"])
    }),
    ..Strategy::PLAIN
};

/// Takes out a field that only an earlier version of the kind could write.
fn drop_topology(slice: &mut Value) {
    for endpoint in json::list_mut(slice, &["endpoints"]).iter_mut().filter(|one| one.is_object()) {
        json::remove(endpoint, "deprecatedTopology");
    }
}

fn validate_endpoints(endpoints: &Value) -> Errors {
    let mut errors = Vec::new();
    for (index, subset) in json::list(endpoints, &["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(index);
        let lists = ["addresses", "notReadyAddresses"];
        if lists.iter().all(|field| json::list(subset, &[field]).is_empty()) {
            errors.push(FieldError::required(
                &path,
                "must specify `addresses` or `notReadyAddresses`",
            ));
        }
        for field in lists {
            for (index, address) in json::list(subset, &[field]).iter().enumerate() {
                let path = path.child(field).index(index);
                let (ip, at) = (json::text(address, &["ip"]), path.child("ip"));
                if ip.parse::<IpAddr>().is_err() {
                    errors.push(FieldError::invalid(&at, ip, check::BAD_IP));
                }
                check::endpoint_ip(ip, &at, &mut errors);
                check::optional_name(address, "hostname", &path, names::dns1123_label, &mut errors);
                check::optional_name(
                    address,
                    "nodeName",
                    &path,
                    names::dns1123_subdomain,
                    &mut errors,
                );
            }
        }
        let ports = json::list(subset, &["ports"]);
        for (index, port) in ports.iter().enumerate() {
            let path = path.child("ports").index(index);
            let name = json::text(port, &["name"]);
            if name.is_empty() && ports.len() > 1 {
                errors.push(FieldError::required(&path.child("name"), ""));
            }
            check::optional_name(port, "name", &path, names::dns1123_label, &mut errors);
            check::required_port(port, "port", &path, &mut errors);
            check::required_one_of(port, "protocol", &path, &PROTOCOLS, &mut errors);
        }
    }
    errors
}

fn endpoint_ips(endpoints: &Value) -> Vec<&str> {
    let of = |subset| {
        let lists = ["addresses", "notReadyAddresses"];
        lists.into_iter().flat_map(move |field| json::list(subset, &[field]))
    };
    let all = json::list(endpoints, &["subsets"]).iter().flat_map(of);
    all.map(|address| json::text(address, &["ip"])).collect()
}

fn slice_ips(slice: &Value) -> Vec<&str> {
    let all = json::list(slice, &["endpoints"]).iter();
    all.flat_map(|endpoint| json::list(endpoint, &["addresses"]))
        .filter_map(Value::as_str)
        .collect()
}

/// Denies addresses of Services, which lead to what somebody else has chosen. What is stored may stay.
fn deny(
    new: &Value,
    old: Option<&Value>,
    ctx: &Context,
    of: fn(&Value) -> Vec<&str>,
) -> Option<String> {
    let stored = old.map(of).unwrap_or_default();
    let denied = of(new).into_iter().find(|text| {
        let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
        !stored.contains(text)
            && matches!(address, Ok(IpAddr::V4(address)) if is_of(address, ctx.service_network))
    })?;
    Some(format!("endpoint address {denied} is not allowed"))
}

fn is_of(address: Ipv4Addr, (network, bits): (Ipv4Addr, u8)) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
    u32::from(address) & mask == u32::from(network) & mask
}

fn validate_slice(slice: &Value) -> Errors {
    let mut errors = Vec::new();
    let root = Path::default();
    let type_ = json::text(slice, &["addressType"]);
    check::required_one_of(slice, "addressType", &root, &["FQDN", "IPv4", "IPv6"], &mut errors);
    let list = json::list(slice, &["endpoints"]);
    if list.len() > MAX_ENDPOINTS {
        errors.push(FieldError::too_many(&root.child("endpoints"), list.len(), MAX_ENDPOINTS));
    }
    for (index, endpoint) in list.iter().enumerate().take(MAX_ENDPOINTS) {
        self::endpoint(endpoint, type_, &root.child("endpoints").index(index), &mut errors);
    }
    let ports = json::list(slice, &["ports"]);
    if ports.len() > MAX_PORTS {
        errors.push(FieldError::too_many(&root.child("ports"), ports.len(), MAX_PORTS));
        return errors;
    }
    let mut seen = HashSet::new();
    for (index, port) in json::list(slice, &["ports"]).iter().enumerate() {
        let path = root.child("ports").index(index);
        let name = json::text(port, &["name"]);
        check::optional_name(port, "name", &path, names::dns1123_label, &mut errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        check::port_number(port, "port", &path, &mut errors);
        check::required_one_of(port, "protocol", &path, &PROTOCOLS, &mut errors);
        if let Some(protocol) = json::at(port, &["appProtocol"]).and_then(Value::as_str) {
            let at = path.child("appProtocol");
            check::named(&at, protocol, &names::qualified_name(protocol), &mut errors);
        }
    }
    errors
}

fn endpoint(endpoint: &Value, type_: &str, path: &Path, errors: &mut Errors) {
    let addresses = json::list(endpoint, &["addresses"]);
    let at = path.child("addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(&at, "must contain at least 1 address"));
    } else if addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&at, addresses.len(), MAX_ADDRESSES));
    }
    for (index, address) in addresses.iter().enumerate() {
        slice_address(type_, address.as_str().unwrap_or(""), &at.index(index), errors);
    }
    let set = |field| json::at(endpoint, &[field]).and_then(Value::as_str);
    if let Some(node) = set("nodeName") {
        check::named(&path.child("nodeName"), node, &names::dns1123_subdomain(node), errors);
    }
    if let Some(host) = set("hostname") {
        check::named(&path.child("hostname"), host, &names::dns1123_label(host), errors);
    }
    for (field, rule) in HINTS {
        let list = json::list(endpoint, &["hints", field]);
        let at = path.child("hints").child(field);
        if list.len() > MAX_HINTS {
            errors.push(FieldError::too_many(&at, list.len(), MAX_HINTS));
            break;
        }
        let mut seen = HashSet::new();
        for (index, hint) in list.iter().enumerate() {
            let (name, at) = (json::text(hint, &["name"]), at.index(index).child("name"));
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&at, name));
            }
            check::named(&at, name, &rule(name), errors);
        }
    }
}

fn slice_address(type_: &str, text: &str, path: &Path, errors: &mut Errors) {
    if type_ == "FQDN" {
        domain(text, path, errors);
        return;
    }
    let four = match type_ {
        "IPv4" => true,
        "IPv6" => false,
        _ => return,
    };
    match (ip::sloppy(text), ip::wrong_ip(text)) {
        (Some(address), None) => {
            if address.is_ipv4() != four {
                let why = format!("must be an {type_} address");
                errors.push(FieldError::invalid(path, text, &why));
            }
            check::endpoint_ip(text, path, errors);
        }
        (_, why) => errors.extend(why.map(|why| FieldError::invalid(path, text, why))),
    }
}

/// A domain name of at least two labels, with or without a dot at its end.
fn domain(text: &str, path: &Path, errors: &mut Errors) {
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let mut refuse = |part: &str, why: &str| errors.push(FieldError::invalid(path, part, why));
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        refuse(name, &wrong.join(","));
    } else if !name.contains('.') {
        refuse(name, "should be a domain with at least two segments separated by dots");
    } else {
        let mut labels = name.split('.').map(|label| (label, names::dns1123_label(label)));
        if let Some((label, wrong)) = labels.find(|(_, wrong)| !wrong.is_empty()) {
            refuse(label, &wrong.join(","));
        }
    }
}
