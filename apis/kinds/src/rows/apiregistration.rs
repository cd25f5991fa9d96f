//! apiregistration.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::admission;

const V1: Row =
    Row::of("apiregistration.k8s.io", "v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "APIService",
    plural: "apiservices",
    categories: &["api-extensions"],
    scope: Cluster,
    subresources: &[Status],
    columns: admission::API_SERVICE,
    ..V1
}];
