//! The paths of a document: every operation with its action, its kind, its query parameters and its bodies.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::schemas::{DELETE_OPTIONS, PATCH, SCALE, STATUS, below, reference};
use super::{group_version_kind, posted_kind, root, type_name};
use crate::{Kind, Storage, Subresource};

const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    STRATEGIC,
];
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A query parameter: its name and JSON type.
type Parameter = (&'static str, &'static str);

const READ: &[Parameter] = &[("resourceVersion", "string")];
const WRITE: &[Parameter] =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCHING: &[Parameter] = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const DELETE: &[Parameter] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const DELETE_MANY: &[Parameter] = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("timeoutSeconds", "integer"),
];
const LOG: &[Parameter] = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("limitBytes", "integer"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];
const EXEC: &[Parameter] = &[
    ("command", "string"),
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const ATTACH: &[Parameter] = &[
    ("container", "string"),
    ("stderr", "boolean"),
    ("stdin", "boolean"),
    ("stdout", "boolean"),
    ("tty", "boolean"),
];
const PORT_FORWARD: &[Parameter] = &[("ports", "integer")];
const PROXY: &[Parameter] = &[("path", "string")];

/// One operation, before it is written out.
struct Operation<'a> {
    method: &'static str,
    action: &'static str,
    /// What tells operations on the same kind apart: `Pod`, `PodStatus`, `PodForAllNamespaces`.
    subject: &'a str,
    parameters: &'static [Parameter],
    body: Option<&'a str>,
    answer: &'a str,
}

/// The operations of a path and the kind they are about.
struct Item<'a> {
    row: &'a Kind,
    kind: Value,
    parameters: Vec<&'static str>,
}

impl Item<'_> {
    /// Those of the operations that the kind's verbs hold; `None` if there is none.
    fn write_served(&self, mut operations: Vec<Operation<'_>>) -> Option<Value> {
        let verb = |action| match action {
            "post" => "create",
            "put" => "update",
            other => other,
        };
        operations.retain(|operation| self.row.verbs.contains(&verb(operation.action)));
        // Of what cannot be read there are no lists, whatever may be asked by that verb.
        let none = self.row.storage == Storage::Virtual && !self.row.verbs.contains(&"get");
        operations.retain(|operation| !(none && operation.action == "list"));
        (!operations.is_empty()).then(|| self.write(&operations))
    }

    fn write(&self, operations: &[Operation<'_>]) -> Value {
        let mut item = Map::new();
        for operation in operations {
            item.insert(operation.method.to_owned(), self.operation(operation));
        }
        let mut parameters: Vec<Value> = self
            .parameters
            .iter()
            .map(|name| {
                json!({"name": name, "in": "path", "required": true,
                    "schema": {"type": "string", "uniqueItems": true}})
            })
            .collect();
        parameters.push(query(&("pretty", "string")));
        item.insert("parameters".to_owned(), Value::Array(parameters));
        Value::Object(item)
    }

    fn operation(&self, operation: &Operation<'_>) -> Value {
        let (group, version) = (group_word(&self.row.group), &self.row.version);
        let scope = if self.parameters.contains(&"namespace") { "Namespaced" } else { "" };
        let (verb, what) = match (operation.action, operation.method) {
            ("get", _) => ("read", ""),
            ("put", _) => ("replace", ""),
            ("post", _) => ("create", ""),
            ("deletecollection", _) => ("delete", "Collection"),
            ("connect", "get") => ("connect", "Get"),
            ("connect", _) => ("connect", "Post"),
            (action, _) => (action, ""),
        };
        let (its_group, its_version) = (upper(&group), upper(version));
        let id = format!("{verb}{its_group}{its_version}{what}{scope}{}", operation.subject);
        let parameters: Vec<Value> = operation.parameters.iter().map(query).collect();
        let created = operation.action == "post" || operation.action == "put";
        let answer = json!({"description": "OK", "content": {
            "application/json": {"schema": reference(operation.answer)}}});
        let mut responses = json!({"200": answer, "401": {"description": "Unauthorized"}});
        if created {
            responses["201"] = answer;
        }
        let mut out = json!({
            "operationId": id,
            "tags": [format!("{group}_{version}")],
            "parameters": parameters,
            "responses": responses,
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": self.kind,
        });
        if let Some(body) = operation.body {
            let types: &[&str] = if body == PATCH { PATCHES } else { &["*/*"] };
            // Of objects of defined kinds nobody knows how their lists are merged.
            let known = |media: &&&str| self.row.custom.is_none() || **media != STRATEGIC;
            let content: Map<String, Value> = types
                .iter()
                .filter(known)
                .map(|media| ((*media).to_owned(), json!({"schema": reference(body)})))
                .collect();
            let required = body != DELETE_OPTIONS;
            out["requestBody"] = json!({"content": content});
            if required {
                out["requestBody"]["required"] = true.into();
            }
        }
        out
    }
}

