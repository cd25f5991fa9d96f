//! Columns of storage.k8s.io.

use serde_json::Value;

use super::{AGE, NONE, flag, list, named, number, shown, text, text_or, truth};
use crate::Column;

const UNSET: &str = "<unset>";

pub(crate) const STORAGE_CLASS: &[Column] = &[
    named("Name", |class, _| {
        let marks = [
            "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
            "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
        ];
        name(class, &marks).into()
    }),
    shown("Provisioner", |class, _| text(class, "/provisioner").into()),
    shown("ReclaimPolicy", |class, _| text_or(class, "/reclaimPolicy", "Delete").into()),
    shown("VolumeBindingMode", |class, _| text_or(class, "/volumeBindingMode", "Immediate").into()),
    shown("AllowVolumeExpansion", |class, _| flag(class, "/allowVolumeExpansion").into()),
    AGE,
];

pub(crate) const VOLUME_ATTRIBUTES_CLASS: &[Column] = &[
    named("Name", |class, _| {
        let mark =
            "/metadata/annotations/volumeattributesclass.alpha.kubernetes.io~1is-default-class";
        name(class, &[mark]).into()
    }),
    shown("DriverName", |class, _| text(class, "/driverName").into()),
    AGE,
];

pub(crate) const VOLUME_ATTACHMENT: &[Column] = &[
    named("Attacher", |attachment, _| text(attachment, "/spec/attacher").into()),
    shown("PV", |attachment, _| text(attachment, "/spec/source/persistentVolumeName").into()),
    shown("Node", |attachment, _| text(attachment, "/spec/nodeName").into()),
    truth("Attached", |attachment, _| flag(attachment, "/status/attached").into()),
    AGE,
];

pub(crate) const CSI_NODE: &[Column] =
    &[number("Drivers", |node, _| list(node, "/spec/drivers").len().into()), AGE];

pub(crate) const CSI_DRIVER: &[Column] = &[
    truth("AttachRequired", |driver, _| {
        (driver.pointer("/spec/attachRequired") != Some(&Value::Bool(false))).into()
    }),
    truth("PodInfoOnMount", |driver, _| flag(driver, "/spec/podInfoOnMount").into()),
    truth("StorageCapacity", |driver, _| flag(driver, "/spec/storageCapacity").into()),
    shown("TokenRequests", |driver, _| match driver.pointer("/spec/tokenRequests") {
        Some(Value::Array(requests)) => {
            let audiences = requests.iter().map(|request| text(request, "/audience"));
            audiences.collect::<Vec<_>>().join(",").into()
        }
        _ => UNSET.into(),
    }),
    truth("RequiresRepublish", |driver, _| flag(driver, "/spec/requiresRepublish").into()),
    shown("Modes", |driver, _| {
        let modes = list(driver, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str);
        match modes.collect::<Vec<_>>().join(",") {
            none if none.is_empty() => NONE.into(),
            modes => modes.into(),
        }
    }),
    AGE,
];

/// Upstream has no age here.
pub(crate) const CSI_STORAGE_CAPACITY: &[Column] = &[
    shown("StorageClassName", |capacity, _| text(capacity, "/storageClassName").into()),
    shown("Capacity", |capacity, _| text_or(capacity, "/capacity", UNSET).into()),
];

/// The name, and whether one of the marks says that this is what is taken where nothing is said.
fn name(class: &Value, marks: &[&str]) -> String {
    let name = text(class, "/metadata/name");
    let default = marks.iter().any(|mark| text(class, mark) == "true");
    if default { format!("{name} (default)") } else { name.to_owned() }
}
