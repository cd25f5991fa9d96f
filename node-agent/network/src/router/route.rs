//! A Route reduced to what the router acts on. Pure: reads one object leniently, so that a bad Route spoils only itself.

use super::actions::{Actions, HttpHeaders};
use super::annotations::{self, Options};
use super::pools::PortRef;
use super::tls::{self, Tls};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use leme_client::{Key, Resource};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where Routes are in the API.
pub(super) fn routes() -> Resource {
    Resource::namespaced("route.openshift.io/v1", "Route", "routes")
}

/// A Route as the API gives it. What is inside is read one by one: an odd field spoils no more than its own Route.
#[derive(Debug, Deserialize)]
pub(super) struct RouteObject {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Spec {
    host: Option<String>,
    subdomain: Option<String>,
    path: Option<String>,
    to: Reference,
    alternate_backends: Option<Vec<Reference>>,
    port: Option<Port>,
    tls: Option<tls::Written>,
    wildcard_policy: Option<String>,
    http_headers: Option<HttpHeaders>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Reference {
    kind: Option<String>,
    name: Option<String>,
    weight: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Port {
    target_port: IntOrString,
}

/// What a rule was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    #[default]
    Route,
    /// A path of an Ingress, which may be meant to the letter. Its host may be any.
    Ingress { exact: bool },
    /// A route of the Gateway API.
    Gateway(super::gateway::Kind),
}

/// A Route, reduced; or one of the rules of an Ingress.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RouteInfo {
    pub(super) key: Key,
    /// Creation time and uid: the order in which hosts are claimed.
    pub(super) age: (String, String),
    pub(super) host: String,
    pub(super) path: String,
    pub(super) wildcard: bool,
    pub(super) origin: Origin,
    /// The TLS asked for.
    pub(super) tls: Option<Tls>,
    /// Services and their weights.
    pub(super) services: Vec<(String, u32)>,
    pub(super) port: Option<PortRef>,
    pub(super) options: Options,
    pub(super) actions: Actions,
    /// Why the Route cannot be carried out as written, if so.
    pub(super) broken: Option<String>,
    /// `status.ingress` as it is.
    pub(super) ingress: Vec<Value>,
    pub(super) resource_version: Option<String>,
}

impl RouteInfo {
    /// Reads a Route; `domain` completes `spec.subdomain`.
    pub(super) fn of(object: &RouteObject, domain: &str) -> RouteInfo {
        let (meta, spec) = (&object.metadata, object.spec.clone());
        let (none, mut broken) = (BTreeMap::new(), None);
        let mut spec: Spec =
            read(serde_json::from_value(spec), "spec cannot be read: ", &mut broken);
        let headers = spec.http_headers.take().unwrap_or_default();
        let actions = read(Actions::read(headers), "", &mut broken);
        let options =
            read(annotations::read(meta.annotations.as_ref().unwrap_or(&none)), "", &mut broken);
        let tls = spec.tls.take().map(Tls::read).transpose();
        let tls = read(tls, "", &mut broken);
        let subdomain = spec.subdomain.filter(|subdomain| !subdomain.is_empty());
        let host = spec.host.filter(|host| !host.is_empty());
        let host = host.or_else(|| subdomain.map(|subdomain| format!("{subdomain}.{domain}")));
        let ingress = object.status["ingress"].as_array();
        let references =
            std::iter::once(spec.to).chain(spec.alternate_backends.unwrap_or_default());
        let created = meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        RouteInfo {
            key: (
                meta.namespace.clone().unwrap_or_default(),
                meta.name.clone().unwrap_or_default(),
            ),
            age: (created.unwrap_or_default(), meta.uid.clone().unwrap_or_default()),
            host: host.unwrap_or_default().to_ascii_lowercase(),
            path: spec.path.unwrap_or_default(),
            wildcard: spec.wildcard_policy.as_deref() == Some("Subdomain"),
            origin: Origin::Route,
            tls,
            services: references.filter_map(service).collect(),
            port: spec.port.map(|port| PortRef::of(&port.target_port)),
            options,
            actions,
            broken,
            ingress: ingress.cloned().unwrap_or_default(),
            resource_version: meta.resource_version.clone(),
        }
    }
}

fn service(reference: Reference) -> Option<(String, u32)> {
    let is_service = reference.kind.is_none_or(|kind| kind.is_empty() || kind == "Service");
    let name = reference.name.filter(|name| is_service && !name.is_empty())?;
    Some((name, reference.weight.unwrap_or(100).min(256)))
}

/// The value read, else an empty one and the first reason why.
fn read<T: Default, E: std::fmt::Display>(
    result: Result<T, E>,
    context: &str,
    broken: &mut Option<String>,
) -> T {
    result.unwrap_or_else(|error| {
        broken.get_or_insert_with(|| format!("{context}{error}"));
        T::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_broken_route_is_read_as_broken() {
        let object = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "r", "namespace": "n"}, "spec": {"host": 7}
        }));
        let route = RouteInfo::of(&object.unwrap(), "apps.test");
        assert!(route.broken.is_some());
    }

    /// Every field of a Route's spec in the API, read or refused by name. Red when unknown fields are let pass.
    #[test]
    fn no_field_is_passed_over() {
        let reference = json!({"kind": "Service", "name": "s", "weight": 1});
        let spec = json!({"host": "x.test", "subdomain": "x", "path": "/", "to": reference,
            "alternateBackends": [reference], "port": {"targetPort": "http"},
            "tls": {"termination": "edge"}, "wildcardPolicy": "None",
            "httpHeaders": {"actions": {"request": [], "response": []}}});
        let broken = |pointer: &str, key: &str| {
            let mut spec = spec.clone();
            if !key.is_empty() {
                spec.pointer_mut(pointer).unwrap()[key] = 1.into();
            }
            let object = json!({"metadata": {"name": "r", "namespace": "n"}, "spec": spec});
            RouteInfo::of(&serde_json::from_value(object).unwrap(), "apps.test").broken
        };
        assert_eq!(broken("", ""), None);
        for pointer in [
            "",
            "/to",
            "/alternateBackends/0",
            "/port",
            "/tls",
            "/httpHeaders",
            "/httpHeaders/actions",
        ] {
            let why = broken(pointer, "ipDenyList").unwrap();
            assert!(why.contains("unknown field `ipDenyList`"), "{pointer}: {why}");
        }
    }
}
