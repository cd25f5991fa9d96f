//! node.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::columns::class;

const V1: Row = Row::of("node.k8s.io", "v1", "io.k8s.api.node.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "RuntimeClass",
    plural: "runtimeclasses",
    scope: Cluster,
    columns: class::RUNTIME_CLASS,
    ..V1
}];
