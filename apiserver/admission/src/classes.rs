//! DefaultStorageClass and DefaultIngressClass: what names no class gets the one that says it is the default.
//!
//! Knows: the marks of a default, and which of several counts. Refuses to know: what classes stand for.

use leme_meta::Status;
use leme_registry::json;
use serde_json::Value;

use crate::{Facts, PlugIn, Seen};

const STORAGE: Seen = Seen { group: "storage.k8s.io", version: "v1", plural: "storageclasses" };
const INGRESS: Seen = Seen { group: "networking.k8s.io", version: "v1", plural: "ingressclasses" };

/// Annotations by which a class of storage says that it is the default.
const STORAGE_MARKS: &[&str] = &[
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
const INGRESS_MARKS: &[&str] = &["ingressclass.kubernetes.io/is-default-class"];

pub(crate) const DEFAULT_STORAGE: PlugIn = PlugIn {
    name: "DefaultStorageClass",
    about: |asked| asked.creates("", "persistentvolumeclaims"),
    sees: &[STORAGE],
    mutate: |_, claim, _, facts| {
        let old = "volume.beta.kubernetes.io/storage-class";
        fill(claim, old, "storageClassName", &STORAGE, STORAGE_MARKS, facts)
    },
    ..PlugIn::NONE
};

pub(crate) const DEFAULT_INGRESS: PlugIn = PlugIn {
    name: "DefaultIngressClass",
    about: |asked| asked.creates("networking.k8s.io", "ingresses"),
    sees: &[INGRESS],
    mutate: |_, ingress, _, facts| {
        let old = "kubernetes.io/ingress.class";
        fill(ingress, old, "ingressClassName", &INGRESS, INGRESS_MARKS, facts)
    },
    ..PlugIn::NONE
};

/// Sets the field of the class, unless it or the annotation that stood for it says anything.
fn fill(
    object: &mut Value,
    annotation: &str,
    field: &str,
    classes: &Seen,
    marks: &[&str],
    facts: &dyn Facts,
) -> Result<(), Status> {
    let said = json::at(object, &["metadata", "annotations", annotation]).is_some()
        || json::at(object, &["spec", field]).is_some();
    if said {
        return Ok(());
    }
    let is_default = |class: &Value| {
        marks.iter().any(|mark| json::text(class, &["metadata", "annotations", mark]) == "true")
    };
    let name = |class: &Value| json::text(class, &["metadata", "name"]).to_owned();
    let mut defaults = facts.list(classes, "")?;
    defaults.retain(|class| is_default(class));
    // The youngest counts, and of those of one second the first by name.
    defaults.sort_by_key(|class| name(class));
    defaults.sort_by_key(|class| {
        std::cmp::Reverse(json::text(class, &["metadata", "creationTimestamp"]).to_owned())
    });
    if let Some(class) = defaults.first() {
        json::set(json::child(object, "spec"), field, name(class));
    }
    Ok(())
}
