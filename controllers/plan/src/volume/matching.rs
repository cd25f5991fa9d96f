//! Which volume fits a claim best.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
};

use super::is_for;
use crate::common::{annotation, selects};
use crate::quantity;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The class a claim asks for.
pub(super) fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    annotation(&claim.metadata, CLASS_ANNOTATION)
        .or(claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()))
        .unwrap_or("")
}

/// Whether a claim leaves its class open; the empty class is none.
pub(super) fn says_no_class(claim: &PersistentVolumeClaim) -> bool {
    annotation(&claim.metadata, CLASS_ANNOTATION).is_none()
        && claim.spec.as_ref().is_some_and(|spec| spec.storage_class_name.is_none())
}

fn volume_class(volume: &PersistentVolume) -> &str {
    annotation(&volume.metadata, CLASS_ANNOTATION)
        .or(volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()))
        .unwrap_or("")
}

fn capacity(volume: &PersistentVolume) -> i64 {
    let spec = volume.spec.as_ref();
    let size = spec.and_then(|spec| spec.capacity.as_ref()).and_then(|all| all.get("storage"));
    size.map_or(0, quantity::whole)
}

fn request(spec: &PersistentVolumeClaimSpec) -> i64 {
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.and_then(|all| all.get("storage")).map_or(0, quantity::whole)
}

/// Why a volume does not satisfy a claim, whoever else it may belong to; `None` if it does.
pub(super) fn mismatch(
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Option<&'static str> {
    let (Some(spec), Some(wanted)) = (&volume.spec, &claim.spec) else {
        return Some("it has no spec");
    };
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    if capacity(volume) < request(wanted) {
        return Some("requested PV is too small");
    }
    if volume_class(volume) != claim_class(claim) {
        return Some("storageClassName does not match");
    }
    if mode(&spec.volume_mode) != mode(&wanted.volume_mode) {
        return Some("incompatible volumeMode");
    }
    let offered = spec.access_modes.as_deref().unwrap_or_default();
    if !wanted.access_modes.iter().flatten().all(|mode| offered.contains(mode)) {
        return Some("incompatible accessMode");
    }
    None
}

/// The volume made for this claim, else the smallest free one that satisfies it.
pub(super) fn best<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
) -> Option<&'a Arc<PersistentVolume>> {
    candidates(claim, volumes).into_iter().next()
}

/// The volumes that a claim could be bound to, the best first: the one made for it alone, else the free ones by size.
pub fn candidates<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
) -> Vec<&'a Arc<PersistentVolume>> {
    let fits = |volume: &&Arc<PersistentVolume>| {
        mismatch(volume, claim).is_none() && volume.metadata.deletion_timestamp.is_none()
    };
    let mut prebound = volumes.iter().filter(|volume| is_for(volume, claim)).filter(fits);
    if let Some(volume) = prebound.next() {
        return vec![volume];
    }
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let mut free: Vec<&Arc<PersistentVolume>> = volumes
        .iter()
        .filter(fits)
        .filter(|volume| volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_none()))
        .filter(|volume| {
            volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available")
        })
        .filter(|volume| {
            selector.is_none_or(|selector| selects(selector, volume.metadata.labels.as_ref()))
        })
        .collect();
    free.sort_by_key(|volume| (capacity(volume), volume.metadata.name.clone()));
    free
}
