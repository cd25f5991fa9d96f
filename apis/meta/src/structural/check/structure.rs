//! Whether a schema is structural: every part has a type, and what checks values only names what has one.

use serde_json::{Map, Value};

use super::{Step, list, object, properties, zero};
use crate::structural::pattern::Compiler;
use crate::structural::read::{flag, text};
use crate::{FieldError, Path};

type Schema = Map<String, Value>;

/// Where a schema stands in the one around it.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What keeps a schema from being structural.
pub fn structure(schema: &Value, path: &Path) -> Vec<FieldError> {
    schema.as_object().map(|map| check(map, path, &mut Compiler::default())).unwrap_or_default()
}

pub(super) fn check(schema: &Schema, path: &Path, compiler: &mut Compiler) -> Vec<FieldError> {
    let mut walk = Walk { errors: Vec::new(), compiler };
    walk.invariants(schema, Level::Root, path);
    walk.complete_values(schema, schema, path, path);
    let mut errors = walk.errors;
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

struct Walk<'c> {
    errors: Vec<FieldError>,
    compiler: &'c mut Compiler,
}

impl Walk<'_> {
    fn invariants(&mut self, schema: &Schema, level: Level, path: &Path) {
        let type_ = text(schema, "type");
        if type_ == "array" && object(schema, "items").is_none() {
            self.required(&path.child("items"), "must be specified");
        }
        if let Some(items) = object(schema, "items") {
            self.invariants(items, Level::Item, &path.child("items"));
        }
        for (name, property) in properties(schema) {
            if let Some(property) = property.as_object() {
                self.invariants(property, Level::Field, &Step::Property(name).below(path));
            }
        }
        let additional = schema.get("additionalProperties").filter(|value| !value.is_null());
        if let Some(additional) = additional {
            let path = path.child("additionalProperties");
            if level == Level::Root {
                self.forbidden(&path, "must not be used at the root");
            }
            if let Some(schema) = additional.as_object() {
                self.invariants(schema, Level::Field, &path);
            }
        }
        self.extensions(schema, path);
        let skip_any = int_or_string(list(schema, "anyOf"));
        let first = list(schema, "allOf").first().and_then(Value::as_object);
        let skip_first = first.is_some_and(|first| int_or_string(list(first, "anyOf")));
        self.values(schema, skip_any, skip_first, path);
        self.type_stated(schema, level, path);
        self.metadata(schema, level, path);
    }

    fn type_stated(&mut self, schema: &Schema, level: Level, path: &Path) {
        let type_ = text(schema, "type");
        let at = path.child("type");
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let open = flag(schema, "x-kubernetes-int-or-string")
            || flag(schema, "x-kubernetes-preserve-unknown-fields");
        if embedded && type_ != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            self.errors.push(match type_ {
                "" => FieldError::required(&at, why),
                type_ => FieldError::invalid(&at, type_, why),
            });
        } else if type_.is_empty() && !open {
            let why = match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            };
            self.required(&at, why);
        }
        if embedded && schema.get("additionalProperties").is_some_and(|value| !value.is_null()) {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            self.forbidden(&path.child("additionalProperties"), why);
        }
        if level == Level::Root && !type_.is_empty() && type_ != "object" {
            self.errors.push(FieldError::invalid(&at, type_, "must be object at the root"));
        }
    }

    fn metadata(&mut self, schema: &Schema, level: Level, path: &Path) {
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let object_of_api = level == Level::Root || embedded;
        let property = |name: &str| object(schema, "properties").and_then(|map| object(map, name));
        for name in ["kind", "apiVersion"].into_iter().filter(|_| object_of_api) {
            let Some(stated) = property(name) else { continue };
            let type_ = text(stated, "type");
            if type_ != "string" {
                let at = Step::Property(name).below(path).child("type");
                self.errors.push(FieldError::invalid(&at, type_, "must be string"));
            }
        }
        if let Some(stated) = property("metadata") {
            let at = Step::Property("metadata").below(path);
            let type_ = text(stated, "type");
            if object_of_api && type_ != "object" {
                self.errors.push(FieldError::invalid(&at.child("type"), type_, "must be object"));
            }
            if level == Level::Root && says_more(stated) {
                let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
                self.forbidden(&at, why);
            }
        }
        let open = flag(schema, "x-kubernetes-preserve-unknown-fields");
        if embedded && !open && properties(schema).next().is_none() {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
            self.required(&path.child("properties"), why);
        }
    }

    fn extensions(&mut self, schema: &Schema, path: &Path) {
        if !flag(schema, "x-kubernetes-int-or-string") {
            return;
        }
        for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(schema, name) {
                let why = "must be false if x-kubernetes-int-or-string is true";
                self.errors.push(FieldError::invalid(&path.child(name), &Value::Bool(true), why));
            }
        }
    }

    /// What is nested in a schema to check values, and its pattern.
    fn values(&mut self, schema: &Schema, skip_any: bool, skip_first: bool, path: &Path) {
        for name in ["anyOf", "allOf", "oneOf"] {
            if name == "anyOf" && skip_any {
                continue;
            }
            for (index, nested) in list(schema, name).iter().enumerate() {
                if let Some(nested) = nested.as_object() {
                    let skip = name == "allOf" && index == 0 && skip_first;
                    self.nested(nested, skip, &path.child(name).index(index));
                }
            }
        }
        if let Some(not) = object(schema, "not") {
            self.nested(not, false, &path.child("not"));
        }
        let pattern = text(schema, "pattern");
        if let Some(why) =
            Some(pattern).filter(|text| !text.is_empty()).and_then(|text| self.compiler.wrong(text))
        {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            self.errors.push(FieldError::invalid(&path.child("pattern"), pattern, &why));
        }
    }

    fn nested(&mut self, schema: &Schema, skip_any: bool, path: &Path) {
        self.values(schema, skip_any, false, path);
        if let Some(items) = object(schema, "items") {
            self.nested(items, false, &path.child("items"));
        }
        for (name, property) in properties(schema) {
            if let Some(property) = property.as_object() {
                self.nested(property, false, &Step::Property(name).below(path));
            }
        }
        for (name, why) in [
            ("type", "must be empty to be structural"),
            ("additionalProperties", "must be undefined to be structural"),
            ("default", "must be undefined to be structural"),
            ("title", "must be empty to be structural"),
            ("description", "must be empty to be structural"),
            ("nullable", "must be false to be structural"),
            ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
            ("x-kubernetes-embedded-resource", "must be false to be structural"),
            ("x-kubernetes-int-or-string", "must be false to be structural"),
            ("x-kubernetes-list-map-keys", "must be empty to be structural"),
            ("x-kubernetes-list-type", "must be undefined to be structural"),
            ("x-kubernetes-map-type", "must be undefined to be structural"),
            ("x-kubernetes-validations", "must be empty to be structural"),
        ] {
            let stated = schema.get(name).is_some_and(|value| match name {
                "default" => !value.is_null(),
                "additionalProperties" => value.is_object() || *value == Value::Bool(true),
                _ => !zero(value),
            });
            if stated {
                self.forbidden(&path.child(name), why);
            }
        }
        if object(schema, "properties").is_some_and(|map| map.contains_key("metadata")) {
            let at = Step::Property("metadata").below(path);
            self.forbidden(&at, "must not be specified in a nested context");
        }
    }

    /// That everything which is checked has a place in the structure.
    fn complete_values(&mut self, values: &Schema, schema: &Schema, at: &Path, path: &Path) {
        if let Some(not) = object(values, "not") {
            self.complete(not, schema, at, &path.child("not"));
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            for (index, nested) in list(values, name).iter().enumerate() {
                if let Some(nested) = nested.as_object() {
                    self.complete(nested, schema, at, &path.child(name).index(index));
                }
            }
        }
    }

    fn complete(&mut self, nested: &Schema, schema: &Schema, at: &Path, path: &Path) {
        self.complete_values(nested, schema, at, path);
        let items = object(nested, "items")
            .map(|items| (Step::Field("items"), items, object(schema, "items")));
        let fields = properties(nested).filter_map(|(name, field)| {
            let known = object(schema, "properties").and_then(|map| object(map, name));
            Some((Step::Property(name), field.as_object()?, known))
        });
        for (step, nested, known) in items.into_iter().chain(fields) {
            let (at, path) = (step.below(at), step.below(path));
            match known {
                Some(known) => self.complete(nested, known, &at, &path),
                None => self.required(&at, &format!("because it is defined in {path}")),
            }
        }
    }

    fn required(&mut self, path: &Path, why: &str) {
        self.errors.push(FieldError::required(path, why));
    }

    fn forbidden(&mut self, path: &Path, why: &str) {
        self.errors.push(FieldError::forbidden(path, why));
    }
}

/// Whether alternatives are those of `x-kubernetes-int-or-string`.
fn int_or_string(alternatives: &[Value]) -> bool {
    let only = |schema: &Value, type_: &str| {
        schema.as_object().is_some_and(|map| {
            text(map, "type") == type_
                && map.iter().all(|(name, value)| name == "type" || zero(value))
        })
    };
    matches!(alternatives, [first, second] if only(first, "integer") && only(second, "string"))
}

/// Whether a schema of an object's metadata says more than that names are restricted.
fn says_more(metadata: &Schema) -> bool {
    metadata.iter().any(|(name, value)| match name.as_str() {
        "type" | "default" => false,
        "properties" => {
            properties(metadata).any(|(name, _)| !matches!(name, "name" | "generateName"))
        }
        _ => !zero(value),
    })
}
