//! IPAddresses: what tells which cluster address which Service has.
//!
//! Knows: how such an object looks, and whose one is. Refuses to know: how addresses are chosen, and when objects come and go.

use std::net::IpAddr;

use leme_registry::json;
use serde_json::{Value, json};

use crate::claims::Owner;

/// Who makes them, by their labels.
const MANAGER: (&str, &str) = ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// Where they are.
pub(crate) const COLLECTION: &str = "/apis/networking.k8s.io/v1/ipaddresses";

/// The object that tells of an address which a Service has.
pub(crate) fn object(ip: IpAddr, namespace: &str, name: &str) -> Value {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": { "name": ip.to_string(), "labels": { MANAGER.0: MANAGER.1, FAMILY: family } },
        "spec": {
            "parentRef": { "group": "", "resource": "services", "namespace": namespace, "name": name },
        },
    })
}

/// The Service that an IPAddress is of, if servers made it.
pub(crate) fn owner(address: &Value) -> Option<Owner> {
    let labels = json::at(address, &["metadata", "labels"])?;
    let ours = labels.get(MANAGER.0).and_then(Value::as_str) == Some(MANAGER.1);
    let text = |field| json::text(address, &["spec", "parentRef", field]).to_owned();
    ours.then(|| (text("namespace"), text("name")))
}
