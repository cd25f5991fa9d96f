//! route.openshift.io/v1: routes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};

use crate::kind::{kind, nullable};

kind! {
    /// A host name that is routed to a service.
    Route, "route.openshift.io", "routes", RouteSpec, RouteStatus
}

/// What a route asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteSpec {
    /// Other services that share the traffic.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub alternate_backends: Vec<RouteTargetReference>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Headers that are set or deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_headers: Option<RouteHTTPHeaders>,
    /// Prefix of the paths that are routed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The port of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<RoutePort>,
    /// Name below the router's own domain, where no host is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// How connections are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TLSConfig>,
    /// The service.
    #[serde(deserialize_with = "nullable")]
    pub to: RouteTargetReference,
    /// Whether subdomains are routed too: `None` or `Subdomain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard_policy: Option<String>,
}

/// A service and its share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTargetReference {
    /// Always `Service`.
    #[serde(deserialize_with = "nullable")]
    pub kind: String,
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Its share of the traffic: 0 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

/// Headers of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteHTTPHeaders {
    /// What is done.
    #[serde(deserialize_with = "nullable")]
    pub actions: RouteHTTPHeaderActions,
}

/// What is done with headers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteHTTPHeaderActions {
    /// On requests.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<RouteHTTPHeader>,
    /// On answers.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub response: Vec<RouteHTTPHeader>,
}

/// What is done with one header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteHTTPHeader {
    /// What is done with it.
    #[serde(deserialize_with = "nullable")]
    pub action: RouteHTTPHeaderActionUnion,
    /// Name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
}

/// Setting or deleting a header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteHTTPHeaderActionUnion {
    /// What `Set` sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<RouteSetHTTPHeader>,
    /// `Set` or `Delete`.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}

/// The value that a header is set to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteSetHTTPHeader {
    /// Value.
    #[serde(deserialize_with = "nullable")]
    pub value: String,
}

/// The port of a route's service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoutePort {
    /// Number or name of the port of the endpoints.
    pub target_port: IntOrString,
}

/// Encryption of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TLSConfig {
    /// Certificates of the authority, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
    /// Certificate, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Authority of the service's certificate, as PEM.
    #[serde(rename = "destinationCACertificate", skip_serializing_if = "Option::is_none")]
    pub destination_ca_certificate: Option<String>,
    /// Secret that holds the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_certificate: Option<LocalObjectReference>,
    /// What plain HTTP gets: `None`, `Allow` or `Redirect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_edge_termination_policy: Option<String>,
    /// Private key, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `edge`, `passthrough` or `reencrypt`.
    #[serde(deserialize_with = "nullable")]
    pub termination: String,
}

/// A secret of the route's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalObjectReference {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What became of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteStatus {
    /// What each router made of it.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<RouteIngress>,
}

/// What one router made of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteIngress {
    /// Conditions.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<RouteIngressCondition>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The router's own host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_canonical_hostname: Option<String>,
    /// The router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_name: Option<String>,
    /// Whether subdomains are routed too: `None` or `Subdomain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard_policy: Option<String>,
}

/// A condition of a route at one router.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteIngressCondition {
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why, as one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "nullable")]
    pub status: String,
    /// Which sort it is.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub type_: String,
}
