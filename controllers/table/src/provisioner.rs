//! The provisioner of volumes that are directories on nodes: woken by claims that the binder has handed to it, by what its
//! nodes say of room and of what they have wiped, and by its own volumes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim};
use leme_lister::{Key, key_of};
use leme_meta::local_path::{LEFT, REMOVED, ROOT};
use leme_plan::Plan;
use leme_plan::common::annotation;
use leme_plan::local_path::{
    self, Named, SourceObserved, is_asked, is_own, named, node_of, volume_of,
};
use leme_plan::snapshot::VolumeSnapshot;
use leme_plan::volume::{SELECTED_NODE, class_of};

use crate::controller::Controller;
use crate::once::SYSTEM;
use crate::view::View;
use crate::watch::Watch;

/// The key of the class: neither claims nor volumes have an empty name.
fn class() -> Key {
    (String::new(), String::new())
}

fn by_nodes() -> Watch {
    Watch::on::<Node>(|change, wake| {
        let said = |name: &str| {
            let of = |node: Option<&Arc<Node>>| {
                node.and_then(|node| annotation(&node.metadata, name)).map(str::to_owned)
            };
            of(change.old) != of(change.new)
        };
        let (room, wiped) = (said(ROOT), said(REMOVED) || said(LEFT));
        if room {
            wake(class());
            for claim in change.cache.claims.filter(is_asked) {
                wake(key_of(&claim.metadata));
            }
        }
        if room || wiped || change.old.is_none() || change.new.is_none() {
            for volume in change.cache.volumes.filter(is_own) {
                if node_of(&volume) == Some(&change.key.1) {
                    wake(key_of(&volume.metadata));
                }
            }
        }
    })
}

/// Wakes a volume by its own changes, and the claim that it is for.
fn by_volumes() -> Watch {
    Watch::on::<PersistentVolume>(|change, wake| {
        if !change.both().any(|volume| is_own(volume)) {
            return;
        }
        wake(change.key.clone());
        for volume in change.both() {
            let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone());
            if let Some((namespace, name)) = reference.and_then(|one| one.namespace.zip(one.name)) {
                wake((namespace, name));
            }
        }
    })
}

pub(crate) fn controller() -> Controller {
    let by_claims = Watch::on::<PersistentVolumeClaim>(|change, wake| {
        if change.both().any(|claim| is_asked(claim)) {
            wake(change.key.clone());
        }
    });
    let by_namespaces = Watch::on::<Namespace>(|change, wake| {
        if change.key.1 == SYSTEM {
            wake(class());
        }
    });
    let mut watches = vec![by_claims, by_volumes(), by_nodes(), by_namespaces];
    watches.extend(by_sources());
    Controller::new("local-path-provisioner", watches, |view, key| {
        Ok(match (key.0.as_str(), key.1.as_str()) {
            ("", "") => plan_class(view),
            ("", name) => {
                let volume = view.cache.volumes.get("", name);
                let node = match volume.as_ref().and_then(|volume| node_of(volume)) {
                    Some(name) => view.found::<Node>(&(String::new(), name.to_owned()), None)?,
                    None => None,
                };
                let seen = local_path::VolumeObserved { volume, node };
                local_path::plan_volume(&seen, view.now)
            }
            (namespace, name) => plan_claim(view, namespace, name),
        })
    })
}

/// Whether a node has room for volumes that are directories.
pub(crate) fn has_room(node: &Node) -> bool {
    annotation(&node.metadata, ROOT).is_some()
}

fn plan_class(view: &View<'_>) -> Plan {
    let seen = local_path::ClassesObserved {
        classes: view.cache.classes.list(),
        room: !view.cache.nodes.filter(has_room).is_empty(),
        system: view.cache.namespaces.get("", SYSTEM),
    };
    local_path::plan_class(&seen, view.now)
}

/// Wakes the claims that begin with a snapshot or with another claim.
fn by_sources() -> [Watch; 2] {
    let snapshots = Watch::on::<VolumeSnapshot>(|change, wake| {
        let source = Named::Snapshot(change.key.1.clone());
        for claim in change.cache.claims.in_namespace(&change.key.0) {
            if is_asked(&claim) && named(&claim).as_ref() == Some(&source) {
                wake(key_of(&claim.metadata));
            }
        }
    });
    let claims = Watch::on::<PersistentVolumeClaim>(|change, wake| {
        let source = Named::Claim(change.key.1.clone());
        for claim in change.cache.claims.in_namespace(&change.key.0) {
            if is_asked(&claim) && named(&claim).as_ref() == Some(&source) {
                wake(key_of(&claim.metadata));
            }
        }
    });
    [snapshots, claims]
}

/// What a claim begins with, as far as it is there.
fn source(view: &View<'_>, claim: &PersistentVolumeClaim) -> SourceObserved {
    let (cache, mut seen) = (view.cache, SourceObserved::default());
    let namespace = claim.metadata.namespace.as_deref().unwrap_or("");
    match named(claim) {
        Some(Named::Snapshot(name)) => {
            seen.snapshot = cache.snapshots.get(namespace, &name);
            let bound = seen.snapshot.as_ref().and_then(|snapshot| snapshot.bound());
            seen.content = bound.and_then(|name| cache.contents.get("", name));
        }
        Some(Named::Claim(name)) => {
            seen.claim = cache.claims.get(namespace, &name);
            let volume = seen.claim.as_ref().and_then(|one| one.spec.as_ref()?.volume_name.clone());
            seen.volume = volume.and_then(|name| cache.volumes.get("", &name));
        }
        Some(Named::Other) | None => {}
    }
    seen
}

fn plan_claim(view: &View<'_>, namespace: &str, name: &str) -> Plan {
    let claim = view.cache.claims.get(namespace, name);
    let chosen = claim.as_ref().and_then(|claim| annotation(&claim.metadata, SELECTED_NODE));
    let class = claim.as_ref().map_or("", |claim| class_of(claim));
    let seen = local_path::ClaimObserved {
        class: view.cache.classes.get("", class),
        node: chosen.and_then(|node| view.cache.nodes.get("", node)),
        volume: claim.as_ref().and_then(|claim| view.cache.volumes.get("", &volume_of(claim))),
        source: claim.as_ref().map(|claim| source(view, claim)).unwrap_or_default(),
        claim,
    };
    local_path::plan_claim(&seen, view.now)
}
