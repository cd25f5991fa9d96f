//! Endpoints and EndpointSlices.
//!
//! Knows: addresses and ports. Refuses to know: which pods stand behind them.

use std::net::IpAddr;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

const BAD_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
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
    create_on_update: true,
    generation: None,
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
                special_ip(json::text(address, &["ip"]), &path.child("ip"), &mut errors);
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

fn special_ip(text: &str, path: &Path, errors: &mut Errors) {
    let why = match text.parse::<IpAddr>() {
        Err(_) => BAD_IP,
        Ok(address) if address.is_unspecified() => "may not be unspecified (0.0.0.0 or ::)",
        Ok(address) if address.is_loopback() => {
            "may not be in the loopback range (127.0.0.0/8, ::1/128)"
        }
        Ok(IpAddr::V4(address)) if address.is_link_local() => {
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        }
        Ok(IpAddr::V4(address)) if address.octets()[..3] == [224, 0, 0] => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        }
        Ok(_) => return,
    };
    errors.push(FieldError::invalid(path, text, why));
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
        ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => special_ip(text, path, errors),
        ("IPv4", _) => errors.push(FieldError::invalid(path, text, "must be a valid IPv4 address")),
        ("IPv6", _) => errors.push(FieldError::invalid(path, text, "must be a valid IPv6 address")),
        _ => {}
    }
}
