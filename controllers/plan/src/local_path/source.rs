//! What a claim's volume begins with: what a snapshot or another claim's volume holds, copied on the node that has it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use leme_meta::local_path::{MANAGED_BY, PROVISIONER, Source};

use super::{is_own, node_of};
use crate::quantity;
use crate::snapshot::{GROUP, VolumeSnapshot, VolumeSnapshotContent, restore_size};
use crate::volume::is_for;

/// What is seen of what a claim begins with.
#[derive(Debug, Default)]
pub struct SourceObserved {
    /// The snapshot that it names.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
    /// That snapshot's content.
    pub content: Option<Arc<VolumeSnapshotContent>>,
    /// The claim that it names.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// That claim's volume.
    pub volume: Option<Arc<PersistentVolume>>,
}

/// What a claim names as what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A snapshot of its namespace.
    Snapshot(String),
    /// A claim of its namespace.
    Claim(String),
    /// Something that somebody else knows.
    Other,
}

/// What a claim begins with, if it says so.
pub fn named(claim: &PersistentVolumeClaim) -> Option<Named> {
    let spec = claim.spec.as_ref()?;
    let (group, kind, name, elsewhere) = match (&spec.data_source, &spec.data_source_ref) {
        (_, Some(one)) => {
            let elsewhere = one.namespace.is_some() && one.namespace != claim.metadata.namespace;
            (&one.api_group, &one.kind, &one.name, elsewhere)
        }
        (Some(one), None) => (&one.api_group, &one.kind, &one.name, false),
        (None, None) => return None,
    };
    Some(match (group.as_deref().unwrap_or(""), kind.as_str()) {
        _ if elsewhere => Named::Other,
        (GROUP, "VolumeSnapshot") => Named::Snapshot(name.clone()),
        ("", "PersistentVolumeClaim") => Named::Claim(name.clone()),
        _ => Named::Other,
    })
}

/// What is to be copied, and the node that has it; or why it cannot be.
pub(super) fn of(
    claim: &PersistentVolumeClaim,
    named: &Named,
    class: &str,
    seen: &SourceObserved,
) -> Result<(Source, String), String> {
    let (kind, name, found) = match named {
        Named::Snapshot(name) => ("VolumeSnapshot", name, snapshot(claim, name, class, seen)),
        Named::Claim(name) => ("PersistentVolumeClaim", name, volume(claim, name, seen)),
        Named::Other => return Err("dataSource is not supported".to_owned()),
    };
    found.map_err(|why| {
        format!("error getting handle for DataSource Type {kind} by Name {name}: {why}")
    })
}

fn asked(claim: &PersistentVolumeClaim) -> i64 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|all| all.get("storage")).map_or(0, quantity::whole)
}

fn snapshot(
    claim: &PersistentVolumeClaim,
    name: &str,
    class: &str,
    seen: &SourceObserved,
) -> Result<(Source, String), String> {
    let Some(snapshot) = &seen.snapshot else {
        return Err(format!(
            "error getting snapshot {name} from api server: volumesnapshots.{GROUP} \"{name}\" not found"
        ));
    };
    if snapshot.metadata.deletion_timestamp.is_some() {
        return Err(format!("snapshot {name} is being deleted"));
    }
    let bound = snapshot.bound().ok_or_else(|| format!("snapshot {name} not bound"))?;
    let content = seen.content.as_ref();
    let content = content.ok_or_else(|| {
        format!("error getting snapshotcontent {bound} for snapshot {name} from api server")
    })?;
    if !content.is_of(snapshot) {
        return Err(format!(
            "snapshotcontent {bound} for snapshot {name} is bound to a different snapshot"
        ));
    }
    if content.spec.driver != PROVISIONER {
        return Err(format!(
            "snapshotcontent {bound} for snapshot {name} is handled by a different CSI driver than requested by StorageClass {class}"
        ));
    }
    if !snapshot.is_ready() {
        return Err(format!("snapshot {name} is not Ready"));
    }
    let labels = content.metadata.labels.as_ref();
    let node = labels.and_then(|labels| labels.get(MANAGED_BY));
    let handle = content.status.as_ref().and_then(|status| status.snapshot_handle.clone());
    let (Some(handle), Some(node)) = (handle, node) else {
        return Err(format!("snapshot handle {name} is not available"));
    };
    let (asked, size) = (asked(claim), restore_size(snapshot).unwrap_or(0));
    if asked < size {
        return Err(format!(
            "requested volume size {asked} is less than the size {size} for the source snapshot {name}"
        ));
    }
    Ok((Source::Snapshot(handle), node.clone()))
}

fn volume(
    claim: &PersistentVolumeClaim,
    name: &str,
    seen: &SourceObserved,
) -> Result<(Source, String), String> {
    let namespace = claim.metadata.namespace.as_deref().unwrap_or("");
    let Some(source) = &seen.claim else {
        return Err(format!(
            "error getting PVC {name} (namespace \"{namespace}\") from api server: persistentvolumeclaims \"{name}\" not found"
        ));
    };
    let phase = source.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("");
    if phase != "Bound" {
        return Err(format!("the PVC DataSource {name} must have a status of Bound.  Got {phase}"));
    }
    if source.metadata.deletion_timestamp.is_some() {
        return Err(format!("the PVC DataSource {name} is currently being deleted"));
    }
    let (wanted, held) = (asked(claim), asked(source));
    if wanted < held {
        return Err(format!(
            "error, new PVC request must be greater than or equal in size to the specified PVC data source, requested {wanted} but source is {held}"
        ));
    }
    let own = |volume: &&Arc<PersistentVolume>| is_own(volume) && is_for(volume, source);
    let found = seen.volume.as_ref().filter(own).and_then(|volume| {
        Some((Source::Volume(volume.metadata.name.clone()?), node_of(volume)?.to_owned()))
    });
    found.ok_or_else(|| "claim in dataSource not bound or invalid".to_owned())
}
