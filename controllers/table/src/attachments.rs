//! Volumes that are attached to nodes: pods ask for it, attachments go when no pod does, nodes list what there is.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};
use leme_lister::{Key, key_of};
use leme_plan::attach::{
    self, Attached, AttachmentObserved, NodeObserved, PodObserved, driver_of, is_attached, name_of,
};
use leme_plan::pods;

use crate::cache::{Cache, NODE};
use crate::controller::Controller;
use crate::watch::Watch;

const NAME: &str = "attachdetach-controller";

/// The volumes of a pod's claims that are attached before they are used.
fn volumes_of(cache: &Cache, pod: &Pod) -> Vec<Arc<PersistentVolume>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
    let volume = |claim: &str| {
        let claim = cache.claims.get(namespace, claim)?;
        let volume = cache.volumes.get("", claim.spec.as_ref()?.volume_name.as_deref()?)?;
        let driver = cache.drivers.get("", driver_of(&volume)?);
        is_attached(&volume, driver.as_deref()).then_some(volume)
    };
    pods::claims(pod).filter_map(volume).collect()
}

/// The pods of a node that have a volume.
fn users(cache: &Cache, volume: &PersistentVolume, node: &str) -> Vec<Arc<Pod>> {
    let reference =
        volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
    let (namespace, claim) = (reference.namespace, reference.name.unwrap_or_default());
    let mut found = cache.pods.found_by(NODE, node);
    found.retain(|pod| {
        pod.metadata.namespace == namespace
            && !pods::is_terminal(pod)
            && pods::claims(pod).any(|one| one == claim)
    });
    found
}

fn volume_of(cache: &Cache, attachment: &VolumeAttachment) -> Option<Arc<PersistentVolume>> {
    cache.volumes.get("", attachment.spec.source.persistent_volume_name.as_deref()?)
}

/// The nodes to which a volume has attachments.
fn attachments_of(cache: &Cache, volume: &str) -> Vec<Arc<VolumeAttachment>> {
    let is_of =
        |one: &VolumeAttachment| one.spec.source.persistent_volume_name.as_deref() == Some(volume);
    cache.attachments.filter(is_of)
}

/// The pods that have the claim of a volume.
fn claimants(cache: &Cache, namespace: &str, claim: &str) -> Vec<Key> {
    let pods = cache.pods.in_namespace(namespace);
    let has = |pod: &&Arc<Pod>| pods::claims(pod).any(|one| one == claim);
    pods.iter().filter(has).map(|pod| key_of(&pod.metadata)).collect()
}

fn claim_of(volume: &PersistentVolume) -> Option<Key> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((reference.namespace.clone()?, reference.name.clone()?))
}

/// What makes a pod's volumes others than they were.
fn pod_watches() -> Vec<Watch> {
    vec![
        Watch::on::<Pod>(|change, wake| {
            if change.both().any(|pod| pods::claims(pod).next().is_some()) {
                wake(change.key.clone());
            }
        }),
        Watch::on::<PersistentVolumeClaim>(|change, wake| {
            claimants(change.cache, &change.key.0, &change.key.1).into_iter().for_each(wake);
        }),
        Watch::on::<PersistentVolume>(|change, wake| {
            for (namespace, claim) in change.both().filter_map(|volume| claim_of(volume)) {
                claimants(change.cache, &namespace, &claim).into_iter().for_each(wake);
            }
        }),
        Watch::on::<VolumeAttachment>(|change, wake| {
            let volume = change.last().and_then(|one| volume_of(change.cache, one));
            if let Some((namespace, claim)) = volume.and_then(|volume| claim_of(&volume)) {
                claimants(change.cache, &namespace, &claim).into_iter().for_each(wake);
            }
        }),
        Watch::on::<CSIDriver>(|change, wake| {
            for pod in change.cache.pods.filter(|pod| pods::claims(pod).next().is_some()) {
                wake(key_of(&pod.metadata));
            }
        }),
        Watch::on::<Node>(|change, wake| {
            let managed = |node: Option<&Arc<Node>>| {
                node.and_then(|node| {
                    node.metadata.annotations.as_ref()?.get(attach::MANAGED).cloned()
                })
            };
            if managed(change.old) != managed(change.new) {
                for pod in change.cache.pods.found_by(NODE, &change.key.1) {
                    wake(key_of(&pod.metadata));
                }
            }
        }),
    ]
}

