//! PersistentVolumes, and what claims have in common with them.
//!
//! Knows: sources, access modes, capacity, and which nodes reach a volume. Refuses to know: which volume fits a claim.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, names};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::internal;
use crate::pod_spec::{defaults, resources, sources, warnings};

mod claim;
pub(crate) use claim::{CLAIM, claim_spec};

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
    let (mut alone, mut shared) = (false, false);
    for mode in list {
        let text = mode.as_str().unwrap_or("");
        let known = MODES.contains(&text);
        if !known {
            errors.push(FieldError::not_supported(&path.child("accessModes"), text, &MODES));
        }
        alone |= text == "ReadWriteOncePod";
        shared |= known && text != "ReadWriteOncePod";
    }
    if alone && shared {
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

/// Checks an amount that may be nothing.
fn sound(value: &Value, path: &Path, errors: &mut Errors) {
    if let Some(amount) = resources::parse(value).filter(|amount| amount.is_negative()) {
        let why = "must be a valid resource quantity";
        errors.push(FieldError::invalid(path, amount.value(), why));
    }
}

fn validate_volume(volume: &Value) -> Errors {
    let mut errors = Vec::new();
    let spec = volume.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    volume_spec(spec, false, &path, &mut errors);
    let at = path.child("iscsi").child("targetportal");
    if sources::long_initiator(json::text(volume, &["metadata", "name"]), spec) {
        let portal = json::text(spec, &["iscsi", "targetPortal"]);
        errors.push(FieldError::invalid(&at, portal, sources::LONG_INITIATOR));
    }
    errors
}

/// Checks the spec of a volume. One that stands `inline` in another object has no size, no claim, and CSI as its source.
pub(crate) fn volume_spec(spec: &Value, inline: bool, path: &Path, errors: &mut Errors) {
    if inline {
        for field in ["claimRef", "capacity"].iter().filter(|field| !json::unset(spec, field)) {
            errors.push(FieldError::forbidden(&path.child(field), INLINE));
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
    if !inline {
        capacity(spec, &path.child("capacity"), errors);
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
    reach(spec, inline, &path.child("nodeAffinity"), errors);
    sources::validate(sources::OF_VOLUMES, spec, path, errors);
    if is_root(json::text(spec, &["hostPath", "path"])) && policy == "Recycle" {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&policy_at, why));
    }
    if inline {
        if !json::unset(spec, "storageClassName") {
            errors.push(FieldError::forbidden(&path.child("storageClassName"), INLINE));
        }
        if !matches!(json::text(spec, &["volumeMode"]), "" | "Filesystem") {
            let why =
                "may not specify volumeMode other than Filesystem in the context of inline volumes";
            errors.push(FieldError::forbidden(&path.child("volumeMode"), why));
        }
    } else {
        check::optional_name(spec, "storageClassName", path, names::dns1123_subdomain, errors);
        check::one_of(spec, "volumeMode", path, &["Block", "Filesystem"], errors);
    }
    attributes(spec, path, errors);
}

const INLINE: &str = "may not be specified in the context of inline volumes";

fn capacity(spec: &Value, path: &Path, errors: &mut Errors) {
    if json::unset(spec, "capacity") {
        errors.push(FieldError::required(path, ""));
    }
    if json::at(spec, &["capacity", "storage"]).is_none()
        || json::entries(spec, &["capacity"]).count() > 1
    {
        let shown = spec.get("capacity").unwrap_or(&Value::Null);
        errors.push(FieldError::not_supported(path, shown, &["storage"]));
    }
    for (name, amount) in json::entries(spec, &["capacity"]) {
        sound(amount, &path.key(name), errors);
        positive(amount, &path.key(name), errors);
    }
}

/// Checks which nodes reach a volume: those of a volume of one node are named.
fn reach(spec: &Value, inline: bool, path: &Path, errors: &mut Errors) {
    let affinity = json::at(spec, &["nodeAffinity"]);
    match affinity {
        Some(_) if inline => errors.push(FieldError::forbidden(path, INLINE)),
        Some(affinity) => match json::at(affinity, &["required"]) {
            Some(selector) => {
                crate::pod_spec::node_selector(selector, &path.child("required"), errors);
            }
            None => {
                let why = "must specify required node constraints";
                errors.push(FieldError::required(&path.child("required"), why));
            }
        },
        None => {}
    }
    let others = |(name, _): &&(&str, _)| json::at(spec, &[name]).is_some();
    let first = sources::OF_VOLUMES.iter().find(others);
    if first.is_some_and(|(name, _)| *name == "local") && (inline || affinity.is_none()) {
        errors.push(FieldError::required(path, "Local volume requires node affinity"));
    }
}

/// Whether a path is the root, however it is written.
fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "."))
}

