//! JSON with its fields in the order in which Go writes them: `kind`, `apiVersion`, `metadata`, then as the structs
//! have them. People read answers, and some programs cut them by position.
//!
//! Knows: the order of fields by type. Refuses to know: what is in them. Objects are put in order once, on the way into
//! the store; reads pass bytes on.

use std::sync::OnceLock;

use bytes::Bytes;
use leme_meta::schema::{Field, FieldType, TypeDef};
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::protobuf::schema_of;
use crate::protobuf::table::{self, Numbered};

/// What leads an object whose struct is not known; the rest follows by the alphabet.
const FIRST: [&str; 5] = ["kind", "apiVersion", "metadata", "spec", "status"];
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// The entry of a list of owners.
const OWNERS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry";

/// An object of a type as text.
pub(crate) fn object(type_: &str, value: &Value) -> Bytes {
    bytes(&Ordered { value, shape: Shape::of_type(type_) })
}

/// Any document as text: what says its kind is written as that.
pub(crate) fn document(value: &Value) -> Bytes {
    bytes(&Ordered { value, shape: Shape::Unknown })
}

/// Any document as indented text for people, with a line break at the end.
pub(crate) fn pretty(value: &Value) -> Bytes {
    // Text and numbers always encode.
    let mut out =
        serde_json::to_vec_pretty(&Ordered { value, shape: Shape::Unknown }).unwrap_or_default();
    out.push(b'\n');
    Bytes::from(out)
}

fn bytes(ordered: &Ordered<'_>) -> Bytes {
    // Text and numbers always encode.
    Bytes::from(serde_json::to_vec(ordered).unwrap_or_default())
}

/// What is known of a value's type.
#[derive(Clone, Copy)]
enum Shape {
    /// Nothing, unless it says its kind.
    Unknown,
    /// A struct, by its place in the table.
    Struct(usize),
    List(&'static FieldType),
    Map(&'static FieldType),
    /// A set of owned fields, which may be text of JSON.
    Fields,
    /// Nothing that has an order.
    Plain,
}

impl Shape {
    fn of_type(name: &str) -> Shape {
        leme_kinds::schemas().place(name).map_or(Shape::Unknown, Shape::Struct)
    }

    fn of(type_: &'static FieldType) -> Shape {
        match type_ {
            FieldType::Ref(name) => {
                leme_kinds::schemas().place_of(name).map_or(Shape::Unknown, Shape::Struct)
            }
            FieldType::List(element) => Shape::List(element),
            FieldType::Map(element) => Shape::Map(element),
            // Content of any kind: an object in an object.
            FieldType::Raw => Shape::Unknown,
            _ => Shape::Plain,
        }
    }

    /// The struct of an object that says what it is.
    fn said(map: &Map<String, Value>) -> Shape {
        let text = |field: &str| map.get(field).and_then(Value::as_str);
        match (text("apiVersion"), text("kind")) {
            (Some(api_version), Some(kind)) => {
                schema_of(api_version, kind).map_or(Shape::Unknown, Shape::of_type)
            }
            _ => Shape::Unknown,
        }
    }
}

/// A type of the table, with the place and the shape of each of its fields.
struct Ranked {
    def: &'static TypeDef,
    fields: Vec<(u16, Shape)>,
}

/// The types of the table, each in its place.
fn ranked() -> &'static [Ranked] {
    static RANKED: OnceLock<Vec<Ranked>> = OnceLock::new();
    RANKED.get_or_init(|| {
        let shape = |def: &TypeDef, field: &'static Field| match field.type_ {
            FieldType::Raw if def.name == OWNERS => Shape::Fields,
            _ => Shape::of(&field.type_),
        };
        let fields = |def: &'static TypeDef| {
            let shapes = def.fields.iter().map(|field| shape(def, field));
            ranks_of(def).into_iter().zip(shapes).collect()
        };
        let types = leme_kinds::schemas().types();
        types.map(|def| Ranked { def, fields: fields(def) }).collect()
    })
}

fn ranks_of(def: &TypeDef) -> Vec<u16> {
    let mut order: Vec<&str> = Vec::new();
    names(&def.name, &mut order);
    // Go's structs begin with the kind without saying so; types without a struct are objects, or have no order.
    let leading = FIRST.iter().filter(|name| !order.contains(name));
    let lead: Vec<&str> = leading.copied().collect();
    let first = |name: &str| lead.iter().position(|known| *known == name);
    let place = |name: &str| {
        let inner = order.iter().position(|known| *known == name);
        first(name).or(inner.map(|at| at + FIRST.len())).unwrap_or(usize::from(u16::MAX))
    };
    def.fields.iter().map(|field| u16::try_from(place(&field.name)).unwrap_or(u16::MAX)).collect()
}

/// The fields of a struct in order, with those of the structs inlined in it.
fn names(type_: &str, out: &mut Vec<&str>) {
    for (_, field) in table::message(type_).into_iter().flat_map(|message| message.in_order()) {
        match field {
            Numbered::Field { name, .. } => out.push(name),
            Numbered::Inline(inline) => names(inline, out),
        }
    }
}

