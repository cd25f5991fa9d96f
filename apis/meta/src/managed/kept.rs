//! Sets of owned fields in an object that is being written: the `fieldsV1` of its entries are strings that hold text of
//! FieldsV1, for they are half of what is kept, and most writes change one.
//!
//! Knows: where in an object such text is. Refuses to know: what it says.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::set::FieldSet;

/// An object of the store, with the sets of its list as text.
///
/// # Errors
/// It is no JSON.
pub fn read(json: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = Part::Object.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    // What is no object with a list of entries is read as whatever it is.
    read.or_else(|_| serde_json::from_slice(json))
}

/// Makes documents of the sets in the list of an object again, as clients see them.
pub fn show(object: &mut Value) {
    let list = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("managedFields"));
    for entry in list.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(fields) = entry.get_mut("fieldsV1")
            && let Some(Ok(shown)) = fields.as_str().map(serde_json::from_str)
        {
            *fields = shown;
        }
    }
}

/// Whether a list has a set that is no text.
pub(super) fn is_shown(list: &Value) -> bool {
    let shown = |entry: &Value| entry.get("fieldsV1").is_some_and(|fields| !fields.is_string());
    list.as_array().is_some_and(|list| list.iter().any(shown))
}

/// The list with its sets as text.
pub(super) fn hidden(mut list: Value) -> Value {
    for entry in list.as_array_mut().into_iter().flatten() {
        if let Some(fields) = entry.get_mut("fieldsV1").filter(|fields| fields.is_object()) {
            *fields = Value::String(of_document(fields));
        }
    }
    list
}

/// The text of a set that is a document, or of what is none.
pub(super) fn of_document(fields: &Value) -> String {
    FieldSet::from_value(fields).map_or_else(|_| fields.to_string(), |set| set.to_json())
}

/// Parts of an object on the way to its sets.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Metadata,
    List,
    Entry,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        match self {
            Part::List => reader.deserialize_seq(self),
            _ => reader.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = items.next_element_seed(Part::Entry)? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = match (self, name.as_str()) {
                (Part::Object, "metadata") => entries.next_value_seed(Part::Metadata)?,
                (Part::Metadata, "managedFields") => entries.next_value_seed(Part::List)?,
                (Part::Entry, "fieldsV1") => {
                    let text: &RawValue = entries.next_value()?;
                    Value::String(text.get().to_owned())
                }
                _ => entries.next_value()?,
            };
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
