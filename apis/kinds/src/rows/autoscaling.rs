//! autoscaling.

use super::Row;
use crate::Subresource::Status;
use crate::columns::autoscaling;

const V2: Row = Row::of("autoscaling", "v2", "io.k8s.api.autoscaling.v2");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Status],
    columns: autoscaling::HORIZONTAL_POD_AUTOSCALER,
    ..V2
}];
