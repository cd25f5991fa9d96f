//! scheduling.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::columns::class;

const V1: Row = Row::of("scheduling.k8s.io", "v1", "io.k8s.api.scheduling.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "PriorityClass",
    plural: "priorityclasses",
    short_names: &["pc"],
    scope: Cluster,
    columns: class::PRIORITY_CLASS,
    ..V1
}];
