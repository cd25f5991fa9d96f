//! Volumes of a pod and their mounts in containers.
//!
//! Knows: that names are unique, sources single and mounts answered. Refuses to know: what each source must say.

use std::collections::{HashMap, HashSet};

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::{sources, visit};
use crate::check::{self, Errors};

/// Checks the volumes of a pod spec and answers those that are well, by name. `pod` is the pod's name, empty where there is
/// none.
pub(super) fn validate<'a>(
    spec: &'a Value,
    pod: &str,
    path: &Path,
    errors: &mut Errors,
) -> HashMap<&'a str, &'a Value> {
    let list = json::list(spec, &["volumes"]);
    let made: HashSet<String> = list
        .iter()
        .filter(|volume| !pod.is_empty() && json::at(volume, &["ephemeral"]).is_some())
        .map(|volume| format!("{pod}-{}", json::text(volume, &["name"])))
        .collect();
    let mut well = HashMap::new();
    for (index, volume) in list.iter().enumerate() {
        let path = path.child("volumes").index(index);
        let before = errors.len();
        sources::validate(sources::OF_PODS, volume, &path, errors);
        sources::made_claim(pod, volume, &path, errors);
        let name = json::text(volume, &["name"]);
        if sources::long_initiator(name, volume) {
            errors.push(FieldError::invalid(&path.child("name"), name, sources::LONG_INITIATOR));
        }
        check::required_name(volume, "name", &path, names::dns1123_label, errors);
        if well.contains_key(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        if errors.len() == before {
            well.insert(name, volume);
        }
        let claim = json::text(volume, &["persistentVolumeClaim", "claimName"]);
        if made.contains(claim) {
            let at = path.child("persistentVolumeClaim").child("claimName");
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(&at, claim, why));
        }
    }
    well
}

/// Checks that the volumes are there that variables are read out of files of, and nobody else's to write.
pub(super) fn validate_files(spec: &Value, path: &Path, errors: &mut Errors) {
    let files = |container: &Value| -> Vec<(usize, String)> {
        let list = json::list(container, &["env"]).iter().enumerate();
        let of = |variable: &Value| {
            json::at(variable, &["valueFrom", "fileKeyRef"])
                .map(|file| json::text(file, &["volumeName"]).to_owned())
        };
        list.filter_map(|(index, variable)| Some((index, of(variable)?))).collect()
    };
    for (container, path) in visit(spec, path) {
        for (index, name) in files(container) {
            let at = path.child("env").index(index).child("valueFrom").child("fileKeyRef");
            let at = at.child("volumeName");
            let volumes = json::list(spec, &["volumes"]);
            match volumes.iter().rfind(|volume| json::text(volume, &["name"]) == name) {
                None => errors.push(FieldError::not_found(&at, &name)),
                Some(volume) if json::at(volume, &["emptyDir"]).is_none() => {
                    let why = "referenced volume must be of type emptyDir";
                    errors.push(FieldError::invalid(&at, &name, why));
                }
                Some(_) => {}
            }
        }
    }
}

/// The texts that a field has in the elements of a list.
fn texts<'a>(container: &'a Value, list: &str, field: &str) -> HashSet<&'a str> {
    json::list(container, &[list]).iter().map(|element| json::text(element, &[field])).collect()
}

/// Checks the mounts of a container against the pod's volumes. Upstream names the list where some elements belong.
pub(super) fn validate_mounts(
    container: &Value,
    path: &Path,
    volumes: &HashMap<&str, &Value>,
    errors: &mut Errors,
) {
    let mut seen = HashSet::new();
    let (named, placed) = (
        texts(container, "volumeDevices", "name"),
        texts(container, "volumeDevices", "devicePath"),
    );
    let all = path.child("volumeMounts");
    for (index, mount) in json::list(container, &["volumeMounts"]).iter().enumerate() {
        let path = all.index(index);
        let (at_name, at_target) = (path.child("name"), path.child("mountPath"));
        let name = check::required(mount, "name", &path, errors);
        if !volumes.contains_key(name) {
            errors.push(FieldError::not_found(&at_name, name));
        }
        let target = check::required(mount, "mountPath", &path, errors);
        if !seen.insert(target) {
            errors.push(FieldError::invalid(&at_target, target, "must be unique"));
        }
        if named.contains(name) {
            let why = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(&at_name, name, why));
        }
        if placed.contains(target) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at_target, target, why));
        }
        let sub = json::text(mount, &["subPath"]);
        let expression = json::text(mount, &["subPathExpr"]);
        check::descending_path(sub, &all.child("subPath"), errors);
        if !sub.is_empty() && !expression.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&path.child("subPathExpr"), expression, why));
        }
        check::descending_path(expression, &all.child("subPathExpr"), errors);
        propagation(mount, container, &all, errors);
        recursive(mount, &all.child("recursiveReadOnly"), errors);
    }
}

/// Checks the block devices of a container against the pod's volumes.
pub(super) fn validate_devices(
    container: &Value,
    path: &Path,
    volumes: &HashMap<&str, &Value>,
    errors: &mut Errors,
) {
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    let mounted = texts(container, "volumeMounts", "name");
    let targets = texts(container, "volumeMounts", "mountPath");
    for (index, device) in json::list(container, &["volumeDevices"]).iter().enumerate() {
        let path = path.child("volumeDevices").index(index);
        let at_name = path.child("name");
        let name = check::required(device, "name", &path, errors);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::invalid(&at_name, name, "must be unique"));
        }
        match volumes.get(name) {
            None => errors.push(FieldError::not_found(&at_name, name)),
            Some(volume) => {
                let claims = ["persistentVolumeClaim", "ephemeral"];
                if !claims.iter().any(|source| json::at(volume, &[source]).is_some()) {
                    let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                    errors.push(FieldError::invalid(&at_name, name, why));
                }
            }
        }
        let at_place = path.child("devicePath");
        let place = check::required(device, "devicePath", &path, errors);
        if places.contains(place) {
            errors.push(FieldError::invalid(&at_place, place, "must be unique"));
        }
        if place.split('/').any(|part| part == "..") {
            let why = "can not contain backsteps ('..')";
            errors.push(FieldError::invalid(&at_place, place, why));
        } else {
            places.insert(place);
        }
        if mounted.contains(name) {
            let why = "must not already exist in volumeMounts";
            errors.push(FieldError::invalid(&at_name, name, why));
        }
        if targets.contains(place) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(&at_place, place, why));
        }
    }
}

fn propagation(mount: &Value, container: &Value, path: &Path, errors: &mut Errors) {
    let known = ["Bidirectional", "HostToContainer", "None"];
    check::one_of(mount, "mountPropagation", path, &known, errors);
    let wanted = json::text(mount, &["mountPropagation"]);
    if wanted == "Bidirectional" && !json::flag(container, &["securityContext", "privileged"]) {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(FieldError::forbidden(&path.child("mountPropagation"), why));
    }
}

fn recursive(mount: &Value, path: &Path, errors: &mut Errors) {
    match json::text(mount, &["recursiveReadOnly"]) {
        "" | "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !json::flag(mount, &["readOnly"]) {
                let why = "may only be specified when readOnly is true";
                errors.push(FieldError::forbidden(path, why));
            }
            if !matches!(json::text(mount, &["mountPropagation"]), "" | "None") {
                let why = "may only be specified when mountPropagation is None or not specified";
                errors.push(FieldError::forbidden(path, why));
            }
        }
        other => {
            let known = ["Disabled", "Enabled", "IfPossible"];
            errors.push(FieldError::not_supported(path, other, &known));
        }
    }
}
