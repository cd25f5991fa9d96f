//! Roles and ClusterRoles: rules.
//!
//! Knows: what goes together in a rule. Refuses to know: which verbs and resources there are.

use leme_meta::selector::LabelSelector;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::Value;

use super::PLAIN;
use crate::check::Errors;
use crate::pod_spec;

pub(crate) static ROLE: Strategy = Strategy { validate: |role| rules(role, true), ..PLAIN };

pub(crate) static CLUSTER_ROLE: Strategy = Strategy {
    validate: |role| {
        let mut errors = rules(role, false);
        aggregation(role, &mut errors);
        errors
    },
    ..PLAIN
};

fn rules(role: &Value, namespaced: bool) -> Errors {
    let mut errors = Vec::new();
    for (index, one) in json::list(role, &["rules"]).iter().enumerate() {
        rule(one, namespaced, &Path::new("rules").index(index), &mut errors);
    }
    errors
}

/// All that is wrong with a rule. One of URLs has nothing else, and none of them is in a namespace.
fn rule(rule: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    let none = |field: &str| json::list(rule, &[field]).is_empty();
    if none("verbs") {
        let why = "verbs must contain at least one value";
        errors.push(FieldError::required(&path.child("verbs"), why));
    }
    if !none("nonResourceURLs") {
        let at = path.child("nonResourceURLs");
        let urls = &rule["nonResourceURLs"];
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&at, urls, why));
        }
        if !["apiGroups", "resources", "resourceNames"].into_iter().all(none) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, urls, why));
        }
        return;
    }
    if none("apiGroups") {
        let why = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), why));
    }
    if none("resources") {
        let why = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), why));
    }
}

fn aggregation(role: &Value, errors: &mut Errors) {
    let Some(aggregation) = json::at(role, &["aggregationRule"]) else { return };
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = json::list(aggregation, &["clusterRoleSelectors"]);
    if selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, why));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let at = path.index(index);
        pod_spec::selector(selector, &at, errors);
        if LabelSelector::from_json(selector).is_err() {
            errors.push(FieldError::invalid(&at, &Value::Null, "invalid label selector."));
        }
    }
}