fn query((name, type_): &Parameter) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": true}})
}

/// A group as a word of an operation's name: `core`, `apps`, `rbacAuthorization`, `routeOpenshiftIo`.
fn group_word(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.trim_end_matches(".k8s.io") };
    let mut parts = group.split(|c: char| !c.is_ascii_alphanumeric());
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |word, part| word + &upper(part))
}

fn upper(word: &str) -> String {
    match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => String::new(),
    }
}

/// Every path of the rows.
pub(super) fn paths(rows: &[&Arc<Kind>]) -> Value {
    let mut paths = Map::new();
    for row in rows {
        resource(row, &mut paths);
    }
    Value::Object(paths)
}

fn resource(row: &Kind, paths: &mut Map<String, Value>) {
    let root = root(&row.group, &row.version);
    let plural = &row.plural;
    let kind = group_version_kind(&row.group, &row.version, &row.kind);
    let schema = &*type_name(row);
    let list = format!("{schema}List");
    let everywhere = format!("{}ForAllNamespaces", row.kind);
    let listing = |subject| Operation {
        method: "get",
        action: "list",
        subject,
        parameters: LIST,
        body: None,
        answer: &list,
    };
    let item = |parameters: &[&'static str]| Item {
        row,
        kind: kind.clone(),
        parameters: parameters.to_vec(),
    };
    let (base, scope): (String, &[&str]) = if row.namespaced() {
        let everywhere = item(&[]).write_served(vec![listing(&everywhere)]);
        paths.extend(everywhere.map(|item| (format!("{root}/{plural}"), item)));
        (format!("{root}/namespaces/{{namespace}}/{plural}"), &["namespace"])
    } else {
        (format!("{root}/{plural}"), &[])
    };
    let operation = |method, action, parameters, body, answer| Operation {
        method,
        action,
        subject: &row.kind,
        parameters,
        body,
        answer,
    };
    let collection = vec![
        listing(&row.kind),
        operation("post", "post", WRITE, Some(schema), schema),
        operation("delete", "deletecollection", DELETE_MANY, Some(DELETE_OPTIONS), STATUS),
    ];
    paths.extend(item(scope).write_served(collection).map(|item| (base.clone(), item)));
    let one = vec![
        operation("get", "get", READ, None, schema),
        operation("put", "put", WRITE, Some(schema), schema),
        operation("patch", "patch", PATCHING, Some(PATCH), schema),
        operation("delete", "delete", DELETE, Some(DELETE_OPTIONS), STATUS),
    ];
    let named: Vec<&str> = ["name"].into_iter().chain(scope.iter().copied()).collect();
    let one = item(&named).write_served(one);
    paths.extend(one.map(|item| (format!("{base}/{{name}}"), item)));
    for subresource in row.subresources.iter() {
        let path = format!("{base}/{{name}}/{}", subresource.name());
        paths.insert(path, self::subresource(row, *subresource, named.clone()));
    }
}

/// A deployment config is scaled by the kind that was current when it was made.
fn kind_of_scale(row: &Kind) -> Value {
    match &*row.group {
        "apps.openshift.io" => group_version_kind("extensions", "v1beta1", "Scale"),
        _ => group_version_kind("autoscaling", "v1", "Scale"),
    }
}

