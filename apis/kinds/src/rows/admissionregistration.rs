//! admissionregistration.k8s.io.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::admission;

const V1: Row = Row {
    scope: Cluster,
    categories: &["api-extensions"],
    ..Row::of("admissionregistration.k8s.io", "v1", "io.k8s.api.admissionregistration.v1")
};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "MutatingAdmissionPolicy",
        plural: "mutatingadmissionpolicies",
        columns: admission::MUTATING_POLICY,
        ..V1
    },
    Row {
        kind: "MutatingAdmissionPolicyBinding",
        plural: "mutatingadmissionpolicybindings",
        columns: admission::BINDING,
        ..V1
    },
    Row {
        kind: "MutatingWebhookConfiguration",
        plural: "mutatingwebhookconfigurations",
        columns: admission::WEBHOOKS,
        ..V1
    },
    Row {
        kind: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        subresources: &[Status],
        columns: admission::POLICY,
        ..V1
    },
    Row {
        kind: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        columns: admission::BINDING,
        ..V1
    },
    Row {
        kind: "ValidatingWebhookConfiguration",
        plural: "validatingwebhookconfigurations",
        columns: admission::WEBHOOKS,
        ..V1
    },
];
