//! apiextensions.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::custom;

const V1: Row = Row::of(
    "apiextensions.k8s.io",
    "v1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
);

pub(super) const ROWS: &[Row] = &[Row {
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    scope: Cluster,
    subresources: &[Status],
    columns: custom::DEFINITION,
    ..V1
}];
