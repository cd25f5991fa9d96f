//! Which requests a webhook or a policy is for.
//!
//! Knows: operations, groups, versions, resources, and what a star rules out. Refuses to know: what exists of these.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, names};
use serde_json::Value;

use super::{MATCH, fill, known};
use crate::check::{self, Errors};
use crate::pod_spec;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// Rules without a scope are for every scope.
pub(super) fn default(value: &mut Value, field: &str) {
    for rule in json::list_mut(value, &[field]).iter_mut().filter(|rule| rule.is_object()) {
        fill(rule, "scope", "*");
    }
}

/// All that is wrong with a rule of a webhook.
pub(super) fn rule(rule: &Value, path: &Path, errors: &mut Errors) {
    one_star(rule, "operations", "operations", path, errors);
    for (index, operation) in texts(rule, "operations").enumerate() {
        if !OPERATIONS.contains(&operation) {
            let at = path.child("operations").index(index);
            errors.push(FieldError::not_supported(&at, operation, OPERATIONS));
        }
    }
    one_star(rule, "apiGroups", "API groups", path, errors);
    one_star(rule, "apiVersions", "API versions", path, errors);
    for (index, version) in texts(rule, "apiVersions").enumerate() {
        if version.is_empty() {
            errors.push(FieldError::required(&path.child("apiVersions").index(index), ""));
        }
    }
    resources(rule, &path.child("resources"), errors);
    known(rule, "scope", path, &["*", "Cluster", "Namespaced"], errors);
}

/// The same of a policy, which may name objects.
fn named_rule(one: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for (index, name) in texts(one, "resourceNames").enumerate() {
        let at = path.child("resourceNames").index(index);
        check::named(&at, name, &names::path_segment_name(name), errors);
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    rule(one, path, errors);
}

fn texts<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    json::list(value, &[field]).iter().map(|text| text.as_str().unwrap_or(""))
}

/// A list that must not be empty, and in which a star stands alone.
fn one_star(rule: &Value, field: &str, what: &str, path: &Path, errors: &mut Errors) {
    let list = json::list(rule, &[field]);
    if list.is_empty() {
        errors.push(FieldError::required(&path.child(field), ""));
    }
    if list.len() > 1 && list.iter().any(|text| text == "*") {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(&path.child(field), &rule[field], &why));
    }
}

fn resources(rule: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(rule, &["resources"]);
    if list.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_of, mut of_all) = (HashSet::new(), HashSet::new());
    // Only the last resource without a subresource counts: upstream sets this anew with each.
    let mut plain = false;
    for (index, resource) in texts(rule, "resources").enumerate() {
        let at = path.index(index);
        if resource.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let Some((main, sub)) = resource.split_once('/') else {
            plain = resource != "*";
            continue;
        };
        if all_of.contains(main) {
            let why = format!("if '{main}/*' is present, must not specify {resource}");
            errors.push(FieldError::invalid(&at, resource, &why));
        }
        if of_all.contains(sub) {
            let why = format!("if '*/{sub}' is present, must not specify {resource}");
            errors.push(FieldError::invalid(&at, resource, &why));
        }
        if sub == "*" {
            all_of.insert(main);
        }
        if main == "*" {
            of_all.insert(sub);
        }
    }
    let has = |wanted: &str| list.iter().any(|resource| resource == wanted);
    if list.len() > 1 && has("*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, &rule["resources"], why));
    }
    if has("*") && plain {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, &rule["resources"], why));
    }
}

/// Fills what a policy's or binding's match leaves open.
pub(super) fn default_resources(matched: &mut Value) {
    super::default_match(matched);
    default(matched, "resourceRules");
    default(matched, "excludeResourceRules");
}

/// All that is wrong with what a policy or a binding matches.
pub(super) fn match_resources(matched: &Value, path: &Path, errors: &mut Errors) {
    known(matched, "matchPolicy", path, MATCH, errors);
    for field in ["namespaceSelector", "objectSelector"] {
        let selector = matched.get(field).unwrap_or(&Value::Null);
        pod_spec::selector(selector, &path.child(field), errors);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in json::list(matched, &[field]).iter().enumerate() {
            named_rule(rule, &path.child(field).index(index), errors);
        }
    }
}
