//! The OpenAPI v2 document: the same paths and types in the words of the version before.
//!
//! Knows: what the two versions write differently. Refuses to know: what there is (the documents of version 3 say that).

use serde_json::{Map, Value, json};

use super::{v3_document, v3_index};

/// One document of all groups. Making it costs milliseconds: keep it.
pub fn v2_document() -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for path in v3_index() {
        let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
            [_, version] => (String::new(), (*version).to_owned()),
            _ => continue,
        };
        let mut document = v3_document(&group, &version);
        let found = document["paths"].as_object_mut().map(std::mem::take).unwrap_or_default();
        paths.extend(found.into_iter().map(|(path, item)| (path, path_item(item))));
        let found = document["components"]["schemas"].as_object_mut().map(std::mem::take);
        let found = found.unwrap_or_default().into_iter();
        definitions.extend(found.map(|(name, found)| (name, schema(found))));
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths,
        "definitions": definitions,
    })
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
    if let Some(body) = operation.as_object_mut().and_then(|members| members.remove("requestBody"))
    {
        let types: Vec<&String> =
            body["content"].as_object().map(|types| types.keys().collect()).unwrap_or_default();
        let required = body["required"] == true;
        let mut parameter = json!({"name": "body", "in": "body", "schema": content(&body)});
        if required {
            parameter["required"] = true.into();
        }
        operation["consumes"] = json!(types);
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
            let member = |(name, value): (String, Value)| match (name.as_str(), &value) {
                ("$ref", Value::String(to)) => {
                    let to = to.replace("#/components/schemas/", "#/definitions/");
                    (name, to.into())
                }
                ("default", _) => (name, value),
                _ => (name, schema(value)),
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
        let document = v2_document();
        let text = document.to_string();
        for word in ["#/components", "\"oneOf\"", "\"allOf\"", "\"requestBody\"", "\"content\""] {
            assert!(!text.contains(word), "{word}");
        }
        let pod = &document["definitions"]["io.k8s.api.core.v1.Pod"];
        let gvk = json!([{"group": "", "kind": "Pod", "version": "v1"}]);
        assert_eq!(pod["x-kubernetes-group-version-kind"], gvk);
        assert_eq!(pod["properties"]["spec"]["$ref"], "#/definitions/io.k8s.api.core.v1.PodSpec");
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        let names: Vec<&Value> =
            patch["parameters"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert!(names.contains(&&json!("dryRun")) && names.contains(&&json!("body")), "{patch}");
        assert_eq!(patch["parameters"][0]["type"], "string");
    }
}
