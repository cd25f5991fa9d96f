//! policy.

use super::Row;
use crate::Subresource::Status;
use crate::columns::policy;

const V1: Row = Row::of("policy", "v1", "io.k8s.api.policy.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    short_names: &["pdb"],
    subresources: &[Status],
    columns: policy::POD_DISRUPTION_BUDGET,
    ..V1
}];