pub(crate) fn pods() -> Controller {
    Controller::new(NAME, pod_watches(), |view, key| {
        let cache = view.cache;
        let pod = cache.pods.get(&key.0, &key.1);
        let node = pod.as_ref().map_or("", |pod| pods::node_name(pod));
        let volumes = pod.as_ref().map(|pod| volumes_of(cache, pod)).unwrap_or_default();
        let names = volumes.iter().filter_map(|volume| volume.metadata.name.as_deref());
        let attachments = names.flat_map(|name| attachments_of(cache, name)).collect();
        let seen = PodObserved { node: cache.nodes.get("", node), volumes, attachments, pod };
        Ok(attach::plan_pod(&seen, view.now))
    })
}

/// What a change of a pod may mean for attachments: of the volumes that it has, to its node.
fn by_pods(keys: fn(&Cache, &Pod, &PersistentVolume) -> Option<String>) -> Watch {
    Watch::on::<Pod>(move |change, wake| {
        for pod in change.both().filter(|pod| !pods::node_name(pod).is_empty()) {
            for volume in volumes_of(change.cache, pod) {
                if let Some(name) = keys(change.cache, pod, &volume) {
                    wake((String::new(), name));
                }
            }
        }
    })
}

pub(crate) fn attachments() -> Controller {
    let by_nodes = Watch::on::<Node>(|change, wake| {
        let held = |node: Option<&Arc<Node>>| {
            let status = node.and_then(|node| node.status.clone()).unwrap_or_default();
            (status.volumes_in_use, status.volumes_attached)
        };
        if held(change.old) != held(change.new) {
            for one in change.cache.attachments.filter(|one| one.spec.node_name == change.key.1) {
                wake(key_of(&one.metadata));
            }
        }
    });
    let by_pods = by_pods(|_, pod, volume| name_of(volume, pods::node_name(pod)));
    let watches = vec![Watch::itself::<VolumeAttachment>(), by_nodes, by_pods];
    Controller::new(NAME, watches, |view, key| {
        let cache = view.cache;
        let attachment = cache.attachments.get("", &key.1);
        let volume = attachment.as_ref().and_then(|one| volume_of(cache, one));
        let node = attachment.as_ref().map_or("", |one| one.spec.node_name.as_str());
        let used = volume.as_ref().is_some_and(|volume| !users(cache, volume, node).is_empty());
        let seen = AttachmentObserved {
            node: cache.nodes.get("", node),
            wanted: used,
            volume,
            attachment,
        };
        Ok(attach::plan_attachment(&seen, view.now))
    })
}

pub(crate) fn nodes() -> Controller {
    let by_attachments = Watch::on::<VolumeAttachment>(|change, wake| {
        for one in change.both() {
            wake((String::new(), one.spec.node_name.clone()));
        }
    });
    let by_pods = by_pods(|_, pod, _| Some(pods::node_name(pod).to_owned()));
    let watches = vec![by_attachments, by_pods];
    Controller::new(NAME, watches, |view, key| {
        let cache = view.cache;
        let attached = cache.attachments.filter(|one| one.spec.node_name == key.1);
        let attached = attached.into_iter().filter_map(|attachment| {
            let volume = volume_of(cache, &attachment)?;
            let pods = users(cache, &volume, &key.1);
            Some(Attached { attachment, volume, pods })
        });
        let seen = NodeObserved { node: cache.nodes.get("", &key.1), attached: attached.collect() };
        Ok(attach::plan_node(&seen, view.now))
    })
}
