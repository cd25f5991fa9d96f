//! Older versions that stock tools of long-lived distributions still ask for. They are views of the version that is kept,
//! have its types, and are served only where they are switched on.

use super::Row;
use crate::Storage::As;
use crate::Subresource::Status;
use crate::columns::{batch, network, policy};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "CronJob",
        plural: "cronjobs",
        short_names: &["cj"],
        categories: &["all"],
        storage: As("batch", "v1", "cronjobs"),
        subresources: &[Status],
        columns: batch::CRON_JOB,
        ..Row::of("batch", "v1beta1", "io.k8s.api.batch.v1")
    },
    Row {
        kind: "EndpointSlice",
        plural: "endpointslices",
        storage: As("discovery.k8s.io", "v1", "endpointslices"),
        columns: network::ENDPOINT_SLICE,
        ..Row::of("discovery.k8s.io", "v1beta1", "io.k8s.api.discovery.v1")
    },
    Row {
        kind: "PodDisruptionBudget",
        plural: "poddisruptionbudgets",
        short_names: &["pdb"],
        storage: As("policy", "v1", "poddisruptionbudgets"),
        subresources: &[Status],
        columns: policy::POD_DISRUPTION_BUDGET,
        ..Row::of("policy", "v1beta1", "io.k8s.api.policy.v1")
    },
];
