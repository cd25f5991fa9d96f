//! Volumes of a pod and their mounts in containers.
//!
//! Knows: that names are unique, sources single and mounts answered. Refuses to know: what each source must say.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::sources;
use crate::check::{self, Errors};

/// Checks the volumes of a pod spec and answers their names.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) -> HashSet<String> {
    let mut seen = HashSet::new();
    for (index, volume) in json::list(spec, &["volumes"]).iter().enumerate() {
        let path = path.child("volumes").index(index);
        sources::validate(volume, &path, errors);
        let name = json::text(volume, &["name"]);
        check::required_name(volume, "name", &path, names::dns1123_label, errors);
        if !name.is_empty() && !seen.insert(name.to_owned()) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    seen
}

/// Checks the mounts of a container against the names of the pod's volumes.
pub(super) fn validate_mounts(
    container: &Value,
    path: &Path,
    volumes: &HashSet<String>,
    errors: &mut Errors,
) {
    let mut seen = HashSet::new();
    for (index, mount) in json::list(container, &["volumeMounts"]).iter().enumerate() {
        let path = path.child("volumeMounts").index(index);
        let name = check::required(mount, "name", &path, errors);
        let target = check::required(mount, "mountPath", &path, errors);
        if !name.is_empty() && !volumes.contains(name) {
            errors.push(FieldError::not_found(&path.child("name"), name));
        }
        if !target.is_empty() && !seen.insert(target) {
            errors.push(FieldError::invalid(&path.child("mountPath"), target, "must be unique"));
        }
        let sub = json::text(mount, &["subPath"]);
        let expression = json::text(mount, &["subPathExpr"]);
        check::descending_path(sub, &path.child("subPath"), errors);
        check::descending_path(expression, &path.child("subPathExpr"), errors);
        if !sub.is_empty() && !expression.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&path.child("subPathExpr"), expression, why));
        }
        propagation(mount, container, &path, errors);
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
