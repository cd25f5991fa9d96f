//! The roles and bindings that every cluster has from its first moment.
//!
//! Knows: their tables, and what a start brings up to date of those that are there already. Refuses to know: how objects
//! are written.

use serde_json::{Map, Value, json};

use crate::policy::{GROUP, Policy};
use crate::role::{PolicyRule, missing};

/// The tables; the head of the first says how they read.
const TABLES: [&str; 3] =
    [include_str!("roles.txt"), include_str!("controllers.txt"), include_str!("openshift.txt")];

/// Whoever does not want an object to be brought up to date says `false` here.
const FOLLOWS: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// An object that every cluster has.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'static str,
    /// Namespace; empty for those of the whole cluster.
    pub namespace: &'static str,
    /// Name.
    pub name: String,
    /// The object.
    pub object: Value,
}

/// All of them; roles come before what binds them.
pub fn wanted() -> Vec<Wanted> {
    let mut roles = Vec::new();
    let mut bindings = Vec::new();
    for line in TABLES.into_iter().flat_map(str::lines) {
        let line = line.split('#').next().unwrap_or("");
        // To bind is a verb as well: what a role may stands further in.
        let is_rule = line.starts_with(char::is_whitespace);
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["role", name, labels @ ..] => roles.push(role(name, labels)),
            ["controller", name] => {
                let full = format!("system:controller:{name}");
                let account = json!([subject(&format!("account:kube-system/{name}"))]);
                roles.push(object("clusterroles", "", &full));
                bindings.push(binding("", &full, &full, account));
            }
            ["bind", what, subjects @ ..] if !is_rule => {
                let (namespace, what) = what.split_once('/').unwrap_or(("", what));
                let (name, role) = what.split_once('=').unwrap_or((what, what));
                let subjects = subjects.iter().map(|one| subject(one)).collect();
                bindings.push(binding(namespace, name, role, subjects));
            }
            rule => {
                if let Some(role) = roles.last_mut() {
                    add(&mut role.object["rules"], rule_of(rule));
                }
            }
        }
    }
    roles.extend(bindings);
    roles
}

/// What they allow, where there is nothing else.
pub fn policy() -> Policy {
    wanted().iter().fold(Policy::default(), |policy, one| {
        let kind = one.object["kind"].as_str().unwrap_or("");
        policy.with(kind, (one.namespace, &one.name), Some(&one.object))
    })
}

fn add(list: &mut Value, new: Value) {
    match list {
        Value::Array(list) => list.push(new),
        other => *other = json!([new]),
    }
}

fn object(resource: &'static str, namespace: &'static str, name: &str) -> Wanted {
    let kind = match resource {
        "roles" => "Role",
        "clusterroles" => "ClusterRole",
        "rolebindings" => "RoleBinding",
        _ => "ClusterRoleBinding",
    };
    let mut object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind,
        "metadata": { "name": name, "annotations": { FOLLOWS: "true" },
            "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" } },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    Wanted { resource, namespace, name: name.to_owned(), object }
}

fn role(name: &'static str, labels: &[&str]) -> Wanted {
    let mut role = match name.split_once('/') {
        Some((namespace, name)) => object("roles", namespace, name),
        None => object("clusterroles", "", name),
    };
    for pair in labels.chunks_exact(2) {
        let label = format!("{GROUP}/aggregate-to-{}", pair[1]);
        match pair[0] {
            "of" => {
                let selector = json!({ "matchLabels": { label: "true" } });
                role.object["aggregationRule"] = json!({ "clusterRoleSelectors": [selector] });
                role.object["rules"] = Value::Null;
            }
            _ => role.object["metadata"]["labels"][label] = "true".into(),
        }
    }
    role
}

fn binding(namespace: &'static str, name: &str, role: &str, subjects: Value) -> Wanted {
    let (resource, kind) = match namespace.is_empty() {
        true => ("clusterrolebindings", "ClusterRole"),
        false => ("rolebindings", "Role"),
    };
    let mut made = object(resource, namespace, name);
    made.object["roleRef"] = json!({ "apiGroup": GROUP, "kind": kind, "name": role });
    if subjects.as_array().is_some_and(|all| !all.is_empty()) {
        made.object["subjects"] = subjects;
    }
    made
}

fn subject(word: &str) -> Value {
    let (kind, name) = word.split_once(':').unwrap_or(("user", word));
    match (kind, name.split_once('/')) {
        ("account", Some((namespace, name))) => {
            json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace })
        }
        ("group", _) => json!({ "apiGroup": GROUP, "kind": "Group", "name": name }),
        _ => json!({ "apiGroup": GROUP, "kind": "User", "name": name }),
    }
}

fn rule_of(words: &[&str]) -> Value {
    let split = |list: &str| -> Vec<String> {
        let each = list.split(',').flat_map(|word| match word {
            "read" => vec!["get", "list", "watch"],
            "write" => vec!["create", "delete", "deletecollection", "patch", "update"],
            "report" => vec!["create", "patch", "update"],
            "core" => vec![""],
            word => vec![word],
        });
        let mut all: Vec<String> = each.map(str::to_owned).collect();
        all.sort();
        all
    };
    let mut rule = Map::new();
    rule.insert("verbs".to_owned(), json!(split(words[0])));
    let fields = match words.len() {
        2 => &["nonResourceURLs"][..],
        _ => &["apiGroups", "resources", "resourceNames"],
    };
    for (field, word) in fields.iter().zip(words.iter().skip(1)) {
        rule.insert((*field).to_owned(), json!(split(word)));
    }
    Value::Object(rule)
}

/// What an object of the tables becomes when it is there already, `None` if it may stay as it is: it gets what is missing,
/// and what somebody has added stays. A binding to another role is not the one that is wanted.
pub fn reconciled(stored: &Value, wanted: &Value) -> Option<Value> {
    if stored["metadata"]["annotations"][FOLLOWS] == "false" {
        return None;
    }
    let mut new = stored.clone();
    for field in ["labels", "annotations"] {
        let Some(wanted) = wanted["metadata"][field].as_object() else { continue };
        for (key, value) in wanted {
            if stored["metadata"][field].get(key).is_none() {
                new["metadata"][field][key] = value.clone();
            }
        }
    }
    if wanted.get("aggregationRule").is_some() {
        let selectors = &wanted["aggregationRule"]["clusterRoleSelectors"];
        for selector in selectors.as_array().into_iter().flatten() {
            let has = |list: &Value| list.as_array().is_some_and(|all| all.contains(selector));
            if !has(&new["aggregationRule"]["clusterRoleSelectors"]) {
                add(&mut new["aggregationRule"]["clusterRoleSelectors"], selector.clone());
            }
        }
    } else if let Some(rules) = wanted["rules"].as_array() {
        let own = PolicyRule::all(stored);
        for rule in rules {
            let one = PolicyRule::all(&json!({ "rules": [rule] }));
            if !missing(&own, &one).is_empty() {
                add(&mut new["rules"], rule.clone());
            }
        }
    }
    for subject in wanted["subjects"].as_array().into_iter().flatten() {
        let has = |list: &Value| list.as_array().is_some_and(|all| all.contains(subject));
        if !has(&new["subjects"]) {
            add(&mut new["subjects"], subject.clone());
        }
    }
    (new != *stored).then_some(new)
}
