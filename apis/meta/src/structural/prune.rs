//! What a schema does not know, dropped and named.

use serde_json::Value;

use super::{Additional, Structural};

/// The fields of every object of the API.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// How many unknown fields are named.
const MAX_UNKNOWN: usize = 100;

/// Drops what a schema does not know from an object of the API, and nulls that stand for nothing. Gives the paths of
/// the unknown fields, sorted: what strict decoding calls `unknown field "spec.x"`.
pub fn prune(schema: &Structural, object: &mut Value) -> Vec<String> {
    let mut walk = Walk { path: String::new(), unknown: Vec::new() };
    if schema.preserve_unknown {
        walk.kept(object, schema, true);
    } else {
        walk.node(object, Some(schema), true);
    }
    nulls(object, Some(schema));
    walk.unknown.sort();
    walk.unknown
}

/// Drops what a schema does not know from a value that is part of an object.
pub(super) fn prune_part(schema: &Structural, value: &mut Value) {
    Walk { path: String::new(), unknown: Vec::new() }.node(value, Some(schema), schema.embedded);
}

struct Walk {
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    fn node(&mut self, value: &mut Value, schema: Option<&Structural>, embedded: bool) {
        if let Some(schema) = schema.filter(|schema| schema.preserve_unknown) {
            self.kept(value, schema, embedded);
            return;
        }
        match value {
            Value::Object(map) => map.retain(|name, value| {
                if embedded && META.contains(&name.as_str()) {
                    return true;
                }
                match schema.and_then(|schema| below(schema, name)) {
                    Some(schema) => {
                        self.at_field(name, |walk| walk.child(value, schema));
                        true
                    }
                    None => {
                        self.drop(name);
                        false
                    }
                }
            }),
            Value::Array(list) => {
                let items = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in list.iter_mut().enumerate() {
                    self.at_index(index, |walk| walk.child(item, items));
                }
            }
            _ => {}
        }
    }

    /// A value whose unknown fields stay, but not those of what is known in it.
    fn kept(&mut self, value: &mut Value, schema: &Structural, embedded: bool) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if embedded && META.contains(&name.as_str()) {
                        continue;
                    }
                    if let Some(schema) = below(schema, name) {
                        self.at_field(name, |walk| walk.child(value, schema));
                    }
                }
            }
            Value::Array(list) => {
                let Some(items) = schema.items.as_deref() else { return };
                for (index, item) in list.iter_mut().enumerate() {
                    self.at_index(index, |walk| walk.kept(item, items, items.embedded));
                }
            }
            _ => {}
        }
    }

    fn child(&mut self, value: &mut Value, schema: Option<&Structural>) {
        self.node(value, schema, schema.is_some_and(|schema| schema.embedded));
    }

    fn drop(&mut self, name: &str) {
        let of_object = self.path.is_empty() && META.contains(&name);
        if !of_object && self.unknown.len() < MAX_UNKNOWN {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.unknown.push(format!("{}{dot}{name}", self.path));
        }
    }

    fn at_field(&mut self, name: &str, inner: impl FnOnce(&mut Walk)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        inner(self);
        self.path.truncate(length);
    }

    fn at_index(&mut self, index: usize, inner: impl FnOnce(&mut Walk)) {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        inner(self);
        self.path.truncate(length);
    }
}

/// The schema of a field that is known; of those only allowed there is none.
fn below<'a>(schema: &'a Structural, name: &str) -> Option<Option<&'a Structural>> {
    match (schema.properties.get(name), &schema.additional) {
        (Some(property), _) => Some(Some(property)),
        (None, Some(Additional::Schema(schema))) => Some(Some(schema)),
        (None, Some(Additional::Allowed(_))) => Some(None),
        (None, None) => None,
    }
}

/// Drops fields that are null and neither may be nor have a default to take their place.
fn nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            let schema = schema.and_then(|schema| schema.property(name));
            let stands_for_nothing =
                schema.is_some_and(|schema| !schema.nullable && schema.default.is_none());
            if value.is_null() && stands_for_nothing {
                return false;
            }
            nulls(value, schema);
            true
        }),
        Value::Array(list) => {
            let items = schema.and_then(|schema| schema.items.as_deref());
            list.iter_mut().for_each(|item| nulls(item, items));
        }
        _ => {}
    }
}
