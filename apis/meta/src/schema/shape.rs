//! A document as it comes out of a decode and encode by typed structs: without what the table does not know, without
//! nulls, scalars in their canonical form; and with what is filled in.

use serde_json::{Map, Value};

use super::base64;
use super::value::quantity;
use super::{Field, FieldType, Schemas, TypeDef};
use crate::time;

/// Drops unknown fields, nulls and what is empty as Go's decoding and encoding do, and writes quantities and times canonically. What has the
/// wrong type stays as it is: [`super::check`] refuses it.
pub fn prune(schemas: &Schemas, type_name: &str, document: &mut Value) {
    if let (Some(def), Value::Object(map)) = (schemas.get(type_name), document) {
        prune_object(schemas, def, map);
    }
}

fn prune_object(schemas: &Schemas, def: &TypeDef, map: &mut Map<String, Value>) {
    let mut complete = true;
    for (name, value) in map.iter_mut() {
        let field = def.field(name);
        if let Some(field) = field.filter(|_| !value.is_null()) {
            prune_value(schemas, &field.type_, value);
        }
        complete &= stays(field, value);
    }
    // Most objects lose nothing.
    if !complete {
        map.retain(|name, value| stays(def.field(name), value));
    }
}

/// Whether an object is left with a field of this value.
pub(super) fn stays(field: Option<&Field>, value: &Value) -> bool {
    match field {
        // What is null in a field of any content is content.
        Some(field) if value.is_null() => field.type_ == FieldType::Raw,
        Some(field) => !is_omitted(field, value),
        None => false,
    }
}

/// Whether Go's encoder leaves the value out: an object that was sent with it is the one that was sent without.
fn is_omitted(field: &Field, value: &Value) -> bool {
    field.omit_empty
        && match value {
            Value::Null => true,
            Value::Bool(is) => !is,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
        }
}

fn prune_value(schemas: &Schemas, type_: &FieldType, value: &mut Value) {
    match (type_, value) {
        (FieldType::Ref(name), Value::Object(map)) => {
            if let Some(def) = schemas.of(name) {
                prune_object(schemas, def, map);
            }
        }
        (FieldType::List(element), Value::Array(items)) => {
            for item in items {
                prune_element(schemas, element, item);
            }
        }
        (FieldType::Map(element), Value::Object(map)) => {
            for (_, item) in map.iter_mut() {
                prune_element(schemas, element, item);
            }
        }
        (FieldType::Quantity, value) => {
            if let Ok(quantity) = quantity(value) {
                *value = Value::String(quantity.to_string());
            }
        }
        (FieldType::Bytes, Value::String(text)) => base64::canonical(text),
        (FieldType::Bytes, value) => {
            if let Some(bytes) = base64::bytes_of(value) {
                *value = base64::encode(&bytes).into();
            }
        }
        (FieldType::Time, Value::String(text)) => {
            if let Some(time) = time::parse(text) {
                *text = time::seconds(time);
            }
        }
        (FieldType::MicroTime, Value::String(text)) => {
            if let Some(time) = time::parse(text) {
                *text = time::micros(time);
            }
        }
        _ => {}
    }
}

/// Whether pruning leaves a scalar as it is.
pub(super) fn is_canonical(type_: &FieldType, value: &Value) -> bool {
    match (type_, value) {
        (FieldType::Quantity, Value::String(text)) => {
            quantity(value).is_ok_and(|quantity| quantity.to_string() == *text)
        }
        (FieldType::Bytes, Value::String(text)) => {
            let mut canonical = text.clone();
            base64::canonical(&mut canonical);
            canonical == *text
        }
        (FieldType::Time, Value::String(text)) => {
            time::parse(text).is_none_or(|time| time::seconds(time) == *text)
        }
        (FieldType::MicroTime, Value::String(text)) => {
            time::parse(text).is_none_or(|time| time::micros(time) == *text)
        }
        (FieldType::Quantity | FieldType::Bytes, _) => false,
        _ => true,
    }
}

