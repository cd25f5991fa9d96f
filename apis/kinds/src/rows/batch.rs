//! batch.

use super::Row;
use crate::Subresource::Status;
use crate::columns::batch;
use crate::selectable;

const V1: Row = Row::of("batch", "v1", "io.k8s.api.batch.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "CronJob",
        plural: "cronjobs",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[Status],
        columns: batch::CRON_JOB,
        ..V1
    },
    Row {
        kind: "Job",
        plural: "jobs",
        categories: &["all"],
        subresources: &[Status],
        columns: batch::JOB,
        selectable: selectable::JOB,
        ..V1
    },
];
