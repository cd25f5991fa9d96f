//! Small readers and writers of JSON objects. Reading never fails: what is missing or mistyped reads as absent.
//!
//! Knows: JSON. Refuses to know: kinds.

use std::collections::HashMap;

use leme_meta::object::map_mut;
use serde_json::{Map, Value};

/// The value at a path of field names; null reads as absent.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field)).filter(|value| !value.is_null())
}

/// Text at a path of field names, or `""`.
pub fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or("")
}

/// A whole number at a path of field names.
pub fn int(value: &Value, path: &[&str]) -> Option<i64> {
    at(value, path).and_then(Value::as_i64)
}

/// Whether the field at a path is `true`.
pub fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The elements of the list at a path; none if there is no list.
pub fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The elements of a list by their `name`; of several with one name the first.
pub fn first_by_name(list: &[Value]) -> HashMap<&str, &Value> {
    let mut named = HashMap::with_capacity(list.len());
    for element in list {
        named.entry(text(element, &["name"])).or_insert(element);
    }
    named
}

/// The elements of the list at a path, to be changed in place.
pub fn list_mut<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut [Value] {
    at_mut(value, path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The entries of the map at a path.
pub fn entries<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a str, &'a Value)> {
    at(value, path)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

/// The value at a path of field names, to be changed in place, if it is there.
pub fn at_mut<'a>(value: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter()
        .try_fold(value, |value, field| value.get_mut(field))
        .filter(|value| !value.is_null())
}

/// The object under a field, made if it is not there.
pub fn child<'a>(value: &'a mut Value, field: &str) -> &'a mut Value {
    let slot = map_mut(value).entry(field).or_insert(Value::Null);
    map_mut(slot);
    slot
}

/// Whether a field is absent, null, `""` or an empty list or map: what a decoder of typed structs reads as unset.
pub fn unset(value: &Value, field: &str) -> bool {
    match value.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(_) => false,
    }
}

/// Sets a field that is absent, null or `""`.
pub fn default(value: &mut Value, field: &str, filler: impl Into<Value>) {
    let absent = match value.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if absent {
        map_mut(value).insert(field.to_owned(), filler.into());
    }
}

/// Sets a number that is absent or 0.
pub fn default_number(value: &mut Value, field: &str, filler: i64) {
    if value.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        map_mut(value).insert(field.to_owned(), filler.into());
    }
}

/// Sets a field.
pub fn set(value: &mut Value, field: &str, content: impl Into<Value>) {
    map_mut(value).insert(field.to_owned(), content.into());
}

/// Removes a field.
pub fn remove(value: &mut Value, field: &str) {
    map_mut(value).remove(field);
}

/// Makes a field of `new` what it is in `old`, absence included.
pub fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(content) => set(new, field, content.clone()),
        None => remove(new, field),
    }
}

/// Removes null fields from every object: a typed decoder reads them as absent.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Most objects have none.
            if map.values().any(Value::is_null) {
                map.retain(|_, content| !content.is_null());
            }
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The map as text pairs; entries that are not text are left out.
pub fn pairs(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object()
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}
