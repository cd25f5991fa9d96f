//! Roles and bindings of `authorization.openshift.io` as those of `rbac.authorization.k8s.io`, and back.
//!
//! Knows: what the two say in different words. Refuses to know: where either is kept.

use leme_meta::quote;
use std::collections::BTreeSet;

use leme_meta::object::map_mut;
use leme_registry::json;
use serde_json::{Value, json};

use crate::{rbac, user};

const SERVED: &str = "authorization.openshift.io/v1";
const KEPT: &str = "rbac.authorization.k8s.io/v1";

/// The annotation that keeps a role from being brought back to what is shipped, by its older name, and the one that
/// says the opposite.
const PROTECT: &str = "openshift.io/reconcile-protect";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Makes of a role or binding of OpenShift one of rbac. The error says what rbac has no words for.
pub fn to_rbac(object: &mut Value) -> Result<(), String> {
    json::set(object, "apiVersion", KEPT);
    annotations(object, PROTECT, AUTOUPDATE);
    if object.get("roleRef").is_some() || json::text(object, &["kind"]).ends_with("Binding") {
        return binding_to_rbac(object);
    }
    let rules = json::list(object, &["rules"]).iter().flat_map(rules_to_rbac).collect();
    json::set(object, "rules", Value::Array(rules));
    Ok(())
}

/// Makes of a role or binding of rbac one of OpenShift.
pub fn from_rbac(object: &mut Value) {
    json::set(object, "apiVersion", SERVED);
    annotations(object, AUTOUPDATE, PROTECT);
    if object.get("roleRef").is_some() || json::text(object, &["kind"]).ends_with("Binding") {
        binding_from_rbac(object);
        return;
    }
    let rules = json::list(object, &["rules"]).iter().map(rule_from_rbac).collect();
    json::set(object, "rules", Value::Array(rules));
}

/// Turns an annotation into the one of the opposite sense.
fn annotations(object: &mut Value, from: &str, to: &str) {
    let Some(annotations) = json::at_mut(object, &["metadata", "annotations"]) else { return };
    let turned = match json::text(annotations, &[from]) {
        "true" => "false",
        "false" => "true",
        _ => return,
    };
    json::remove(annotations, from);
    json::set(annotations, to, turned);
}

/// The texts of a list in their order, each once.
fn set(value: &Value, field: &str) -> Vec<String> {
    let texts: BTreeSet<&str> =
        json::list(value, &[field]).iter().filter_map(Value::as_str).collect();
    texts.into_iter().map(str::to_owned).collect()
}

/// Sets a list that says something.
fn keep_list(rule: &mut Value, field: &str, list: Vec<String>) {
    if !list.is_empty() {
        json::set(rule, field, list);
    }
}

/// Lists of a rule but its verbs.
const LISTS: [&str; 4] = ["apiGroups", "resources", "resourceNames", "nonResourceURLs"];

/// A rule of resources and of URLs becomes two; one with restrictions was never heeded, and becomes none.
fn rules_to_rbac(rule: &Value) -> Vec<Value> {
    if json::at(rule, &["attributeRestrictions"]).is_some() {
        return Vec::new();
    }
    let groups = groups(rule);
    let urls = set(rule, "nonResourceURLs");
    let verbs = || json!({ "verbs": set(rule, "verbs") });
    let mut of_resources = verbs();
    keep_list(&mut of_resources, "apiGroups", groups);
    for field in ["resources", "resourceNames"] {
        keep_list(&mut of_resources, field, set(rule, field));
    }
    let has_resources = LISTS[..3].iter().any(|field| of_resources.get(field).is_some());
    if urls.is_empty() || !has_resources {
        keep_list(&mut of_resources, "nonResourceURLs", urls);
        return vec![of_resources];
    }
    let mut of_urls = verbs();
    keep_list(&mut of_urls, "nonResourceURLs", urls);
    vec![of_resources, of_urls]
}

