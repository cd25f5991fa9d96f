//! Lists whose elements must differ: sets by value, maps by their keys.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Additional, GoJson, Structural, go};
use crate::schema::ListType;
use crate::{FieldError, Path};

/// Every element that is there twice in a list that is a set or a map.
pub fn unique(schema: &Structural, value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, path, &mut errors);
    errors
}

fn walk(schema: &Structural, value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(property) = schema.properties.get(name) {
                    walk(property, value, &path.child(name), errors);
                } else if let Some(Additional::Schema(schema)) = &schema.additional {
                    walk(schema, value, &path.key(name), errors);
                }
            }
        }
        Value::Array(list) => {
            match schema.list_type {
                Some(ListType::Set) => twice(list.iter().cloned(), path, errors),
                Some(ListType::Map) => keyed(schema, list, path, errors),
                _ => {}
            }
            if let Some(items) = &schema.items {
                for (index, item) in list.iter().enumerate() {
                    walk(items, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

fn keyed(schema: &Structural, list: &[Value], path: &Path, errors: &mut Vec<FieldError>) {
    if let Some((index, item)) =
        list.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null())
    {
        let why = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(&path.index(index), GoJson(item), why));
        return;
    }
    let keys = list.iter().map(|item| {
        let present =
            schema.map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        Value::Object(present.collect::<Map<_, _>>())
    });
    twice(keys, path, errors);
}

/// An error for the second of several that are the same.
fn twice(items: impl Iterator<Item = Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, item) in items.enumerate() {
        let times = seen.entry(go::json(&item)).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(&path.index(index), GoJson(&item)));
        }
    }
}
