//! The OpenAPI documents, of version 3 one per group and version, made from the rows and the field table.
//!
//! Knows: what clients read in them: types with their merge keys, operations with their kinds and parameters. Refuses to
//! know: how the documents are served and cached.

mod defined;
mod paths;
mod schemas;
mod v2;
mod words;

pub use v2::v2_document;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::{Kind, Kinds, Posted};

/// Whose words the types of defined kinds are written in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V2,
    V3,
}

/// The path of the document of a group and version below `/openapi/v3/`.
pub fn path(group: &str, version: &str) -> String {
    root(group, version).trim_start_matches('/').to_owned()
}

/// The document of a group and version; one of no rows has no paths. Making it costs milliseconds: keep it.
pub fn v3_document(kinds: &Kinds, group: &str, version: &str) -> Value {
    let rows: Vec<&Arc<Kind>> =
        kinds.iter().filter(|kind| kind.group == group && kind.version == version).collect();
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths::paths(&rows),
        "components": {"schemas": schemas::schemas(kinds, &rows, Version::V3)},
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

/// The name of the type of a kind's objects: of a defined one its group the other way round, its version and its name.
fn type_name(kind: &Kind) -> Cow<'_, str> {
    if kind.custom.is_none() {
        return Cow::Borrowed(&kind.schema);
    }
    let group = kind.group.split('.').rev().collect::<Vec<_>>().join(".");
    Cow::Owned(format!("{group}.{}.{}", kind.version, kind.kind))
}

/// The kind of an operation or type, as the extension names it.
fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

/// The same of a kind that is posted to objects.
fn posted_kind(posted: &Posted) -> Value {
    group_version_kind(posted.group, posted.version, posted.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_paths_of_their_groups() {
        assert_eq!((path("", "v1"), path("apps", "v1")), ("api/v1".into(), "apis/apps/v1".into()));
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
        assert!(body.get("application/apply-patch+yaml").is_some());
        let scale = v3_document(Kinds::builtin(), "apps.openshift.io", "v1");
        let path =
            "/apis/apps.openshift.io/v1/namespaces/{namespace}/deploymentconfigs/{name}/scale";
        assert_eq!(
            scale["paths"][path]["get"]["x-kubernetes-group-version-kind"]["group"],
            "extensions"
        );
    }
}