/// The groups of a rule: a star of resources and verbs alone once meant all of them, and none means the core group.
fn groups(rule: &Value) -> Vec<String> {
    let groups: Vec<String> = json::list(rule, &["apiGroups"])
        .iter()
        .filter_map(|group| group.as_str().map(str::to_owned))
        .collect();
    let star = |field: &str| json::list(rule, &[field]) == ["*"];
    let nothing = |field: &str| json::list(rule, &[field]).is_empty();
    let unsaid = json::at(rule, &["apiGroups"]).is_none();
    if unsaid
        && star("verbs")
        && star("resources")
        && nothing("resourceNames")
        && nothing("nonResourceURLs")
    {
        return vec!["*".to_owned()];
    }
    if groups.is_empty() && !nothing("resources") { vec![String::new()] } else { groups }
}

fn rule_from_rbac(rule: &Value) -> Value {
    let mut made = json!({ "verbs": set(rule, "verbs"), "attributeRestrictions": null, "resources": set(rule, "resources") });
    if let Some(groups) = json::at(rule, &["apiGroups"]) {
        json::set(&mut made, "apiGroups", groups.clone());
    }
    for field in ["resourceNames", "nonResourceURLs"] {
        keep_list(&mut made, field, set(rule, field));
    }
    made
}

fn binding_to_rbac(binding: &mut Value) -> Result<(), String> {
    let name = json::text(binding, &["metadata", "name"]);
    let namespace = json::text(binding, &["metadata", "namespace"]);
    let of = json::text(binding, &["roleRef", "namespace"]);
    let cluster = json::text(binding, &["kind"]) == "ClusterRoleBinding";
    if cluster && !of.is_empty() {
        return Err(format!(
            "invalid origin cluster role binding {name}: attempts to reference role in namespace {of} instead of cluster scope",
            of = quote(&of)
        ));
    }
    if !cluster && !of.is_empty() && of != namespace {
        return Err(format!(
            "invalid origin role binding {name}: attempts to reference role in namespace {of} instead of current namespace {namespace}",
            of = quote(&of),
            namespace = quote(&namespace)
        ));
    }
    let kind = if of.is_empty() { "ClusterRole" } else { "Role" };
    let role = json!({ "apiGroup": rbac::GROUP, "kind": kind, "name": json::text(binding, &["roleRef", "name"]) });
    let named =
        ["userNames", "groupNames"].iter().any(|field| json::at(binding, &[field]).is_some());
    let subjects: Result<Vec<Value>, String> = if named {
        let texts = |field| json::list(binding, &[field]).iter().filter_map(Value::as_str);
        let users = texts("userNames").map(|user| match user::service_account(user) {
            Some((namespace, name)) => service_account(namespace, name),
            None => person("User", user),
        });
        Ok(users.chain(texts("groupNames").map(|group| person("Group", group))).collect())
    } else {
        json::list(binding, &["subjects"]).iter().map(subject_to_rbac).collect()
    };
    let subjects = subjects?;
    json::set(binding, "roleRef", role);
    json::set(binding, "subjects", subjects);
    for field in ["userNames", "groupNames"] {
        json::remove(binding, field);
    }
    Ok(())
}

fn service_account(namespace: &str, name: &str) -> Value {
    let mut subject = json!({ "kind": "ServiceAccount", "name": name });
    if !namespace.is_empty() {
        json::set(&mut subject, "namespace", namespace);
    }
    subject
}

fn person(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": rbac::GROUP, "kind": kind, "name": name })
}

fn subject_to_rbac(subject: &Value) -> Result<Value, String> {
    let name = json::text(subject, &["name"]);
    match json::text(subject, &["kind"]) {
        "ServiceAccount" => Ok(service_account(json::text(subject, &["namespace"]), name)),
        "User" | "SystemUser" => Ok(person("User", name)),
        "Group" | "SystemGroup" => Ok(person("Group", name)),
        other => Err(format!("invalid kind for origin subject: {other}", other = quote(&other))),
    }
}

