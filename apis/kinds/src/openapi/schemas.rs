//! The types of a document: those of its rows, and everything they mention.

use std::collections::BTreeSet;
use std::sync::Arc;

use leme_meta::schema::{Field, FieldType, ListType, TypeDef};
use serde_json::{Map, Value, json};

use super::{Version, defined, group_version_kind, posted_kind, words};
use crate::{Kind, Kinds, POSTED, Subresource};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// The types of the rows, by name; `kinds` says what else is a kind among them.
pub(super) fn schemas(kinds: &Kinds, rows: &[&Arc<Kind>], version: Version) -> Value {
    let table = crate::schemas();
    let mut out = Map::new();
    for (name, schema) in scalars() {
        out.insert(name.to_owned(), schema);
    }
    let mut wanted: Vec<String> = [STATUS, DELETE_OPTIONS, SCALE]
        .into_iter()
        .chain(POSTED.iter().map(|posted| posted.schema))
        .map(ToString::to_string)
        .collect();
    for row in rows {
        if row.custom.is_some() {
            out.extend(defined::types(row, version));
            wanted.extend([OBJECT_META, LIST_META].map(str::to_owned));
        } else {
            wanted.extend([row.schema.to_string(), format!("{}List", row.schema)]);
        }
        wanted.extend(row.subresources.iter().filter_map(|sub| below(row, *sub)));
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(def) = table.get(&name) {
            wanted.extend(
                def.fields
                    .iter()
                    .filter_map(|field| field.type_.element_ref().map(|name| name.to_string())),
            );
            out.insert(name, object(def, kinds));
        }
    }
    Value::Object(out)
}

/// The type that a subresource speaks in place of the kind's own, if the table has it.
pub(super) fn below(row: &Kind, subresource: Subresource) -> Option<String> {
    let package = row.schema.strip_suffix(&*row.kind)?;
    let name = format!("{package}{}", subresource.kind(row)?);
    crate::schemas().get(&name).is_some().then_some(name)
}

