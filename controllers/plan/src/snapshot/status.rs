//! What a snapshot says of itself, which is what its content says.

use jiff::Timestamp;
use serde_json::json;

use super::{VolumeSnapshot, VolumeSnapshotContent};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::time_text;
use crate::report::{Shown, Waiting};

/// Makes a content that was there before this snapshot's for good.
pub(super) fn bind(content: &VolumeSnapshotContent, snapshot: &VolumeSnapshot, plan: &mut Plan) {
    if content.is_of(snapshot) {
        return;
    }
    let mut reference = json!(content.spec.volume_snapshot_ref);
    reference["uid"] = json!(snapshot.metadata.uid);
    let mut spec = json!({ "volumeSnapshotRef": reference });
    if let Some(class) = &snapshot.spec.volume_snapshot_class_name {
        spec["volumeSnapshotClassName"] = class.as_str().into();
    }
    plan.act(Action::patch(ObjectRef::to(content), json!({ "spec": spec })));
}

/// Gives the snapshot what its content says.
pub(super) fn take_over(
    content: &VolumeSnapshotContent,
    snapshot: &VolumeSnapshot,
    now: Timestamp,
    plan: &mut Plan,
) {
    let about = ObjectRef::to(snapshot);
    let known = snapshot.status.clone().unwrap_or_default();
    let told = content.status.clone().unwrap_or_default();
    let name = content.metadata.name.clone();
    let ready = told.ready_to_use.unwrap_or(false);
    let created =
        told.creation_time.and_then(|nanos| Timestamp::from_nanosecond(nanos.into()).ok());
    let mut fresh = known.clone();
    fresh.bound_volume_snapshot_content_name = known.bound_volume_snapshot_content_name.or(name);
    fresh.creation_time = known.creation_time.clone().or(created.map(time_text));
    fresh.ready_to_use = Some(ready);
    fresh.restore_size = known.restore_size.or(told.restore_size.map(bytes));
    fresh.error = if ready { None } else { told.error };
    let shown = format!("{}/{}", about.namespace, about.name);
    if fresh != snapshot.status.clone().unwrap_or_default() {
        let error = fresh.error.as_ref().map(|error| {
            let time = error.time.clone().unwrap_or_else(|| time_text(now));
            json!({ "time": time, "message": error.message })
        });
        let status = json!({
            "boundVolumeSnapshotContentName": fresh.bound_volume_snapshot_content_name,
            "creationTime": fresh.creation_time, "readyToUse": fresh.ready_to_use,
            "restoreSize": fresh.restore_size, "error": error,
        });
        plan.act(Action::status(about.clone().any_version(), status));
        if known.creation_time.is_none() && fresh.creation_time.is_some() {
            let message = format!("Snapshot {shown} was successfully created by the CSI driver.");
            plan.act(Action::normal(about.clone(), "SnapshotCreated", message));
        }
        if known.ready_to_use != Some(true) && ready {
            let message = format!("Snapshot {shown} is ready to use.");
            plan.act(Action::normal(about, "SnapshotReady", message));
        }
    }
    if !ready {
        let message = match fresh.error.and_then(|error| error.message) {
            Some(message) => message,
            None => format!("Waiting for a snapshot {shown} to be created by the CSI driver."),
        };
        let wait = Waiting::new("CreatingSnapshot", message, Shown::Status);
        plan.wait(wait.on(ObjectRef::to(content)));
    }
}

/// A number of bytes in upstream's shortest words.
pub(super) fn bytes(count: i64) -> String {
    const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut count, mut unit) = (count, 0);
    while count != 0 && count % 1024 == 0 && unit + 1 < UNITS.len() {
        (count, unit) = (count / 1024, unit + 1);
    }
    format!("{count}{}", UNITS[unit])
}
