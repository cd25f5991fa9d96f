//! What a pod asks of the node it runs on: tolerations, affinity, spread.
//!
//! Knows: the form of each wish. Refuses to know: which node fits.

use std::collections::HashSet;

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// What a number is told that must be above zero.
const NOT_POSITIVE: &str = "must be greater than zero";

/// Effects of taints.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks the tolerations of a pod spec, or of what adds some to one.
pub(crate) fn tolerations(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, toleration) in json::list(spec, &["tolerations"]).iter().enumerate() {
        self::toleration(toleration, &path.child("tolerations").index(index), errors);
    }
}

/// Checks the affinities of a pod spec.
pub(super) fn affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    let affinity = spec.get("affinity").unwrap_or(&Value::Null);
    let path_of = |field: &str| path.child("affinity").child(field);
    node_affinity(
        affinity.get("nodeAffinity").unwrap_or(&Value::Null),
        &path_of("nodeAffinity"),
        errors,
    );
    for field in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(affinity.get(field).unwrap_or(&Value::Null), &path_of(field), errors);
    }
}

/// Checks the topology spread of a pod spec.
pub(super) fn spread(spec: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(spec, &["topologySpreadConstraints"]);
    for (index, spread) in list.iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let skew = json::int(spread, &["maxSkew"]).unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(&path.child("maxSkew"), skew, NOT_POSITIVE));
        }
        let key = json::text(spread, &["topologyKey"]);
        if key.is_empty() {
            errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
        }
        let action = json::text(spread, &["whenUnsatisfiable"]);
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        if !known.contains(&action) {
            let at = path.child("whenUnsatisfiable");
            errors.push(FieldError::not_supported(&at, action, &known));
        }
        let same = |other: &Value| {
            json::text(other, &["topologyKey"]) == key
                && json::text(other, &["whenUnsatisfiable"]) == action
        };
        if list.iter().skip(index + 1).any(same) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&at, &format!("{{{key}, {action}}}")));
        }
        domains(spread, action, &path.child("minDomains"), errors);
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            check::one_of(spread, field, &path, &["Honor", "Ignore"], errors);
        }
        shared_labels(spread, &path, errors);
        selector(
            spread.get("labelSelector").unwrap_or(&Value::Null),
            &path.child("labelSelector"),
            errors,
        );
    }
}

fn domains(spread: &Value, action: &str, path: &Path, errors: &mut Errors) {
    let Some(least) = json::int(spread, &["minDomains"]) else { return };
    if least <= 0 {
        errors.push(FieldError::invalid(path, least, NOT_POSITIVE));
    }
    if action != "DoNotSchedule" {
        let why =
            format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        errors.push(FieldError::invalid(path, least, &why));
    }
}

const NO_SELECTOR: &str = "must not be specified when labelSelector is not set";

/// Labels that pods which are counted together must, or must not, share with this one: at its creation they have become a
/// part of the selector.
fn shared_labels(term: &Value, path: &Path, errors: &mut Errors) {
    let selector = json::at(term, &["labelSelector"]);
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let (keys, at) = (json::list(term, &[field]), path.child(field));
        if selector.is_none() {
            if !keys.is_empty() {
                errors.push(FieldError::forbidden(&at, NO_SELECTOR));
            }
            continue;
        }
        for (index, key) in keys.iter().enumerate() {
            let text = key.as_str().unwrap_or("");
            check::named(&at.index(index), text, &names::qualified_name(text), errors);
        }
    }
    let keys = json::list(term, &["matchLabelKeys"]);
    let mut seen: HashSet<&str> =
        json::entries(term, &["labelSelector", "matchLabels"]).map(|(key, _)| key).collect();
    for expression in json::list(term, &["labelSelector", "matchExpressions"]) {
        let key = json::text(expression, &["key"]);
        if let Some(index) =
            keys.iter().rposition(|other| other == key).filter(|_| seen.contains(key))
        {
            // Upstream names an element of the term.
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(index), key, why));
        }
        seen.insert(key);
    }
    let others = json::list(term, &["mismatchLabelKeys"]);
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| others.contains(key)) {
        let why = "exists in both matchLabelKeys and mismatchLabelKeys";
        let at = path.child("matchLabelKeys").index(index);
        errors.push(FieldError::invalid(&at, key, why));
    }
}

fn toleration(toleration: &Value, path: &Path, errors: &mut Errors) {
    let key = json::text(toleration, &["key"]);
    let operator = json::text(toleration, &["operator"]);
    let value = json::text(toleration, &["value"]);
    let effect = json::text(toleration, &["effect"]);
    let at = path.child("operator");
    if !key.is_empty() {
        check::named(&path.child("key"), key, &names::qualified_name(key), errors);
    } else if operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&at, operator, why));
    }
    if json::at(toleration, &["tolerationSeconds"]).is_some() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, why));
    }
    match operator {
        "" | "Equal" => {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&at, value, &wrong.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&at, value, why));
        }
        "Exists" => {}
        // Upstream knows them, and has them turned off.
        "Lt" | "Gt" => {
            let known = ["Equal", "Exists", "Lt", "Gt"];
            errors.push(FieldError::not_supported(&at, operator, &known));
        }
        other => errors.push(FieldError::not_supported(&at, other, &["Equal", "Exists"])),
    }
    check::one_of(toleration, "effect", path, &EFFECTS, errors);
}

