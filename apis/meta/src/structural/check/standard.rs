//! What a schema of a definition may say besides being structural: which words, and which of them together.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{list, object, properties, subschemas, zero};
use crate::structural::go::GoJson;
use crate::structural::read::{flag, text, texts};
use crate::{FieldError, Path};

type Schema = Map<String, Value>;
type Errors = Vec<FieldError>;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// How many keys of a list are looked at: each error names all of them.
const MAX_KEYS: usize = 16;
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// What the schemas around one mean for it.
#[derive(Clone, Default)]
struct Around {
    root: bool,
    in_metadata: bool,
    /// Why there may be no default.
    no_default: Option<String>,
}

pub(super) fn check(schema: &Schema, path: &Path, errors: &mut Errors) {
    let around = Around { root: true, ..Around::default() };
    walk(schema, path, &around, errors);
}

fn walk(schema: &Schema, path: &Path, around: &Around, errors: &mut Errors) {
    words(schema, path, around, errors);
    if flag(schema, "uniqueItems") {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), why));
    }
    let additional = schema.get("additionalProperties");
    let restricts =
        additional.is_some_and(|value| value.is_object() || *value == Value::Bool(false));
    if restricts && properties(schema).next().is_some() {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
    }
    for (step, nested) in subschemas(schema) {
        let Some(nested) = nested.as_object() else { continue };
        let mut inside = Around { root: false, ..around.clone() };
        match step {
            super::Step::Field("additionalProperties") if around.in_metadata => {
                let why = "inside additionalProperties applying to object metadata";
                inside.no_default = Some(why.to_owned());
            }
            super::Step::Property(name) if META.contains(&name) => {
                let embedded = flag(schema, "x-kubernetes-embedded-resource");
                inside.in_metadata |= around.root || embedded;
                if around.root {
                    inside.no_default = Some(format!("in top-level {name}"));
                }
            }
            _ => {}
        }
        walk(nested, &step.below(path), &inside, errors);
    }
    types(schema, path, errors);
    lists(schema, path, errors);
    validations(schema, path, errors);
}

/// The words that may not be used, or not here.
fn words(schema: &Schema, path: &Path, around: &Around, errors: &mut Errors) {
    let mut forbidden = |name: &str, why: &str| {
        errors.push(FieldError::forbidden(&path.child(name), why));
    };
    let default = schema.get("default").is_some_and(|value| !value.is_null());
    if let Some(reason) = around.no_default.as_ref().filter(|_| default) {
        forbidden("default", &format!("must not be set {reason}"));
    }
    for name in
        ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"]
    {
        let stated = schema.get(name).is_some_and(|value| match name {
            "additionalItems" | "$ref" => !value.is_null(),
            _ => !zero(value),
        });
        if stated {
            forbidden(name, &format!("{name} is not supported"));
        }
    }
    let type_ = text(schema, "type");
    if type_ == "null" {
        forbidden("type", "type cannot be set to null, use nullable as an alternative");
    }
    if schema.get("items").is_some_and(Value::is_array) {
        forbidden("items", "items must be a schema object and not an array");
    }
    if around.in_metadata && flag(schema, "x-kubernetes-embedded-resource") {
        forbidden("x-kubernetes-embedded-resource", "must not be used inside of resource meta");
    }
    if !type_.is_empty() && !TYPES.contains(&type_) {
        errors.push(FieldError::not_supported(&path.child("type"), type_, &TYPES));
    }
}

/// What goes with a type, and with none.
fn types(schema: &Schema, path: &Path, errors: &mut Errors) {
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if let Some(stated @ Value::Bool(false)) = schema.get(preserve) {
        let why = "must be true or undefined";
        errors.push(FieldError::invalid(&path.child(preserve), stated, why));
    }
    let at = path.child("type");
    let type_ = text(schema, "type");
    for (word, wanted, known) in [
        ("x-kubernetes-map-type", "object", &["atomic", "granular"][..]),
        ("x-kubernetes-list-type", "array", &["atomic", "set", "map"]),
    ] {
        let Some(stated) = schema.get(word).and_then(Value::as_str) else { continue };
        let why = format!("must be {wanted} if {word} is specified");
        if type_.is_empty() {
            errors.push(FieldError::required(&at, &why));
        } else if type_ != wanted {
            errors.push(FieldError::invalid(&at, type_, &why));
        }
        if !known.contains(&stated) {
            errors.push(FieldError::not_supported(&path.child(word), stated, known));
        }
    }
}

