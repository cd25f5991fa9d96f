//! autoscaling. What version 2 can say and version 1 cannot stands in annotations there.

use super::Row;
use crate::Storage::As;
use crate::Subresource::Status;
use crate::columns::autoscaling;

const SCALERS: Row = Row {
    kind: "HorizontalPodAutoscaler",
    plural: "horizontalpodautoscalers",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[Status],
    columns: autoscaling::HORIZONTAL_POD_AUTOSCALER,
    ..Row::of("autoscaling", "v2", "io.k8s.api.autoscaling.v2")
};

pub(super) const ROWS: &[Row] = &[
    SCALERS,
    Row {
        version: "v1",
        package: "io.k8s.api.autoscaling.v1",
        storage: As("autoscaling", "v2", "horizontalpodautoscalers"),
        ..SCALERS
    },
];
