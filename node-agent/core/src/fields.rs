//! The downward API: fields of the pod and resources of its containers as text.
//!
//! Knows: which fields may be asked for. Refuses to know: whether the answer goes into a variable or a file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::ratio;
use crate::spec;

/// What the node adds to what the pod says.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Name of the node.
    pub node_name: String,
    /// Address of the node.
    pub host_ip: String,
    /// Address of the pod, empty before its sandbox exists.
    pub pod_ip: String,
    /// What the node can give to pods; the default for limits.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Memory of the node in bytes.
    pub memory: i64,
}

/// A field of the pod.
pub fn of_pod(pod: &Pod, path: &str, facts: &Facts) -> Result<String, String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(map.and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let id = spec::identity(pod);
    Ok(match path {
        "metadata.name" => id.name,
        "metadata.namespace" => id.namespace,
        "metadata.uid" => id.uid,
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => facts.node_name.clone(),
        "spec.serviceAccountName" => spec::of(pod).service_account_name.clone().unwrap_or_default(),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.clone(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.clone(),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['key']` as (`metadata.labels`, `key`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let key = key.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((map, key))
}

/// A map in the form of a volume file: `key="value"`, sorted.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(k, v)| format!("{k}={v:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A request or limit of a container. A limit that is not set is what the node can give.
pub fn of_resources(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    facts: &Facts,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let container = match named {
        Some(name) => spec::container(pod, name).map(|(c, _)| c),
        None => own.map(Cow::Borrowed),
    }
    .ok_or_else(|| format!("container {} not found", named.unwrap_or_default()))?;
    let resources = container.resources.clone().unwrap_or_default();
    let what = selector.resource.as_str();
    let value = if let Some(name) = what.strip_prefix("limits.") {
        let limit = resources.limits.unwrap_or_default().remove(name);
        limit.or_else(|| facts.allocatable.get(name).cloned())
    } else if let Some(name) = what.strip_prefix("requests.") {
        let limits = resources.limits.unwrap_or_default();
        let request = resources.requests.unwrap_or_default().remove(name);
        request.or_else(|| limits.get(name).cloned())
    } else {
        return Err(format!("unsupported container resource : {what}"));
    };
    let value = value.unwrap_or_else(|| Quantity("0".to_owned()));
    ratio(&value, selector.divisor.as_ref())
        .map(|number| number.to_string())
        .ok_or_else(|| format!("invalid quantity for {what}: {}", value.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "labels": {"a/b": "1", "q": "x\"y"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}}}]}}))
        .unwrap();
        let facts = Facts { host_ip: "10.0.0.1".into(), ..Facts::default() };
        let check = |path, want: Result<&str, &str>| {
            let got = of_pod(&pod, path, &facts);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{path}");
        };
        check("metadata.name", Ok("p"));
        check("metadata.labels['a/b']", Ok("1"));
        check("metadata.labels", Ok("a/b=\"1\"\nq=\"x\\\"y\""));
        check("status.hostIP", Ok("10.0.0.1"));
        check("spec.containers", Err("unsupported fieldPath: spec.containers"));
        let selector = |resource: &str, divisor: &str| ResourceFieldSelector {
            resource: resource.into(),
            container_name: Some("c".into()),
            divisor: Some(Quantity(divisor.into())),
        };
        assert_eq!(
            of_resources(&pod, None, &selector("limits.cpu", "1m"), &facts).unwrap(),
            "1500"
        );
        assert_eq!(of_resources(&pod, None, &selector("requests.cpu", "1"), &facts).unwrap(), "2");
    }
}
