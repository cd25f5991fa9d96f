//! A content's side of a snapshot.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::{BEING_DELETED, CONTENT, VolumeSnapshot, VolumeSnapshotContent};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{annotation, has_finalizer, with_finalizer};
use crate::report::Report;

/// What is seen of a content.
#[derive(Debug)]
pub struct ContentObserved {
    /// The content; `None` once it is gone.
    pub content: Option<Arc<VolumeSnapshotContent>>,
    /// The snapshot of the name that it refers to.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
}

/// What to do for one content. Without its snapshot nothing: who copied it from elsewhere must not lose what it stands for.
pub fn plan(seen: &ContentObserved, _now: Timestamp) -> Plan {
    let Some(content) = &seen.content else { return Plan::default() };
    let about = ObjectRef::to(content.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if !content.is_bound() {
        return plan;
    }
    let deleting = content.metadata.deletion_timestamp.is_some();
    if !deleting && !has_finalizer(&content.metadata, CONTENT) {
        plan.act(Action::patch(about, with_finalizer(&content.metadata, CONTENT)));
        return plan;
    }
    let goes = |snapshot: &&Arc<VolumeSnapshot>| {
        content.is_of(snapshot) && snapshot.metadata.deletion_timestamp.is_some()
    };
    if seen.snapshot.as_ref().filter(goes).is_some() {
        mark(content, &mut plan);
    }
    plan
}

/// Says that the snapshot goes, for who keeps the content.
pub(super) fn mark(content: &VolumeSnapshotContent, plan: &mut Plan) {
    if annotation(&content.metadata, BEING_DELETED).is_none() {
        let patch = json!({ "metadata": { "annotations": { BEING_DELETED: "yes" } } });
        plan.act(Action::patch(ObjectRef::to(content).any_version(), patch));
    }
}
