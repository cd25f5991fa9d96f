//! Schemas inside fields that may hold something else as well, decoded.
//!
//! Knows: that `items` and `additionalProperties` hold schemas. Refuses to know: what schemas say.

use leme_meta::schema;
use serde_json::Value;

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// What a decoder says of the first value of the wrong type below the fields that the table leaves open.
pub(super) fn decode(schema: &Value) -> Result<(), String> {
    let Some(map) = schema.as_object() else { return Ok(()) };
    for (name, value) in map {
        match (name.as_str(), value) {
            ("items" | "additionalProperties", Value::Object(_)) => nested(value)?,
            ("items" | "allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
                for value in list {
                    if name == "items" { nested(value)? } else { decode(value)? }
                }
            }
            ("additionalProperties", Value::Bool(_) | Value::Null) => {}
            ("additionalProperties", _) => {
                return Err("boolean or JSON schema expected".to_owned());
            }
            ("properties", Value::Object(map)) => map.values().try_for_each(decode)?,
            ("not", value) => decode(value)?,
            _ => {}
        }
    }
    Ok(())
}

fn nested(value: &Value) -> Result<(), String> {
    let found = schema::check(leme_kinds::schemas(), SCHEMA, value);
    match found.type_errors.into_iter().next() {
        Some(error) => Err(error.decoded),
        None => decode(value),
    }
}
