//! The definitions of the kinds, out of a table of the facts of one release: names, versions, columns, and schemas in which what
//! occurs more than once is named.

use leme_meta::Object;
use leme_meta::gateway::GROUP;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The release whose kinds these are.
const RELEASE: &str = "v1.6.1";
/// Where upstream approved of these kinds in a protected group.
const APPROVED: &str = "https://github.com/kubernetes-sigs/gateway-api/pull/4530";

const TABLE: &str = include_str!("definitions.json");

#[derive(Deserialize)]
struct Table {
    types: Map<String, Value>,
    kinds: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    plural: String,
    short: Vec<String>,
    scope: String,
    served: Vec<String>,
    stored: String,
    /// Name, type and path of each, and its priority if it is not always shown.
    columns: Vec<Vec<Value>>,
    status: bool,
    schema: Value,
}

/// Who owns fields of a definition that this program made: nobody, but for what says so. Whoever applies upstream's own
/// definitions over these meets no conflict.
pub(super) fn unowned() -> Value {
    json!([{ "manager": "kube-controller-manager", "operation": "Update",
        "apiVersion": "apiextensions.k8s.io/v1", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:metadata": { "f:annotations": { "f:leme.dev/made": {} } } } }])
}

/// All of them; none if the table cannot be read, which a test excludes.
pub fn definitions() -> Vec<Object> {
    let Ok(table) = serde_json::from_str::<Table>(TABLE) else { return Vec::new() };
    table.kinds.iter().map(|row| Object(definition(row, &table.types))).collect()
}

fn definition(row: &Row, types: &Map<String, Value>) -> Value {
    let columns: Vec<Value> = row.columns.iter().map(|column| shown(column)).collect();
    let schema = expanded(&row.schema, types);
    let versions: Vec<Value> = row
        .served
        .iter()
        .map(|version| {
            let mut one = json!({
                "name": version, "served": true, "storage": *version == row.stored,
                "additionalPrinterColumns": columns, "schema": { "openAPIV3Schema": schema },
            });
            if row.status {
                one["subresources"] = json!({ "status": {} });
            }
            one
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{GROUP}", row.plural), "annotations": {
            "api-approved.kubernetes.io": APPROVED,
            "gateway.networking.k8s.io/bundle-version": RELEASE,
            "gateway.networking.k8s.io/channel": "standard",
            "leme.dev/made": "true",
        } },
        "spec": {
            "group": GROUP, "scope": row.scope,
            "names": { "kind": row.kind, "listKind": format!("{}List", row.kind), "plural": row.plural,
                "singular": row.kind.to_lowercase(), "shortNames": row.short,
                "categories": ["gateway-api"] },
            "versions": versions,
        },
    })
}

fn shown(column: &[Value]) -> Value {
    let of = |index: usize| column.get(index).cloned().unwrap_or_default();
    let mut shown = json!({ "name": of(0), "type": of(1), "jsonPath": of(2) });
    if let Some(priority) = column.get(3) {
        shown["priority"] = priority.clone();
    }
    shown
}

/// A schema with what is named put in.
fn expanded(schema: &Value, types: &Map<String, Value>) -> Value {
    match schema {
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(name) => types.get(name).map_or(Value::Null, |named| expanded(named, types)),
            None => {
                let all = fields.iter().map(|(name, one)| (name.clone(), expanded(one, types)));
                Value::Object(all.collect())
            }
        },
        Value::Array(all) => all.iter().map(|one| expanded(one, types)).collect(),
        other => other.clone(),
    }
}
