//! The types of kinds that definitions define: as their definitions state them, with what every object has.
//!
//! Knows: what every object and every list has. Refuses to know: what the schema says.

use serde_json::{Map, Value, json};

use super::schemas::{LIST_META, OBJECT_META, reference};
use super::{group_version_kind, type_name, words};
use crate::Kind;

/// The types of a kind's objects and lists, by name.
pub(super) fn types(kind: &Kind) -> [(String, Value); 2] {
    let name = type_name(kind);
    let stated = kind.custom.as_ref().and_then(|custom| custom.stated.get());
    let mut object = stated.filter(Value::is_object).unwrap_or_else(|| json!({"type": "object"}));
    let mut fields = match object["properties"].take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    common(&mut fields, OBJECT_META);
    object["properties"] = fields.into();
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
