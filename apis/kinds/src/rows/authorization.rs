//! authorization.k8s.io: questions that are answered at once.

use super::Row;
use crate::{Scope::Cluster, Storage::Virtual};

const ASKED: Row = Row {
    scope: Cluster,
    storage: Virtual,
    verbs: &["create"],
    ..Row::of("authorization.k8s.io", "v1", "io.k8s.api.authorization.v1")
};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "LocalSubjectAccessReview",
        plural: "localsubjectaccessreviews",
        scope: crate::Scope::Namespaced,
        ..ASKED
    },
    Row { kind: "SelfSubjectAccessReview", plural: "selfsubjectaccessreviews", ..ASKED },
    Row { kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", ..ASKED },
    Row { kind: "SubjectAccessReview", plural: "subjectaccessreviews", ..ASKED },
];
