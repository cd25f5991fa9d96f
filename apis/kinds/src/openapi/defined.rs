//! The types of kinds that definitions define: as their definitions state them, with what every object has.
//!
//! Knows: what every object and every list has, and what the clients of version 2 misread. Refuses to know: what the schema
//! says otherwise.

use serde_json::{Map, Value, json};

use super::schemas::{LIST_META, OBJECT_META, reference};
use super::{Version, group_version_kind, type_name, words};
use crate::Kind;

const PRESERVES: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

/// The types of a kind's objects and lists, by name.
pub(super) fn types(kind: &Kind, version: Version) -> [(String, Value); 2] {
    let name = type_name(kind);
    let stated = kind.custom.as_ref().and_then(|custom| custom.stated.get());
    let mut object = match stated {
        Some(Value::Object(stated)) => stated,
        _ => Map::from_iter([("type".to_owned(), "object".into())]),
    };
    if version == Version::V2 && says(&object, PRESERVES) {
        // A field that is named forbids all that are not.
        object.retain(|member, _| member == "type");
    } else {
        if version == Version::V2 {
            reduce(&mut object);
        }
        embed(&mut object, version);
        common(fields_of(&mut object), OBJECT_META);
    }
    let mut object = Value::Object(object);
    let its = |kind_name: &str| json!([group_version_kind(&kind.group, &kind.version, kind_name)]);
    object["x-kubernetes-group-version-kind"] = its(&kind.kind);
    let mut fields = Map::new();
    common(&mut fields, LIST_META);
    fields.insert(
        "items".to_owned(),
        json!({
            "type": "array",
            "items": reference(&name),
        }),
    );
    let list = json!({
        "type": "object",
        "required": ["items"],
        "properties": fields,
        "x-kubernetes-group-version-kind": its(&kind.list_kind()),
    });
    [(name.to_string(), object), (format!("{name}List"), list)]
}

fn says(schema: &Map<String, Value>, word: &str) -> bool {
    schema.get(word) == Some(&Value::Bool(true))
}

fn fields_of(schema: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let fields = schema.entry("properties").or_insert_with(|| json!({}));
    if !fields.is_object() {
        *fields = json!({});
    }
    fields.as_object_mut().expect("it was made one")
}

/// Does `each` with every schema right below this one.
fn below(schema: &mut Map<String, Value>, each: &mut dyn FnMut(&mut Map<String, Value>)) {
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    fields
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .for_each(&mut *each);
    for word in ["items", "additionalProperties"] {
        if let Some(Value::Object(schema)) = schema.get_mut(word) {
            each(schema);
        }
    }
}

/// Takes out what version 2 does not know, and what makes kubectl refuse what is allowed: fields and types of what may be
/// null or may hold anything.
fn reduce(schema: &mut Map<String, Value>) {
    for word in ["allOf", "anyOf", "oneOf", "not"] {
        schema.remove(word);
    }
    let (nullable, preserves) = (says(schema, "nullable"), says(schema, PRESERVES));
    schema.remove("nullable");
    if nullable || preserves {
        schema.remove("items");
        schema.remove("properties");
    }
    let nothing_said = match schema.get("type").and_then(Value::as_str) {
        Some("array") => !schema.contains_key("items"),
        Some("object") => preserves,
        _ => false,
    };
    if nullable || nothing_said {
        schema.remove("type");
    }
    let null = |value: &Value| value.get("nullable") == Some(&Value::Bool(true));
    let fields = schema.get("properties").and_then(Value::as_object);
    let may_be_null: Vec<String> = fields
        .into_iter()
        .flatten()
        .filter(|(_, field)| null(field))
        .map(|(name, _)| name.clone())
        .collect();
    if schema.get("additionalProperties").is_some_and(null) {
        schema.remove("required");
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !may_be_null.iter().any(|one| name == one));
        if required.is_empty() {
            schema.remove("required");
        }
    }
    below(schema, &mut reduce);
}

/// Gives whole objects inside of objects what every object has.
fn embed(schema: &mut Map<String, Value>, version: Version) {
    below(schema, &mut |inner| embed(inner, version));
    if !says(schema, EMBEDDED) || (version == Version::V2 && says(schema, PRESERVES)) {
        return;
    }
    common(fields_of(schema), OBJECT_META);
    let required = schema.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required {
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|one| one == name) {
                required.push(name.into());
            }
        }
    }
}

/// What every object says first.
fn common(fields: &mut Map<String, Value>, metadata: &str) {
    for name in ["apiVersion", "kind", "metadata"] {
        let mut field = match name {
            "metadata" => json!({"allOf": [reference(metadata)]}),
            _ => json!({"type": "string"}),
        };
        if let Some(words) = words::common(name) {
            field["description"] = words.into();
        }
        fields.insert(name.to_owned(), field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(schema: Value) -> Value {
        let Value::Object(mut schema) = schema else { panic!("{schema}") };
        reduce(&mut schema);
        embed(&mut schema, Version::V2);
        schema.into()
    }

    // Red without `reduce`: kubectl 1.20 and older refuse unknown fields beside named ones, and lists of anything.
    #[test]
    fn version_2_says_nothing_of_what_may_hold_anything() {
        let any =
            json!({"type": "object", PRESERVES: true, "properties": {"a": {"type": "string"}}});
        let list = json!({"type": "array", PRESERVES: true, "items": any});
        let may_be_null = json!({"type": "object", "nullable": true, "properties": {"a": {}}});
        let whole = json!({
            "type": "object",
            "required": ["any", "null"],
            "anyOf": [{"required": ["any"]}],
            "properties": {"any": any, "list": list, "null": may_be_null},
        });
        let wanted = json!({
            "type": "object",
            "required": ["any"],
            "properties": {"any": {PRESERVES: true}, "list": {PRESERVES: true}, "null": {}},
        });
        assert_eq!(reduced(whole), wanted);
        let map = json!({"type": "object", "required": ["a"], "additionalProperties": {"nullable": true, "type": "string"}});
        assert_eq!(reduced(map), json!({"type": "object", "additionalProperties": {}}));
        let number = json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}]});
        assert_eq!(reduced(number), json!({"x-kubernetes-int-or-string": true}));
    }

    // Red without `embed`: explain knows no metadata in a template that is a whole object.
    #[test]
    fn an_object_inside_of_an_object_has_what_every_object_has() {
        let shown = reduced(json!({"type": "object", "properties": {
            "inner": {"type": "object", EMBEDDED: true, "required": ["spec"], "properties": {"spec": {}}},
            "any": {"type": "object", EMBEDDED: true, PRESERVES: true},
        }}));
        let inner = &shown["properties"]["inner"];
        assert_eq!(inner["required"], json!(["spec", "kind", "apiVersion"]));
        let names: Vec<_> = inner["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["apiVersion", "kind", "metadata", "spec"]);
        assert_eq!(shown["properties"]["any"], json!({EMBEDDED: true, PRESERVES: true}));
    }
}
