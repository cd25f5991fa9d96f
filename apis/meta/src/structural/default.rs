//! Defaults of a schema, filled in where a field is absent or null without being allowed to.

use serde_json::Value;

use super::{Additional, Structural};

impl Structural {
    /// Fills in what the schema has a default for.
    pub fn complete(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, property) in self.properties.iter() {
                    let Some(default) = &property.default else { continue };
                    if map.get(name).is_none_or(|value| value.is_null() && !property.nullable) {
                        map.insert(name.to_owned(), Value::clone(default));
                    }
                }
                for (name, value) in map {
                    if let Some(property) = self.properties.get(name) {
                        property.complete(value);
                    } else if let Some(Additional::Schema(schema)) = &self.additional {
                        schema.replace_null(value);
                        schema.complete(value);
                    }
                }
            }
            Value::Array(list) => {
                let Some(items) = &self.items else { return };
                for item in list {
                    items.replace_null(item);
                    items.complete(item);
                }
            }
            _ => {}
        }
    }

    fn replace_null(&self, value: &mut Value) {
        if value.is_null() && !self.nullable {
            *value = self.default.as_deref().cloned().unwrap_or_default();
        }
    }
}
