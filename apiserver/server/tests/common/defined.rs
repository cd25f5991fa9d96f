//! A kind that a definition defines, and how a test waits for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Harness, PATIENCE, Read};

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const TABS: &str = "/apis/example.com/v1/namespaces/default/tabs";

pub fn schema() -> Value {
    json!({
        "description": "A tab of times.",
        "type": "object",
        "properties": {
            "spec": {
                "description": "When, and what.",
                "type": "object",
                "properties": {
                    "at": { "type": "string", "pattern": "^[0-9]+$" },
                    "color": { "type": "string", "default": "blue" },
                    "replicas": { "type": "integer", "minimum": 0 },
                    "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                },
            },
            "status": {
                "type": "object",
                "properties": { "replicas": { "type": "integer" }, "selector": { "type": "string" } },
            },
        },
    })
}

pub fn of_version(name: &str, storage: bool) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": { "openAPIV3Schema": schema() },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            { "name": "At", "type": "string", "jsonPath": ".spec.at" },
            { "name": "Wide", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1 },
        ],
        "selectableFields": [{ "jsonPath": ".spec.color" }],
    })
}

pub fn named(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.example.com") },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": plural, "kind": kind },
            "versions": [of_version("v1", true)],
        },
    })
}

pub fn definition() -> Value {
    let mut definition = named("tabs", "Tab");
    definition["spec"]["names"]["shortNames"] = json!(["tb"]);
    definition["spec"]["names"]["categories"] = json!(["all"]);
    definition
}

pub fn tab(name: &str) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Tab", "metadata": { "name": name }, "spec": { "at": "12" } })
}

pub fn condition<'a>(definition: &'a Value, type_: &str) -> (&'a str, &'a str, &'a str) {
    let list = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = list.iter().find(|one| one["type"] == type_).unwrap_or(&Value::Null);
    let text = |field: &str| found[field].as_str().unwrap_or("");
    (text("status"), text("reason"), text("message"))
}

pub fn is(type_: &'static str, status: &'static str) -> impl Fn(&Value) -> bool {
    move |definition| condition(definition, type_).0 == status
}

/// The definition as soon as it is as wanted, by a watch as clients have it.
pub async fn until(api: &Harness, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut watch =
        api.watch(&format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}")).await;
    loop {
        let event = watch.next().await.expect("an event");
        if wanted(&event["object"]) {
            return event["object"].clone();
        }
    }
}

pub async fn establish(api: &Harness, definition: &Value) -> Value {
    let name = api.post(DEFINITIONS, definition).await.ok()["metadata"]["name"].clone();
    until(api, name.as_str().unwrap(), is("Established", "True")).await
}

pub async fn gone(api: &Harness, path: &str) {
    let began = Instant::now();
    while api.get(path).await.code != 404 {
        assert!(began.elapsed() < PATIENCE, "{path} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn warnings(read: &Read) -> Vec<String> {
    let all = read.headers.get_all("warning").iter();
    all.map(|value| value.to_str().unwrap().to_owned()).collect()
}