fn lists(schema: &Schema, path: &Path, errors: &mut Errors) {
    let word = "x-kubernetes-list-type";
    let list_type = schema.get(word).and_then(Value::as_str);
    let items = object(schema, "items");
    if let (Some("set"), Some(items), "array") = (list_type, items, text(schema, "type")) {
        errors.extend(not_atomic(items, &path.child("items")));
    }
    let keys = texts(schema, "x-kubernetes-list-map-keys");
    if !keys.is_empty() && list_type != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            None => FieldError::required(&path.child(word), why),
            Some(other) => FieldError::invalid(&path.child(word), other, why),
        });
    }
    if list_type == Some("map") {
        keyed(schema, &keys, path, errors);
    }
    if let (Some(kind @ ("set" | "map")), Some(items)) = (list_type, items) {
        distinct(kind, items, &keys, &path.child("items"), errors);
    }
}

fn not_atomic(items: &Schema, path: &Path) -> Option<FieldError> {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = items.get("x-kubernetes-list-type").unwrap_or(&Value::Null);
    match text(items, "type") {
        "array" if !matches!(list_type.as_str(), None | Some("atomic")) => {
            Some(FieldError::invalid(&path.child("x-kubernetes-list-type"), list_type, why))
        }
        "object" if text(items, "x-kubernetes-map-type") != "atomic" => {
            Some(FieldError::invalid(&path.child("x-kubernetes-map-type"), list_type, why))
        }
        _ => None,
    }
}

fn keyed(schema: &Schema, keys: &[String], path: &Path, errors: &mut Errors) {
    let at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&at, why));
    }
    let items_at = path.child("items");
    let items = match schema.get("items") {
        None | Some(Value::Null) => {
            let why = "must have a schema if x-kubernetes-list-type is map";
            errors.push(FieldError::required(&items_at, why));
            return;
        }
        Some(Value::Object(items)) => items,
        Some(other) => {
            let why = "must only have a single schema if x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&items_at, GoJson(other), why));
            return;
        }
    };
    let type_ = text(items, "type");
    if type_ != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&items_at.child("type"), type_, why));
        return;
    }
    let all = Value::from(keys.to_vec());
    let mut seen = HashSet::new();
    for key in keys.iter().take(MAX_KEYS) {
        match object(items, "properties").and_then(|map| object(map, key)) {
            Some(property) if matches!(text(property, "type"), "array" | "object") => {
                let at = items_at.child("properties").key(key).child("type");
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(&at, type_, why));
            }
            Some(_) => {}
            None => {
                let why = "entries must all be names of item properties";
                errors.push(FieldError::invalid(&at, GoJson(&all), why));
            }
        }
        if !seen.insert(key) {
            errors.push(FieldError::invalid(
                &at,
                GoJson(&all),
                "must not contain duplicate entries",
            ));
        }
    }
}

/// That elements which are told apart by something always have it.
fn distinct(kind: &str, items: &Schema, keys: &[String], path: &Path, errors: &mut Errors) {
    if flag(items, "nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(&path.child("nullable"), &why));
    }
    let required = texts(items, "required");
    for key in keys.iter().filter(|_| kind == "map") {
        let Some(property) = object(items, "properties").and_then(|map| object(map, key)) else {
            continue;
        };
        let at = path.child("properties").key(key);
        let default = property.get("default").is_some_and(|value| !value.is_null());
        if !default && !required.contains(key) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.child("default"), why));
        }
        if flag(property, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.child("nullable"), why));
        }
    }
}

/// The form of rules in CEL; what they say is not read.
fn validations(schema: &Schema, path: &Path, errors: &mut Errors) {
    let breaks = |text: &str| text.contains(['\n', '\r']);
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let Some(rule) = rule.as_object() else { continue };
        let at = path.child("x-kubernetes-validations").index(index);
        let [said, message, expression, field] =
            ["rule", "message", "messageExpression", "fieldPath"].map(|name| text(rule, name));
        let (trimmed, shown) = (said.trim(), message.trim());
        if trimmed.is_empty() {
            errors.push(FieldError::required(&at.child("rule"), "rule is not specified"));
        } else if !message.is_empty() && shown.is_empty() {
            let why = "message must be non-empty if specified";
            errors.push(FieldError::invalid(&at.child("message"), message, why));
        } else if breaks(shown) {
            let why = "message must not contain line breaks";
            errors.push(FieldError::invalid(&at.child("message"), message, why));
        } else if breaks(trimmed) && shown.is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&at.child("message"), why));
        }
        if !expression.is_empty() && expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&at.child("messageExpression"), why));
        }
        let reason = rule.get("reason").and_then(Value::as_str);
        if let Some(reason) = reason.filter(|reason| !REASONS.contains(reason)) {
            errors.push(FieldError::not_supported(&at.child("reason"), reason, &REASONS));
        }
        let at = at.child("fieldPath");
        if !field.is_empty() && field.trim().is_empty() {
            errors.push(FieldError::invalid(
                &at,
                field,
                "fieldPath must be non-empty if specified",
            ));
        }
        if breaks(field) {
            errors.push(FieldError::invalid(&at, field, "fieldPath must not contain line breaks"));
        }
    }
}
