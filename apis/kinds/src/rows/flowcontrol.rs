//! flowcontrol.apiserver.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::flowcontrol;

const V1: Row = Row::of("flowcontrol.apiserver.k8s.io", "v1", "io.k8s.api.flowcontrol.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "FlowSchema",
        plural: "flowschemas",
        scope: Cluster,
        subresources: &[Status],
        columns: flowcontrol::FLOW_SCHEMA,
        ..V1
    },
    Row {
        kind: "PriorityLevelConfiguration",
        plural: "prioritylevelconfigurations",
        scope: Cluster,
        subresources: &[Status],
        columns: flowcontrol::PRIORITY_LEVEL,
        ..V1
    },
];
