//! authentication.k8s.io: questions that are answered at once.

use super::Row;
use crate::{Scope::Cluster, Storage::Virtual};

const ASKED: Row = Row {
    scope: Cluster,
    storage: Virtual,
    verbs: &["create"],
    ..Row::of("authentication.k8s.io", "v1", "io.k8s.api.authentication.v1")
};

pub(super) const ROWS: &[Row] = &[
    Row { kind: "SelfSubjectReview", plural: "selfsubjectreviews", ..ASKED },
    Row { kind: "TokenReview", plural: "tokenreviews", ..ASKED },
];
