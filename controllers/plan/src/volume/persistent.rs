//! The volume's side of a binding, and what becomes of it after its claim is gone.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use leme_meta::local_path::PROVISIONED_BY;
use serde_json::{Value, json};

use super::{BOUND_BY_CONTROLLER, IN_TREE, VOLUME_PROTECTION, VolumeObserved};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{annotation, has_finalizer, time_text, with_finalizer, without_finalizer};
use crate::report::{Report, Shown, Waiting};

/// What to do for one volume.
pub fn plan(seen: &VolumeObserved, now: Timestamp) -> Plan {
    let Some(volume) = &seen.volume else { return Plan::default() };
    let about = ObjectRef::to(volume.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if volume.metadata.deletion_timestamp.is_some() && phase(volume) != "Bound" {
        if has_finalizer(&volume.metadata, VOLUME_PROTECTION) {
            let patch = without_finalizer(&volume.metadata, VOLUME_PROTECTION);
            plan.act(Action::patch(about, patch));
        }
        return plan;
    }
    let deleting = volume.metadata.deletion_timestamp.is_some();
    if !deleting && !has_finalizer(&volume.metadata, VOLUME_PROTECTION) {
        plan.act(Action::patch(about, with_finalizer(&volume.metadata, VOLUME_PROTECTION)));
        return plan;
    }
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let uid = reference.and_then(|reference| reference.uid.as_deref()).unwrap_or("");
    if reference.is_none() || uid.is_empty() {
        set_phase(volume, "Available", "", now, &mut plan);
        return plan;
    }
    let claim = seen.claim.as_ref().filter(|claim| claim.metadata.uid.as_deref() == Some(uid));
    let Some(claim) = claim else {
        released(volume, now, &mut plan);
        return plan;
    };
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or("");
    if wanted == about.name {
        set_phase(volume, "Bound", "", now, &mut plan);
    } else if wanted.is_empty() {
        let message = format!("claim {} has not taken the volume yet", reference_name(volume));
        plan.wait(
            Waiting::new("ClaimPending", message, Shown::Late).on(ObjectRef::to(claim.as_ref())),
        );
    } else {
        unbind(volume, now, &mut plan);
    }
    plan
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("")
}

fn reference_name(volume: &PersistentVolume) -> String {
    let reference =
        volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
    format!("{}/{}", reference.namespace.unwrap_or_default(), reference.name.unwrap_or_default())
}

fn set_phase(
    volume: &PersistentVolume,
    wanted: &str,
    message: &str,
    now: Timestamp,
    plan: &mut Plan,
) {
    if phase(volume) == wanted {
        return;
    }
    let mut status = json!({ "phase": wanted, "lastPhaseTransitionTime": time_text(now) });
    status["message"] = if message.is_empty() { Value::Null } else { message.into() };
    plan.act(Action::status(ObjectRef::to(volume).any_version(), status));
}

/// The claim is gone: Retain keeps everything for a person to look at, who made the volume takes it away, and the others
/// need somebody who can wipe volumes.
fn released(volume: &PersistentVolume, now: Timestamp, plan: &mut Plan) {
    let spec = volume.spec.as_ref();
    let policy =
        spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain");
    let maker = annotation(&volume.metadata, PROVISIONED_BY).unwrap_or(IN_TREE);
    if policy == "Retain" || (policy == "Delete" && !maker.starts_with(IN_TREE)) {
        set_phase(volume, "Released", "", now, plan);
        return;
    }
    let name = volume.metadata.name.as_deref().unwrap_or("");
    let (reason, message) = if policy == "Delete" {
        (
            "VolumeFailedDelete",
            format!(
                "error getting deleter volume plugin for volume {name:?}: no volume plugin matched"
            ),
        )
    } else {
        ("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned())
    };
    if phase(volume) != "Failed" {
        plan.act(Action::warning(ObjectRef::to(volume), reason, message.clone()));
    }
    set_phase(volume, "Failed", &message, now, plan);
    plan.wait(Waiting::new(reason, message, Shown::Status));
}

/// The claim went to another volume: what the controller had reserved is free again, what the user had stays his.
fn unbind(volume: &PersistentVolume, now: Timestamp, plan: &mut Plan) {
    let patch = if annotation(&volume.metadata, BOUND_BY_CONTROLLER).is_some() {
        json!({
            "metadata": { "annotations": { BOUND_BY_CONTROLLER: null } },
            "spec": { "claimRef": null },
        })
    } else {
        json!({ "spec": { "claimRef": { "uid": null, "resourceVersion": null } } })
    };
    plan.act(Action::patch(ObjectRef::to(volume), patch));
    set_phase(volume, "Available", "", now, plan);
}
