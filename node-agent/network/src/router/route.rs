//! A Route reduced to what the router acts on. Pure: reads one object leniently, so that a bad Route spoils only itself.

use crate::model::Key;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Where Routes are in the API.
pub(super) fn api_resource() -> ApiResource {
    ApiResource {
        group: "route.openshift.io".into(),
        version: "v1".into(),
        api_version: "route.openshift.io/v1".into(),
        kind: "Route".into(),
        plural: "routes".into(),
    }
}

/// How long an endpoint may take to begin its answer, unless the Route says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_ANNOTATION: &str = "haproxy.router.openshift.io/timeout";
/// The longest timeout that is taken at its word: 2^31 - 1 ms.
const LONGEST: Duration = Duration::from_millis(2_147_483_647);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    host: Option<String>,
    subdomain: Option<String>,
    path: Option<String>,
    to: Reference,
    alternate_backends: Option<Vec<Reference>>,
    port: Option<Port>,
    tls: Option<Tls>,
    wildcard_policy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    kind: Option<String>,
    name: Option<String>,
    weight: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    target_port: IntOrString,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tls {
    termination: Option<String>,
}

/// A Route, reduced.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteInfo {
    pub(super) key: Key,
    /// Creation time and uid: the order in which hosts are claimed.
    pub(super) age: (String, String),
    pub(super) host: String,
    pub(super) path: String,
    pub(super) wildcard: bool,
    /// The kind of TLS termination asked for.
    pub(super) tls: Option<String>,
    /// Services and their weights.
    pub(super) services: Vec<(String, u32)>,
    pub(super) port: Option<IntOrString>,
    pub(super) timeout: Duration,
    /// Why the Route cannot be read, if so.
    pub(super) broken: Option<String>,
    /// `status.ingress` as it is.
    pub(super) ingress: Vec<Value>,
    pub(super) resource_version: Option<String>,
}

impl RouteInfo {
    /// Reads a Route; `domain` completes `spec.subdomain`.
    pub(super) fn of(object: &DynamicObject, domain: &str) -> RouteInfo {
        let spec = object.data.get("spec").cloned().unwrap_or(Value::Null);
        let (spec, broken) = match serde_json::from_value::<Spec>(spec) {
            Ok(spec) => (spec, None),
            Err(error) => (Spec::default(), Some(error.to_string())),
        };
        let subdomain = spec.subdomain.filter(|subdomain| !subdomain.is_empty());
        let host = spec.host.filter(|host| !host.is_empty());
        let host = host.or_else(|| subdomain.map(|subdomain| format!("{subdomain}.{domain}")));
        let ingress = object.data.pointer("/status/ingress").and_then(Value::as_array);
        let references =
            std::iter::once(spec.to).chain(spec.alternate_backends.unwrap_or_default());
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
        RouteInfo {
            key: (object.namespace().unwrap_or_default(), object.name_any()),
            age: (created.unwrap_or_default(), object.uid().unwrap_or_default()),
            host: host.unwrap_or_default().to_ascii_lowercase(),
            path: spec.path.unwrap_or_default(),
            wildcard: spec.wildcard_policy.as_deref() == Some("Subdomain"),
            tls: spec.tls.map(|tls| tls.termination.unwrap_or_else(|| "edge".into())),
            services: references.filter_map(service).collect(),
            port: spec.port.map(|port| port.target_port),
            timeout: object
                .annotations()
                .get(TIMEOUT_ANNOTATION)
                .and_then(|text| duration(text))
                .unwrap_or(TIMEOUT),
            broken,
            ingress: ingress.cloned().unwrap_or_default(),
            resource_version: object.resource_version(),
        }
    }
}

fn service(reference: Reference) -> Option<(String, u32)> {
    let is_service = reference.kind.is_none_or(|kind| kind.is_empty() || kind == "Service");
    let name = reference.name.filter(|name| is_service && !name.is_empty())?;
    Some((name, reference.weight.unwrap_or(100).min(256)))
}

/// `30s`, `5000ms`, `2m`; a bare number is milliseconds.
fn duration(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let count: u64 = digits.parse().ok().filter(|count| *count > 0)?;
    let micros = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(count.saturating_mul(micros)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Some(Duration::from_secs(30))),
            ("5000", Some(Duration::from_secs(5))),
            ("1h", Some(Duration::from_secs(3600))),
            ("99999999999999999999s", None),
            ("9999999999999d", Some(LONGEST)),
            ("0s", None),
            ("-1s", None),
            ("1.5s", None),
            ("", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn a_broken_route_is_read_as_broken() {
        let object = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "r", "namespace": "n"}, "spec": {"host": 7}
        }));
        let route = RouteInfo::of(&object.unwrap(), "apps.test");
        assert!(route.broken.is_some());
    }
}
