//! Scalars as Go's decoder takes them: which JSON a type accepts, and the words for what it does not.

use crate::quote;
use serde_json::Value;

use super::{FieldType, base64};
use crate::decode::go_name as go_json;
use crate::{quantity::Quantity, time};

/// The type's name in Go, as its decoder prints it.
pub(super) fn go_name(type_: &FieldType) -> String {
    match type_ {
        FieldType::String => "string".to_owned(),
        FieldType::Int32 => "int32".to_owned(),
        FieldType::Int64 => "int64".to_owned(),
        FieldType::Number => "float64".to_owned(),
        FieldType::Bool => "bool".to_owned(),
        FieldType::Quantity => "resource.Quantity".to_owned(),
        FieldType::IntOrString => "intstr.IntOrString".to_owned(),
        FieldType::Time => "v1.Time".to_owned(),
        FieldType::MicroTime => "v1.MicroTime".to_owned(),
        FieldType::Bytes => "[]uint8".to_owned(),
        FieldType::Raw => "runtime.RawExtension".to_owned(),
        FieldType::Ref(name) => {
            let mut parts = name.rsplit('.');
            let (name, package) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            format!("{package}.{name}")
        }
        FieldType::List(element) => format!("[]{}", go_name(element)),
        FieldType::Map(element) => format!("map[string]{}", go_name(element)),
    }
}

/// What upstream's converter says of a value of the wrong type.
pub(super) fn not_converted(type_: &FieldType, value: &Value) -> String {
    let found = match value {
        Value::Object(_) => "map",
        Value::Array(_) => "slice",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Null => "nil",
    };
    match (type_, found) {
        (FieldType::Map(_), _) => format!("cannot restore map from {found}"),
        (FieldType::List(_) | FieldType::Bytes, _) => format!("cannot restore slice from {found}"),
        (FieldType::Ref(_), _) => format!("cannot restore struct from: {found}"),
        (FieldType::String, "int64") | (FieldType::Int32 | FieldType::Int64, "float64") => {
            format!("cannot convert {found} to {}", go_name(type_))
        }
        _ => format!("unrecognized type: {}", go_name(type_)),
    }
}

/// What a scalar of the wrong sort is answered with.
pub(super) enum Wrong {
    /// The decoder's own error: the JSON that it met.
    Json(String),
    /// The error of the type's own decoder, as it stands.
    Text(String),
}

/// What is wrong with a scalar that is not null.
pub(super) fn wrong(type_: &FieldType, value: &Value) -> Option<Wrong> {
    let json = || Some(Wrong::Json(go_json(value).to_owned()));
    match (type_, value) {
        (FieldType::String, Value::String(_))
        | (FieldType::Bool, Value::Bool(_))
        | (FieldType::Number, Value::Number(_))
        | (FieldType::IntOrString, Value::String(_))
        | (FieldType::Raw, _) => None,
        (FieldType::Int32, Value::Number(number)) => {
            whole(number, i64::from(i32::MIN), i64::from(i32::MAX))
        }
        (FieldType::Int64, Value::Number(number)) => whole(number, i64::MIN, i64::MAX),
        (FieldType::IntOrString, Value::Number(number)) => {
            let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
            match whole(number, least, most) {
                Some(Wrong::Json(found)) => Some(plain(&found, "int32")),
                other => other,
            }
        }
        (FieldType::IntOrString, other) => Some(plain(go_json(other), "int32")),
        (FieldType::Quantity, other) => quantity(other).err().map(Wrong::Text),
        (FieldType::Time, Value::String(text)) => {
            wrong_time(text, "2006-01-02T15:04:05Z07:00").map(Wrong::Text)
        }
        (FieldType::MicroTime, Value::String(text)) => {
            wrong_time(text, "2006-01-02T15:04:05.000000Z07:00").map(Wrong::Text)
        }
        (FieldType::Time | FieldType::MicroTime, other) => Some(plain(go_json(other), "string")),
        (FieldType::Bytes, Value::String(text)) => base64::wrong(text)
            .map(|at| Wrong::Text(format!("illegal base64 data at input byte {at}"))),
        (FieldType::Bytes, list @ Value::Array(_)) => {
            base64::bytes_of(list).is_none().then(|| plain("array", "[]uint8"))
        }
        _ => json(),
    }
}

fn plain(found: &str, wanted: &str) -> Wrong {
    Wrong::Text(format!("json: cannot unmarshal {found} into Go value of type {wanted}"))
}

fn whole(number: &serde_json::Number, least: i64, most: i64) -> Option<Wrong> {
    match number.as_i64() {
        Some(number) if (least..=most).contains(&number) => None,
        _ => Some(Wrong::Json(format!("number {number}"))),
    }
}

/// A quantity given as text or number.
pub(super) fn quantity(value: &Value) -> Result<Quantity, String> {
    match value {
        Value::String(text) => Quantity::parse(text.trim()),
        other => Quantity::parse(&other.to_string()),
    }
}

fn wrong_time(text: &str, layout: &str) -> Option<String> {
    if time::parse(text).is_some() {
        return None;
    }
    Some(format!(
        "parsing time {text} as {layout}: cannot parse {text} as \"2006\"",
        text = quote(&text),
        layout = quote(&layout)
    ))
}
