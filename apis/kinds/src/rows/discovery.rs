//! discovery.k8s.io.

use super::Row;
use crate::columns::network;

const V1: Row = Row::of("discovery.k8s.io", "v1", "io.k8s.api.discovery.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "EndpointSlice",
    plural: "endpointslices",
    columns: network::ENDPOINT_SLICE,
    ..V1
}];
