//! What each source of a volume must say.
//!
//! Knows: the required fields of every source. Refuses to know: how any is mounted.

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta};
use serde_json::Value;

use super::{env, resources};
use crate::check::{self, Errors};

/// Types of host paths.
const HOST_PATHS: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Fields of the pod that volumes may hold.
const FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Checks one source at a path.
type Rule = fn(&Value, &Path, &mut Errors);

/// Sources by name; those not listed are checked by [`REQUIRED`] alone.
const RULES: &[(&str, Rule)] = &[
    ("hostPath", host_path),
    ("emptyDir", empty_dir),
    ("secret", secret),
    ("configMap", config_map),
    ("downwardAPI", downward),
    ("projected", projected),
    ("nfs", nfs),
    ("ephemeral", ephemeral),
    ("image", |_, _, _| {}),
];

/// Fields that a source must hold.
const REQUIRED: &[(&str, &[&str])] = &[
    ("persistentVolumeClaim", &["claimName"]),
    ("csi", &["driver"]),
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("flocker", &[]),
    ("fc", &[]),
    ("glusterfs", &["endpoints", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("storageos", &["volumeName"]),
    ("vsphereVolume", &["volumePath"]),
    ("local", &["path"]),
];

/// Whether a field of a volume names a source.
pub(crate) fn is_source(field: &str) -> bool {
    RULES.iter().any(|(name, _)| *name == field) || REQUIRED.iter().any(|(name, _)| *name == field)
}

/// Checks that a volume, or the spec of a PersistentVolume, has exactly one source, and the source.
pub(crate) fn validate(volume: &Value, path: &Path, errors: &mut Errors) {
    let mut sources =
        json::entries(volume, &[]).filter(|(name, source)| is_source(name) && !source.is_null());
    let Some((name, source)) = sources.next() else {
        errors.push(FieldError::required(path, "must specify a volume type"));
        return;
    };
    let at = path.child(name);
    if let Some((_, rule)) = RULES.iter().find(|(known, _)| *known == name) {
        rule(source, &at, errors);
    }
    if let Some((_, fields)) = REQUIRED.iter().find(|(known, _)| *known == name) {
        for field in fields.iter().filter(|field| json::unset(source, field)) {
            errors.push(FieldError::required(&at.child(field), ""));
        }
    }
    for (other, _) in sources {
        errors.push(FieldError::forbidden(
            &path.child(other),
            "may not specify more than 1 volume type",
        ));
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(source, "path", path, errors);
    check::no_back_steps(text, &path.child("path"), errors);
    check::one_of(source, "type", path, &HOST_PATHS, errors);
}

fn empty_dir(source: &Value, path: &Path, errors: &mut Errors) {
    if json::at(source, &["sizeLimit"]).is_some_and(resources::is_negative) {
        let why = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
    }
}

fn secret(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "secretName", path, errors);
    check::file_mode(source, "defaultMode", path, errors);
    key_paths(source, path, errors);
}

fn config_map(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "name", path, errors);
    check::file_mode(source, "defaultMode", path, errors);
    key_paths(source, path, errors);
}

fn key_paths(source: &Value, path: &Path, errors: &mut Errors) {
    for (index, item) in json::list(source, &["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        check::required(item, "key", &path, errors);
        item_path(item, &path, errors);
        check::file_mode(item, "mode", &path, errors);
    }
}

fn item_path(item: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(item, "path", path, errors);
    let at = path.child("path");
    check::descending_path(text, &at, errors);
    if text.starts_with("..") && !text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(&at, text, "must not start with '..'"));
    }
}

fn downward(source: &Value, path: &Path, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", path, errors);
    // Upstream names the source where the item belongs.
    for item in json::list(source, &["items"]) {
        item_path(item, path, errors);
        match (json::at(item, &["fieldRef"]), json::at(item, &["resourceFieldRef"])) {
            (Some(field), None) => env::field_ref(field, &path.child("fieldRef"), &FIELDS, errors),
            (None, Some(resource)) => {
                let at = path.child("resourceFieldRef");
                env::resource_ref(resource, &at, true, errors);
            }
            (Some(field), Some(_)) => {
                env::field_ref(field, &path.child("fieldRef"), &FIELDS, errors);
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", why));
            }
            (None, None) => {
                errors.push(FieldError::required(
                    path,
                    "one of fieldRef and resourceFieldRef is required",
                ));
            }
        }
        check::file_mode(item, "mode", path, errors);
    }
}

/// A claim that is made for the pod.
fn ephemeral(source: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("volumeClaimTemplate");
    let Some(template) = json::at(source, &["volumeClaimTemplate"]) else {
        errors.push(FieldError::required(&at, ""));
        return;
    };
    let metadata = at.child("metadata");
    let of = |field: &str| json::at(template, &["metadata", field]);
    errors.extend(meta::annotations(of("annotations"), &metadata.child("annotations")));
    errors.extend(meta::labels(of("labels"), &metadata.child("labels")));
    for (field, _) in json::entries(template, &["metadata"])
        .filter(|(field, _)| !["annotations", "labels", "creationTimestamp"].contains(field))
    {
        errors.push(FieldError::forbidden(&metadata.child(field), "cannot be set"));
    }
    let spec = template.get("spec").unwrap_or(&Value::Null);
    errors.extend(crate::volume::claim_spec(spec, &at.child("spec")));
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", path, errors);
    for (index, part) in json::list(source, &["sources"]).iter().enumerate() {
        let path = path.child("sources").index(index);
        let kinds = check::set_fields(part, &[]);
        for (position, kind) in kinds.iter().enumerate() {
            let at = path.child(kind);
            if position > 0 {
                errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
                continue;
            }
            let inner = &part[*kind];
            match *kind {
                "secret" | "configMap" => {
                    check::required(inner, "name", &at, errors);
                    key_paths(inner, &at, errors);
                }
                "downwardAPI" => downward(inner, &at, errors),
                "serviceAccountToken" => service_account_token(inner, &at, errors),
                _ => {}
            }
        }
        if kinds.is_empty() {
            errors.push(FieldError::required(&path, "must specify exactly 1 source"));
        }
    }
}

fn service_account_token(token: &Value, path: &Path, errors: &mut Errors) {
    let seconds = json::int(token, &["expirationSeconds"]).unwrap_or(0);
    let at = path.child("expirationSeconds");
    if seconds < 600 {
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "may not specify a duration less than 10 minutes",
        ));
    }
    if seconds > 1 << 32 {
        errors.push(FieldError::invalid(
            &at,
            seconds,
            "may not specify a duration larger than 2^32 seconds",
        ));
    }
    let text = check::required(token, "path", path, errors);
    check::descending_path(text, &path.child("path"), errors);
}

fn nfs(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "server", path, errors);
    let text = check::required(source, "path", path, errors);
    if !text.is_empty() && !text.starts_with('/') {
        errors.push(FieldError::invalid(&path.child("path"), text, "must be an absolute path"));
    }
}
