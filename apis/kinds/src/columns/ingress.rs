//! Columns of networking.k8s.io.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AGE, NONE, list, selector, shown, text, text_or};
use crate::Column;

pub(crate) const INGRESS: &[Column] = &[
    shown("Class", |ingress, _| match ingress.pointer("/spec/ingressClassName") {
        Some(Value::String(class)) => class.as_str().into(),
        _ => NONE.into(),
    }),
    shown("Hosts", |ingress, _| hosts(list(ingress, "/spec/rules")).into()),
    shown("Address", |ingress, _| {
        let points = list(ingress, "/status/loadBalancer/ingress").iter();
        let addresses: BTreeSet<&str> = points
            .map(|point| text_or(point, "/ip", text(point, "/hostname")))
            .filter(|address| !address.is_empty())
            .collect();
        addresses.into_iter().collect::<Vec<_>>().join(",").into()
    }),
    shown("Ports", |ingress, _| {
        if list(ingress, "/spec/tls").is_empty() { "80".into() } else { "80, 443".into() }
    }),
    AGE,
];

pub(crate) const INGRESS_CLASS: &[Column] = &[
    shown("Controller", |class, _| text(class, "/spec/controller").into()),
    shown("Parameters", |class, _| match class.pointer("/spec/parameters") {
        Some(parameters @ Value::Object(_)) => {
            let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
            match parameters.get("apiGroup").and_then(Value::as_str) {
                Some(group) => format!("{kind}.{group}/{name}").into(),
                None => format!("{kind}/{name}").into(),
            }
        }
        _ => NONE.into(),
    }),
    AGE,
];

pub(crate) const NETWORK_POLICY: &[Column] =
    &[shown("Pod-Selector", |policy, _| selector(policy.pointer("/spec/podSelector")).into()), AGE];

/// Upstream has no age here.
pub(crate) const IP_ADDRESS: &[Column] =
    &[shown("ParentRef", |address, _| match address.pointer("/spec/parentRef") {
        Some(parent @ Value::Object(_)) => {
            let group = match text(parent, "/group") {
                "" => String::new(),
                group => format!(".{group}"),
            };
            let resource = format!("{}{group}", text(parent, "/resource")).to_lowercase();
            let name = text(parent, "/name");
            match text(parent, "/namespace") {
                "" => format!("{resource}/{name}").into(),
                namespace => format!("{resource}/{namespace}/{name}").into(),
            }
        }
        _ => NONE.into(),
    })];

pub(crate) const SERVICE_CIDR: &[Column] = &[
    shown("CIDRs", |network, _| {
        let networks = list(network, "/spec/cidrs").iter().filter_map(Value::as_str);
        networks.collect::<Vec<_>>().join(",").into()
    }),
    AGE,
];

/// The first three hosts, or `*` if no rule names one.
fn hosts(rules: &[Value]) -> String {
    let all = rules.iter().enumerate().filter(|(_, rule)| !text(rule, "/host").is_empty());
    let named: Vec<(usize, &str)> =
        all.map(|(index, rule)| (index, text(rule, "/host"))).take(3).collect();
    let shown: Vec<&str> = named.iter().map(|(_, host)| *host).collect();
    match named.last() {
        None => "*".to_owned(),
        // Upstream counts the rules after the third host, whether they name one or not.
        Some((last, _)) if named.len() == 3 && last + 1 < rules.len() => {
            format!("{} + {} more...", shown.join(","), rules.len() - 3)
        }
        _ => shown.join(","),
    }
}
