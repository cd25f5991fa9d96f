//! rbac.authorization.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::columns::rbac;

const V1: Row = Row::of("rbac.authorization.k8s.io", "v1", "io.k8s.api.rbac.v1");

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        scope: Cluster,
        columns: rbac::BINDING,
        ..V1
    },
    Row { kind: "ClusterRole", plural: "clusterroles", scope: Cluster, columns: rbac::ROLE, ..V1 },
    Row { kind: "RoleBinding", plural: "rolebindings", columns: rbac::BINDING, ..V1 },
    Row { kind: "Role", plural: "roles", columns: rbac::ROLE, ..V1 },
];
