//! The objects of the API that a schema says are inside an object.
//!
//! Refuses to know: what makes such an object a good one.

use serde_json::Value;

use super::{GoJson, Structural};
use crate::{FieldError, Path, names};

impl Structural {
    /// Whether there may be objects inside an object.
    pub fn has_embedded(&self) -> bool {
        let additional = match &self.additional {
            Some(super::Additional::Schema(schema)) => Some(&**schema),
            _ => None,
        };
        let below = self.properties.values().chain(self.items.as_deref()).chain(additional);
        below.into_iter().any(|schema| schema.embedded || schema.has_embedded())
    }

    /// Shows every object inside a value that stands at `path`, the outer ones first.
    pub fn embedded_in(
        &self,
        path: &Path,
        value: &mut Value,
        seen: &mut dyn FnMut(&Path, &mut Value),
    ) {
        if self.embedded && value.is_object() {
            seen(path, value);
        }
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if let Some(property) = self.properties.get(name) {
                        property.embedded_in(&path.child(name), value, seen);
                    } else if let Some(super::Additional::Schema(schema)) = &self.additional {
                        schema.embedded_in(&path.key(name), value, seen);
                    }
                }
            }
            Value::Array(list) => {
                let Some(items) = &self.items else { return };
                for (index, item) in list.iter_mut().enumerate() {
                    items.embedded_in(&path.index(index), item, seen);
                }
            }
            _ => {}
        }
    }
}

/// An error for each object inside a value that does not say what it is.
pub(super) fn unnamed(schema: &Structural, path: &Path, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if schema.embedded || schema.has_embedded() {
        schema.embedded_in(path, &mut value.clone(), &mut |path, object| {
            errors.extend(type_meta(path, object));
        });
    }
    errors
}

/// What is wrong with the `apiVersion` and `kind` of an object inside another.
pub fn type_meta(path: &Path, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for name in ["apiVersion", "kind"] {
        let at = path.child(name);
        let Some(stated) = object.get(name) else {
            errors.push(FieldError::required(&at, ""));
            continue;
        };
        let Some(text) = stated.as_str() else {
            errors.push(FieldError::invalid(&at, GoJson(stated), "must be a string"));
            continue;
        };
        if text.is_empty() {
            errors.push(FieldError::invalid(&at, text, "must not be empty"));
        } else if name == "apiVersion" && text.matches('/').count() > 1 {
            let why = format!("unexpected GroupVersion string: {text}");
            errors.push(FieldError::invalid(&at, text, &why));
        } else if name == "kind" {
            let wrong = names::dns1035_label(&text.to_lowercase());
            if !wrong.is_empty() {
                let why =
                    format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
                errors.push(FieldError::invalid(&at, text, &why));
            }
        }
    }
    errors
}
