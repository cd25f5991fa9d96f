//! Snapshots of volumes: a snapshot is a wish, a content stands for what is kept, and whoever keeps it (a driver, or the node
//! that holds a directory) fills in the content's status.
//!
//! Invariant: a content with a uid in its reference is that snapshot's alone. It goes only after its snapshot, and only if
//! its policy says so; a snapshot goes after its content.
//! Alone writes: the status of snapshots, contents that are made for them, the finalizers of both, and the finalizer that
//! keeps a claim while it is being taken; the status of a content that is on no node.

mod content;
mod definitions;
mod input;
mod kinds;
mod setup;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{has_finalizer, time_text, without_finalizer};
use crate::quantity;
use crate::report::{Report, Shown, Waiting};

pub use content::{ContentObserved, plan as plan_content};
pub use definitions::definitions;
use input::{class, create};
pub use kinds::*;
pub use setup::{CLASS, SetupObserved, plan as plan_setup};
#[cfg(test)]
use status::bytes;
use status::{bind, take_over};

/// Finalizer of a snapshot that may be restored.
pub const AS_SOURCE: &str = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection";
/// Finalizer of a snapshot whose content goes with it.
pub const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
/// Finalizer of a content.
pub const CONTENT: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
/// Finalizer of a claim of which a snapshot is being taken.
pub const CLAIM: &str = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
/// Annotation of a content: its snapshot goes.
pub const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";
/// Annotation of a class for snapshots that name none.
pub const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// What is seen of a snapshot.
#[derive(Debug)]
pub struct SnapshotObserved {
    /// The snapshot; `None` once it is gone.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
    /// The content of its [`VolumeSnapshot::content`] name.
    pub content: Option<Arc<VolumeSnapshotContent>>,
    /// All classes.
    pub classes: Vec<Arc<VolumeSnapshotClass>>,
    /// The claim that it is of.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// That claim's volume.
    pub volume: Option<Arc<PersistentVolume>>,
    /// The snapshots of its namespace.
    pub snapshots: Vec<Arc<VolumeSnapshot>>,
    /// The claims of its namespace.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
}

/// What is wrong with a snapshot, as its status and an Event tell it.
struct Wrong {
    reason: &'static str,
    message: String,
    /// Whether it cannot be ready with that.
    unready: bool,
}

fn wrong(reason: &'static str, message: impl Into<String>) -> Wrong {
    Wrong { reason, message: message.into(), unready: true }
}

/// What to do for one snapshot.
pub fn plan_snapshot(seen: &SnapshotObserved, now: Timestamp) -> Plan {
    let Some(snapshot) = &seen.snapshot else { return Plan::default() };
    let mut plan =
        Plan { report: Report::about(ObjectRef::to(snapshot.as_ref())), ..Plan::default() };
    if snapshot.metadata.deletion_timestamp.is_some() {
        deleting(seen, snapshot, &mut plan);
        return plan;
    }
    release_claim(seen, snapshot, false, &mut plan);
    if let Err(wrong) = sync(seen, snapshot, now, &mut plan) {
        tell(snapshot, wrong, now, &mut plan);
    }
    plan
}

fn tell(snapshot: &VolumeSnapshot, wrong: Wrong, now: Timestamp, plan: &mut Plan) {
    let known = snapshot.status.as_ref().and_then(|status| status.error.as_ref()?.message.as_ref());
    if known != Some(&wrong.message) {
        let error = json!({ "time": time_text(now), "message": wrong.message });
        let status = match wrong.unready {
            true => json!({ "error": error, "readyToUse": false }),
            false => json!({ "error": error }),
        };
        let about = ObjectRef::to(snapshot);
        plan.act(Action::status(about.clone().any_version(), status));
        plan.act(Action::warning(about, wrong.reason, wrong.message.clone()));
    }
    plan.wait(Waiting::new(wrong.reason, wrong.message, Shown::Status));
}

fn sync(
    seen: &SnapshotObserved,
    snapshot: &VolumeSnapshot,
    now: Timestamp,
    plan: &mut Plan,
) -> Result<(), Wrong> {
    let content = seen.content.as_ref();
    let class = class(seen, snapshot).map_err(|wrong| Wrong { unready: false, ..wrong })?;
    if let Some(class) =
        class.as_ref().filter(|_| snapshot.spec.volume_snapshot_class_name.is_none())
    {
        let patch = json!({ "spec": { "volumeSnapshotClassName": class.metadata.name } });
        plan.act(Action::patch(ObjectRef::to(snapshot), patch));
        return Ok(());
    }
    if snapshot.is_ready() && snapshot.bound().is_some() {
        let Some(content) = content else {
            return Err(wrong("SnapshotContentMissing", "VolumeSnapshotContent is missing"));
        };
        if !content.is_of(snapshot) {
            let message = "VolumeSnapshotContent is not bound to the VolumeSnapshot correctly";
            return Err(wrong("SnapshotMisbound", message));
        }
        protect(snapshot, Some(content), plan);
        return Ok(());
    }
    let content = content.map(|content| matching(content, snapshot)).transpose()?;
    protect(snapshot, content, plan);
    match (content, snapshot.claim()) {
        (Some(content), _) => {
            bind(content, snapshot, plan);
            take_over(content, snapshot, now, plan);
            Ok(())
        }
        (None, None) => Err(wrong("SnapshotContentMissing", "VolumeSnapshotContent is missing")),
        (None, Some(_)) => create(seen, snapshot, class, plan).map_err(|why| {
            wrong(
                "SnapshotContentCreationFailed",
                format!("Failed to create snapshot content with error {why}"),
            )
        }),
    }
}