/// A value on the way out.
struct Ordered<'a> {
    value: &'a Value,
    shape: Shape,
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(map) => match self.shape {
                Shape::Struct(at) => structured(map, at, to),
                Shape::Map(element) => {
                    let shape = Shape::of(element);
                    entries(
                        map.iter().map(|(key, value)| (key, Ordered { value, shape })),
                        map.len(),
                        to,
                    )
                }
                // Sets of fields are no objects, whatever their fields are called.
                Shape::Fields | Shape::Plain | Shape::List(_) => self.value.serialize(to),
                Shape::Unknown => match Shape::said(map) {
                    Shape::Struct(at) => structured(map, at, to),
                    _ => unknown(map, to),
                },
            },
            Value::Array(items) => {
                let shape = match self.shape {
                    Shape::List(element) => Shape::of(element),
                    Shape::Unknown => Shape::Unknown,
                    _ => return self.value.serialize(to),
                };
                let mut list = to.serialize_seq(Some(items.len()))?;
                for value in items {
                    list.serialize_element(&Ordered { value, shape })?;
                }
                list.end()
            }
            Value::String(text) if matches!(self.shape, Shape::Fields) => {
                match serde_json::from_str::<&RawValue>(text) {
                    Ok(fields) => fields.serialize(to),
                    Err(_) => text.serialize(to),
                }
            }
            scalar => scalar.serialize(to),
        }
    }
}

fn entries<'a, S: Serializer>(
    all: impl Iterator<Item = (&'a String, Ordered<'a>)>,
    length: usize,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(length))?;
    for (key, value) in all {
        map.serialize_entry(key, &value)?;
    }
    map.end()
}

fn structured<S: Serializer>(
    map: &Map<String, Value>,
    at: usize,
    to: S,
) -> Result<S::Ok, S::Error> {
    let Some(Ranked { def, fields }) = ranked().get(at) else { return unknown(map, to) };
    let mut found: Vec<(u16, &String, Ordered<'_>)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        let known = def.place(name).and_then(|at| fields.get(at));
        let (rank, shape) = known.copied().unwrap_or((u16::MAX, Shape::Unknown));
        found.push((rank, name, Ordered { value, shape }));
    }
    // Fields of one rank stay in the alphabet's order.
    found.sort_by_key(|(rank, _, _)| *rank);
    let length = found.len();
    entries(found.into_iter().map(|(_, name, value)| (name, value)), length, to)
}

/// An object of no known struct. What has a kind has the metadata of an object.
fn unknown<S: Serializer>(map: &Map<String, Value>, to: S) -> Result<S::Ok, S::Error> {
    let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
    let mut found: Vec<(&String, &Value)> = map.iter().collect();
    let is_object = map.contains_key("kind");
    if is_object {
        found.sort_by_key(|(name, _)| place(name));
    }
    let shape = |name: &str| match name {
        "metadata" if is_object => Shape::of_type(OBJECT_META),
        _ => Shape::Unknown,
    };
    let all = found.into_iter().map(|(name, value)| (name, Ordered { value, shape: shape(name) }));
    entries(all, map.len(), to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(value: &Value) -> String {
        String::from_utf8(document(value).to_vec()).unwrap()
    }

    // Red when values are written as they are held: by the alphabet.
    #[test]
    fn fields_come_in_the_order_of_go() {
        let pod = json!({
            "status": { "qosClass": "BestEffort", "phase": "Pending" },
            "spec": {
                "restartPolicy": "Always",
                "containers": [{ "image": "i", "env": [{ "value": "1", "name": "A" }], "name": "c" }],
                "volumes": [{ "emptyDir": {}, "name": "v" }],
                "nodeSelector": { "b": "1", "a": "2" },
            },
            "metadata": { "uid": "u", "namespace": "n", "labels": { "b": "1", "a": "2" }, "name": "p" },
            "kind": "Pod", "apiVersion": "v1",
        });
        assert_eq!(
            written(&pod),
            concat!(
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"n","uid":"u","labels":{"a":"2","b":"1"}},"#,
                r#""spec":{"volumes":[{"name":"v","emptyDir":{}}],"#,
                r#""containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"}]}],"#,
                r#""restartPolicy":"Always","nodeSelector":{"a":"2","b":"1"}},"#,
                r#""status":{"phase":"Pending","qosClass":"BestEffort"}}"#,
            )
        );
        let map = json!({ "apiVersion": "v1", "binaryData": {}, "data": {}, "immutable": true, "kind": "ConfigMap", "metadata": {} });
        assert_eq!(
            written(&map),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{},"immutable":true,"data":{},"binaryData":{}}"#
        );
        let route = json!({ "apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": { "name": "r" }, "spec": {}, "status": {} });
        assert_eq!(
            written(&route),
            r#"{"kind":"Route","apiVersion":"route.openshift.io/v1","metadata":{"name":"r"},"spec":{},"status":{}}"#
        );
    }

    #[test]
    fn documents_begin_with_what_they_are() {
        let status = leme_meta::Status::no_such_path().to_json();
        assert_eq!(
            written(&status),
            concat!(
                r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
                r#""message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#,
            )
        );
        let table = json!({ "apiVersion": "meta.k8s.io/v1", "kind": "Table", "columnDefinitions": [], "metadata": { "resourceVersion": "1" }, "rows": [
            { "cells": ["a"], "object": { "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": { "uid": "u", "name": "a" } } },
        ] });
        assert_eq!(
            written(&table),
            concat!(
                r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},"columnDefinitions":[],"#,
                r#""rows":[{"cells":["a"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a","uid":"u"}}}]}"#,
            )
        );
    }

    fn document_of_sorts() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(
                    ("kind|apiVersion|metadata|spec|containers|name|data|items|x", inner),
                    0..5
                )
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added(value in document_of_sorts()) {
            let back = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
            prop_assert_eq!(&back(&document(&value)), &value);
            prop_assert_eq!(&back(&pretty(&value)), &value);
            for kind in leme_kinds::builtin() {
                prop_assert_eq!(&back(&object(&kind.schema, &value)), &value);
            }
        }
    }
}
