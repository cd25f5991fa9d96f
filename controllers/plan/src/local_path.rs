//! Volumes that are directories on a node: made for claims once the scheduler has chosen the node, taken away once the
//! node has wiped them.
//!
//! Alone writes: the volumes of its own provisioner, and its class once. Relies on: the annotation by which a node says where
//! its volumes are, and the one by which it says which it has removed; the binder, which annotates claims with their
//! provisioner and releases volumes.

mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use leme_meta::local_path::{
    CLASS_MADE, FINALIZER, LEFT, NODE, PROVISIONED_BY, PROVISIONER, REMOVED, ROOM, ROOT, SOURCE,
    Source, left, release, removed,
};
use leme_meta::{Object, quote};
use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::common::{annotation, has_finalizer, time_text, without_finalizer};
use crate::quantity;
use crate::report::{Report, Shown, Waiting};
use crate::volume::{DEFAULT_CLASS, SELECTED_NODE, STORAGE_PROVISIONER, default_class, reference};

pub use source::{Named, SourceObserved, named};

/// The class that is made where there is a node with room for volumes.
pub const CLASS: &str = "local-path";

/// What is seen of a claim.
#[derive(Debug)]
pub struct ClaimObserved {
    /// The claim; `None` once it is gone.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// Its class, if there is one of that name.
    pub class: Option<Arc<StorageClass>>,
    /// The node that the scheduler chose, if it is there.
    pub node: Option<Arc<Node>>,
    /// The volume of the claim's name.
    pub volume: Option<Arc<PersistentVolume>>,
    /// What it begins with, as far as it names that.
    pub source: SourceObserved,
}

/// What is seen of a volume.
#[derive(Debug)]
pub struct VolumeObserved {
    /// The volume; `None` once it is gone.
    pub volume: Option<Arc<PersistentVolume>>,
    /// The node that it is on, if it is there.
    pub node: Option<Arc<Node>>,
}

/// The name of the volume that is made for a claim.
pub fn volume_of(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or(""))
}

/// Whether a claim is to have a volume from here.
pub fn is_asked(claim: &PersistentVolumeClaim) -> bool {
    annotation(&claim.metadata, STORAGE_PROVISIONER) == Some(PROVISIONER)
}

/// Whether a volume is from here.
pub fn is_own(volume: &PersistentVolume) -> bool {
    annotation(&volume.metadata, PROVISIONED_BY) == Some(PROVISIONER)
}

/// The node that a volume from here is on.
pub fn node_of(volume: &PersistentVolume) -> Option<&str> {
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required.as_ref()?.node_selector_terms;
    let fields = terms.first()?.match_fields.as_ref()?.first()?;
    fields.values.as_ref()?.first().map(String::as_str)
}

/// What to do for one claim.
pub fn plan_claim(seen: &ClaimObserved, _now: Timestamp) -> Plan {
    let Some(claim) = &seen.claim else { return Plan::default() };
    let about = ObjectRef::to(claim.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if !is_asked(claim) || claim.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if let Some(volume) = &seen.volume {
        expand(claim, volume, &mut plan);
        return plan;
    }
    if claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some()) {
        return plan;
    }
    let mode = seen.class.as_ref().and_then(|class| class.volume_binding_mode.as_deref());
    if mode == Some("WaitForFirstConsumer") && annotation(&claim.metadata, SELECTED_NODE).is_none()
    {
        // The scheduler chooses, perhaps once more.
        return plan;
    }
    if seen.node.is_none() && annotation(&claim.metadata, SELECTED_NODE).is_some() {
        // The node has gone since it was chosen: the scheduler chooses again.
        plan.act(selected(about, None));
        return plan;
    }
    let class = seen.class.as_ref().and_then(|class| class.metadata.name.as_deref()).unwrap_or("");
    let failed =
        |why: &str| format!("failed to provision volume with StorageClass {}: {why}", quote(class));
    match wanted(seen, claim) {
        Ok(volume) => {
            let name = volume_of(claim);
            let told = OutcomeEvents {
                about,
                done: (
                    "ProvisioningSucceeded",
                    format!("Successfully provisioned volume {name}").into(),
                ),
                failed: ("ProvisioningFailed", failed("{error}").into()),
            };
            plan.act(Action::Create { object: Object(volume), told: Some(told) });
        }
        Err(Refusal::Here(why)) => {
            // Another node may do: the scheduler chooses again.
            plan.act(Action::warning(about.clone(), "ProvisioningFailed", failed(&why)));
            plan.act(selected(about, None));
        }
        Err(Refusal::Only(node)) => plan.act(selected(about, Some(node))),
        Err(Refusal::Others) => {
            let message = "Assuming an external populator will provision the volume";
            plan.wait(Waiting::new("Provisioning", message, Shown::Event));
        }
        Err(Refusal::Everywhere(why)) => {
            plan.wait(Waiting::new("ProvisioningFailed", failed(&why), Shown::Warning));
        }
    }
    plan
}

