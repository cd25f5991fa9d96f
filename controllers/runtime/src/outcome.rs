//! What came of writes: the answers as far as they are read, and what they come to together.
//!
//! Knows: what is to be waited for, and what ends a plan. Refuses to know: how writes are asked for.

use std::time::Duration;

use leme_client::Error;
use leme_plan::{Failure, ObjectRef};
use serde::Deserialize;

use crate::Key;

/// An object as it was written, or the Status that stands for it: a whole object is more than is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) metadata: Metadata,
}

/// Of its metadata what the executor goes on with; empty where it has none.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) resource_version: String,
}

/// A write that the cache has to see before the key is planned again.
#[derive(Debug)]
pub(crate) enum Written {
    Put { kind: (String, String), revision: u64 },
    Gone { kind: (String, String), key: Key, uid: String },
}

/// What carrying out a plan came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub(crate) writes: Vec<Written>,
    /// What failed: to be told in conditions, and tried again after a back-off.
    pub failure: Option<Failure>,
    /// The world was not as planned for: plan again.
    pub stale: bool,
    /// The mass-delete brake holds: plan again after this long.
    pub braked: Option<Duration>,
}

impl Outcome {
    /// Whether what is left of the plan is not to be carried out.
    pub(crate) fn is_over(&self) -> bool {
        self.failure.is_some() || self.stale || self.braked.is_some()
    }
}

/// What came of one action.
pub(crate) enum Step {
    Wrote(Written),
    Nothing,
    Stale,
    Failed(Failure),
}

/// Of a kind that the server does not have.
pub(crate) fn unserved(target: &ObjectRef) -> Error {
    Error::Transport(format!("no kind {} in {} is served", target.kind, target.api_version))
}

/// As the server would say it of an object whose uid is another's.
pub(crate) fn gone(object: &ObjectRef) -> Error {
    Error::Status {
        code: 409,
        reason: "Conflict".to_owned(),
        message: format!("{} {} is gone", object.kind, object.name),
        causes: Vec::new(),
    }
}
