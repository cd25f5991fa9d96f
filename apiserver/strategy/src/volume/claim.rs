//! PersistentVolumeClaims.
//!
//! Knows: what a claim asks for, what it is filled from, and what may change once it is bound. Refuses to know: which volume
//! fits.

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, names};
use serde_json::{Value, json};

use super::{CLASS, annotation, modes, pending, positive};
use crate::check::{self, Errors};
use crate::internal;
use crate::pod_spec::{resources, warnings};

pub(crate) static CLAIM: Strategy = Strategy {
    default: |claim| {
        let spec = json::child(claim, "spec");
        json::default(spec, "volumeMode", "Filesystem");
        json::child(spec, "resources");
        for field in ["requests", "limits"] {
            resources::round_up(spec, &["resources", field]);
        }
        for field in ["capacity", "allocatedResources"] {
            resources::round_up(claim, &["status", field]);
        }
    },
    prepare_create: |claim, context| {
        pending(claim, context);
        complete(json::child(claim, "spec"), &Value::Null);
    },
    prepare_update: |claim, old, _: &Context| {
        json::keep(claim, old, "status");
        complete(json::child(claim, "spec"), old.get("spec").unwrap_or(&Value::Null));
    },
    validate: |claim| claim_spec(claim.get("spec").unwrap_or(&Value::Null), &Path::new("spec")),
    validate_update: update,
    validate_status: |claim, _| status(claim),
    warn: |claim, _| {
        let mut out = annotation(claim, CLASS);
        let spec = claim.get("spec").unwrap_or(&Value::Null);
        warnings::claim_resources(spec, &Path::new("spec"), &mut out);
        out
    },
    returns_deleted: true,
    ..Strategy::PLAIN
};

/// What a claim is filled from: the older field, which knows claims and snapshots alone, and the newer one.
const OLDER: &str = "dataSource";
const NEWER: &str = "dataSourceRef";

/// Drops sources that nobody can use, and lets each field say what the other one does.
fn complete(spec: &mut Value, old: &Value) {
    let known = |spec: &Value, field: &str| json::at(spec, &[field]).is_some();
    if !known(old, NEWER) && is_elsewhere(spec) {
        json::remove(spec, NEWER);
    }
    if !known(old, OLDER) && !known(old, NEWER) && !is_claim_or_snapshot(spec) {
        json::remove(spec, OLDER);
    }
    same_sources(spec);
}

/// Whether the source is in a namespace that is named.
fn is_elsewhere(spec: &Value) -> bool {
    !json::text(spec, &[NEWER, "namespace"]).is_empty()
}

fn is_claim_or_snapshot(spec: &Value) -> bool {
    let [kind, group] = ["kind", "apiGroup"].map(|field| json::text(spec, &[OLDER, field]));
    matches!(
        (kind, group),
        ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
    )
}

fn same_sources(spec: &mut Value) {
    let of = |spec: &Value, field: &str| json::at(spec, &[field]).cloned();
    match (of(spec, OLDER), of(spec, NEWER)) {
        (Some(older), None) => json::set(spec, NEWER, older),
        (None, Some(mut newer)) if !is_elsewhere(spec) => {
            json::remove(&mut newer, "namespace");
            json::set(spec, OLDER, newer);
        }
        _ => {}
    }
}

/// All that is wrong with the spec of a claim, by itself or made for a pod.
pub(crate) fn claim_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    if json::list(spec, &["accessModes"]).is_empty() {
        let why = "at least 1 access mode is required";
        errors.push(FieldError::required(&path.child("accessModes"), why));
    }
    if let Some(selector) = json::at(spec, &["selector"]) {
        crate::pod_spec::selector(selector, &path.child("selector"), &mut errors);
    }
    modes(spec, path, &mut errors);
    let at = path.child("resources").key("storage");
    match json::at(spec, &["resources", "requests", "storage"]) {
        None => errors.push(FieldError::required(&at, "")),
        Some(amount) => positive(amount, &at, &mut errors),
    }
    check::optional_name(spec, "storageClassName", path, names::dns1123_subdomain, &mut errors);
    check::one_of(spec, "volumeMode", path, &["Block", "Filesystem"], &mut errors);
    sources_of_data(spec, path, &mut errors);
    let class = "volumeAttributesClassName";
    check::optional_name(spec, class, path, names::dns1123_subdomain, &mut errors);
    errors
}

fn sources_of_data(spec: &Value, path: &Path, errors: &mut Errors) {
    let [older, newer] = [OLDER, NEWER].map(|field| json::at(spec, &[field]));
    for (field, source) in [(OLDER, older), (NEWER, newer)] {
        let Some(source) = source else { continue };
        let at = path.child(field);
        let (kind, group) = (json::text(source, &["kind"]), json::text(source, &["apiGroup"]));
        check::required(source, "name", &at, errors);
        check::required(source, "kind", &at, errors);
        if group.is_empty() && kind != "PersistentVolumeClaim" {
            let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            errors.push(FieldError::invalid(&at, kind, why));
        }
        check::optional_name(source, "apiGroup", &at, names::dns1123_subdomain, errors);
        if field == NEWER {
            check::optional_name(source, "namespace", &at, names::dns1123_label, errors);
        }
    }
    let (Some(older), Some(newer)) = (older, newer) else { return };
    // Upstream shows a path, which has no JSON of its own.
    let shown = &json!({});
    let same = |field: &str| json::at(older, &[field]) == json::at(newer, &[field]);
    if !json::text(newer, &["namespace"]).is_empty() {
        let why = "may not be specified when dataSourceRef.namespace is specified";
        errors.push(FieldError::invalid(path, shown, why));
    } else if !["apiGroup", "kind", "name"].into_iter().all(same) {
        errors.push(FieldError::invalid(path, shown, "must match dataSourceRef"));
    }
}

