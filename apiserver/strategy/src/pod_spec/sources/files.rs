//! Sources that are files the node writes: secrets, config maps and fields of the pod.
//!
//! Knows: the form of each file. Refuses to know: what is in it.

use leme_meta::{FieldError, Path};
use leme_registry::json;
use serde_json::Value;

use super::super::env;
use crate::check::{self, Errors};

/// Fields of the pod that volumes may hold.
const FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

pub(super) fn secret(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "secretName", path, errors);
    check::file_mode(source, "defaultMode", path, errors);
    key_paths(source, path, |_| {}, errors);
}

pub(super) fn config_map(source: &Value, path: &Path, errors: &mut Errors) {
    check::required(source, "name", path, errors);
    check::file_mode(source, "defaultMode", path, errors);
    key_paths(source, path, |_| {}, errors);
}

/// Checks the items of a source; `each` is told of every path when its item has been checked.
pub(super) fn key_paths<'a>(
    source: &'a Value,
    path: &Path,
    mut each: impl FnMut((&'a str, &mut Errors)),
    errors: &mut Errors,
) {
    for (index, item) in json::list(source, &["items"]).iter().enumerate() {
        let path = path.child("items").index(index);
        check::required(item, "key", &path, errors);
        item_path(item, &path, errors);
        check::file_mode(item, "mode", &path, errors);
        each((json::text(item, &["path"]), errors));
    }
}

fn item_path(item: &Value, path: &Path, errors: &mut Errors) {
    let text = check::required(item, "path", path, errors);
    free_path(text, &path.child("path"), errors);
}

/// A path that stays below where it starts, and is none of those the node writes for itself.
pub(super) fn free_path(text: &str, path: &Path, errors: &mut Errors) {
    check::descending_path(text, path, errors);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
}

pub(super) fn downward(source: &Value, path: &Path, errors: &mut Errors) {
    check::file_mode(source, "defaultMode", path, errors);
    for item in json::list(source, &["items"]) {
        downward_item(item, path, errors);
    }
}

/// Checks a file with a field. Upstream names the source where the item belongs.
pub(super) fn downward_item(item: &Value, path: &Path, errors: &mut Errors) {
    item_path(item, path, errors);
    match (json::at(item, &["fieldRef"]), json::at(item, &["resourceFieldRef"])) {
        (Some(field), other) => {
            env::field_ref(field, &path.child("fieldRef"), &FIELDS, errors);
            if other.is_some() {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", why));
            }
        }
        (None, Some(resource)) => {
            let at = path.child("resourceFieldRef");
            env::resource_ref(resource, &at, true, errors);
        }
        (None, None) => {
            let why = "one of fieldRef and resourceFieldRef is required";
            errors.push(FieldError::required(path, why));
        }
    }
    check::file_mode(item, "mode", path, errors);
}