/// The system's users and groups are those whose names no person can have.
fn binding_from_rbac(binding: &mut Value) {
    let namespace = json::text(binding, &["metadata", "namespace"]).to_owned();
    let mut role = json!({ "name": json::text(binding, &["roleRef", "name"]) });
    if json::text(binding, &["roleRef", "kind"]) == "Role" {
        json::set(&mut role, "namespace", namespace.as_str());
    }
    let (mut users, mut groups, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    for subject in json::list(binding, &["subjects"]) {
        let (kind, name) = (json::text(subject, &["kind"]), json::text(subject, &["name"]));
        let of = json::text(subject, &["namespace"]);
        match kind {
            "ServiceAccount" => {
                let home = if of.is_empty() { namespace.as_str() } else { of };
                if !home.is_empty() {
                    users.push(format!("system:serviceaccount:{home}:{name}"));
                }
                subjects.push(service_account(of, name));
                continue;
            }
            "User" => users.push(name.to_owned()),
            "Group" => groups.push(name.to_owned()),
            _ => {}
        }
        let kind = match kind {
            "User" if !user::user_name(name).is_empty() => "SystemUser",
            "Group" if !user::group_name(name).is_empty() => "SystemGroup",
            other => other,
        };
        subjects.push(json!({ "kind": kind, "name": name }));
    }
    let said = |names: Vec<String>| if names.is_empty() { Value::Null } else { names.into() };
    let fields = map_mut(binding);
    fields.insert("roleRef".to_owned(), role);
    fields.insert("subjects".to_owned(), subjects.into());
    fields.insert("userNames".to_owned(), said(users));
    fields.insert("groupNames".to_owned(), said(groups));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api: &str, kind: &str, fields: Value) -> Value {
        let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": { "name": "x", "namespace": "ns" } });
        object.as_object_mut().expect("map").extend(fields.as_object().expect("map").clone());
        object
    }

    fn to(kind: &str, fields: Value) -> Result<Value, String> {
        let mut object = object(SERVED, kind, fields);
        to_rbac(&mut object).map(|()| object)
    }

    fn from(kind: &str, fields: Value) -> Value {
        let mut object = object(KEPT, kind, fields);
        from_rbac(&mut object);
        object
    }

    #[test]
    fn rules_become_rules_of_rbac() {
        for (rule, want) in [
            (
                json!({ "apiGroups": null, "resources": ["*"], "verbs": ["*"], "attributeRestrictions": null }),
                json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }]),
            ),
            (
                json!({ "apiGroups": [], "resources": ["*"], "verbs": ["*"] }),
                json!([{ "apiGroups": [""], "resources": ["*"], "verbs": ["*"] }]),
            ),
            (
                json!({ "resources": ["pods", "nodes", "pods"], "verbs": ["list", "get"], "resourceNames": [] }),
                json!([{ "apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"] }]),
            ),
            (
                json!({ "resources": ["pods"], "verbs": ["get"], "nonResourceURLs": ["/b", "/a"] }),
                json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] },
                    { "nonResourceURLs": ["/a", "/b"], "verbs": ["get"] }]),
            ),
            (
                json!({ "resources": [], "verbs": ["get"], "nonResourceURLs": ["/a"] }),
                json!([{ "nonResourceURLs": ["/a"], "verbs": ["get"] }]),
            ),
            (
                json!({ "resources": ["pods"], "verbs": ["get"], "attributeRestrictions": { "kind": "X" } }),
                json!([]),
            ),
        ] {
            let made = to("ClusterRole", json!({ "rules": [rule] })).expect("converted");
            assert_eq!((&made["apiVersion"], &made["rules"]), (&json!(KEPT), &want), "{rule}");
        }
    }

    #[test]
    fn roles_come_back() {
        let role = from(
            "ClusterRole",
            json!({
                "metadata": { "name": "x", "annotations": { AUTOUPDATE: "true", "a": "b" } },
                "aggregationRule": { "clusterRoleSelectors": [{}] },
                "rules": [{ "verbs": ["get"], "nonResourceURLs": ["/b", "/a"] },
                    { "verbs": ["get"], "apiGroups": ["b", "a"], "resources": ["x"], "resourceNames": ["n"] }],
            }),
        );
        assert_eq!(
            role,
            json!({
                "apiVersion": SERVED, "kind": "ClusterRole",
                "metadata": { "name": "x", "annotations": { PROTECT: "false", "a": "b" } },
                "aggregationRule": { "clusterRoleSelectors": [{}] },
                "rules": [
                    { "verbs": ["get"], "attributeRestrictions": null, "resources": [], "nonResourceURLs": ["/a", "/b"] },
                    { "verbs": ["get"], "attributeRestrictions": null, "apiGroups": ["b", "a"], "resources": ["x"], "resourceNames": ["n"] },
                ],
            })
        );
        let mut back = role;
        to_rbac(&mut back).expect("converted");
        assert_eq!(back["metadata"]["annotations"], json!({ AUTOUPDATE: "true", "a": "b" }));
    }

    #[test]
    fn bindings_go_and_come_back() {
        let subjects = json!([
            { "kind": "User", "name": "anna", "apiGroup": rbac::GROUP },
            { "kind": "User", "name": "system:admin", "apiGroup": rbac::GROUP },
            { "kind": "Group", "name": "system:masters", "apiGroup": rbac::GROUP },
            { "kind": "ServiceAccount", "name": "builder" },
            { "kind": "ServiceAccount", "name": "deployer", "namespace": "other" },
        ]);
        let role = json!({ "apiGroup": rbac::GROUP, "kind": "Role", "name": "edit" });
        let kept = json!({ "roleRef": role, "subjects": subjects });
        let served = from("RoleBinding", kept.clone());
        assert_eq!(
            (&served["roleRef"], &served["userNames"], &served["groupNames"]),
            (
                &json!({ "name": "edit", "namespace": "ns" }),
                &json!([
                    "anna",
                    "system:admin",
                    "system:serviceaccount:ns:builder",
                    "system:serviceaccount:other:deployer"
                ]),
                &json!(["system:masters"])
            )
        );
        let kinds: Vec<&str> =
            (0..5).filter_map(|at| served["subjects"][at]["kind"].as_str()).collect();
        assert_eq!(
            kinds,
            ["User", "SystemUser", "SystemGroup", "ServiceAccount", "ServiceAccount"]
        );
        let mut by_subjects = served.clone();
        json::remove(&mut by_subjects, "userNames");
        json::remove(&mut by_subjects, "groupNames");
        to_rbac(&mut by_subjects).expect("converted");
        assert_eq!(by_subjects, object(KEPT, "RoleBinding", kept));
        // Names count before subjects: clients of old know no others.
        let by_names = to(
            "RoleBinding",
            json!({ "roleRef": { "name": "view" }, "subjects": [{ "kind": "User", "name": "z" }],
            "userNames": ["system:serviceaccount:a:b", "u"], "groupNames": null }),
        )
        .expect("converted");
        assert_eq!(
            by_names["subjects"],
            json!([{ "kind": "ServiceAccount", "name": "b", "namespace": "a" }, { "kind": "User", "name": "u", "apiGroup": rbac::GROUP }])
        );
        assert_eq!(
            (&by_names["roleRef"]["kind"], by_names.get("userNames")),
            (&json!("ClusterRole"), None)
        );
    }

    #[test]
    fn what_rbac_cannot_say_is_told() {
        for (kind, fields, why) in [
            (
                "ClusterRoleBinding",
                json!({ "roleRef": { "name": "r", "namespace": "a" } }),
                r#"invalid origin cluster role binding x: attempts to reference role in namespace "a" instead of cluster scope"#,
            ),
            (
                "RoleBinding",
                json!({ "roleRef": { "name": "r", "namespace": "a" } }),
                r#"invalid origin role binding x: attempts to reference role in namespace "a" instead of current namespace "ns""#,
            ),
            (
                "RoleBinding",
                json!({ "roleRef": { "name": "r" }, "subjects": [{ "kind": "Robot" }] }),
                r#"invalid kind for origin subject: "Robot""#,
            ),
        ] {
            assert_eq!(to(kind, fields), Err(why.to_owned()));
        }
    }

    #[test]
    fn no_shape_trips_a_conversion() {
        for kind in ["Role", "RoleBinding"] {
            for value in
                [json!(null), json!(1), json!("x"), json!([null, 1, [], {}]), json!({ "a": 1 })]
            {
                for field in ["rules", "roleRef", "subjects", "userNames", "groupNames", "metadata"]
                {
                    let _ = to(kind, json!({ field: value }));
                    from(kind, json!({ field: value }));
                }
            }
        }
    }
}
