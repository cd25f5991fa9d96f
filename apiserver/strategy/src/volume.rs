//! PersistentVolumes and PersistentVolumeClaims.
//!
//! Knows: sources, access modes, capacity, what may change once bound. Refuses to know: which volume fits a claim.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::pod_spec::{defaults, resources, sources, warnings};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(crate) static VOLUME: Strategy = Strategy {
    default: |volume| {
        let spec = json::child(volume, "spec");
        json::default(spec, "persistentVolumeReclaimPolicy", "Retain");
        json::default(spec, "volumeMode", "Filesystem");
        if let Some(source) = spec.get_mut("hostPath").filter(|source| source.is_object()) {
            defaults::fill_host_path(source);
        }
        resources::round_up(spec, &["capacity"]);
    },
    prepare_create: pending,
    validate: validate_volume,
    validate_update: update_volume,
    warn: warn_volume,
    returns_deleted: true,
    ..Strategy::PLAIN
};

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
    prepare_create: pending,
    validate: validate_claim,
    validate_update: update_claim,
    warn: |claim, _| {
        let mut out = annotation(claim, CLASS);
        let spec = claim.get("spec").unwrap_or(&Value::Null);
        warnings::claim_resources(spec, &Path::new("spec"), &mut out);
        out
    },
    returns_deleted: true,
    ..Strategy::PLAIN
};

const CLASS: (&str, &str) = (
    "volume.beta.kubernetes.io/storage-class",
    r#"deprecated since v1.8; use "storageClassName" attribute instead"#,
);
const MOUNT_OPTIONS: (&str, &str) = (
    "volume.beta.kubernetes.io/mount-options",
    r#"deprecated since v1.31; use "mountOptions" attribute instead"#,
);

fn annotation(object: &Value, (key, why): (&str, &str)) -> Vec<String> {
    let set = json::at(object, &["metadata", "annotations", key]).is_some();
    set.then(|| format!("metadata.annotations[{key}]: {why}")).into_iter().collect()
}

fn warn_volume(volume: &Value, _: Option<&Value>) -> Vec<String> {
    let path = Path::new("spec");
    let mut out = annotation(volume, CLASS);
    out.extend(annotation(volume, MOUNT_OPTIONS));
    if json::text(volume, &["spec", "persistentVolumeReclaimPolicy"]) == "Recycle" {
        out.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning."
                .to_owned(),
        );
    }
    let required = json::list(volume, &["spec", "nodeAffinity", "required", "nodeSelectorTerms"]);
    for (index, term) in required.iter().enumerate() {
        let at = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
        warnings::node_term(term, &at.index(index), false, &mut out);
    }
    for (source, why) in warnings::SOURCES {
        if json::at(volume, &["spec", source]).is_some() {
            out.push(format!("{}: {why}", path.child(source)));
        }
    }
    out
}

fn pending(object: &mut Value, _: &Context) {
    json::set(object, "status", json!({ "phase": "Pending" }));
}

fn modes(spec: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(spec, &["accessModes"]);
    let mut alone = false;
    for mode in list {
        let text = mode.as_str().unwrap_or("");
        if !MODES.contains(&text) {
            errors.push(FieldError::not_supported(&path.child("accessModes"), text, &MODES));
        }
        alone |= text == "ReadWriteOncePod";
    }
    if alone && list.len() > 1 {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&path.child("accessModes"), why));
    }
}

fn positive(value: &Value, path: &Path, errors: &mut Errors) {
    let Some(amount) = resources::parse(value) else { return };
    if amount.is_negative() || amount.is_zero() {
        errors.push(FieldError::invalid(path, &amount.to_string(), "must be greater than zero"));
    }
}

fn validate_volume(volume: &Value) -> Errors {
    let mut errors = Vec::new();
    let spec = volume.get("spec").unwrap_or(&Value::Null);
    volume_spec(spec, false, &Path::new("spec"), &mut errors);
    errors
}