fn subresource(row: &Kind, subresource: Subresource, parameters: Vec<&'static str>) -> Value {
    let subject = format!("{}{}", row.kind, upper(subresource.name()));
    let own: String;
    let whole = type_name(row);
    let (kind, schema) = match subresource {
        Subresource::Scale => (kind_of_scale(row), SCALE),
        of if let Some(posted) = of.posted() => (posted_kind(&posted), posted.schema),
        Subresource::Exec | Subresource::Attach | Subresource::PortForward | Subresource::Proxy => {
            let options = subresource.options(row).unwrap_or(&row.kind);
            (group_version_kind("", "v1", options), &*whole)
        }
        other => {
            let kind = other.kind(row).unwrap_or(&row.kind);
            own = below(row, other).unwrap_or_else(|| whole.to_string());
            (group_version_kind(&row.group, &row.version, kind), &*own)
        }
    };
    let operation = |method, action, parameters, body| Operation {
        method,
        action,
        subject: subject.as_str(),
        parameters,
        body,
        answer: schema,
    };
    let connect = |methods: &[&'static str], parameters| {
        methods.iter().map(|method| operation(*method, "connect", parameters, None)).collect()
    };
    let operations: Vec<Operation<'_>> = match subresource {
        Subresource::Status
        | Subresource::Scale
        | Subresource::Approval
        | Subresource::EphemeralContainers
        | Subresource::Resize => vec![
            operation("get", "get", READ, None),
            operation("put", "put", WRITE, Some(schema)),
            operation("patch", "patch", PATCHING, Some(PATCH)),
        ],
        Subresource::Binding
        | Subresource::Eviction
        | Subresource::Token
        | Subresource::Instantiate
        | Subresource::Rollback
        | Subresource::Clone => {
            vec![operation("post", "post", WRITE, Some(schema))]
        }
        Subresource::InstantiateBinary | Subresource::Webhooks => connect(&["post"], &[]),
        Subresource::Layers | Subresource::Secrets => vec![operation("get", "get", READ, None)],
        Subresource::Finalize | Subresource::Details => {
            vec![operation("put", "put", WRITE, Some(schema))]
        }
        Subresource::Log => vec![operation("get", "get", LOG, None)],
        Subresource::Exec => connect(&["get", "post"], EXEC),
        Subresource::Attach => connect(&["get", "post"], ATTACH),
        Subresource::PortForward => connect(&["get", "post"], PORT_FORWARD),
        Subresource::Proxy => connect(&["get", "post", "put", "patch", "delete"], PROXY),
    };
    Item { row, kind, parameters }.write(&operations)
}

#[cfg(test)]
mod tests {
    use crate::Kinds;
    use crate::openapi::v3_document;

    // Red when an operation has another name: clients that are made of the document have other functions then.
    #[test]
    fn operations_have_the_names_that_generated_clients_have() {
        for (group, path, method, name, tag) in [
            (
                "",
                "/api/v1/namespaces/{namespace}/pods",
                "get",
                "listCoreV1NamespacedPod",
                "core_v1",
            ),
            ("", "/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "core_v1"),
            (
                "",
                "/api/v1/namespaces/{namespace}/pods/{name}/exec",
                "post",
                "connectCoreV1PostNamespacedPodExec",
                "core_v1",
            ),
            (
                "apps",
                "/apis/apps/v1/namespaces/{namespace}/deployments",
                "delete",
                "deleteAppsV1CollectionNamespacedDeployment",
                "apps_v1",
            ),
            (
                "rbac.authorization.k8s.io",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
                "patch",
                "patchRbacAuthorizationV1ClusterRole",
                "rbacAuthorization_v1",
            ),
            (
                "route.openshift.io",
                "/apis/route.openshift.io/v1/namespaces/{namespace}/routes/{name}/status",
                "put",
                "replaceRouteOpenshiftIoV1NamespacedRouteStatus",
                "routeOpenshiftIo_v1",
            ),
        ] {
            let document = v3_document(Kinds::builtin(), group, "v1");
            let operation = &document["paths"][path][method];
            assert_eq!(
                (&operation["operationId"], &operation["tags"][0]),
                (&name.into(), &tag.into())
            );
        }
    }
}
