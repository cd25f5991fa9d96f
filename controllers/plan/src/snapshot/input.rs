//! What a snapshot is to be taken of, by whom, and the content that says so.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use leme_meta::local_path::{MANAGED_BY, PROVISIONER};
use leme_meta::{Object, quote};
use serde_json::{Value, json};

use super::{
    API_VERSION, CLAIM, CONTENT, DEFAULT_CLASS, GROUP, SnapshotObserved, VolumeSnapshot,
    VolumeSnapshotClass, Wrong, wrong,
};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::{annotation, has_finalizer, with_finalizer};
use crate::local_path::{is_own, node_of};
use crate::volume::is_for;

/// The class of a snapshot that is to be taken: the one it names, or the default of the one who keeps its volume.
pub(super) fn class(
    seen: &SnapshotObserved,
    snapshot: &VolumeSnapshot,
) -> Result<Option<Arc<VolumeSnapshotClass>>, Wrong> {
    if let Some(name) = &snapshot.spec.volume_snapshot_class_name {
        let found = seen.classes.iter().find(|class| class.metadata.name.as_ref() == Some(name));
        return match found {
            Some(class) => Ok(Some(class.clone())),
            None => Err(wrong(
                "GetSnapshotClassFailed",
                format!(
                    "Failed to get snapshot class with error volumesnapshotclass.{GROUP} {} not found",
                    quote(name)
                ),
            )),
        };
    }
    if snapshot.claim().is_none() {
        return Ok(None);
    }
    let failed = |why: String| {
        let message = format!("Failed to set default snapshot class with error {why}");
        wrong("SetDefaultSnapshotClassFailed", message)
    };
    let volume = volume(seen, snapshot).map_err(failed)?;
    let driver = driver(volume).ok_or_else(|| {
        let about = ObjectRef::to(snapshot);
        let (namespace, name) = (about.namespace, about.name);
        failed(format!(
            "snapshotting non-CSI volumes is not supported, snapshot:{namespace}/{name}"
        ))
    })?;
    let is_default = |class: &&Arc<VolumeSnapshotClass>| {
        class.driver == driver && annotation(&class.metadata, DEFAULT_CLASS) == Some("true")
    };
    let defaults: Vec<_> = seen.classes.iter().filter(is_default).collect();
    match defaults.as_slice() {
        [one] => Ok(Some((*one).clone())),
        [] => Err(failed("cannot find default snapshot class".to_owned())),
        all => Err(failed(format!("{} default snapshot classes were found", all.len()))),
    }
}

/// Who keeps a volume.
fn driver(volume: &PersistentVolume) -> Option<&str> {
    if is_own(volume) {
        return Some(PROVISIONER);
    }
    Some(&volume.spec.as_ref()?.csi.as_ref()?.driver)
}

/// The volume that a snapshot is of.
fn volume<'a>(
    seen: &'a SnapshotObserved,
    snapshot: &VolumeSnapshot,
) -> Result<&'a PersistentVolume, String> {
    let name = snapshot.claim().unwrap_or("");
    let Some(claim) = &seen.claim else {
        let named = quote(name);
        return Err(format!(
            "failed to retrieve PVC {name} from the lister: \"persistentvolumeclaim {} not found\"",
            named.replace('"', "\\\"")
        ));
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
        return Err(format!(
            "the PVC {name} is not yet bound to a PV, will not attempt to take a snapshot"
        ));
    }
    let volume = seen.volume.as_ref().filter(|volume| is_for(volume, claim));
    volume
        .map(|volume| &**volume)
        .ok_or_else(|| "claim in dataSource not bound or invalid".to_owned())
}

/// The claim, if it can be held while a snapshot of it is taken.
fn held<'a>(
    seen: &'a SnapshotObserved,
    snapshot: &str,
) -> Result<&'a Arc<PersistentVolumeClaim>, String> {
    let failed = |what: &str, why: &str| {
        format!("snapshot controller failed to update {what} on API server: {why}")
    };
    let Some(claim) = &seen.claim else {
        return Err(failed(snapshot, "cannot get claim from snapshot"));
    };
    if claim.metadata.deletion_timestamp.is_some() {
        let name = claim.metadata.name.as_deref().unwrap_or("");
        return Err(failed(name, "cannot add finalizer on claim because it is being deleted"));
    }
    Ok(claim)
}

/// Makes the content of a snapshot that is to be taken, once its claim is held.
pub(super) fn create(
    seen: &SnapshotObserved,
    snapshot: &VolumeSnapshot,
    class: Option<Arc<VolumeSnapshotClass>>,
    plan: &mut Plan,
) -> Result<(), String> {
    let about = ObjectRef::to(snapshot);
    let class = class.ok_or_else(|| {
        format!("failed to take snapshot {} without a snapshot class", about.name)
    })?;
    let claim = held(seen, &about.name)?;
    let input = |why: String| {
        format!("failed to get input parameters to create snapshot {}: {}", about.name, quote(&why))
    };
    let volume = volume(seen, snapshot).map_err(input)?;
    let name = volume.metadata.name.as_deref().unwrap_or("");
    let handle = match driver(volume) {
        Some(driver) if driver == class.driver => {
            let csi = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref());
            csi.map_or(name, |csi| csi.volume_handle.as_str())
        }
        _ => return Err(format!("cannot find CSI PersistentVolumeSource for volume {name}")),
    };
    if !has_finalizer(&claim.metadata, CLAIM) {
        let patch = with_finalizer(&claim.metadata, CLAIM);
        plan.act(Action::patch(ObjectRef::to(claim.as_ref()), patch));
    }
    let labels = node_of(volume).filter(|_| is_own(volume)).map(|node| json!({ MANAGED_BY: node }));
    let object = json!({
        "apiVersion": API_VERSION, "kind": "VolumeSnapshotContent",
        "metadata": { "name": snapshot.made(), "labels": labels.unwrap_or(Value::Null),
            "finalizers": [CONTENT] },
        "spec": {
            "volumeSnapshotRef": { "apiVersion": API_VERSION, "kind": "VolumeSnapshot",
                "namespace": about.namespace, "name": about.name, "uid": about.uid,
                "resourceVersion": about.resource_version },
            "source": { "volumeHandle": handle },
            "volumeSnapshotClassName": class.metadata.name,
            "deletionPolicy": class.deletion_policy,
            "driver": class.driver,
            "sourceVolumeMode": volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref())
                .unwrap_or("Filesystem"),
        },
    });
    let message = format!(
        "Waiting for a snapshot {}/{} to be created by the CSI driver.",
        about.namespace, about.name
    );
    plan.act(Action::Create { object: Object(object), told: None });
    plan.act(Action::normal(about, "CreatingSnapshot", message));
    Ok(())
}
