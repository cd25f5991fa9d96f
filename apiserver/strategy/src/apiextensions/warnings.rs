//! What a person should know of a definition that is accepted.
//!
//! Refuses to know: what is wrong with one.

use leme_meta::quote;
use leme_meta::structural::recognized_format;
use leme_registry::json;
use serde_json::Value;

pub(super) fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let before = old.map(formats).unwrap_or_default();
    let mut unknown = formats(new);
    unknown.retain(|format| !before.contains(format));
    let told = unknown
        .iter()
        .map(|format| format!("unrecognized format {format}", format = quote(&format)));
    told.chain(unserved(new)).collect()
}

/// That versions are not served because nobody converts objects to them.
fn unserved(definition: &Value) -> Option<String> {
    if json::text(definition, &["spec", "conversion", "strategy"]) != "Webhook" {
        return None;
    }
    let versions = json::list(definition, &["spec", "versions"]).iter();
    let of_no_use = versions
        .filter(|version| json::flag(version, &["served"]) && !json::flag(version, &["storage"]));
    let names: Vec<&str> = of_no_use.map(|version| json::text(version, &["name"])).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("conversion webhooks are not called by this cluster yet: not served: {names}")
    })
}

fn schemas(definition: &Value) -> impl Iterator<Item = &Value> {
    let versions = json::list(definition, &["spec", "versions"]).iter();
    versions.filter_map(|version| json::at(version, &["schema", "openAPIV3Schema"]))
}

/// The formats that nobody checks, each once.
fn formats(definition: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for schema in schemas(definition) {
        each(schema, &mut |map| {
            let (type_, format) = (json::text(map, &["type"]), json::text(map, &["format"]));
            if !format.is_empty()
                && !recognized_format(type_, format)
                && !found.iter().any(|known| known == format)
            {
                found.push(format.to_owned());
            }
        });
    }
    found
}

/// Shows a schema and all that are inside it.
fn each(schema: &Value, show: &mut dyn FnMut(&Value)) {
    show(schema);
    for (name, value) in json::entries(schema, &[]) {
        match (name, value) {
            ("items" | "additionalProperties" | "not", Value::Object(_)) => each(value, show),
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
                list.iter().for_each(|value| each(value, show));
            }
            ("properties", Value::Object(map)) => map.values().for_each(|value| each(value, show)),
            _ => {}
        }
    }
}
