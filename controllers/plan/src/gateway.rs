//! What the Gateway API needs: its kinds, and the class whose Gateways this cluster's router serves. Each is made once.
//!
//! Knows: the release whose kinds these are. Refuses to know: what Gateways and routes do; the router reads them itself.

mod definitions;
mod setup;
#[cfg(test)]
mod tests;

pub use definitions::definitions;
pub use setup::{SetupObserved, plan as plan_setup};

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use crate::kind::kind;

/// Group and version.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";

kind!(GatewayClass, "gateway.networking.k8s.io", "v1", "gatewayclasses", ClusterResourceScope);

/// Who serves Gateways.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GatewayClass {
    /// Its metadata.
    pub metadata: ObjectMeta,
}
