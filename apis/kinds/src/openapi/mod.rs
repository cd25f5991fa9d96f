//! The OpenAPI documents, of version 3 one per group and version, made from the rows and the field table.
//!
//! Knows: what clients read in them: types with their merge keys, operations with their kinds and parameters. Refuses to
//! know: how the documents are served and cached.

mod paths;
mod schemas;
mod v2;
mod words;

pub use v2::v2_document;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Kind, Kinds};

/// The groups and versions that have a document, as paths below `/openapi/v3/`: `api/v1`, `apis/apps.openshift.io/v1`.
pub fn v3_index(kinds: &Kinds) -> Vec<String> {
    let mut index: Vec<String> = kinds
        .iter()
        .map(|kind| root(&kind.group, &kind.version).trim_start_matches('/').to_owned())
        .collect();
    index.sort();
    index.dedup();
    index
}

/// The document of a group and version; one of no rows has no paths. Making it costs milliseconds: keep it.
pub fn v3_document(kinds: &Kinds, group: &str, version: &str) -> Value {
    let rows: Vec<&Arc<Kind>> =
        kinds.iter().filter(|kind| kind.group == group && kind.version == version).collect();
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths::paths(&rows),
        "components": {"schemas": schemas::schemas(kinds, &rows)},
    })
}

/// Whose documents they are.
fn info() -> Value {
    json!({"title": "Kubernetes", "version": leme_meta::version::KUBERNETES})
}

/// Where the resources of a group and version are served.
fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// The kind of an operation or type, as the extension names it.
fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_document() {
        let paths: std::collections::BTreeSet<String> = Kinds::builtin()
            .iter()
            .map(|kind| match (&*kind.group, &*kind.version) {
                ("", version) => format!("api/{version}"),
                (group, version) => format!("apis/{group}/{version}"),
            })
            .collect();
        assert_eq!(v3_index(Kinds::builtin()), Vec::from_iter(paths));
        assert_eq!(v3_document(Kinds::builtin(), "none", "v1")["paths"], json!({}));
    }

    #[test]
    fn no_reference_dangles() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    for (key, value) in map {
                        match value.as_str().filter(|_| key == "$ref") {
                            Some(name) => found.push(name.to_owned()),
                            None => references(value, found),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        for kind in Kinds::builtin().iter() {
            let document = v3_document(Kinds::builtin(), &kind.group, &kind.version);
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for name in found {
                let name = name.strip_prefix("#/components/schemas/").expect("a local reference");
                assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn clients_find_what_they_look_for() {
        let document = v3_document(Kinds::builtin(), "", "v1");
        let schemas = &document["components"]["schemas"];
        let pod = &schemas["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"][0]["kind"], "Pod");
        let ports = &schemas["io.k8s.api.core.v1.ServiceSpec"]["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-patch-merge-key"], "port");
        assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
        assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["port", "protocol"]));
        let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-action"], "patch");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        let named = |name: &str| {
            patch["parameters"].as_array().expect("a list").iter().any(|it| it["name"] == name)
        };
        assert!(named("dryRun") && named("fieldValidation"));
        let body = &patch["requestBody"]["content"];
        assert!(body.get("application/strategic-merge-patch+json").is_some());
        let scale = v3_document(Kinds::builtin(), "apps.openshift.io", "v1");
        let path =
            "/apis/apps.openshift.io/v1/namespaces/{namespace}/deploymentconfigs/{name}/scale";
        assert_eq!(
            scale["paths"][path]["get"]["x-kubernetes-group-version-kind"]["group"],
            "extensions"
        );
    }
}
