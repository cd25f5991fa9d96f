//! A content's side of a snapshot.

use std::sync::Arc;

use jiff::Timestamp;
use leme_meta::local_path::{MANAGED_BY, PROVISIONER};
use serde_json::json;

use super::{BEING_DELETED, CONTENT, VolumeSnapshot, VolumeSnapshotContent};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{annotation, has_finalizer, time_text, with_finalizer, without_finalizer};
use crate::report::{Report, Shown, Waiting};

/// What is seen of a content.
#[derive(Debug)]
pub struct ContentObserved {
    /// The content; `None` once it is gone.
    pub content: Option<Arc<VolumeSnapshotContent>>,
    /// The snapshot of the name that it refers to.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
}

/// What to do for one content. Without its snapshot nothing: who copied it from elsewhere must not lose what it stands for.
pub fn plan(seen: &ContentObserved, now: Timestamp) -> Plan {
    let Some(content) = &seen.content else { return Plan::default() };
    let about = ObjectRef::to(content.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if is_nobodys(content) {
        nobodys(content, now, &mut plan);
        return plan;
    }
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

/// Whether a content stands for a directory that was there before it, and names no node where that is.
fn is_nobodys(content: &VolumeSnapshotContent) -> bool {
    let labels = content.metadata.labels.as_ref();
    content.spec.driver == PROVISIONER
        && content.spec.source.snapshot_handle.is_some()
        && labels.is_none_or(|labels| !labels.contains_key(MANAGED_BY))
}

/// Nobody keeps it: it says so, and does not wait for anybody when it goes.
fn nobodys(content: &VolumeSnapshotContent, now: Timestamp, plan: &mut Plan) {
    let about = ObjectRef::to(content);
    if content.metadata.deletion_timestamp.is_some() {
        if has_finalizer(&content.metadata, CONTENT) {
            plan.act(Action::patch(about, without_finalizer(&content.metadata, CONTENT)));
        }
        return;
    }
    let message = format!("it is on no node: the label {MANAGED_BY} names the one that has it");
    let known = content.status.as_ref().and_then(|status| status.error.as_ref()?.message.as_ref());
    if known != Some(&message) {
        let error = json!({ "time": time_text(now), "message": message });
        let status = json!({ "readyToUse": false, "error": error });
        plan.act(Action::status(about.any_version(), status));
    }
    plan.wait(Waiting::new("SnapshotContentUnmanaged", message, Shown::Status));
}

/// Says that the snapshot goes, for who keeps the content.
pub(super) fn mark(content: &VolumeSnapshotContent, plan: &mut Plan) {
    if annotation(&content.metadata, BEING_DELETED).is_none() {
        let patch = json!({ "metadata": { "annotations": { BEING_DELETED: "yes" } } });
        plan.act(Action::patch(ObjectRef::to(content).any_version(), patch));
    }
}
