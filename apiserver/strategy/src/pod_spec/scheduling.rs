//! What a pod asks of the node it runs on: tolerations, affinity, spread.
//!
//! Knows: the form of each wish. Refuses to know: which node fits.

use leme_meta::{FieldError, Path};
use leme_registry::{json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// Effects of taints.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks tolerations, affinity and topology spread of a pod spec.
pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, toleration) in json::list(spec, &["tolerations"]).iter().enumerate() {
        self::toleration(toleration, &path.child("tolerations").index(index), errors);
    }
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
    for (index, spread) in json::list(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let skew = json::int(spread, &["maxSkew"]).unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(
                &path.child("maxSkew"),
                skew,
                "must be greater than 0",
            ));
        }
        if json::text(spread, &["topologyKey"]).is_empty() {
            errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
        }
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        check::required_one_of(spread, "whenUnsatisfiable", &path, &known, errors);
        selector(
            spread.get("labelSelector").unwrap_or(&Value::Null),
            &path.child("labelSelector"),
            errors,
        );
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
        "" | "Equal" => check::named(&at, value, &names::label_value(value), errors),
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(
                &at,
                toleration,
                "value must be empty when `operator` is 'Exists'",
            ));
        }
        "Exists" => {}
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
        node_term(
            term.get("preference").unwrap_or(&Value::Null),
            &path.child("preference"),
            errors,
        );
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
        node_term(term, &path.index(index), errors);
    }
}

fn node_term(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["matchExpressions", "matchFields"] {
        for (index, requirement) in json::list(term, &[field]).iter().enumerate() {
            let path = path.child(field).index(index);
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
                    errors.push(FieldError::required(
                        &at,
                        "must be specified single value when `operator` is 'Lt' or 'Gt'",
                    ));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
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
        }
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
    let key = json::text(term, &["topologyKey"]);
    if key.is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    } else {
        check::named(&path.child("topologyKey"), key, &names::qualified_name(key), errors);
    }
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
    }
}
