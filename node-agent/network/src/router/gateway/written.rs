//! Rules of routes, as they are written: matches, filters and backends. Pure: what is not known is an error that names it.

use super::kinds::Reference;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A rule of an HTTPRoute.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct HttpRule {
    #[allow(dead_code, reason = "a name is for those who refer to it")]
    pub(super) name: Option<String>,
    pub(super) matches: Option<Vec<HttpMatch>>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) backend_refs: Option<Vec<BackendRef>>,
    pub(super) timeouts: Option<Timeouts>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) request: Option<String>,
    pub(super) backend_request: Option<String>,
}

/// A match of an HTTPRoute.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(in crate::router) struct HttpMatch {
    pub(super) path: Option<PathMatch>,
    pub(super) headers: Option<Vec<Keyed>>,
    pub(super) query_params: Option<Vec<Keyed>>,
    pub(super) method: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PathMatch {
    pub(super) r#type: Option<String>,
    pub(super) value: Option<String>,
}

/// What a header or parameter has to be.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Keyed {
    pub(super) r#type: Option<String>,
    pub(super) name: String,
    pub(super) value: String,
}

/// A rule of a GRPCRoute.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct GrpcRule {
    #[allow(dead_code, reason = "a name is for those who refer to it")]
    pub(super) name: Option<String>,
    pub(super) matches: Option<Vec<GrpcMatch>>,
    pub(super) filters: Option<Vec<Filter>>,
    pub(super) backend_refs: Option<Vec<BackendRef>>,
}

/// A match of a GRPCRoute.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(in crate::router) struct GrpcMatch {
    pub(super) method: Option<GrpcMethod>,
    pub(super) headers: Option<Vec<Keyed>>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GrpcMethod {
    pub(super) r#type: Option<String>,
    pub(super) service: Option<String>,
    pub(super) method: Option<String>,
}

/// A rule of a TLSRoute.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct TlsRule {
    #[allow(dead_code, reason = "a name is for those who refer to it")]
    pub(super) name: Option<String>,
    pub(super) backend_refs: Option<Vec<BackendRef>>,
}

/// Where requests go.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackendRef {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) port: Option<u16>,
    pub(super) weight: Option<u32>,
    pub(super) filters: Option<Vec<Filter>>,
}

impl BackendRef {
    pub(super) fn reference(&self) -> Reference {
        Reference {
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            port: self.port,
        }
    }
}

/// What happens to requests and answers.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) r#type: String,
    pub(super) request_header_modifier: Option<HeaderModifier>,
    pub(super) response_header_modifier: Option<HeaderModifier>,
    pub(super) request_mirror: Option<Mirror>,
    pub(super) request_redirect: Option<Redirect>,
    pub(super) url_rewrite: Option<Rewrite>,
    pub(super) cors: Option<Cors>,
    #[allow(dead_code, reason = "refused by its type")]
    pub(super) extension_ref: Option<IgnoredAny>,
    #[allow(dead_code, reason = "refused by its type")]
    pub(super) external_auth: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct HeaderModifier {
    pub(super) set: Option<Vec<Header>>,
    pub(super) add: Option<Vec<Header>>,
    pub(super) remove: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Mirror {
    pub(super) backend_ref: Reference,
    pub(super) percent: Option<u32>,
    pub(super) fraction: Option<Fraction>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fraction {
    pub(super) numerator: u32,
    pub(super) denominator: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Redirect {
    pub(super) scheme: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) path: Option<PathModifier>,
    pub(super) port: Option<u16>,
    pub(super) status_code: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rewrite {
    pub(super) hostname: Option<String>,
    pub(super) path: Option<PathModifier>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct PathModifier {
    pub(super) r#type: String,
    pub(super) replace_full_path: Option<String>,
    pub(super) replace_prefix_match: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Cors {
    pub(super) allow_origins: Option<Vec<String>>,
    pub(super) allow_credentials: Option<bool>,
    pub(super) allow_methods: Option<Vec<String>>,
    pub(super) allow_headers: Option<Vec<String>>,
    pub(super) expose_headers: Option<Vec<String>>,
    pub(super) max_age: Option<u32>,
}
