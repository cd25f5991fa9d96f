//! What a person who writes a service should know although it is accepted.
//!
//! Knows: upstream's warnings and their order. Refuses to know: what is invalid.

use leme_meta::Path;
use leme_registry::json;
use serde_json::Value;

use super::is_headless;
use crate::check;

/// Warnings about a service.
pub(super) fn of(service: &Value, _: Option<&Value>) -> Vec<String> {
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let mut out = Vec::new();
    let hints = "service.kubernetes.io/topology-aware-hints";
    if json::at(service, &["metadata", "annotations", hints]).is_some() {
        out.push(format!(
            "annotation {hints} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    if !is_headless(spec) {
        addresses(spec, "clusterIPs", &path, &mut out);
    }
    let type_ = json::text(spec, &["type"]);
    let headless = type_ == "ClusterIP" && is_headless(spec);
    let external = !json::list(spec, &["externalIPs"]).is_empty();
    let balancer = json::text(spec, &["loadBalancerIP"]);
    let affinity = json::text(spec, &["sessionAffinity"]) != "None";
    for (_, field) in [
        (!balancer.is_empty(), "loadBalancerIP"),
        (external, "externalIPs"),
        (affinity, "SessionAffinity"),
    ]
    .iter()
    .filter(|(set, _)| headless && *set)
    {
        out.push(format!("spec.{field} is ignored for headless services"));
    }
    addresses(spec, "externalIPs", &path, &mut out);
    if !balancer.is_empty() {
        out.extend(check::ip_warning(&path.child("loadBalancerIP"), balancer));
    }
    if type_ == "ExternalName" && external {
        out.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if type_ != "ExternalName" && !json::text(spec, &["externalName"]).is_empty() {
        out.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    out
}

fn addresses(spec: &Value, field: &str, path: &Path, out: &mut Vec<String>) {
    for (index, address) in json::list(spec, &[field]).iter().enumerate() {
        let text = address.as_str().unwrap_or("");
        out.extend(check::ip_warning(&path.child(field).index(index), text));
    }
}
