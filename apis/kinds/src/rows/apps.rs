//! apps.

use super::Row;
use crate::Subresource::{Scale, Status};
use crate::columns::apps;
use crate::selectable;

const V1: Row = Row::of("apps", "v1", "io.k8s.api.apps.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "ControllerRevision",
        plural: "controllerrevisions",
        columns: apps::CONTROLLER_REVISION,
        ..V1
    },
    Row {
        kind: "DaemonSet",
        plural: "daemonsets",
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[Status],
        columns: apps::DAEMON_SET,
        ..V1
    },
    Row {
        kind: "Deployment",
        plural: "deployments",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Status, Scale],
        columns: apps::DEPLOYMENT,
        ..V1
    },
    Row {
        kind: "ReplicaSet",
        plural: "replicasets",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[Status, Scale],
        columns: apps::REPLICA_SET,
        selectable: selectable::REPLICAS,
        ..V1
    },
    Row {
        kind: "StatefulSet",
        plural: "statefulsets",
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[Status, Scale],
        columns: apps::STATEFUL_SET,
        ..V1
    },
];
