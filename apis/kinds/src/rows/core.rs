//! The core group.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::{
    Attach, Binding, EphemeralContainers, Eviction, Exec, Finalize, Log, PortForward, Proxy, Resize, Token,
    Scale, Status,
};
use crate::columns::{class, core, event, network, node, pod, storage};
use crate::{SINGLY, Storage, selectable};

const V1: Row = Row::of("", "v1", "io.k8s.api.core.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "Binding",
        plural: "bindings",
        storage: Storage::Virtual,
        verbs: &["create"],
        ..V1
    },
    Row {
        kind: "ComponentStatus",
        plural: "componentstatuses",
        short_names: &["cs"],
        scope: Cluster,
        storage: Storage::Virtual,
        verbs: &["get", "list"],
        columns: core::COMPONENT_STATUS,
        ..V1
    },
    Row {
        kind: "ConfigMap",
        plural: "configmaps",
        short_names: &["cm"],
        columns: core::CONFIG_MAP,
        ..V1
    },
    Row {
        kind: "Endpoints",
        plural: "endpoints",
        short_names: &["ep"],
        columns: network::ENDPOINTS,
        ..V1
    },
    Row {
        kind: "Event",
        plural: "events",
        short_names: &["ev"],
        columns: event::EVENT,
        selectable: selectable::EVENT,
        ..V1
    },
    Row {
        kind: "LimitRange",
        plural: "limitranges",
        short_names: &["limits"],
        columns: class::LIMIT_RANGE,
        ..V1
    },
    Row {
        kind: "Namespace",
        plural: "namespaces",
        short_names: &["ns"],
        scope: Cluster,
        verbs: SINGLY,
        subresources: &[Status, Finalize],
        columns: core::NAMESPACE,
        selectable: selectable::NAMESPACE,
        ..V1
    },
    Row {
        kind: "Node",
        plural: "nodes",
        short_names: &["no"],
        scope: Cluster,
        subresources: &[Status, Proxy],
        columns: node::NODE,
        selectable: selectable::NODE,
        ..V1
    },
    Row {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        short_names: &["pvc"],
        subresources: &[Status],
        columns: storage::PERSISTENT_VOLUME_CLAIM,
        selectable: selectable::PERSISTENT_VOLUME_CLAIM,
        ..V1
    },
    Row {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        short_names: &["pv"],
        scope: Cluster,
        subresources: &[Status],
        columns: storage::PERSISTENT_VOLUME,
        selectable: selectable::PERSISTENT_VOLUME,
        ..V1
    },
    Row {
        kind: "Pod",
        plural: "pods",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            Status,
            Log,
            Exec,
            Attach,
            PortForward,
            Proxy,
            Binding,
            Eviction,
            EphemeralContainers,
            Resize,
        ],
        columns: pod::POD,
        selectable: selectable::POD,
        ..V1
    },
    Row { kind: "PodTemplate", plural: "podtemplates", columns: core::POD_TEMPLATE, ..V1 },
    Row {
        kind: "ReplicationController",
        plural: "replicationcontrollers",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[Status, Scale],
        columns: core::REPLICATION_CONTROLLER,
        selectable: selectable::REPLICAS,
        ..V1
    },
    Row {
        kind: "ResourceQuota",
        plural: "resourcequotas",
        short_names: &["quota"],
        subresources: &[Status],
        columns: class::RESOURCE_QUOTA,
        ..V1
    },
    Row {
        kind: "Secret",
        plural: "secrets",
        columns: core::SECRET,
        selectable: selectable::SECRET,
        ..V1
    },
    Row {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        short_names: &["sa"],
        subresources: &[Token],
        columns: core::SERVICE_ACCOUNT,
        ..V1
    },
    Row {
        kind: "Service",
        plural: "services",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[Status, Proxy],
        columns: network::SERVICE,
        selectable: selectable::SERVICE,
        ..V1
    },
];
