//! PersistentVolumes and their claims: who is bound to whom.
//!
//! Invariant: a claim with `bind-completed` names a volume whose `claimRef` has the claim's uid. A binding is written in
//! four steps, each of which can be the last one before a crash: volume spec, volume status, claim spec, claim status.
//! Alone writes: the phases of both, the protection finalizers and `claimRef`.

mod claim;
mod matching;
mod persistent;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::{Value, json};

use crate::action::{Action, ObjectRef};
use crate::common::annotation;

pub use claim::plan as plan_claim;
pub use matching::candidates;
pub use persistent::plan as plan_volume;

/// Annotation of a claim whose binding is complete.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of what the controller bound, as opposed to the user.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Finalizer of claims.
pub const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Finalizer of volumes.
pub const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

/// Annotation of a claim: who is to make a volume for it.
pub const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// The same under its older name.
pub const BETA_STORAGE_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// Annotations of a class that claims get which name none.
pub const DEFAULT_CLASS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
/// Annotation of a claim: the node on which its first pod will be.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// What the provisioners begin with that a cluster would bring along; there are none.
const IN_TREE: &str = "kubernetes.io/";

/// What is seen of a claim.
#[derive(Debug)]
pub struct ClaimObserved {
    /// The claim; `None` once it is gone.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// Its class, if there is one of that name.
    pub class: Option<Arc<StorageClass>>,
    /// The class of claims that say nothing of a class.
    pub default: Option<Arc<StorageClass>>,
    /// All volumes.
    pub volumes: Vec<Arc<PersistentVolume>>,
    /// The pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
}

/// What is seen of a volume.
#[derive(Debug)]
pub struct VolumeObserved {
    /// The volume; `None` once it is gone.
    pub volume: Option<Arc<PersistentVolume>>,
    /// The claim that its `claimRef` names, if it exists.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
}

/// Whether the volume's `claimRef` names this claim: by name, and by uid where it has one.
pub fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
        return false;
    };
    let uid = reference.uid.as_deref().unwrap_or("");
    reference.name == claim.metadata.name
        && reference.namespace == claim.metadata.namespace
        && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// The class that claims get which name none: of several the youngest, and of those of one second the first by name.
pub fn default_class(classes: Vec<Arc<StorageClass>>) -> Option<Arc<StorageClass>> {
    let is_default = |class: &Arc<StorageClass>| {
        DEFAULT_CLASS.iter().any(|mark| annotation(&class.metadata, mark) == Some("true"))
    };
    let age = |class: &Arc<StorageClass>| {
        let made = class.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (Reverse(made), class.metadata.name.clone())
    };
    classes.into_iter().filter(is_default).min_by_key(age)
}

/// What a volume says of the claim that it is for.
pub fn reference(claim: &PersistentVolumeClaim) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "namespace": claim.metadata.namespace, "name": claim.metadata.name,
        "uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version,
    })
}

/// Makes a volume one for a claim; one that was nobody's can be so again.
pub fn reserve(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Action {
    let mut patch = json!({ "spec": { "claimRef": reference(claim) } });
    if volume.spec.as_ref().is_none_or(|spec| spec.claim_ref.is_none()) {
        patch["metadata"] = json!({ "annotations": { BOUND_BY_CONTROLLER: "yes" } });
    }
    Action::patch(ObjectRef::to(volume), patch)
}

/// The class that a claim asks for.
pub fn class_of(claim: &PersistentVolumeClaim) -> &str {
    matching::claim_class(claim)
}
