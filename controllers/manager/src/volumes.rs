//! Wakes claims and volumes: by their own changes and by each other's.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use leme_controller_runtime::{Key, Queue, Resource};
use leme_plan::{pods, volume};

use crate::{Start, Wiring, controller};

const NAME: &str = "persistentvolume-controller";

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((reference.namespace.clone()?, reference.name.clone()?))
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

pub(crate) fn claims(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.claims.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let (waker, claims) = (queue.clone(), wiring.cache.claims.clone());
    wiring.cache.volumes.on_change(Box::new(move |key, old, new| {
        for volume in [old, new].into_iter().flatten() {
            claim_of(volume).into_iter().for_each(|key| waker.add(key));
        }
        let waits = |claim: &PersistentVolumeClaim| {
            let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
            !is_bound(claim) || named == Some(&key.1)
        };
        for claim in claims.filter(waits) {
            let meta = claim.metadata.clone();
            waker.add((meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default()));
        }
    }));
    let (waker, claims) = (queue.clone(), wiring.cache.claims.clone());
    wiring.cache.pods.on_change(Box::new(move |key, old, _| {
        for name in old.iter().flat_map(|pod| pods::claims(pod)) {
            if claims
                .get(&key.0, name)
                .is_some_and(|claim| claim.metadata.deletion_timestamp.is_some())
            {
                waker.add((key.0.clone(), name.to_owned()));
            }
        }
    }));
    controller(wiring, NAME, queue, None, |wiring, key, _| async move {
        let seen = volume::ClaimObserved {
            claim: wiring.cache.claims.get(&key.0, &key.1),
            volumes: wiring.cache.volumes.list(),
            pods: wiring.cache.pods.in_namespace(&key.0),
        };
        Ok(volume::plan_claim(&seen, Timestamp::now()))
    })
}

pub(crate) fn volumes(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.volumes.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let (waker, volumes) = (queue.clone(), wiring.cache.volumes.clone());
    wiring.cache.claims.on_change(Box::new(move |key, _, _| {
        for volume in volumes.filter(|volume| claim_of(volume).as_ref() == Some(key)) {
            waker.add((String::new(), volume.metadata.name.clone().unwrap_or_default()));
        }
    }));
    controller(wiring, NAME, queue, None, |wiring, key, _| async move {
        let volume = wiring.cache.volumes.get("", &key.1);
        let named = volume.as_ref().and_then(|volume| claim_of(volume));
        let claim = match &named {
            // Whether a claim is gone decides about data: the API itself is asked if the cache does not have it.
            Some(named) => match wiring.cache.claims.get(&named.0, &named.1) {
                Some(claim) => Some(claim),
                None => live_claim(&wiring, named).await?,
            },
            None => None,
        };
        Ok(volume::plan_volume(&volume::VolumeObserved { volume, claim }, Timestamp::now()))
    })
}

async fn live_claim(
    wiring: &Wiring,
    key: &Key,
) -> Result<Option<Arc<PersistentVolumeClaim>>, String> {
    if !Resource::is_name(&key.0) || !Resource::is_name(&key.1) {
        return Ok(None);
    }
    let path = wiring.cache.claims.resource().object(&key.0, &key.1, "");
    match wiring.executor.client().get(&path).await {
        Ok(value) => serde_json::from_value(value)
            .map(|claim| Some(Arc::new(claim)))
            .map_err(|error| error.to_string()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(other) => Err(other.message().to_owned()),
    }
}