/// Checks the spec of a volume. One that stands `inline` in another object has no size, no claim, and CSI as its source.
pub(crate) fn volume_spec(spec: &Value, inline: bool, path: &Path, errors: &mut Errors) {
    let capacity = path.child("capacity");
    if inline {
        let why = "may not be specified in the context of inline volumes";
        for field in ["claimRef", "capacity"].iter().filter(|field| !json::unset(spec, field)) {
            errors.push(FieldError::forbidden(&path.child(field), why));
        }
        if json::at(spec, &["csi"]).is_none() {
            let why = "has to be specified in the context of inline volumes";
            errors.push(FieldError::required(&path.child("csi"), why));
        }
    }
    if json::list(spec, &["accessModes"]).is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    modes(spec, path, errors);
    if !inline && json::unset(spec, "capacity") {
        errors.push(FieldError::required(&capacity, ""));
    } else if !inline {
        if json::at(spec, &["capacity", "storage"]).is_none()
            || json::entries(spec, &["capacity"]).count() > 1
        {
            errors.push(FieldError::not_supported(&capacity, &spec["capacity"], &["storage"]));
        }
        for (name, amount) in json::entries(spec, &["capacity"]) {
            positive(amount, &capacity.key(name), errors);
        }
    }
    let policy = json::text(spec, &["persistentVolumeReclaimPolicy"]);
    let policy_at = path.child("persistentVolumeReclaimPolicy");
    if !inline {
        let policies = ["Delete", "Recycle", "Retain"];
        check::one_of(spec, "persistentVolumeReclaimPolicy", path, &policies, errors);
    } else if !matches!(policy, "" | "Retain") {
        let why = "may only be Retain in the context of inline volumes";
        errors.push(FieldError::forbidden(&policy_at, why));
    }
    if let Some(selector) = json::at(spec, &["nodeAffinity", "required"]) {
        let at = path.child("nodeAffinity").child("required");
        crate::pod_spec::node_selector(selector, &at, errors);
    }
    sources::validate(spec, path, errors);
    if json::text(spec, &["hostPath", "path"]) == "/" && policy == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_at, why));
    }
    if json::at(spec, &["local"]).is_some() && json::at(spec, &["nodeAffinity"]).is_none() {
        errors.push(FieldError::required(
            &path.child("nodeAffinity"),
            "Local volume requires node affinity",
        ));
    }
    check::optional_name(spec, "storageClassName", path, names::dns1123_subdomain, errors);
    check::one_of(spec, "volumeMode", path, &["Block", "Filesystem"], errors);
}

fn update_volume(new: &Value, old: &Value) -> Errors {
    let source = |volume: &Value| -> Vec<(String, Value)> {
        json::entries(volume, &["spec"])
            .filter(|(field, _)| sources::is_source(field))
            .map(|(field, source)| (field.to_owned(), source.clone()))
            .collect()
    };
    let mut errors = Vec::new();
    if source(new) != source(old) {
        let at = Path::new("spec").child("persistentvolumesource");
        errors.push(FieldError::forbidden(
            &at,
            "spec.persistentvolumesource is immutable after creation",
        ));
    }
    errors.extend(meta::immutable(new, old, &["spec", "volumeMode"]));
    if json::at(old, &["spec", "nodeAffinity"]).is_some() {
        errors.extend(meta::immutable(new, old, &["spec", "nodeAffinity"]));
    }
    errors
}

fn validate_claim(claim: &Value) -> Errors {
    claim_spec(claim.get("spec").unwrap_or(&Value::Null), &Path::new("spec"))
}

/// All that is wrong with the spec of a claim, by itself or made for a pod.
pub(crate) fn claim_spec(spec: &Value, path: &Path) -> Errors {
    let mut errors = Vec::new();
    if json::list(spec, &["accessModes"]).is_empty() {
        errors.push(FieldError::required(
            &path.child("accessModes"),
            "at least 1 access mode is required",
        ));
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
    errors
}

/// Checks what a claim is filled from. The older field stands for both where the newer one is not set.
fn sources_of_data(spec: &Value, path: &Path, errors: &mut Errors) {
    let older = json::at(spec, &["dataSource"]);
    let newer = json::at(spec, &["dataSourceRef"]);
    for (field, source) in [("dataSource", older), ("dataSourceRef", newer.or(older))] {
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
        if field == "dataSourceRef" {
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

fn update_claim(new: &Value, old: &Value) -> Errors {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let (now, before) =
        (new.get("spec").unwrap_or(&Value::Null), old.get("spec").unwrap_or(&Value::Null));
    let mut allowed = now.clone();
    // Binding sets the volume of a claim that has none; a class may be given to a claim that has none.
    for field in ["volumeName", "storageClassName"] {
        if json::unset(before, field) && (field == "volumeName" || before.get(field).is_none()) {
            json::keep(&mut allowed, before, field);
        }
    }
    let bound = json::text(old, &["status", "phase"]) == "Bound";
    if bound {
        json::keep(
            json::child(&mut allowed, "resources"),
            before.get("resources").unwrap_or(&Value::Null),
            "requests",
        );
    }
    for field in ["dataSource", "dataSourceRef", "volumeAttributesClassName"] {
        if json::unset(before, field) && bound {
            json::keep(&mut allowed, before, field);
        }
    }
    if allowed != *before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(&path, why));
    }
    let read = |object: &Value, at: &[&str]| json::at(object, at).and_then(resources::parse);
    let wish = read(new, &["spec", "resources", "requests", "storage"]);
    let earlier = read(old, &["spec", "resources", "requests", "storage"]);
    let floor = read(old, &["status", "capacity", "storage"]).or(earlier);
    if wish < earlier && wish < floor {
        let at = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(&at, "field can not be less than status.capacity"));
    }
    errors.extend(meta::immutable(new, old, &["spec", "volumeMode"]));
    errors
}
