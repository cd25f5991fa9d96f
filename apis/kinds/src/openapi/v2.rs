//! The OpenAPI v2 document: the same types in the words of the version before.
//!
//! Knows: what the two versions write differently. Refuses to know: what types there are.
//!
//! There are no paths in it: a kubectl that finds operations there asks for CustomResourceDefinitions when it does not find a
//! kind, and takes their absence for its answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{info, schemas};
use crate::{Kind, Kinds};

/// One document of all groups. Making it costs milliseconds: keep it.
pub fn v2_document(kinds: &Kinds) -> Value {
    let rows: Vec<&Arc<Kind>> = kinds.iter().collect();
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": {},
        "definitions": schema(schemas::schemas(kinds, &rows)),
    })
}

fn schema(value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            // A reference may have neighbours here, and there is no choice of types.
            if let Some(Value::Array(mut all)) = members.remove("allOf")
                && let Some(Value::Object(only)) = all.pop()
            {
                members.extend(only);
            }
            if members.remove("oneOf").is_some() {
                members.insert("type".to_owned(), "string".into());
            }
            let member = |(name, value): (String, Value)| match (name.as_str(), value) {
                ("$ref", Value::String(to)) => {
                    let to = to.replace("#/components/schemas/", "#/definitions/");
                    (name, to.into())
                }
                ("default", value) => (name, value),
                // Names of fields may be words of schemas.
                ("properties", Value::Object(fields)) => {
                    let fields = fields.into_iter().map(|(field, value)| (field, schema(value)));
                    (name, Value::Object(fields.collect()))
                }
                (_, value) => (name, schema(value)),
            };
            Value::Object(members.into_iter().map(member).collect())
        }
        Value::Array(list) => list.into_iter().map(schema).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when something of version 3 is left: clients of version 2 do not know it.
    #[test]
    fn nothing_of_version_3_is_left() {
        let document = v2_document(Kinds::builtin());
        let text = document.to_string();
        for word in ["#/components", "\"oneOf\":[", "\"allOf\":["] {
            assert!(!text.contains(word), "{word}");
        }
        let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"];
        let gvk = json!([{"group": "", "kind": "Pod", "version": "v1"}]);
        assert_eq!(pod["x-kubernetes-group-version-kind"], gvk);
        assert_eq!(pod["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
    }
}
