//! Endpoints and EndpointSlices.
//!
//! Knows: addresses and ports. Refuses to know: which pods stand behind them.

use std::net::{IpAddr, Ipv4Addr};

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

pub(crate) static ENDPOINTS: Strategy = Strategy {
    default: |endpoints| {
        for subset in json::list_mut(endpoints, &["subsets"]) {
            for port in json::list_mut(subset, &["ports"]) {
                json::default(port, "protocol", "TCP");
            }
        }
    },
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
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
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
    validate: validate_slice,
    deny: |new, old, ctx| deny(new, old, ctx, slice_ips),
    validate_update: |new, old| meta::immutable(new, old, &["addressType"]).into_iter().collect(),
    generation: Some(|new, old| {
        ["endpoints", "ports", "addressType"].iter().any(|field| new.get(field) != old.get(field))
            || json::at(new, &["metadata", "labels"]) != json::at(old, &["metadata", "labels"])
    }),
    ..Strategy::PLAIN
};

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
    if list.len() > 1000 {
        let mut error = FieldError::forbidden(&root.child("endpoints"), "");
        error.kind = leme_meta::field::FieldErrorKind::TooMany;
        error.body = format!("Too many: {}: must have at most 1000 items", list.len());
        errors.push(error);
    }
    for (index, endpoint) in list.iter().enumerate() {
        let path = root.child("endpoints").index(index);
        let addresses = json::list(endpoint, &["addresses"]);
        if addresses.is_empty() {
            errors.push(FieldError::required(
                &path.child("addresses"),
                "must contain at least 1 address",
            ));
        }
        for (index, address) in addresses.iter().enumerate() {
            slice_address(
                type_,
                address.as_str().unwrap_or(""),
                &path.child("addresses").index(index),
                &mut errors,
            );
        }
        check::optional_name(endpoint, "nodeName", &path, names::dns1123_subdomain, &mut errors);
        check::optional_name(endpoint, "hostname", &path, names::dns1123_label, &mut errors);
    }
    let mut seen = std::collections::HashSet::new();
    for (index, port) in json::list(slice, &["ports"]).iter().enumerate() {
        let path = root.child("ports").index(index);
        let name = json::text(port, &["name"]);
        check::optional_name(port, "name", &path, names::dns1123_label, &mut errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        check::port_number(port, "port", &path, &mut errors);
        check::required_one_of(port, "protocol", &path, &PROTOCOLS, &mut errors);
    }
    errors
}

fn slice_address(type_: &str, text: &str, path: &Path, errors: &mut Errors) {
    match (type_, text.parse::<IpAddr>()) {
        ("FQDN", _) => check::named(path, text, &names::dns1123_subdomain(text), errors),
        ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => {
            check::endpoint_ip(text, path, errors)
        }
        ("IPv4", _) => errors.push(FieldError::invalid(path, text, "must be a valid IPv4 address")),
        ("IPv6", _) => errors.push(FieldError::invalid(path, text, "must be a valid IPv6 address")),
        _ => {}
    }
}
