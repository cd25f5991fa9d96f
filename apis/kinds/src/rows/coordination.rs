//! coordination.k8s.io.

use super::Row;
use crate::columns::core;

const V1: Row = Row::of("coordination.k8s.io", "v1", "io.k8s.api.coordination.v1");

pub(super) const ROWS: &[Row] =
    &[Row { kind: "Lease", plural: "leases", columns: core::LEASE, ..V1 }];
