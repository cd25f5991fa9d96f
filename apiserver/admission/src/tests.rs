//! What is let in, what is changed and what is refused, a case each.

use std::collections::BTreeMap;
use std::sync::Arc;

use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{Admission, Asked, Operation};
use serde_json::{Value, json};

use crate::{Chain, Facts, Seen};

mod classes;
mod escalation;
mod eviction;
mod image_policy;
mod lifecycle;
mod limits;
mod node_restriction;
mod optional;
mod pod_security;
mod pods;
mod quota;
mod rights;
mod scc;

/// Objects by resource, namespace and name.
#[derive(Default)]
struct Objects(BTreeMap<(String, String, String), Value>);

impl Objects {
    fn of(objects: &[Value]) -> Objects {
        let key = |object: &Value| {
            let row = row(object);
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
            (row.plural.to_string(), text("namespace"), text("name"))
        };
        Objects(objects.iter().map(|object| (key(object), object.clone())).collect())
    }
}

impl Facts for Objects {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        let key = (of.plural.to_owned(), namespace.to_owned(), name.to_owned());
        Ok(self.0.get(&key).cloned().map(Arc::new))
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        let all = self.0.iter().filter(|((plural, at, _), _)| {
            plural == of.plural && (namespace.is_empty() || at == namespace)
        });
        Ok(all.map(|(_, object)| Arc::new(object.clone())).collect())
    }
}

fn row(object: &Value) -> &'static Kind {
    let api_version = object["apiVersion"].as_str().expect("apiVersion");
    let (group, version) = leme_meta::gvk::split_api_version(api_version);
    leme_kinds::by_kind(group, version, object["kind"].as_str().expect("kind")).expect("row")
}

fn asked(operation: Operation, object: &Value) -> Asked<'_> {
    let row = row(object);
    Asked {
        user: None,
        operation,
        kind: row,
        subresource: "",
        namespace: if row.namespaced() { "ns" } else { "" },
        name: leme_registry::shown_name("", object),
        dry_run: false,
    }
}

/// What becomes of a new object among others, or the message of its refusal.
fn create(objects: &[Value], object: &Value) -> Result<Value, String> {
    let mut all = vec![namespace("ns")];
    all.extend_from_slice(objects);
    let chain = Chain::new(Objects::of(&all), &[]);
    let mut new = object.clone();
    let admitted = chain
        .mutate(&asked(Operation::Create, object), &mut new, None)
        .and_then(|()| chain.validate(&asked(Operation::Create, &new), Some(&new), None));
    admitted.map(|()| new).map_err(|status| status.message)
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// The smallest pod.
fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "ns" },
        "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
    })
}
