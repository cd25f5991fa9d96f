//! networking.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::ingress;

const V1: Row = Row::of("networking.k8s.io", "v1", "io.k8s.api.networking.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "IngressClass",
        plural: "ingressclasses",
        scope: Cluster,
        columns: ingress::INGRESS_CLASS,
        ..V1
    },
    Row {
        kind: "Ingress",
        plural: "ingresses",
        short_names: &["ing"],
        subresources: &[Status],
        columns: ingress::INGRESS,
        ..V1
    },
    Row {
        kind: "IPAddress",
        plural: "ipaddresses",
        short_names: &["ip"],
        scope: Cluster,
        columns: ingress::IP_ADDRESS,
        ..V1
    },
    Row {
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        short_names: &["netpol"],
        columns: ingress::NETWORK_POLICY,
        ..V1
    },
    Row {
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        scope: Cluster,
        subresources: &[Status],
        columns: ingress::SERVICE_CIDR,
        ..V1
    },
];
