//! Columns of persistent volumes and claims.

use serde_json::Value;

use super::{AGE, list, shown, text, text_or, wide};
use crate::Column;

const UNSET: &str = "<unset>";

pub(crate) const PERSISTENT_VOLUME: &[Column] = &[
    shown("Capacity", |volume, _| quantity(volume, "/spec/capacity/storage").into()),
    shown("Access Modes", |volume, _| access_modes(list(volume, "/spec/accessModes")).into()),
    shown("Reclaim Policy", |volume, _| text(volume, "/spec/persistentVolumeReclaimPolicy").into()),
    shown("Status", |volume, _| phase(volume).into()),
    shown("Claim", |volume, _| claim(volume).into()),
    shown("StorageClass", |volume, _| class(volume).into()),
    shown("VolumeAttributesClass", |volume, _| {
        text_or(volume, "/spec/volumeAttributesClassName", UNSET).into()
    }),
    shown("Reason", |volume, _| text(volume, "/status/reason").into()),
    AGE,
    wide("VolumeMode", |volume, _| text_or(volume, "/spec/volumeMode", UNSET).into()),
];

pub(crate) const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    shown("Status", |claim, _| phase(claim).into()),
    shown("Volume", |claim, _| text(claim, "/spec/volumeName").into()),
    shown("Capacity", |claim, _| match text(claim, "/spec/volumeName") {
        "" => "".into(),
        _ => quantity(claim, "/status/capacity/storage").into(),
    }),
    shown("Access Modes", |claim, _| match text(claim, "/spec/volumeName") {
        "" => "".into(),
        _ => access_modes(list(claim, "/status/accessModes")).into(),
    }),
    shown("StorageClass", |claim, _| class(claim).into()),
    shown("VolumeAttributesClass", |claim, _| {
        text_or(claim, "/spec/volumeAttributesClassName", UNSET).into()
    }),
    AGE,
    wide("VolumeMode", |claim, _| text_or(claim, "/spec/volumeMode", UNSET).into()),
];

/// A quantity as text; one that is not set prints as zero.
fn quantity(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "0".to_owned(),
    }
}

fn phase(object: &Value) -> &str {
    let deleting =
        object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null());
    if deleting { "Terminating" } else { text(object, "/status/phase") }
}

fn access_modes(modes: &[Value]) -> String {
    let short: Vec<&str> = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .into_iter()
    .filter(|(long, _)| modes.iter().any(|mode| mode.as_str() == Some(long)))
    .map(|(_, short)| short)
    .collect();
    short.join(",")
}

fn claim(volume: &Value) -> String {
    match volume.pointer("/spec/claimRef") {
        Some(Value::Object(_)) => format!(
            "{}/{}",
            text(volume, "/spec/claimRef/namespace"),
            text(volume, "/spec/claimRef/name")
        ),
        _ => String::new(),
    }
}

fn class(object: &Value) -> &str {
    const LEGACY: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";
    object
        .pointer(LEGACY)
        .or_else(|| object.pointer("/spec/storageClassName"))
        .and_then(Value::as_str)
        .unwrap_or("")
}