fn attributes(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(class) = json::at(spec, &["volumeAttributesClassName"]).and_then(Value::as_str) else {
        return;
    };
    let at = path.child("volumeAttributesClassName");
    if class.is_empty() {
        errors.push(FieldError::required(&at, "an empty string is disallowed"));
    } else {
        check::named(&at, class, &names::dns1123_subdomain(class), errors);
    }
    if json::at(spec, &["csi"]).is_none() {
        let why = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(&path.child("csi"), why));
    }
}

fn update_volume(new: &Value, old: &Value) -> Errors {
    let null = &Value::Null;
    let (mut now, before) =
        (new.get("spec").unwrap_or(null).clone(), old.get("spec").unwrap_or(null));
    // A secret for growing may come later.
    const GROWS: &str = "controllerExpandSecretRef";
    if json::at(before, &["csi"]).is_some_and(|csi| json::at(csi, &[GROWS]).is_none())
        && let Some(csi) = json::at_mut(&mut now, &["csi"])
    {
        json::remove(csi, GROWS);
    }
    let mut errors = Vec::new();
    let same = |(name, _): &(&str, _)| json::at(&now, &[name]) == json::at(before, &[name]);
    if !sources::OF_VOLUMES.iter().all(same) {
        let at = Path::new("spec").child("persistentvolumesource");
        let changes = internal::changes("PersistentVolumeSource", before, &now);
        let why = format!("spec.persistentvolumesource is immutable after creation\n{changes}");
        errors.push(FieldError::forbidden(&at, &why));
    }
    errors.extend(same_mode(new, old));
    let [now, before] = [new, old].map(|volume| json::at(volume, &["spec", "nodeAffinity"]));
    if before.is_some_and(|before| now != Some(&renamed(before, now.unwrap_or(null)))) {
        let why = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid(&Path::new("nodeAffinity"), &shown(now), why));
    }
    let class = ["spec", "volumeAttributesClassName"];
    if json::at(old, &class).is_some() && json::at(new, &class).is_none() {
        let at = Path::new("spec").child("volumeAttributesClassName");
        let why = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(&at, why));
    }
    errors
}

/// The error of a mode that has changed. Upstream names no spec.
fn same_mode(new: &Value, old: &Value) -> Option<FieldError> {
    let of = |object: &Value| json::at(object, &["spec", "volumeMode"]).cloned();
    let (now, before) = (of(new), of(old));
    let changed = now != before;
    let at = Path::new("volumeMode");
    changed.then(|| FieldError::invalid(&at, &now.unwrap_or(Value::Null), "field is immutable"))
}

/// Labels of nodes that have another name by now.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

const TERMS: [&str; 2] = ["required", "nodeSelectorTerms"];

/// An affinity with the labels that the newer one calls by their other names called so, too.
fn renamed(affinity: &Value, newer: &Value) -> Value {
    let mut out = affinity.clone();
    for (term, newer) in json::list_mut(&mut out, &TERMS).iter_mut().zip(json::list(newer, &TERMS))
    {
        let wishes = json::list(newer, &["matchExpressions"]);
        for (wish, newer) in json::list_mut(term, &["matchExpressions"]).iter_mut().zip(wishes) {
            let (old, new) = (json::text(wish, &["key"]), json::text(newer, &["key"]));
            if RENAMED.contains(&(old, new)) {
                json::keep(wish, newer, "key");
            }
        }
    }
    out
}

/// An affinity as upstream shows it.
fn shown(affinity: Option<&Value>) -> Value {
    let wish = |wish: &Value| json!({ "Key": wish["key"], "Operator": wish["operator"], "Values": wish["values"] });
    let wishes = |term: &Value, field: &str| {
        json::at(term, &[field])
            .map(|_| json::list(term, &[field]).iter().map(wish).collect::<Vec<_>>())
    };
    let term = |term: &Value| {
        json!({
            "MatchExpressions": wishes(term, "matchExpressions"),
            "MatchFields": wishes(term, "matchFields"),
        })
    };
    let terms =
        |affinity: &Value| json::list(affinity, &TERMS).iter().map(term).collect::<Vec<_>>();
    affinity.map_or(Value::Null, |affinity| {
        let required = json::at(affinity, &["required"]).map(|_| terms(affinity));
        json!({ "Required": required.map(|terms| json!({ "NodeSelectorTerms": terms })) })
    })
}