fn node_affinity(affinity: &Value, path: &Path, errors: &mut Errors) {
    if let Some(required) = json::at(affinity, &["requiredDuringSchedulingIgnoredDuringExecution"])
    {
        node_selector(
            required,
            &path.child("requiredDuringSchedulingIgnoredDuringExecution"),
            errors,
        );
    }
    let field = "preferredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in json::list(affinity, &[field]).iter().enumerate() {
        let path = path.child(field).index(index);
        weight(term, &path, errors);
        let preference = term.get("preference").unwrap_or(&Value::Null);
        node_term(preference, &path.child("preference"), false, errors);
    }
}

/// Checks a node selector, of a pod or of a PersistentVolume.
pub(crate) fn node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let terms = json::list(selector, &["nodeSelectorTerms"]);
    let path = path.child("nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, &path.index(index), true, errors);
    }
}

/// Checks one term; `values` asks that labels can have the values that it names.
fn node_term(term: &Value, path: &Path, values: bool, errors: &mut Errors) {
    for (index, requirement) in json::list(term, &["matchExpressions"]).iter().enumerate() {
        node_label(requirement, &path.child("matchExpressions").index(index), values, errors);
    }
    for (index, requirement) in json::list(term, &["matchFields"]).iter().enumerate() {
        node_field(requirement, &path.child("matchFields").index(index), errors);
    }
}

const NO_OPERATOR: &str = "not a valid selector operator";

fn node_label(requirement: &Value, path: &Path, checked: bool, errors: &mut Errors) {
    let values = json::list(requirement, &["values"]);
    let at = path.child("values");
    match json::text(requirement, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&at, why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&at, why));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&at, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, NO_OPERATOR)),
    }
    let key = json::text(requirement, &["key"]);
    check::named(&path.child("key"), key, &names::qualified_name(key), errors);
    for (index, value) in values.iter().enumerate().filter(|_| checked) {
        let value = value.as_str().unwrap_or("");
        check::named(&at.index(index), value, &names::label_value(value), errors);
    }
}

/// Of a node's fields only the name can be asked for.
fn node_field(requirement: &Value, path: &Path, errors: &mut Errors) {
    let values = json::list(requirement, &["values"]);
    match json::text(requirement, &["operator"]) {
        "In" | "NotIn" if values.len() != 1 => {
            let why =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&path.child("values"), why));
        }
        "In" | "NotIn" => {}
        other => errors.push(FieldError::invalid(&path.child("operator"), other, NO_OPERATOR)),
    }
    let key = json::text(requirement, &["key"]);
    if key != "metadata.name" {
        let why = "not a valid field selector key";
        errors.push(FieldError::invalid(&path.child("key"), key, why));
        return;
    }
    for (index, value) in values.iter().enumerate() {
        let (text, at) = (value.as_str().unwrap_or(""), path.child("values").index(index));
        check::named(&at, text, &names::dns1123_subdomain(text), errors);
    }
}

fn pod_affinity(affinity: &Value, path: &Path, errors: &mut Errors) {
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    for (index, term) in json::list(affinity, &[field]).iter().enumerate() {
        pod_term(term, &path.child(field).index(index), errors);
    }
    let field = "preferredDuringSchedulingIgnoredDuringExecution";
    for (index, weighted) in json::list(affinity, &[field]).iter().enumerate() {
        let path = path.child(field).index(index);
        weight(weighted, &path, errors);
        let term = weighted.get("podAffinityTerm").unwrap_or(&Value::Null);
        pod_term(term, &path.child("podAffinityTerm"), errors);
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        selector(term.get(field).unwrap_or(&Value::Null), &path.child(field), errors);
    }
    for namespace in json::list(term, &["namespaces"]) {
        let text = namespace.as_str().unwrap_or("");
        check::named(&path.child("namespace"), text, &names::dns1123_label(text), errors);
    }
    shared_labels(term, path, errors);
    let key = json::text(term, &["topologyKey"]);
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    }
    check::named(&path.child("topologyKey"), key, &names::qualified_name(key), errors);
}

fn weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = json::int(term, &["weight"]).unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(
            &path.child("weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

/// Checks a `metav1.LabelSelector`.
pub(crate) fn selector(selector: &Value, path: &Path, errors: &mut Errors) {
    errors.extend(meta::labels(selector.get("matchLabels"), &path.child("matchLabels")));
    for (index, requirement) in json::list(selector, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = json::list(requirement, &["values"]);
        let at = path.child("values");
        match json::text(requirement, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(FieldError::required(
                    &at,
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&at, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(FieldError::invalid(
                    &path.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = json::text(requirement, &["key"]);
        check::named(&path.child("key"), key, &names::qualified_name(key), errors);
        for (index, value) in values.iter().enumerate() {
            let value = value.as_str().unwrap_or("");
            check::named(&at.index(index), value, &names::label_value(value), errors);
        }
    }
}
