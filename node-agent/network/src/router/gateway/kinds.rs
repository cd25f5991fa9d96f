//! The kinds of the Gateway API, as they are written. Pure: reads one object; what it does not know is an error that names it, so
//! that nothing that is asked for is passed over.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use leme_client::{Key, Resource};
use serde::Deserialize;
use serde_json::Value;

pub(super) use leme_meta::gateway::GROUP;

/// A kind that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::router) enum Kind {
    Class,
    Gateway,
    Http,
    Grpc,
    Tls,
    Grant,
}

/// All of them.
pub(in crate::router) const KINDS: [Kind; 6] =
    [Kind::Class, Kind::Gateway, Kind::Http, Kind::Grpc, Kind::Tls, Kind::Grant];

impl Kind {
    /// Its name, the plural of it, and the version that is read.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Class => ("GatewayClass", "gatewayclasses", "v1"),
            Kind::Gateway => ("Gateway", "gateways", "v1"),
            Kind::Http => ("HTTPRoute", "httproutes", "v1"),
            Kind::Grpc => ("GRPCRoute", "grpcroutes", "v1"),
            Kind::Tls => ("TLSRoute", "tlsroutes", "v1"),
            // The first release that had them had this version, and each one since.
            Kind::Grant => ("ReferenceGrant", "referencegrants", "v1beta1"),
        }
    }

    /// Its name.
    pub(in crate::router) fn name(self) -> &'static str {
        self.names().0
    }

    /// The version that is read.
    pub(in crate::router) fn version(self) -> &'static str {
        self.names().2
    }

    /// The name of its definition.
    pub(in crate::router) fn definition(self) -> String {
        format!("{}.{GROUP}", self.names().1)
    }

    /// Where its objects are in the API.
    pub(in crate::router) fn resource(self) -> Resource {
        let (name, plural, version) = self.names();
        let group = format!("{GROUP}/{version}");
        match self {
            Kind::Class => Resource::cluster(&group, name, plural),
            _ => Resource::namespaced(&group, name, plural),
        }
    }
}

/// An object as the API gives it.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::router) struct Object {
    #[serde(default)]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: Value,
    #[serde(default)]
    pub(super) status: Value,
}

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::router) struct Meta {
    pub(in crate::router) key: Key,
    /// Creation time, namespace and name: the order in which hosts are claimed.
    pub(in crate::router) age: (String, String),
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) generation: i64,
}

impl Meta {
    /// Its uid.
    pub(in crate::router) fn uid(&self) -> &str {
        &self.uid
    }
}

impl Reference {
    /// The name of what it refers to.
    pub(in crate::router) fn service(&self) -> &str {
        &self.name
    }
}

impl Object {
    pub(super) fn meta(&self) -> Meta {
        let meta = &self.metadata;
        let (namespace, name) =
            (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        let created = meta.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Meta {
            age: (created.unwrap_or_default(), format!("{namespace}/{name}")),
            key: (namespace, name),
            uid: meta.uid.clone().unwrap_or_default(),
            version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
        }
    }
}

/// `spec` of a GatewayClass.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClassSpec {
    pub(super) controller_name: String,
    pub(super) parameters_ref: Option<Value>,
}

/// `spec` of a Gateway.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct GatewaySpec {
    pub(super) gateway_class_name: String,
    pub(super) listeners: Vec<Value>,
    pub(super) addresses: Option<Vec<Address>>,
    pub(super) infrastructure: Option<Infrastructure>,
    pub(super) allowed_listeners: Option<AllowedListeners>,
    pub(super) tls: Option<Value>,
    pub(super) default_scope: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Address {
    pub(super) r#type: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Infrastructure {
    pub(super) labels: Option<Value>,
    pub(super) annotations: Option<Value>,
    pub(super) parameters_ref: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AllowedListeners {
    pub(super) namespaces: Option<Namespaces>,
}

/// One of `spec.listeners`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ListenerSpec {
    pub(super) name: String,
    pub(super) hostname: Option<String>,
    pub(super) port: u16,
    pub(super) protocol: String,
    pub(super) tls: Option<ListenerTls>,
    pub(super) allowed_routes: Option<AllowedRoutes>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct ListenerTls {
    pub(super) mode: Option<String>,
    pub(super) certificate_refs: Option<Vec<Reference>>,
    pub(super) options: Option<serde_json::Map<String, Value>>,
    pub(super) frontend_validation: Option<Value>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AllowedRoutes {
    pub(super) namespaces: Option<Namespaces>,
    pub(super) kinds: Option<Vec<GroupKind>>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Namespaces {
    pub(super) from: Option<String>,
    pub(super) selector: Option<LabelSelector>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GroupKind {
    pub(super) group: Option<String>,
    pub(super) kind: String,
}

/// What refers to an object.
#[derive(Clone, Debug, Deserialize, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(in crate::router) struct Reference {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) port: Option<u16>,
}

/// `spec` of a route of any kind.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct RouteSpec {
    pub(super) parent_refs: Option<Vec<Value>>,
    pub(super) hostnames: Option<Vec<String>>,
    pub(super) rules: Option<Vec<Value>>,
    pub(super) use_default_gateways: Option<Value>,
}

/// One of `spec.parentRefs`.
#[derive(Clone, Debug, Deserialize, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::router) struct ParentRef {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) section_name: Option<String>,
    pub(super) port: Option<u16>,
}

/// `spec` of a ReferenceGrant.
#[derive(Clone, Debug, Deserialize, Default, PartialEq)]
#[serde(default)]
pub(super) struct GrantSpec {
    pub(super) from: Vec<GrantFrom>,
    pub(super) to: Vec<GrantTo>,
}

#[derive(Clone, Debug, Deserialize, Default, PartialEq)]
#[serde(default)]
pub(super) struct GrantFrom {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, Deserialize, Default, PartialEq)]
#[serde(default)]
pub(super) struct GrantTo {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: Option<String>,
}