/// The annotation that named the class before there was a field.
const OLD_CLASS: &str = CLASS.0;

fn update(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let null = &Value::Null;
    let (now, before) = (new.get("spec").unwrap_or(null), old.get("spec").unwrap_or(null));
    let mut earlier = before.clone();
    same_sources(&mut earlier);
    let mut allowed = now.clone();
    // Binding sets the volume of a claim that has none.
    if json::unset(before, "volumeName") {
        json::keep(&mut allowed, before, "volumeName");
    }
    if class_given(new, old, &mut errors) {
        json::keep(&mut allowed, before, "storageClassName");
    }
    if json::text(old, &["status", "phase"]) == "Bound" {
        if let Some(requests) = json::at_mut(&mut allowed, &["resources", "requests"]) {
            let known = json::at(before, &["resources", "requests"]).unwrap_or(null);
            json::keep(requests, known, "storage");
        }
        json::keep(&mut allowed, before, "volumeAttributesClassName");
    }
    if allowed != earlier {
        let changes = internal::changes("PersistentVolumeClaimSpec", &earlier, &allowed);
        let why = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{changes}"
        );
        errors.push(FieldError::forbidden(&path, &why));
    }
    let read = |object: &Value, at: &[&str]| {
        json::at(object, at).and_then(resources::parse).unwrap_or(Quantity::from_units(0))
    };
    let asked = ["spec", "resources", "requests", "storage"];
    let wish = read(new, &asked);
    if wish < read(old, &asked) && wish <= read(old, &["status", "capacity", "storage"]) {
        let at = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
    errors.extend(super::same_mode(new, old));
    attributes(new, old, &path.child("volumeAttributesClassName"), &mut errors);
    errors
}

/// Whether a claim without a class is given one: the one that its annotation named, or any where none did. The annotation
/// stays as it is.
fn class_given(new: &Value, old: &Value, errors: &mut Errors) -> bool {
    let class = |claim| json::at(claim, &["spec", "storageClassName"]).and_then(Value::as_str);
    let [now, before] =
        [new, old].map(|claim| json::at(claim, &["metadata", "annotations", OLD_CLASS]));
    let named = before.and_then(Value::as_str);
    let given = match (class(new), class(old)) {
        (Some(class), None) => named.is_none_or(|named| named == class),
        _ => false,
    };
    let moved = given && named.is_some() && now.is_none();
    let text =
        |annotation: Option<&Value>| annotation.and_then(Value::as_str).unwrap_or("").to_owned();
    if !moved && text(now) != text(before) {
        let at = Path::new("metadata").child("annotations").child(OLD_CLASS);
        errors.push(FieldError::invalid(&at, &text(now), "field is immutable"));
    }
    given
}

/// A volume that has had attributes of a class keeps some.
fn attributes(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    const FIELD: &str = "volumeAttributesClassName";
    let of = |claim| json::at(claim, &["spec", FIELD]).and_then(Value::as_str);
    if of(new) == of(old)
        || json::at(old, &["status", "currentVolumeAttributesClassName"]).is_none()
    {
        return;
    }
    let what = match of(new) {
        None => "nil",
        Some("") => "empty string",
        Some(_) => return,
    };
    let why = format!(
        "update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
    );
    errors.push(FieldError::forbidden(path, &why));
}

const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

fn status(claim: &Value) -> Errors {
    let path = Path::new("status");
    let mut errors = Vec::new();
    if json::list(claim, &["spec", "accessModes"]).is_empty() {
        errors.push(FieldError::required(&Path::new("Spec").child("accessModes"), ""));
    }
    for (name, amount) in json::entries(claim, &["status", "capacity"]) {
        super::sound(amount, &path.child("capacity").key(name), &mut errors);
    }
    let at = path.child("allocatedResourceStatuses");
    for (name, state) in json::entries(claim, &["status", "allocatedResourceStatuses"]) {
        resource_name(name, &at, &mut errors);
        if !state.as_str().is_some_and(|state| RESIZES.contains(&state)) {
            errors.push(FieldError::not_supported(&at, name, &RESIZES));
        }
    }
    let at = path.child("allocatedResources");
    for (name, amount) in json::entries(claim, &["status", "allocatedResources"]) {
        if resource_name(name, &at, &mut errors) {
            super::sound(amount, &at.key(name), &mut errors);
        }
    }
    errors
}

/// Checks the name of a resource of a claim: of Kubernetes' own there is one.
fn resource_name(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let wrong = names::qualified_name(name);
    check::named(path, name, &wrong, errors);
    let strange = wrong.is_empty() && resources::is_native(name) && name != "storage";
    if strange {
        errors.push(FieldError::not_supported(path, name, &["storage"]));
    }
    wrong.is_empty() && !strange
}
