//! Columns of services, endpoints and endpoint slices.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AGE, NONE, first_three, int, labels, list, shown, text, text_or, wide};
use crate::Column;

pub(crate) const SERVICE: &[Column] = &[
    shown("Type", |service, _| text(service, "/spec/type").into()),
    shown("Cluster-IP", |service, _| text_or(service, "/spec/clusterIP", NONE).into()),
    shown("External-IP", |service, _| external_ip(service).into()),
    shown("Port(s)", |service, _| ports(service).into()),
    AGE,
    wide("Selector", |service, _| labels(service.pointer("/spec/selector")).into()),
];

pub(crate) const ENDPOINTS: &[Column] =
    &[shown("Endpoints", |endpoints, _| addresses(endpoints).into()), AGE];

pub(crate) const ENDPOINT_SLICE: &[Column] = &[
    shown("AddressType", |slice, _| text(slice, "/addressType").into()),
    shown("Ports", |slice, _| slice_ports(slice).into()),
    shown("Endpoints", |slice, _| slice_addresses(slice).into()),
    AGE,
];

fn external_ip(service: &Value) -> String {
    let own: Vec<&str> =
        list(service, "/spec/externalIPs").iter().filter_map(Value::as_str).collect();
    match text(service, "/spec/type") {
        "ClusterIP" | "NodePort" if own.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => own.join(","),
        "LoadBalancer" => {
            let ingress: BTreeSet<&str> = list(service, "/status/loadBalancer/ingress")
                .iter()
                .map(|one| text_or(one, "/ip", text(one, "/hostname")))
                .filter(|address| !address.is_empty())
                .collect();
            let all: Vec<&str> = ingress.into_iter().chain(own).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let shown: Vec<String> = list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (int(port, "/port"), text(port, "/protocol"));
            match int(port, "/nodePort") {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if shown.is_empty() { NONE.to_owned() } else { shown.join(",") }
}

fn addresses(endpoints: &Value) -> String {
    let subsets = list(endpoints, "/subsets");
    if subsets.is_empty() {
        return NONE.to_owned();
    }
    let mut shown = Vec::new();
    for subset in subsets {
        let ips = list(subset, "/addresses").iter().map(|address| text(address, "/ip"));
        let ports = list(subset, "/ports");
        if ports.is_empty() {
            shown.extend(ips.map(str::to_owned));
            continue;
        }
        for port in ports {
            shown.extend(ips.clone().map(|ip| host_port(ip, int(port, "/port"))));
        }
    }
    first_three(&shown, "")
}

fn host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn slice_ports(slice: &Value) -> String {
    let shown: Vec<String> = list(slice, "/ports")
        .iter()
        .map(|port| match port.get("port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => port.get("name").and_then(Value::as_str).unwrap_or("*").to_owned(),
        })
        .collect();
    first_three(&shown, "<unset>")
}

fn slice_addresses(slice: &Value) -> String {
    let shown: Vec<String> = list(slice, "/endpoints")
        .iter()
        .flat_map(|endpoint| list(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    first_three(&shown, "<unset>")
}