/// Gives a claim a node, or leaves that to the scheduler.
fn selected(claim: ObjectRef, node: Option<String>) -> Action {
    Action::patch(claim, json!({ "metadata": { "annotations": { SELECTED_NODE: node } } }))
}

/// Why there is no volume for a claim.
enum Refusal {
    /// Not on the node that was chosen.
    Here(String),
    /// On this node alone: what the volume begins with is there.
    Only(String),
    /// No node helps.
    Everywhere(String),
    /// Somebody else makes it.
    Others,
}

/// The volume for a claim.
fn wanted(seen: &ClaimObserved, claim: &PersistentVolumeClaim) -> Result<Value, Refusal> {
    let never = |why: &str| Refusal::Everywhere(why.to_owned());
    let spec = claim.spec.as_ref().ok_or_else(|| never("the claim has no spec"))?;
    let class = seen.class.as_ref().ok_or_else(|| never("the class is not there any more"))?;
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(never("volumeMode Block is not supported: volumes are directories"));
    }
    if class.mount_options.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(never("mountOptions are not supported: volumes are directories"));
    }
    if spec.selector.is_some() {
        return Err(never("claim Selector is not supported"));
    }
    let unchosen =
        || never("no node was chosen: the class needs volumeBindingMode WaitForFirstConsumer");
    let chosen = annotation(&claim.metadata, SELECTED_NODE).ok_or_else(unchosen)?;
    let node = seen.node.as_ref().ok_or_else(unchosen)?;
    let source = source_of(seen, claim, class, chosen)?;
    let root = annotation(&node.metadata, ROOT)
        .ok_or_else(|| Refusal::Here(format!("node {} has no room for volumes", quote(chosen))))?;
    let name = volume_of(claim);
    let mut annotations = json!({ PROVISIONED_BY: PROVISIONER });
    if let Some(source) = source {
        annotations[SOURCE] = source.to_string().into();
    }
    let requests = spec.resources.as_ref().and_then(|all| all.requests.as_ref());
    let path = format!("{}/{name}", root.trim_end_matches('/'));
    Ok(json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name, "finalizers": [FINALIZER], "annotations": annotations,
            "labels": { NODE: chosen } },
        "spec": {
            "accessModes": spec.access_modes,
            "capacity": { "storage": requests.and_then(|all| all.get("storage")) },
            "claimRef": reference(claim),
            "local": { "path": path },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [
                { "matchFields": [
                    { "key": "metadata.name", "operator": "In", "values": [chosen] },
                ] },
            ] } },
            "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
            "storageClassName": class.metadata.name,
            "volumeMode": "Filesystem",
        },
    }))
}

/// What the volume begins with, if the node that was chosen has it.
fn source_of(
    seen: &ClaimObserved,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    chosen: &str,
) -> Result<Option<Source>, Refusal> {
    let Some(named) = named(claim) else { return Ok(None) };
    if named == Named::Other {
        return Err(Refusal::Others);
    }
    let class = class.metadata.name.as_deref().unwrap_or("");
    let found = source::of(claim, &named, class, &seen.source).map_err(Refusal::Everywhere)?;
    match found {
        (source, node) if node == chosen => Ok(Some(source)),
        (_, node) => Err(Refusal::Only(node)),
    }
}

/// A claim that asks for more gets it: a directory has the size of its disk.
fn expand(claim: &PersistentVolumeClaim, volume: &PersistentVolume, plan: &mut Plan) {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let Some(asked) = requests.and_then(|all| all.get("storage")) else { return };
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    if is_own(volume) && quantity::whole(asked) > capacity.map_or(0, quantity::whole) {
        let patch = json!({ "spec": { "capacity": { "storage": asked } } });
        plan.act(Action::patch(ObjectRef::to(volume), patch));
    }
}

