//! StorageObjectInUseProtection and PersistentVolumeClaimResize.
//!
//! Knows: the finalizers that keep what is in use, and which claims may grow. Refuses to know: who takes finalizers away,
//! who makes a volume larger.

use leme_meta::quantity::Quantity;
use leme_registry::{Operation, json};
use serde_json::Value;

use crate::{PlugIn, Seen};

/// Resources, and the finalizer that each gets.
const PROTECTED: [(&str, &str); 2] = [
    ("persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("persistentvolumes", "kubernetes.io/pv-protection"),
];

fn finalizer(asked: &leme_registry::Asked) -> Option<&'static str> {
    let found = PROTECTED.iter().find(|(plural, _)| asked.is_of("", plural));
    found.map(|(_, finalizer)| *finalizer)
}

pub(crate) const IN_USE: PlugIn = PlugIn {
    name: "StorageObjectInUseProtection",
    about: |asked| asked.operation == Operation::Create && finalizer(asked).is_some(),
    mutate: |asked, object, _, _| {
        let Some(finalizer) = finalizer(asked) else { return Ok(()) };
        let mut list = json::list(object, &["metadata", "finalizers"]).to_vec();
        if !list.iter().any(|known| known == finalizer) {
            list.push(finalizer.into());
            json::set(json::child(object, "metadata"), "finalizers", list);
        }
        Ok(())
    },
    ..PlugIn::NONE
};

const CLASSES: Seen = Seen { group: "storage.k8s.io", version: "v1", plural: "storageclasses" };

pub(crate) const RESIZE: PlugIn = PlugIn {
    name: "PersistentVolumeClaimResize",
    about: |asked| {
        asked.operation == Operation::Update && asked.is_of("", "persistentvolumeclaims")
    },
    sees: &[CLASSES],
    validate: |asked, new, old, facts| {
        let (Some(new), Some(old)) = (new, old) else { return Ok(()) };
        if size(new) <= size(old) {
            return Ok(());
        }
        if json::text(old, &["status", "phase"]) != "Bound" {
            return Err(asked.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let class = class(new);
        let known = !class.is_empty() && class == self::class(old);
        let found = if known { facts.get(&CLASSES, "", class)? } else { None };
        match found.is_some_and(|class| json::flag(&class, &["allowVolumeExpansion"])) {
            true => Ok(()),
            false => Err(asked.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
            )),
        }
    },
    ..PlugIn::NONE
};

fn size(claim: &Value) -> Quantity {
    let asked = json::at(claim, &["spec", "resources", "requests", "storage"]);
    asked.and_then(crate::resources::parse).unwrap_or_else(|| Quantity::from_units(0))
}

/// The class of a claim: the annotation that stood for it counts first.
pub(crate) fn class(claim: &Value) -> &str {
    let old = "volume.beta.kubernetes.io/storage-class";
    match json::at(claim, &["metadata", "annotations", old]) {
        Some(class) => class.as_str().unwrap_or(""),
        None => json::text(claim, &["spec", "storageClassName"]),
    }
}