/// A reference to a type.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn scalars() -> [(&'static str, Value); 5] {
    [
        (
            QUANTITY,
            json!({"description": "A number with a unit, such as 500m, 2Gi or 1e3.",
                "oneOf": [{"type": "string"}, {"type": "number"}]}),
        ),
        (
            INT_OR_STRING,
            json!({"description": "A number, or a name or percentage.",
                "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        (
            TIME,
            json!({"description": "A time as RFC 3339 writes it.",
                "type": "string", "format": "date-time"}),
        ),
        (
            MICRO_TIME,
            json!({"description": "A time as RFC 3339 writes it, to the microsecond.",
                "type": "string", "format": "date-time"}),
        ),
        (PATCH, json!({"description": "A change of an object.", "type": "object"})),
    ]
}

fn object(def: &TypeDef, kinds: &Kinds) -> Value {
    let mut schema = json!({"type": "object"});
    let its = kinds_of(&def.name, kinds);
    let words = words::of(&def.name);
    let list = its.iter().find_map(|kind| kind["kind"].as_str()?.strip_suffix("List"));
    match (words, list) {
        (Some(words), _) => schema["description"] = words.text.into(),
        (None, Some(kind)) => {
            schema["description"] = format!("A list of objects of the kind {kind}.").into();
        }
        (None, None) => {}
    }
    let described = |field: &Field| match (&*field.name, list) {
        ("items", Some(_)) => Some("The objects."),
        ("metadata", Some(_)) => Some("The state that the list is of, and where it goes on."),
        (name, _) => {
            let common = || words::common(name).filter(|_| !its.is_empty());
            words.and_then(|words| words.field(name)).or_else(common)
        }
    };
    let property = |field: &Field| (field.name.clone(), property(def, field, described(field)));
    let properties: Map<String, Value> = def.fields.iter().map(property).collect();
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    let required: Vec<&str> =
        def.fields.iter().filter(|it| it.required).map(|it| it.name.as_str()).collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if def.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    if !its.is_empty() {
        schema["x-kubernetes-group-version-kind"] = Value::Array(its);
    }
    schema
}

/// The kinds that a type stands for: that of its row, or of the list of its row, or a shared one.
fn kinds_of(name: &str, kinds: &Kinds) -> Vec<Value> {
    match name {
        STATUS | DELETE_OPTIONS => {
            let kind = name.rsplit('.').next().unwrap_or("");
            return vec![group_version_kind("", "v1", kind)];
        }
        SCALE => return vec![group_version_kind("autoscaling", "v1", "Scale")],
        _ => {}
    }
    if let Some(posted) = POSTED.iter().find(|posted| posted.schema == name) {
        return vec![posted_kind(posted)];
    }
    let row_name = name.strip_suffix("List").unwrap_or(name);
    kinds
        .iter()
        .filter(|row| row.schema == row_name)
        .map(|row| {
            let kind = if row_name == name { row.kind.to_string() } else { row.list_kind() };
            group_version_kind(&row.group, &row.version, &kind)
        })
        .collect()
}

fn property(def: &TypeDef, field: &Field, description: Option<&str>) -> Value {
    let mut extra = Map::new();
    if let Some(description) = description {
        extra.insert("description".to_owned(), description.into());
    }
    if let Some(default) = field.default.as_ref().filter(|default| !default.is_null()) {
        extra.insert("default".to_owned(), default.clone());
    }
    let list_type = field.list_type.map(|list_type| match list_type {
        ListType::Atomic => "atomic",
        ListType::Set => "set",
        ListType::Map => "map",
    });
    let mut strategies = Vec::new();
    for (set, name) in [
        (field.patch.merge, "merge"),
        (field.patch.replace, "replace"),
        (field.patch.retain_keys, "retainKeys"),
    ] {
        if set {
            strategies.push(name);
        }
    }
    let strategies = (!strategies.is_empty()).then(|| strategies.join(","));
    for (key, value) in [
        ("x-kubernetes-list-type", list_type),
        ("x-kubernetes-map-type", field.atomic_map.then_some("atomic")),
        ("x-kubernetes-patch-strategy", strategies.as_deref()),
        ("x-kubernetes-patch-merge-key", field.merge_key.as_deref()),
    ] {
        if let Some(value) = value {
            extra.insert(key.to_owned(), value.into());
        }
    }
    if !field.map_keys.is_empty() {
        extra.insert("x-kubernetes-list-map-keys".to_owned(), json!(field.map_keys));
    }
    let mut schema = field_type(&field.type_, raw(def));
    // A reference takes nothing beside it.
    if schema.get("$ref").is_some() && !extra.is_empty() {
        schema = json!({"allOf": [schema]});
    }
    if let Value::Object(map) = &mut schema {
        map.append(&mut extra);
    }
    schema
}

/// What raw content is said to be: an object, but for what stands for any value in a schema, such as a default.
fn raw(def: &TypeDef) -> Value {
    // kubectl explains no type of which nothing is said.
    let any = def.name.ends_with(".JSONSchemaProps");
    if any { json!({"description": "Any value."}) } else { json!({"type": "object"}) }
}

fn field_type(type_: &FieldType, raw: Value) -> Value {
    match type_ {
        FieldType::String => json!({"type": "string"}),
        FieldType::Int32 => json!({"type": "integer", "format": "int32"}),
        FieldType::Int64 => json!({"type": "integer", "format": "int64"}),
        FieldType::Number => json!({"type": "number", "format": "double"}),
        FieldType::Bool => json!({"type": "boolean"}),
        FieldType::Bytes => json!({"type": "string", "format": "byte"}),
        FieldType::Raw => raw,
        FieldType::Quantity => reference(QUANTITY),
        FieldType::IntOrString => reference(INT_OR_STRING),
        FieldType::Time => reference(TIME),
        FieldType::MicroTime => reference(MICRO_TIME),
        FieldType::Ref(name) => reference(name),
        FieldType::List(element) => json!({"type": "array", "items": field_type(element, raw)}),
        FieldType::Map(element) => {
            json!({"type": "object", "additionalProperties": field_type(element, raw)})
        }
    }
}
