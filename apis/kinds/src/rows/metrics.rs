//! metrics.k8s.io: what nodes and pods use, kept nowhere: nodes are asked.

use super::Row;
use crate::columns::metrics;
use crate::{Scope::Cluster, Storage::Virtual};

const USED: Row = Row {
    storage: Virtual,
    verbs: &["get", "list"],
    ..Row::of("metrics.k8s.io", "v1beta1", "io.k8s.metrics.pkg.apis.metrics.v1beta1")
};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "NodeMetrics",
        plural: "nodes",
        scope: Cluster,
        columns: metrics::NODE_METRICS,
        ..USED
    },
    Row { kind: "PodMetrics", plural: "pods", columns: metrics::POD_METRICS, ..USED },
];
