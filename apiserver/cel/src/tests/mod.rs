//! Rules held against objects.

mod bounds;
mod changes;
mod expressions;
mod schemas;
mod wrong;

use leme_kinds::custom::Validator;
use leme_meta::{FieldError, Path};
use serde_json::{Value as Json, json};

use crate::{Rules, check};

/// A schema with a field of every type, and a rule about the whole.
fn schema(rule: &str) -> Json {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "int": { "type": "integer" },
            "number": { "type": "number" },
            "flag": { "type": "boolean" },
            "text": text,
            "either": { "x-kubernetes-int-or-string": true },
            "when": { "type": "string", "format": "date-time" },
            "day": { "type": "string", "format": "date" },
            "span": { "type": "string", "format": "duration" },
            "raw": { "type": "string", "format": "byte" },
            "list": { "type": "array", "items": { "type": "integer" } },
            "texts": { "type": "array", "items": text },
            "set": { "type": "array", "x-kubernetes-list-type": "set", "items": text },
            "byName": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": { "type": "object", "properties": { "name": text, "n": { "type": "integer" } } },
            },
            "map": { "type": "object", "additionalProperties": { "type": "integer" } },
            "object": { "type": "object", "properties": { "a": text, "b": text } },
            "other": { "type": "object", "properties": { "a": text, "b": text } },
            "namespace": text,
            "a-b.c/d": text,
            "under__score": text,
            "nothing": { "type": "string", "nullable": true },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "inner": {
                "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
            },
        },
        "x-kubernetes-validations": [{ "rule": rule }],
    })
}

fn object() -> Json {
    json!({
        "apiVersion": "e.example.com/v1", "kind": "Thing", "metadata": { "name": "x", "labels": {} },
        "int": 5, "number": 2, "flag": true, "text": "héllo", "either": "80%",
        "when": "2026-02-03T04:05:06.789Z", "day": "2026-02-03", "span": "1h30m", "raw": "aGk=",
        "list": [3, 1, 2], "texts": ["a", "b"], "set": ["x", "y"],
        "byName": [{ "name": "p", "n": 1 }, { "name": "q", "n": 2 }],
        "map": { "k": 1, "l": 2 }, "object": { "a": "1" }, "other": { "a": "1" },
        "namespace": "ns", "a-b.c/d": "odd", "under__score": "u", "nothing": null,
        "free": { "x": 1 }, "inner": { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "pod" } },
    })
}

fn shown(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// What rules say of an object, and of what it was.
fn held(schema: &Json, new: &Json, old: Option<&Json>) -> Vec<String> {
    shown(&Rules::of(schema).expect("rules").validate(new, old))
}

/// What keeps a schema from being taken.
fn refused(schema: &Json) -> Vec<String> {
    shown(&check(schema, &Path::new("schema")))
}
