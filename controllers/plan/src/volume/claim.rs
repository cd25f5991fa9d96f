//! The claim's side of a binding.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use leme_meta::quote;
use serde_json::{Value, json};

use super::matching::{best, claim_class, mismatch, says_no_class};
use super::{
    BETA_STORAGE_PROVISIONER, BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIM_PROTECTION, ClaimObserved,
    IN_TREE, SELECTED_NODE, STORAGE_PROVISIONER, is_for, reserve,
};
use crate::Plan;
use crate::action::{Action, ObjectRef, to_object};
use crate::attach::driver_of;
use crate::common::{annotation, has_finalizer, with_finalizer, without_finalizer};
use crate::pods;
use crate::report::{Report, Shown, Waiting};

/// What to do for one claim.
pub fn plan(seen: &ClaimObserved, _now: Timestamp) -> Plan {
    let Some(claim) = &seen.claim else { return Plan::default() };
    let about = ObjectRef::to(claim.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if claim.metadata.deletion_timestamp.is_some() {
        release_protection(seen, claim, &mut plan);
        return plan;
    }
    if !has_finalizer(&claim.metadata, CLAIM_PROTECTION) {
        plan.act(Action::patch(about, with_finalizer(&claim.metadata, CLAIM_PROTECTION)));
        return plan;
    }
    if annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        bound(seen, claim, &mut plan);
    } else {
        unbound(seen, claim, &mut plan);
    }
    plan
}

fn release_protection(seen: &ClaimObserved, claim: &PersistentVolumeClaim, plan: &mut Plan) {
    if !has_finalizer(&claim.metadata, CLAIM_PROTECTION) {
        return;
    }
    let name = claim.metadata.name.as_deref().unwrap_or("");
    let user = seen.pods.iter().find(|pod| {
        !pods::is_terminal(pod)
            && !pods::node_name(pod).is_empty()
            && pods::claims(pod).any(|one| one == name)
    });
    match user {
        Some(pod) => {
            let target = ObjectRef::to(pod.as_ref());
            let message = format!("pod {} still uses the claim", target.name);
            plan.wait(Waiting::new("ClaimInUse", message, Shown::Late).on(target));
        }
        None => {
            let patch = without_finalizer(&claim.metadata, CLAIM_PROTECTION);
            plan.act(Action::patch(ObjectRef::to(claim), patch));
        }
    }
}

fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or("")
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("")
}

fn set_phase(claim: &PersistentVolumeClaim, wanted: &str, plan: &mut Plan) {
    if phase(claim) != wanted {
        plan.act(Action::status(ObjectRef::to(claim).any_version(), json!({ "phase": wanted })));
    }
}

fn find<'a>(volumes: &'a [Arc<PersistentVolume>], name: &str) -> Option<&'a Arc<PersistentVolume>> {
    volumes.iter().find(|volume| volume.metadata.name.as_deref() == Some(name))
}

fn unbound(seen: &ClaimObserved, claim: &PersistentVolumeClaim, plan: &mut Plan) {
    let wanted = volume_name(claim);
    if wanted.is_empty() {
        // Whose first pod decides is bound by the scheduler; what was made for a claim is its own all the same.
        let found = best(claim, &seen.volumes);
        match found.filter(|volume| is_for(volume, claim) || !waits_for_pod(seen, claim)) {
            Some(volume) => bind(claim, volume, plan),
            None => {
                set_phase(claim, "Pending", plan);
                match seen.default.as_ref().filter(|_| says_no_class(claim)) {
                    Some(class) => {
                        let patch = json!({ "spec": { "storageClassName": class.metadata.name } });
                        plan.act(Action::patch(ObjectRef::to(claim), patch));
                    }
                    None => nothing_fits(seen, claim, plan),
                }
            }
        }
        return;
    }
    let Some(volume) = find(&seen.volumes, wanted) else {
        set_phase(claim, "Pending", plan);
        plan.wait(Waiting::new(
            "FailedBinding",
            format!("volume {wanted:?} does not exist"),
            Shown::Event,
        ));
        return;
    };
    let taken =
        volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some()) && !is_for(volume, claim);
    let wait = if taken {
        let message = format!("volume {wanted:?} already bound to a different claim.");
        Some(Waiting::new("FailedBinding", message, Shown::Warning))
    } else {
        mismatch(volume, claim).map(|why| {
            let message = format!("Cannot bind to requested volume {wanted:?}: {why}");
            Waiting::new("VolumeMismatch", message, Shown::Warning)
        })
    };
    match wait {
        None => bind(claim, volume, plan),
        Some(wait) => {
            set_phase(claim, "Pending", plan);
            plan.wait(wait.on(ObjectRef::to(volume.as_ref())));
        }
    }
}

