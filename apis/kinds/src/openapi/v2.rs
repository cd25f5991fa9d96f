//! The OpenAPI v2 document: the same paths and types in the words of the version before.
//!
//! Knows: what the two versions write differently. Refuses to know: what there is.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Version, info, paths, schemas};
use crate::{Kind, Kinds};

/// One document of all groups. Making it costs milliseconds: keep it.
pub fn v2_document(kinds: &Kinds) -> Value {
    let rows: Vec<&Arc<Kind>> = kinds.iter().collect();
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": path_items(paths::paths(&rows)),
        "definitions": schema(schemas::schemas(kinds, &rows, Version::V2)),
    })
}

fn path_items(paths: Value) -> Value {
    let Value::Object(paths) = paths else { return paths };
    Value::Object(paths.into_iter().map(|(path, item)| (path, path_item(item))).collect())
}

fn path_item(item: Value) -> Value {
    let Value::Object(members) = item else { return item };
    let member = |(name, value): (String, Value)| {
        let value = if name == "parameters" { parameters(value) } else { operation(value) };
        (name, value)
    };
    Value::Object(members.into_iter().map(member).collect())
}

fn operation(mut operation: Value) -> Value {
    let mut all = match parameters(operation["parameters"].take()) {
        Value::Array(all) => all,
        _ => Vec::new(),
    };
    let body = operation.as_object_mut().and_then(|members| members.remove("requestBody"));
    if let Some(body) = body {
        let types = body["content"].as_object().into_iter().flat_map(Map::keys);
        operation["consumes"] = types.map(String::as_str).collect();
        let mut parameter = json!({"name": "body", "in": "body", "schema": content(&body)});
        if body["required"] == true {
            parameter["required"] = true.into();
        }
        all.push(parameter);
    }
    operation["parameters"] = all.into();
    for answer in operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let mut told = json!({"description": answer["description"]});
        if answer.get("content").is_some() {
            told["schema"] = content(answer);
        }
        *answer = told;
    }
    operation
}

/// The type of a body, which is the same in each of its media types.
fn content(body: &Value) -> Value {
    let first = body["content"].as_object().and_then(|types| types.values().next());
    schema(first.map(|one| one["schema"].clone()).unwrap_or_default())
}

/// Parameters say their type themselves.
fn parameters(list: Value) -> Value {
    let Value::Array(list) = list else { return json!([]) };
    let plain = |parameter: Value| {
        let Value::Object(mut members) = parameter else { return parameter };
        if let Some(Value::Object(said)) = members.remove("schema") {
            members.extend(said);
        }
        Value::Object(members)
    };
    list.into_iter().map(plain).collect()
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
        for word in
            ["#/components", "\"oneOf\":[", "\"allOf\":[", "\"requestBody\":{", "\"content\":{\"a"]
        {
            assert!(!text.contains(word), "{word}");
        }
        let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"];
        let gvk = json!([{"group": "", "kind": "Pod", "version": "v1"}]);
        assert_eq!(pod["x-kubernetes-group-version-kind"], gvk);
        assert_eq!(pod["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
        // Red when it is an object: older kubectl then takes no definition with a default of 1.
        let props = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
        let default = &document["definitions"][props]["properties"]["default"];
        assert!(default.is_object() && default["type"].is_null(), "{default}");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        let parameters = patch["parameters"].as_array().expect("a list");
        let names: Vec<&Value> = parameters.iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&json!("dryRun")) && names.contains(&&json!("body")), "{patch}");
        assert_eq!(patch["parameters"][0]["type"], "string");
    }
}
