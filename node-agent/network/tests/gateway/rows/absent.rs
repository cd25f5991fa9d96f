//! Tests of what is not carried out here, and why.

use super::Row;

const BACKEND_TLS: &str = "BackendTLSPolicies are not read: applications are spoken to without TLS";
const CLIENTS: &str = "certificates of clients are not asked for: spec.tls refuses the Gateway";
const LISTENER_SETS: &str = "ListenerSets are not read: spec.allowedListeners refuses the Gateway";
const MESH: &str = "there is no mesh: routes are attached to Gateways alone";
const TCP: &str = "TCP listeners are refused as UnsupportedProtocol";
const TERMINATE: &str =
    "TLS that ends here carries HTTP alone: such listeners are refused as UnsupportedValue";
const UDP: &str = "UDP listeners are refused as UnsupportedProtocol";

const ROWS: &[(&str, &str)] = &[
    ("GatewayFrontendClientCertificateValidation", CLIENTS),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", CLIENTS),
    ("GatewayFrontendInvalidDefaultClientCertificateValidation", CLIENTS),
    ("GatewayInvalidFrontendClientCertificateValidation", CLIENTS),
    ("GatewayInfrastructure", "nothing is made for a Gateway that labels could be propagated to"),
    ("GatewayInvalidTLSBackendConfiguration", BACKEND_TLS),
    ("GatewayTLSBackendClientCertificate", BACKEND_TLS),
    (
        "HTTPRouteMultipleGateways",
        "all Gateways have the address of the router: a route without hosts answers at each of their listeners at a port",
    ),
    ("HTTPRouteRetry", "retries are of the experimental channel: such a rule is refused"),
    ("TLSRouteListenerMixedTerminationNotSupported", TERMINATE),
    ("TLSRouteListenerTerminateSupportedKinds", TERMINATE),
    ("TLSRouteMixedTerminationSameNamespace", TERMINATE),
    ("TLSRouteTerminateSimpleSameNamespace", TERMINATE),
];

/// Families of tests by how their names begin.
const FAMILIES: &[(&str, &str)] = &[
    ("BackendTLSPolicy", BACKEND_TLS),
    ("ListenerSet", LISTENER_SETS),
    ("Mesh", MESH),
    ("TCPRoute", TCP),
    ("UDPRoute", UDP),
];

pub fn rows() -> Vec<Row> {
    let alone = ROWS.iter().map(|(id, why)| Row { id, absent: Some(why), ..Row::default() });
    let families = crate::UPSTREAM.lines().filter_map(|id| {
        let (_, why) = FAMILIES.iter().find(|(begin, _)| id.starts_with(begin))?;
        Some(Row { id, absent: Some(why), ..Row::default() })
    });
    alone.chain(families).collect()
}