/// Whether nothing is done until the scheduler has chosen a node for the claim's first pod.
fn waits_for_pod(seen: &ClaimObserved, claim: &PersistentVolumeClaim) -> bool {
    let mode = seen.class.as_ref().and_then(|class| class.volume_binding_mode.as_deref());
    mode == Some("WaitForFirstConsumer") && annotation(&claim.metadata, SELECTED_NODE).is_none()
}

/// No volume fits: says who is to make one, and what that waits for.
fn nothing_fits(seen: &ClaimObserved, claim: &PersistentVolumeClaim, plan: &mut Plan) {
    let name = claim_class(claim);
    if name.is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        return plan.wait(Waiting::new("FailedBinding", message, Shown::Event));
    }
    let Some(class) = &seen.class else {
        let message = format!("storageclass.storage.k8s.io {} not found", quote(name));
        return plan.wait(Waiting::new("ProvisioningFailed", message, Shown::Warning));
    };
    if waits_for_pod(seen, claim) {
        let message = "waiting for first consumer to be created before binding";
        return plan.wait(Waiting::new("WaitForFirstConsumer", message, Shown::Event));
    }
    let provisioner = class.provisioner.as_str();
    if provisioner.starts_with(IN_TREE) {
        let message = format!("no volume plugin matched name: {provisioner}");
        return plan.wait(Waiting::new("ProvisioningFailed", message, Shown::Warning));
    }
    if annotation(&claim.metadata, STORAGE_PROVISIONER) != Some(provisioner) {
        let annotations =
            json!({ STORAGE_PROVISIONER: provisioner, BETA_STORAGE_PROVISIONER: provisioner });
        let patch = json!({ "metadata": { "annotations": annotations } });
        plan.act(Action::patch(ObjectRef::to(claim), patch));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    plan.wait(Waiting::new("ExternalProvisioning", message, Shown::Event));
}

fn bound(seen: &ClaimObserved, claim: &PersistentVolumeClaim, plan: &mut Plan) {
    let lost = |plan: &mut Plan, reason, message: &str| {
        if phase(claim) != "Lost" {
            plan.act(Action::warning(ObjectRef::to(claim), reason, message));
        }
        set_phase(claim, "Lost", plan);
        plan.wait(Waiting::new(reason, message, Shown::Status));
    };
    let name = volume_name(claim);
    if name.is_empty() {
        let message =
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost(plan, "ClaimLost", message);
    }
    let Some(volume) = find(&seen.volumes, name) else {
        let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return lost(plan, "ClaimLost", message);
    };
    let free = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none());
    if free || is_for(volume, claim) {
        bind(claim, volume, plan);
    } else {
        let message = "Two claims are bound to the same volume, this one is bound incorrectly";
        lost(plan, "ClaimMisbound", message);
    }
}

/// The four steps, each only if it is not done yet.
fn bind(claim: &PersistentVolumeClaim, volume: &PersistentVolume, plan: &mut Plan) {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    if reference.and_then(|reference| reference.uid.as_ref()) != claim.metadata.uid.as_ref() {
        plan.act(reserve(volume, claim));
    }
    if volume.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
        plan.act(Action::status(ObjectRef::to(volume).any_version(), json!({ "phase": "Bound" })));
    }
    let mut annotations = serde_json::Map::new();
    if annotation(&claim.metadata, BIND_COMPLETED).is_none() {
        annotations.insert(BIND_COMPLETED.to_owned(), "yes".into());
    }
    let mut patch = json!({});
    if volume_name(claim).is_empty() {
        annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".into());
        patch["spec"] = json!({ "volumeName": volume.metadata.name });
    }
    if !annotations.is_empty() {
        patch["metadata"] = json!({ "annotations": annotations });
        plan.act(Action::patch(ObjectRef::to(claim), patch));
    }
    let mut status = bound_status(volume);
    // How much is usable of what a driver has made larger, the node says where it is used.
    if phase(claim) == "Bound" && driver_of(volume).is_some() {
        status["capacity"] = json!(claim.status.as_ref().and_then(|old| old.capacity.as_ref()));
    }
    let same = claim.status.as_ref().is_some_and(|old| {
        let old = to_object(old).0;
        ["phase", "accessModes", "capacity"].iter().all(|field| old.get(field) == status.get(field))
    });
    if !same {
        plan.act(Action::status(ObjectRef::to(claim).any_version(), status));
    }
}

fn bound_status(volume: &PersistentVolume) -> Value {
    let spec = volume.spec.as_ref();
    json!({
        "phase": "Bound",
        "accessModes": spec.and_then(|spec| spec.access_modes.clone()),
        "capacity": spec.and_then(|spec| spec.capacity.clone()),
    })
}