/// The content, if it can be this snapshot's.
fn matching<'a>(
    content: &'a Arc<VolumeSnapshotContent>,
    snapshot: &VolumeSnapshot,
) -> Result<&'a Arc<VolumeSnapshotContent>, Wrong> {
    let name = content.metadata.name.as_deref().unwrap_or("");
    let source = &content.spec.source;
    let misbound = || {
        let message = format!("VolumeSnapshotContent [{name}] is bound to a different snapshot");
        wrong("SnapshotContentMisbound", message)
    };
    if snapshot.claim().is_none() {
        if source.snapshot_handle.is_none() {
            let message = "VolumeSnapshotContent is dynamically provisioned while expecting a pre-provisioned one";
            return Err(wrong("SnapshotContentMismatch", message));
        }
        let free = content.names(snapshot) && !content.is_bound();
        return if free || content.is_of(snapshot) { Ok(content) } else { Err(misbound()) };
    }
    if source.volume_handle.is_none() {
        let message = format!(
            "VolumeSnapshotContent {name} is pre-provisioned while expecting a dynamically provisioned one"
        );
        return Err(wrong("SnapshotContentMismatch", message));
    }
    if content.is_of(snapshot) { Ok(content) } else { Err(misbound()) }
}

/// Keeps a snapshot until nothing is restored from it and its content has gone.
fn protect(
    snapshot: &VolumeSnapshot,
    content: Option<&Arc<VolumeSnapshotContent>>,
    plan: &mut Plan,
) {
    let goes = content.is_some_and(|content| content.spec.deletion_policy == "Delete");
    let wanted = [(AS_SOURCE, true), (BOUND, goes)];
    let lacking =
        wanted.iter().filter(|(name, on)| *on && !has_finalizer(&snapshot.metadata, name));
    let lacking: Vec<&str> = lacking.map(|(name, _)| *name).collect();
    if !lacking.is_empty() {
        let known = snapshot.metadata.finalizers.iter().flatten().map(String::as_str);
        let all: Vec<&str> = known.chain(lacking).collect();
        let patch = json!({ "metadata": { "finalizers": all } });
        plan.act(Action::patch(ObjectRef::to(snapshot), patch));
    }
}

/// Whether a claim waits for what is in a snapshot.
fn is_restored(seen: &SnapshotObserved, snapshot: &VolumeSnapshot) -> bool {
    seen.claims.iter().any(|claim| {
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        let source = claim.spec.as_ref().and_then(|spec| spec.data_source.as_ref());
        phase == Some("Pending")
            && source.is_some_and(|source| {
                source.kind == "VolumeSnapshot"
                    && source.api_group.as_deref() == Some(GROUP)
                    && Some(&source.name) == snapshot.metadata.name.as_ref()
            })
    })
}

/// Lets the claim of a snapshot go once no snapshot is being taken of it.
fn release_claim(
    seen: &SnapshotObserved,
    snapshot: &VolumeSnapshot,
    leaving: bool,
    plan: &mut Plan,
) {
    let Some(claim) = seen.claim.as_ref().filter(|one| has_finalizer(&one.metadata, CLAIM)) else {
        return;
    };
    let taken = seen.snapshots.iter().any(|other| {
        let itself = other.metadata.uid == snapshot.metadata.uid;
        !(leaving && itself) && other.claim() == snapshot.claim() && !other.is_ready()
    });
    if !taken {
        let patch = without_finalizer(&claim.metadata, CLAIM);
        plan.act(Action::patch(ObjectRef::to(claim.as_ref()), patch));
    }
}

fn deleting(seen: &SnapshotObserved, snapshot: &VolumeSnapshot, plan: &mut Plan) {
    let finalizers = snapshot.metadata.finalizers.iter().flatten();
    if !finalizers.clone().any(|name| name == AS_SOURCE || name == BOUND) {
        return;
    }
    let content = seen.content.as_ref().filter(|content| content.is_of(snapshot));
    if content.is_some() && is_restored(seen, snapshot) {
        let message = "Snapshot is being used to restore a PVC";
        return plan.wait(Waiting::new("SnapshotDeletePending", message, Shown::Warning));
    }
    if let Some(content) = content {
        content::mark(content, plan);
    }
    let goes = content.filter(|content| content.spec.deletion_policy == "Delete");
    if let Some(content) = goes {
        let about = ObjectRef::to(content.as_ref()).any_version();
        if content.metadata.deletion_timestamp.is_none() {
            plan.act(Action::delete(about.clone()));
        }
        let message = format!("content {} has not gone yet", about.name);
        plan.wait(Waiting::new("SnapshotContentInUse", message, Shown::Late).on(about));
    }
    release_claim(seen, snapshot, true, plan);
    let rest: Vec<&String> = finalizers
        .clone()
        .filter(|name| *name != AS_SOURCE && (goes.is_some() || *name != BOUND))
        .collect();
    if rest.len() < finalizers.count() {
        let patch = json!({ "metadata": { "finalizers": rest } });
        plan.act(Action::patch(ObjectRef::to(snapshot), patch));
    }
}

/// What a claim has to ask for to hold what a snapshot holds.
pub fn restore_size(snapshot: &VolumeSnapshot) -> Option<i64> {
    let size = snapshot.status.as_ref()?.restore_size.clone()?;
    Some(quantity::whole(&k8s_openapi::apimachinery::pkg::api::resource::Quantity(size)))
}
