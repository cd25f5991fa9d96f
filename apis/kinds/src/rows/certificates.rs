//! certificates.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::{Approval, Status};
use crate::columns::certificates;
use crate::selectable;

pub(super) const ROWS: &[Row] = &[Row {
    kind: "CertificateSigningRequest",
    plural: "certificatesigningrequests",
    short_names: &["csr"],
    scope: Cluster,
    subresources: &[Approval, Status],
    columns: certificates::CERTIFICATE_SIGNING_REQUEST,
    selectable: selectable::CERTIFICATE_SIGNING_REQUEST,
    ..Row::of("certificates.k8s.io", "v1", "io.k8s.api.certificates.v1")
}];
