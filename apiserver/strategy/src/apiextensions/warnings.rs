//! What a person should know of a definition that is accepted.
//!
//! Refuses to know: what is wrong with one.

use leme_meta::structural::recognized_format;
use leme_registry::json;
use serde_json::Value;

use crate::check;

pub(super) fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let before = old.map(formats).unwrap_or_default();
    let mut unknown = formats(new);
    unknown.retain(|format| !before.contains(format));
    let told = unknown.iter().map(|format| format!("unrecognized format {format:?}"));
    let mut warnings: Vec<String> = told.collect();
    if schemas(new).any(|schema| {
        any(schema, &mut |map| !json::list(map, &["x-kubernetes-validations"]).is_empty())
    }) {
        warnings.extend(check::unenforced("x-kubernetes-validations"));
    }
    warnings
}

fn schemas(definition: &Value) -> impl Iterator<Item = &Value> {
    let versions = json::list(definition, &["spec", "versions"]).iter();
    versions.filter_map(|version| json::at(version, &["schema", "openAPIV3Schema"]))
}

/// The formats that nobody checks, each once.
fn formats(definition: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for schema in schemas(definition) {
        any(schema, &mut |map| {
            let (type_, format) = (json::text(map, &["type"]), json::text(map, &["format"]));
            if !format.is_empty()
                && !recognized_format(type_, format)
                && !found.iter().any(|known| known == format)
            {
                found.push(format.to_owned());
            }
            false
        });
    }
    found
}

/// Whether something holds for a schema or one inside it.
fn any(schema: &Value, holds: &mut dyn FnMut(&Value) -> bool) -> bool {
    if holds(schema) {
        return true;
    }
    json::entries(schema, &[]).any(|(name, value)| match (name, value) {
        ("items" | "additionalProperties" | "not", Value::Object(_)) => any(value, holds),
        ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
            list.iter().any(|value| any(value, holds))
        }
        ("properties", Value::Object(map)) => map.values().any(|value| any(value, holds)),
        _ => false,
    })
}
