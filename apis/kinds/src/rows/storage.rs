//! storage.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::driver;
use crate::selectable;

const V1: Row = Row::of("storage.k8s.io", "v1", "io.k8s.api.storage.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "CSIDriver",
        plural: "csidrivers",
        scope: Cluster,
        columns: driver::CSI_DRIVER,
        ..V1
    },
    Row { kind: "CSINode", plural: "csinodes", scope: Cluster, columns: driver::CSI_NODE, ..V1 },
    Row {
        kind: "CSIStorageCapacity",
        plural: "csistoragecapacities",
        columns: driver::CSI_STORAGE_CAPACITY,
        ..V1
    },
    Row {
        kind: "StorageClass",
        plural: "storageclasses",
        short_names: &["sc"],
        scope: Cluster,
        columns: driver::STORAGE_CLASS,
        ..V1
    },
    Row {
        kind: "VolumeAttachment",
        plural: "volumeattachments",
        scope: Cluster,
        subresources: &[Status],
        columns: driver::VOLUME_ATTACHMENT,
        selectable: selectable::VOLUME_ATTACHMENT,
        ..V1
    },
    Row {
        kind: "VolumeAttributesClass",
        plural: "volumeattributesclasses",
        short_names: &["vac"],
        scope: Cluster,
        columns: driver::VOLUME_ATTRIBUTES_CLASS,
        ..V1
    },
];
