//! What keeps a schema from being taken: that it is not structural, that its defaults do not fit it, that it says what
//! no schema of a definition may say.
//!
//! Knows: the order of upstream's checks, and which of them the next ones rest on. Refuses to know: what a definition
//! says besides.

mod defaults;
mod standard;
mod structure;

use serde_json::{Map, Value};

pub use structure::structure;

use super::Structural;
use super::go::GoJson;
use super::pattern::Compiler;
use super::read::{flag, text};
use crate::{FieldError, Path};

/// How many errors are told.
const MAX_ERRORS: usize = 1000;

/// Where a schema stands, as far as it matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Whether objects have a status of their own.
    pub status: bool,
}

/// What may stand at the root of a schema with a status, and how upstream names it.
const AT_ROOT: [(&str, &str); 22] = [
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// All that is wrong with a schema that stands at `path`.
pub fn check(schema: &Value, path: &Path, place: &Place) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(map) = schema.as_object() else { return errors };
    if place.status {
        errors.extend(at_root(schema, map, path));
    }
    if flag(map, "nullable") {
        errors.push(FieldError::forbidden(
            &path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    if !unsupported(schema) {
        let mut compiler = Compiler::default();
        let wrong = structure::check(map, path, &mut compiler);
        let fine = wrong.is_empty();
        errors.extend(wrong);
        if fine {
            errors.extend(defaults::check(&Structural::read(schema), path));
        }
    }
    standard::check(map, path, &mut errors);
    errors.truncate(MAX_ERRORS);
    errors
}

fn at_root(schema: &Value, map: &Map<String, Value>, path: &Path) -> Option<FieldError> {
    let type_ = text(map, "type");
    if !type_.is_empty() && type_ != "object" {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(&path.child("type"), type_, why));
    }
    let allowed = |name: &str| AT_ROOT.iter().any(|(known, _)| *known == name);
    map.iter().find(|(name, value)| !allowed(name) && !zero(value)).map(|_| {
        let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        FieldError::invalid(path, GoJson(schema), &why)
    })
}

/// Whether a value is what a decoder of typed structs reads as unset.
fn zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(_) => false,
    }
}

/// What no structural schema can be made of, wherever it stands.
const UNSUPPORTED: [&str; 7] = [
    "id",
    "$schema",
    "$ref",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
];

fn unsupported(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else { return false };
    let stated = UNSUPPORTED.iter().any(|name| map.get(*name).is_some_and(|value| !zero(value)));
    let list = map.get("items").is_some_and(Value::is_array);
    let pruning = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false));
    stated || list || pruning || subschemas(map).any(|(_, schema)| unsupported(schema))
}

/// The schemas right below one, each with the steps that lead there.
fn subschemas(map: &Map<String, Value>) -> impl Iterator<Item = (Step<'_>, &Value)> {
    let single = ["items", "additionalProperties", "not"].into_iter().filter_map(|name| {
        let schema = map.get(name).filter(|schema| schema.is_object())?;
        Some((Step::Field(name), schema))
    });
    let listed = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| {
        let list = map.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        list.map(move |(index, schema)| (Step::Index(name, index), schema))
    });
    single.chain(listed).chain(properties(map).map(|(name, schema)| (Step::Property(name), schema)))
}

/// How a schema stands below another.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'static str),
    Index(&'static str, usize),
    Property(&'a str),
}

impl Step<'_> {
    fn below(self, path: &Path) -> Path {
        match self {
            Step::Field(name) => path.child(name),
            Step::Index(name, index) => path.child(name).index(index),
            Step::Property(name) => path.child("properties").key(name),
        }
    }
}

fn properties(map: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    let properties = map.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, schema)| (name.as_str(), schema))
}

fn object<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a Map<String, Value>> {
    map.get(field).and_then(Value::as_object)
}

fn list<'a>(map: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    map.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
