//! resource.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::resource;
use crate::selectable;

const V1: Row = Row::of("resource.k8s.io", "v1", "io.k8s.api.resource.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "DeviceClass",
        plural: "deviceclasses",
        scope: Cluster,
        columns: resource::PLAIN,
        ..V1
    },
    Row {
        kind: "ResourceClaim",
        plural: "resourceclaims",
        subresources: &[Status],
        columns: resource::RESOURCE_CLAIM,
        ..V1
    },
    Row {
        kind: "ResourceClaimTemplate",
        plural: "resourceclaimtemplates",
        columns: resource::PLAIN,
        ..V1
    },
    Row {
        kind: "ResourceSlice",
        plural: "resourceslices",
        scope: Cluster,
        columns: resource::RESOURCE_SLICE,
        selectable: selectable::RESOURCE_SLICE,
        ..V1
    },
];
