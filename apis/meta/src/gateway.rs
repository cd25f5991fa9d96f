//! What controllers and the router agree on about the Gateway API.

/// The group of its kinds.
pub const GROUP: &str = "gateway.networking.k8s.io";
/// The class whose Gateways the router serves, made once.
pub const CLASS: &str = "leme";
/// Who serves Gateways of a class.
pub const CONTROLLER: &str = "leme.dev/gateway-controller";
/// Annotation of the system's namespace: kinds and class were made.
pub const MADE: &str = "gateway.leme.dev/made";

/// The names of the definitions of its kinds that a new cluster has.
pub const DEFINITIONS: [&str; 6] = [
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
    "tlsroutes.gateway.networking.k8s.io",
];
