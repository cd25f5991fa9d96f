//! Snapshots of volumes: woken by their contents, by the claims that they are of and those that begin with them, and by
//! classes; and what has to be there for them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim};
use leme_lister::{Key, key_of};
use leme_plan::local_path::{Named, named};
use leme_plan::snapshot::{
    self, ContentObserved, SetupObserved, SnapshotObserved, VolumeSnapshot, VolumeSnapshotClass,
    VolumeSnapshotContent,
};

use crate::controller::Controller;
use crate::once::{self, SYSTEM};
use crate::provisioner::has_room;
use crate::watch::Watch;

const NAME: &str = "snapshot-controller";

fn snapshot_of(content: &VolumeSnapshotContent) -> Option<Key> {
    let reference = &content.spec.volume_snapshot_ref;
    Some((reference.namespace.clone()?, reference.name.clone()?))
}

/// Wakes the snapshots that a claim concerns: those of it, and the one that it begins with.
fn by_claims() -> Watch {
    Watch::on::<PersistentVolumeClaim>(|change, wake| {
        let (namespace, name) = change.key;
        for snapshot in change.cache.snapshots.in_namespace(namespace) {
            if snapshot.claim() == Some(name) {
                wake(key_of(&snapshot.metadata));
            }
        }
        for claim in change.both() {
            if let Some(Named::Snapshot(source)) = named(claim) {
                wake((namespace.clone(), source));
            }
        }
    })
}

/// Wakes the snapshots that are not ready: a class may be what they wait for.
fn by_classes() -> Watch {
    Watch::on::<VolumeSnapshotClass>(|change, wake| {
        for snapshot in change.cache.snapshots.filter(|snapshot| !snapshot.is_ready()) {
            wake(key_of(&snapshot.metadata));
        }
    })
}

/// Wakes the snapshots of one claim by each other: the last one that is taken lets the claim go.
fn by_siblings() -> Watch {
    Watch::on::<VolumeSnapshot>(|change, wake| {
        wake(change.key.clone());
        let claim = change.last().and_then(|snapshot| snapshot.claim());
        for other in change.cache.snapshots.in_namespace(&change.key.0) {
            if claim.is_some() && other.claim() == claim {
                wake(key_of(&other.metadata));
            }
        }
    })
}

pub(crate) fn snapshots() -> Controller {
    let by_contents = Watch::on::<VolumeSnapshotContent>(|change, wake| {
        change.both().filter_map(|content| snapshot_of(content)).for_each(wake);
    });
    let watches = vec![by_siblings(), by_contents, by_claims(), by_classes()];
    Controller::new(NAME, watches, |view, key| {
        let cache = view.cache;
        let Some(snapshot) = cache.snapshots.get(&key.0, &key.1) else {
            return Ok(leme_plan::Plan::default());
        };
        let claim = snapshot.claim().and_then(|name| cache.claims.get(&key.0, name));
        let volume = claim.as_ref().and_then(|claim| claim.spec.as_ref()?.volume_name.clone());
        let seen = SnapshotObserved {
            content: view.found(&(String::new(), snapshot.content()), None)?,
            classes: cache.snapshot_classes.list(),
            volume: volume.and_then(|name| cache.volumes.get("", &name)),
            claim,
            snapshots: cache.snapshots.in_namespace(&key.0),
            claims: cache.claims.in_namespace(&key.0),
            snapshot: Some(snapshot),
        };
        Ok(snapshot::plan_snapshot(&seen, view.now))
    })
}

pub(crate) fn contents() -> Controller {
    let by_snapshots = Watch::on::<VolumeSnapshot>(|change, wake| {
        for snapshot in change.both() {
            wake((String::new(), snapshot.content()));
        }
    });
    let watches = vec![Watch::itself::<VolumeSnapshotContent>(), by_snapshots];
    Controller::new(NAME, watches, |view, key| {
        let content = view.cache.contents.get("", &key.1);
        let snapshot = content.as_ref().and_then(|content| snapshot_of(content));
        let snapshot = snapshot.and_then(|key| view.cache.snapshots.get(&key.0, &key.1));
        Ok(snapshot::plan_content(&ContentObserved { content, snapshot }, view.now))
    })
}

/// What has to be there for snapshots of directories.
pub(crate) fn setup() -> Controller {
    let by_nodes = Watch::on::<Node>(|change, wake| {
        let room = |node: Option<&Arc<Node>>| node.is_some_and(|node| has_room(node));
        if room(change.old) != room(change.new) {
            wake(once::key());
        }
    });
    let watches = once::watches::<VolumeSnapshotClass>(by_nodes);
    Controller::new("local-path-snapshots", watches, |view, _| {
        let cache = view.cache;
        let served = |kind: &str| cache.foreign.resolve(snapshot::API_VERSION, kind).is_some();
        let seen = SetupObserved {
            room: !cache.nodes.filter(has_room).is_empty(),
            system: cache.namespaces.get("", SYSTEM),
            defined: once::defined(cache),
            served: served("VolumeSnapshotClass") && served("VolumeSnapshotContent"),
            classes: cache.snapshot_classes.list(),
        };
        Ok(snapshot::plan_setup(&seen, view.now))
    })
}
