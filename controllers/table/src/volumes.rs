//! Claims and volumes: woken by their own changes and by each other's.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use leme_lister::{Key, key_of};
use leme_plan::{pods, volume};

use crate::controller::Controller;
use crate::watch::Watch;

const NAME: &str = "persistentvolume-controller";

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((reference.namespace.clone()?, reference.name.clone()?))
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

/// Wakes the claim that a volume is for, the one that names it, and those that wait for one.
fn by_volumes() -> Watch {
    Watch::on::<PersistentVolume>(|change, wake| {
        change.both().filter_map(|volume| claim_of(volume)).for_each(wake);
        let waits = |claim: &PersistentVolumeClaim| {
            let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
            !is_bound(claim) || named == Some(&change.key.1)
        };
        for claim in change.cache.claims.filter(waits) {
            wake(key_of(&claim.metadata));
        }
    })
}

/// Wakes the claims that wait for a volume of a class.
fn by_classes() -> Watch {
    Watch::on::<StorageClass>(|change, wake| {
        let waits = |claim: &PersistentVolumeClaim| {
            let class = volume::class_of(claim);
            // What names none may get this one.
            !is_bound(claim) && (class.is_empty() || class == change.key.1)
        };
        for claim in change.cache.claims.filter(waits) {
            wake(key_of(&claim.metadata));
        }
    })
}

/// Wakes the claims that wait for the end of the pods that use them.
fn by_pods() -> Watch {
    Watch::on::<Pod>(|change, wake| {
        let namespace = &change.key.0;
        for name in change.old.iter().flat_map(|pod| pods::claims(pod)) {
            let claim = change.cache.claims.get(namespace, name);
            if claim.is_some_and(|claim| claim.metadata.deletion_timestamp.is_some()) {
                wake((namespace.clone(), name.to_owned()));
            }
        }
    })
}

pub(crate) fn claims() -> Controller {
    let watches =
        vec![Watch::itself::<PersistentVolumeClaim>(), by_volumes(), by_classes(), by_pods()];
    Controller::new(NAME, watches, |view, key| {
        let claim = view.cache.claims.get(&key.0, &key.1);
        let class = claim.as_ref().map_or("", |claim| volume::class_of(claim));
        let seen = volume::ClaimObserved {
            class: view.cache.classes.get("", class),
            default: volume::default_class(view.cache.classes.list()),
            claim,
            volumes: view.cache.volumes.list(),
            pods: view.cache.pods.in_namespace(&key.0),
        };
        Ok(volume::plan_claim(&seen, view.now))
    })
}

pub(crate) fn volumes() -> Controller {
    let by_claims = Watch::on::<PersistentVolumeClaim>(|change, wake| {
        let is_for = |volume: &PersistentVolume| claim_of(volume).as_ref() == Some(change.key);
        for volume in change.cache.volumes.filter(is_for) {
            wake(key_of(&volume.metadata));
        }
    });
    let watches = vec![Watch::itself::<PersistentVolume>(), by_claims];
    Controller::new(NAME, watches, |view, key| {
        let volume = view.cache.volumes.get("", &key.1);
        let claim = match volume.as_ref().and_then(|volume| claim_of(volume)) {
            // Whether a claim is gone decides about data: the API itself is asked if the cache does not have that one.
            Some(named) => {
                let reference =
                    volume.as_ref().and_then(|one| one.spec.as_ref()?.claim_ref.as_ref());
                let uid = reference.and_then(|reference| reference.uid.clone());
                view.found(&named, uid.as_deref())?
            }
            None => None,
        };
        Ok(volume::plan_volume(&volume::VolumeObserved { volume, claim }, view.now))
    })
}
