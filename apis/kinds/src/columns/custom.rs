//! Columns of CustomResourceDefinitions, and the cells of the kinds that they define.

use jiff::Timestamp;
use leme_meta::field::Shown;
use leme_meta::structural::GoJson;
use leme_meta::time;
use serde_json::Value;

use super::{shown, text as text_at};
use crate::Column;

pub(crate) const DEFINITION: &[Column] =
    &[shown("Created At", |object, _| text_at(object, "/metadata/creationTimestamp").into())];

/// The cell of a column of a type for what its path leads to; null for a value of another type.
pub(crate) fn cell(type_: &str, value: &Value, now: Timestamp) -> Value {
    let whole = |value: &Value| value.as_i64().or_else(|| value.as_f64().map(|float| float as i64));
    match type_ {
        _ if value.is_null() => Value::Null,
        "string" => text(value).into(),
        "integer" => whole(value).map_or(Value::Null, Value::from),
        "number" if value.is_number() => value.clone(),
        "boolean" if value.is_boolean() => value.clone(),
        "date" => match value.as_str() {
            None => Value::Null,
            Some("" | "null") => "<unknown>".into(),
            Some(then) => match time::parse(then) {
                Some(then) => time::age(then, now).into(),
                None => "<invalid>".into(),
            },
        },
        _ => Value::Null,
    }
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => GoJson(other).shown(),
    }
}
