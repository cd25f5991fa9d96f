//! EndpointSlices as the beta has them: where an endpoint is stands in one map.
//!
//! Knows: which entries of that map have fields of their own by now. Refuses to know: endpoints.

use leme_registry::json;
use serde_json::{Map, Value};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

/// What a client has sent in the beta, in the fields that there are by now.
pub(crate) fn sent(slice: &mut Value) {
    let endpoints = json::list_mut(slice, &["endpoints"]).iter_mut();
    for endpoint in endpoints.filter_map(Value::as_object_mut) {
        // In protobuf it has the number that the other has by now.
        if let Some(topology) = endpoint.remove("deprecatedTopology") {
            endpoint.entry("topology").or_insert(topology);
        }
        if !matches!(endpoint.get("topology"), Some(Value::Object(_))) {
            continue;
        }
        // The node has a field in the beta too; nothing else is kept of the map by now.
        let zone = endpoint.remove("topology").and_then(|mut all| Some(all.get_mut(ZONE)?.take()));
        if let Some(zone) = zone {
            endpoint.insert("zone".to_owned(), zone);
        }
    }
}

/// A slice of the beta as it is kept.
pub(crate) fn from_beta(slice: &mut Value) {
    json::set(slice, "apiVersion", "discovery.k8s.io/v1");
    sent(slice);
}

/// A slice as the beta shows it.
pub(crate) fn to_beta(slice: &mut Value) {
    json::set(slice, "apiVersion", "discovery.k8s.io/v1beta1");
    let endpoints = json::list_mut(slice, &["endpoints"]).iter_mut();
    for endpoint in endpoints.filter_map(Value::as_object_mut) {
        let mut topology = match endpoint.remove("deprecatedTopology") {
            Some(Value::Object(topology)) => topology,
            _ => Map::new(),
        };
        if let Some(zone) = endpoint.remove("zone") {
            topology.insert(ZONE.to_owned(), zone);
        }
        if let Some(node) = endpoint.get("nodeName") {
            topology.entry(HOST).or_insert_with(|| node.clone());
        }
        if !topology.is_empty() {
            endpoint.insert("topology".to_owned(), topology.into());
        }
    }
}