/// What to do for one volume: it goes once nobody has it and its node has wiped it. One whose node is not there is kept, for
/// the node to wipe it when it returns; who knows that it does not deletes the volume.
pub fn plan_volume(seen: &VolumeObserved, _now: Timestamp) -> Plan {
    let Some(volume) = seen.volume.as_ref().filter(|volume| is_own(volume)) else {
        return Plan::default();
    };
    let about = ObjectRef::to(volume.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let labels = volume.metadata.labels.as_ref();
    let labelled = labels.and_then(|labels| labels.get(NODE)).map(String::as_str);
    let place = node_of(volume);
    if place.is_some() && place != labelled {
        // Its node looks for it by that.
        plan.act(Action::patch(about, json!({ "metadata": { "labels": { NODE: place } } })));
        return plan;
    }
    let spec = volume.spec.as_ref();
    let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let deleting = volume.metadata.deletion_timestamp.is_some();
    let goes = policy == Some("Delete") && phase == Some("Released");
    let wanted = release_of(volume);
    let wiped = |node: &Node| {
        let done = annotation(&node.metadata, REMOVED).unwrap_or("");
        removed(done).any(|one| one == wanted)
    };
    match &seen.node {
        Some(node) if goes && !wiped(node) => {
            let name = quote(node.metadata.name.as_deref().unwrap_or(""));
            let why = annotation(&node.metadata, LEFT).and_then(|said| left(said, &wanted));
            let wait = match why {
                Some(why) => Waiting::new("VolumeFailedDelete", why, Shown::Warning),
                None => {
                    let message = format!("node {name} has not wiped the volume yet");
                    Waiting::new("VolumeInUse", message, Shown::Late)
                }
            };
            plan.wait(wait.on(ObjectRef::to(node.as_ref())));
        }
        None if goes && !deleting => {
            let name = quote(node_of(volume).unwrap_or(""));
            let message = format!(
                "node {name}, which holds the volume, is not there: it wipes the volume when it returns; if it never \
                 does, delete the volume"
            );
            plan.wait(Waiting::new("VolumeFailedDelete", message, Shown::Warning));
        }
        // Who deletes what is kept, or was never given to anybody, keeps its directory.
        _ if deleting && phase != Some("Bound") && has_finalizer(&volume.metadata, FINALIZER) => {
            plan.act(Action::patch(about, without_finalizer(&volume.metadata, FINALIZER)));
        }
        _ if goes && !deleting => plan.act(Action::delete(about)),
        _ => {}
    }
    plan
}

/// The release that a volume is in.
pub fn release_of(volume: &PersistentVolume) -> String {
    let since = volume.status.as_ref().and_then(|all| all.last_phase_transition_time.as_ref());
    let since = since.map(|time| time_text(time.0)).unwrap_or_default();
    release(volume.metadata.uid.as_deref().unwrap_or(""), &since)
}

/// What is seen of the classes.
#[derive(Debug)]
pub struct ClassesObserved {
    /// All classes.
    pub classes: Vec<Arc<StorageClass>>,
    /// Whether a node has room for volumes.
    pub room: bool,
    /// The namespace that remembers whether the class was made.
    pub system: Option<Arc<Namespace>>,
}

/// Makes the class once, which claims get that name none unless another is for them.
pub fn plan_class(seen: &ClassesObserved, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(system) = seen.system.as_ref().filter(|_| seen.room) else { return plan };
    if annotation(&system.metadata, CLASS_MADE).is_some() {
        return plan;
    }
    let remember = json!({ "metadata": { "annotations": { CLASS_MADE: "true" } } });
    let remember = Action::patch(ObjectRef::to(system.as_ref()).any_version(), remember);
    let named = |class: &Arc<StorageClass>| class.metadata.name.as_deref() == Some(CLASS);
    if seen.classes.iter().any(named) {
        plan.act(remember);
        return plan;
    }
    let default = default_class(seen.classes.clone()).is_none();
    plan.act(Action::Create {
        object: Object(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": { "name": CLASS, "annotations": { DEFAULT_CLASS[0]: default.to_string() } },
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": true,
            "allowedTopologies": [
                { "matchLabelExpressions": [{ "key": ROOM, "values": ["true"] }] },
            ],
        })),
        told: None,
    });
    plan.act(remember);
    plan
}
