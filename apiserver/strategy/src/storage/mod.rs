//! storage.k8s.io.
//!
//! Knows: what its kinds have in common: drivers by name, their parameters. Refuses to know: what any driver does.

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use crate::check::Errors;

pub(crate) mod attachment;
pub(crate) mod class;
pub(crate) mod driver;

/// Most parameters of a class, and most bytes of all of them.
const MAX_PARAMETERS: usize = 512;
const MAX_SIZE: usize = 256 << 10;

/// Longest name of a driver.
const MAX_DRIVER: usize = 63;

/// The name of a CSI driver, which may have capitals.
pub(crate) fn driver_name(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if name.len() > MAX_DRIVER {
        errors.push(FieldError::too_long(path, MAX_DRIVER));
    }
    let wrong = names::dns1123_subdomain(&name.to_lowercase());
    errors.extend(wrong.iter().map(|why| FieldError::invalid(path, name, why)));
}

/// The name of whoever makes volumes, which need not be a CSI driver.
fn provisioner(object: &Value, field: &str, errors: &mut Errors) {
    let (name, path) = (json::text(object, &[field]).to_lowercase(), Path::new(field));
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
        return;
    }
    let wrong = names::qualified_name(&name);
    errors.extend(wrong.iter().map(|why| FieldError::invalid(&path, &name, why)));
}

fn parameters(object: &Value, needed: bool, errors: &mut Errors) {
    let path = Path::new("parameters");
    let count = json::entries(object, &["parameters"]).count();
    if count > MAX_PARAMETERS {
        errors.push(FieldError::too_long(&path, MAX_PARAMETERS));
        return;
    }
    let mut size = 0;
    for (key, value) in json::entries(object, &["parameters"]) {
        if key.is_empty() {
            errors.push(FieldError::invalid(&path, key, "field can not be empty."));
        }
        size += key.len() + value.as_str().unwrap_or("").len();
    }
    if size > MAX_SIZE {
        errors.push(FieldError::too_long(&path, MAX_SIZE));
    }
    if needed && count == 0 {
        let why = "must contain at least one key/value pair";
        errors.push(FieldError::required(&path, why));
    }
}

/// Errors for the fields of a class that have changed.
fn kept(new: &Value, old: &Value, fields: &[&str]) -> Errors {
    let changed = fields.iter().filter(|field| json::at(new, &[field]) != json::at(old, &[field]));
    changed
        .map(|field| {
            let why = format!("updates to {field} are forbidden.");
            FieldError::forbidden(&Path::new(field), &why)
        })
        .collect()
}