/// An element that is null decodes to the zero of its type.
fn prune_element(schemas: &Schemas, element: &FieldType, value: &mut Value) {
    if !value.is_null() {
        return prune_value(schemas, element, value);
    }
    *value = match element {
        FieldType::String => Value::String(String::new()),
        FieldType::Int32 | FieldType::Int64 | FieldType::Number | FieldType::IntOrString => {
            0.into()
        }
        FieldType::Bool => Value::Bool(false),
        FieldType::Quantity => Value::String("0".to_owned()),
        FieldType::Ref(_) => Value::Object(Map::new()),
        FieldType::Time
        | FieldType::MicroTime
        | FieldType::Bytes
        | FieldType::Raw
        | FieldType::List(_)
        | FieldType::Map(_) => Value::Null,
    };
}

/// Fills in the table's defaults wherever the object that has the field is there.
pub fn apply_defaults(schemas: &Schemas, type_name: &str, document: &mut Value) {
    if let (Some(def), Value::Object(map)) = (schemas.get(type_name), document) {
        default_object(schemas, def, map);
    }
}

fn default_object(schemas: &Schemas, def: &TypeDef, map: &mut Map<String, Value>) {
    for (name, default) in def.filled() {
        if map.get(name).is_none_or(Value::is_null) {
            map.insert(name.to_owned(), default.clone());
        }
    }
    for (name, value) in map.iter_mut() {
        if let (Value::Object(_) | Value::Array(_), Some(field)) = (&*value, def.field(name)) {
            default_value(schemas, &field.type_, value);
        }
    }
}

/// Makes null of what is empty and would be filled in with null: stored as protobuf, both are the same.
pub fn empty_to_null(schemas: &Schemas, type_name: &str, document: &mut Value) {
    if let (Some(def), true, Value::Object(map)) =
        (schemas.get(type_name), has_empty_list(document), document)
    {
        null_object(schemas, def, map);
    }
}

/// Most documents have none, for what is left out when it is empty has gone before.
fn has_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty() || items.iter().any(has_empty_list),
        Value::Object(map) => map.values().any(has_empty_list),
        _ => false,
    }
}

fn null_object(schemas: &Schemas, def: &TypeDef, map: &mut Map<String, Value>) {
    for (name, value) in map {
        let Some(field) = def.field(name) else { continue };
        let empty = match value {
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => continue,
        };
        if empty && field.default == Some(Value::Null) {
            *value = Value::Null;
        } else {
            null_value(schemas, &field.type_, value);
        }
    }
}

fn null_value(schemas: &Schemas, type_: &FieldType, value: &mut Value) {
    match (type_, value) {
        (FieldType::Ref(name), Value::Object(map)) => {
            if let Some(def) = schemas.of(name) {
                null_object(schemas, def, map);
            }
        }
        (FieldType::List(element), Value::Array(items)) => {
            items.iter_mut().for_each(|item| null_value(schemas, element, item));
        }
        (FieldType::Map(element), Value::Object(map)) => {
            map.values_mut().for_each(|item| null_value(schemas, element, item));
        }
        _ => {}
    }
}

fn default_value(schemas: &Schemas, type_: &FieldType, value: &mut Value) {
    // Where there are no objects with fields, there is nothing to fill in.
    if type_.element_ref().is_none() {
        return;
    }
    match (type_, value) {
        (FieldType::Ref(name), Value::Object(map)) => {
            if let Some(def) = schemas.of(name) {
                default_object(schemas, def, map);
            }
        }
        (FieldType::List(element), Value::Array(items)) => {
            for item in items {
                default_value(schemas, element, item);
            }
        }
        (FieldType::Map(element), Value::Object(map)) => {
            for (_, item) in map.iter_mut() {
                default_value(schemas, element, item);
            }
        }
        _ => {}
    }
}
