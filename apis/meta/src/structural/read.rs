//! Schemas read from JSON. What is malformed reads as absent: `check` has refused it before it was stored.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Additional, Pattern, Rules, Structural, Type, format};
use crate::schema::ListType;

/// Patterns that stand in a schema many times are kept once.
type Patterns = HashMap<String, Arc<Pattern>>;

/// The schema of a JSON object.
pub(super) fn schema(value: &Value) -> Structural {
    read(value, &mut Patterns::new())
}

fn read(value: &Value, patterns: &mut Patterns) -> Structural {
    let Some(map) = value.as_object() else { return Structural::default() };
    let type_ = Type::of(text(map, "type"));
    let int_or_string = flag(map, "x-kubernetes-int-or-string");
    let rules = rules(map, if int_or_string { None } else { Some(type_) }, patterns);
    let properties = map.get("properties").and_then(Value::as_object).into_iter().flatten();
    Structural {
        type_,
        nullable: flag(map, "nullable"),
        int_or_string,
        embedded: flag(map, "x-kubernetes-embedded-resource"),
        preserve_unknown: flag(map, "x-kubernetes-preserve-unknown-fields"),
        properties: properties
            .map(|(name, value)| (name.as_str(), read(value, patterns)))
            .collect(),
        additional: match map.get("additionalProperties") {
            Some(Value::Bool(allowed)) => Some(Additional::Allowed(*allowed)),
            Some(schema @ Value::Object(_)) => {
                Some(Additional::Schema(Box::new(read(schema, patterns))))
            }
            _ => None,
        },
        items: map
            .get("items")
            .filter(|items| items.is_object())
            .map(|items| Box::new(read(items, patterns))),
        default: map
            .get("default")
            .filter(|default| !default.is_null())
            .map(|default| Box::new(default.clone())),
        list_type: match text(map, "x-kubernetes-list-type") {
            "atomic" => Some(ListType::Atomic),
            "set" => Some(ListType::Set),
            "map" => Some(ListType::Map),
            _ => None,
        },
        map_keys: texts(map, "x-kubernetes-list-map-keys").into(),
        atomic_map: text(map, "x-kubernetes-map-type") == "atomic",
        rules: (rules != Rules::default()).then(|| Box::new(rules)),
    }
}

/// The rules of a schema of a type, none if values may have several.
fn rules(map: &Map<String, Value>, type_: Option<Type>, patterns: &mut Patterns) -> Rules {
    let float = |field: &str| map.get(field).and_then(Value::as_f64);
    let int = |field: &str| map.get(field).and_then(Value::as_i64);
    let format = text(map, "format");
    let mut nested = |field: &str| -> Vec<Structural> {
        let list = map.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().map(|schema| read(schema, patterns)).collect()
    };
    let (all_of, any_of, one_of) = (nested("allOf"), nested("anyOf"), nested("oneOf"));
    Rules {
        not: map.get("not").filter(|not| not.is_object()).map(|not| Box::new(read(not, patterns))),
        format: if format::recognized(type_, format) { format.to_owned() } else { String::new() },
        pattern: Some(text(map, "pattern")).filter(|pattern| !pattern.is_empty()).map(|pattern| {
            let new = || Arc::new(Pattern::new(pattern));
            patterns.entry(pattern.to_owned()).or_insert_with(new).clone()
        }),
        maximum: float("maximum"),
        exclusive_maximum: flag(map, "exclusiveMaximum"),
        minimum: float("minimum"),
        exclusive_minimum: flag(map, "exclusiveMinimum"),
        multiple_of: float("multipleOf"),
        max_length: int("maxLength"),
        min_length: int("minLength"),
        max_items: int("maxItems"),
        min_items: int("minItems"),
        max_properties: int("maxProperties"),
        min_properties: int("minProperties"),
        unique_items: flag(map, "uniqueItems"),
        enumerated: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        required: texts(map, "required"),
        all_of,
        any_of,
        one_of,
    }
}

/// A text of a schema, or `""`.
pub(super) fn text<'a>(map: &'a Map<String, Value>, field: &str) -> &'a str {
    map.get(field).and_then(Value::as_str).unwrap_or("")
}

/// Whether a field of a schema is true.
pub(super) fn flag(map: &Map<String, Value>, field: &str) -> bool {
    map.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// The texts in a list of a schema.
pub(super) fn texts(map: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = map.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
