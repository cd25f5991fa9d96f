//! The cells of the server-side Table, a module per family of kinds, and what all of them share.
//!
//! Knows: how upstream prints each kind. Refuses to know: the Table document itself, which the server builds.

pub(crate) mod admission;
pub(crate) mod apps;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod certificates;
pub(crate) mod class;
pub(crate) mod core;
pub(crate) mod custom;
pub(crate) mod driver;
pub(crate) mod event;
pub(crate) mod flowcontrol;
pub(crate) mod ingress;
pub(crate) mod metrics;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod openshift;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod rbac;
pub(crate) mod resource;
pub(crate) mod storage;

use std::borrow::Cow;

use jiff::Timestamp;
use leme_meta::selector::LabelSelector;
use leme_meta::time;
use serde_json::Value;

use crate::{Cell, Column};

/// What upstream prints for nothing.
pub(crate) const NONE: &str = "<none>";

/// `Name`, which leads every Table but those of kinds that list it among their own columns.
pub(crate) static NAME: Column = named("Name", |object, _| text(object, "/metadata/name").into());

/// A column of names.
pub(crate) const fn named(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column {
        name: Cow::Borrowed(name),
        type_: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        priority: 0,
        cell: Cell::Native(cell),
    }
}

/// The age of the object.
pub(crate) const AGE: Column =
    shown("Age", |object, now| since(object.pointer("/metadata/creationTimestamp"), now).into());

/// When the object was made: of kinds that upstream prints in no way of their own.
pub(crate) const CREATED: Column = column("Created At", "date", 0, |object, _| {
    text_or(object, "/metadata/creationTimestamp", "0001-01-01T00:00:00Z").into()
});

/// A text column that is always shown.
pub(crate) const fn shown(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "string", 0, cell)
}

/// A text column of `-o wide`.
pub(crate) const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "string", 1, cell)
}

/// A column of whole numbers that is always shown.
pub(crate) const fn number(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "integer", 0, cell)
}

/// A column of `true` and `false` that is always shown.
pub(crate) const fn truth(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    column(name, "boolean", 0, cell)
}

/// A column of another type that is always shown.
pub(crate) const fn typed(
    name: &'static str,
    type_: &'static str,
    cell: fn(&Value, Timestamp) -> Value,
) -> Column {
    column(name, type_, 0, cell)
}

const fn column(
    name: &'static str,
    type_: &'static str,
    priority: i32,
    cell: fn(&Value, Timestamp) -> Value,
) -> Column {
    Column {
        name: Cow::Borrowed(name),
        type_: Cow::Borrowed(type_),
        format: Cow::Borrowed(""),
        priority,
        cell: Cell::Native(cell),
    }
}

/// The value at a JSON pointer: `Value::pointer` copies each step, for it may hold an escape.
fn at<'a>(object: &'a Value, pointer: &str) -> Option<&'a Value> {
    if pointer.contains('~') {
        return object.pointer(pointer);
    }
    pointer.split('/').skip(1).try_fold(object, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Text at a JSON pointer, or `""`.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).and_then(Value::as_str).unwrap_or("")
}

/// Text at a JSON pointer, or `otherwise`.
pub(crate) fn text_or<'a>(object: &'a Value, pointer: &str, otherwise: &'a str) -> &'a str {
    match text(object, pointer) {
        "" => otherwise,
        found => found,
    }
}

/// Whether the field at a JSON pointer is `true`.
pub(crate) fn flag(object: &Value, pointer: &str) -> bool {
    at(object, pointer) == Some(&Value::Bool(true))
}

/// The whole number at a JSON pointer, or 0.
pub(crate) fn int(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The list at a JSON pointer, or an empty one.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many entries the map at a JSON pointer has.
pub(crate) fn entries(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_object).map_or(0, |map| map.len() as i64)
}

/// How long ago the time in the field was, or `<unknown>`.
pub(crate) fn since(field: Option<&Value>, now: Timestamp) -> String {
    match field.and_then(Value::as_str).and_then(time::parse) {
        Some(then) => time::age(then, now),
        None => "<unknown>".to_owned(),
    }
}

/// `key=value,...` in order of keys, or `<none>`.
pub(crate) fn labels(map: Option<&Value>) -> String {
    let mut pairs: Vec<(&str, &str)> = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() {
        return NONE.to_owned();
    }
    pairs.sort_unstable();
    let shown: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    shown.join(",")
}

/// A `metav1.LabelSelector` on one line, or `<none>` for one without rules.
pub(crate) fn selector(selector: Option<&Value>) -> String {
    match LabelSelector::from_json(selector.unwrap_or(&Value::Null)) {
        Ok(selector) => match selector.to_string() {
            rules if rules.is_empty() => NONE.to_owned(),
            rules => rules,
        },
        Err(_) => "<error>".to_owned(),
    }
}

/// The named field of every container of a pod template, joined by commas.
pub(crate) fn of_containers(object: &Value, pointer: &str, field: &str) -> String {
    let fields: Vec<&str> = list(object, pointer)
        .iter()
        .map(|container| container.get(field).and_then(Value::as_str).unwrap_or(""))
        .collect();
    fields.join(",")
}

/// The first three of `items`, and how many more there are.
pub(crate) fn first_three(items: &[String], otherwise: &str) -> String {
    match items {
        [] => otherwise.to_owned(),
        few if few.len() <= 3 => few.join(","),
        many => format!("{} + {} more...", many[..3].join(","), many.len() - 3),
    }
}
