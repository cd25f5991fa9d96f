//! StorageClasses, VolumeAttributesClasses, and how much of a class there is where.
//!
//! Knows: what of a class may change, where its volumes may be. Refuses to know: who makes volumes.

use std::collections::{BTreeMap, BTreeSet};

use leme_meta::field::enough;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use super::{kept, parameters, provisioner};
use crate::check::{self, Errors, NOT_NEGATIVE};
use crate::pod_spec::{resources, selector, warnings};

pub(crate) static STORAGE: Strategy = Strategy {
    default: |class| {
        json::default(class, "reclaimPolicy", "Delete");
        json::default(class, "volumeBindingMode", "Immediate");
    },
    validate,
    validate_update: |new, old| {
        let mut errors = kept(new, old, &["parameters", "provisioner", "reclaimPolicy"]);
        errors.extend(meta::immutable(new, old, &["volumeBindingMode"]));
        errors
    },
    warn: |class, _| {
        let mut out = Vec::new();
        for (path, requirement) in requirements(class) {
            if let Some(why) = warnings::node_label(json::text(requirement, &["key"])) {
                out.push(format!("{}: {why}", path.child("key")));
            }
        }
        out
    },
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static ATTRIBUTES: Strategy = Strategy {
    validate: |class| {
        let mut errors = Vec::new();
        provisioner(class, "driverName", &mut errors);
        parameters(class, true, &mut errors);
        errors
    },
    validate_update: |new, old| kept(new, old, &["driverName", "parameters"]),
    returns_deleted: true,
    ..Strategy::PLAIN
};

pub(crate) static CAPACITY: Strategy = Strategy {
    validate: validate_capacity,
    validate_update: |new, old| {
        let fields = ["nodeTopology", "storageClassName"];
        fields.into_iter().filter_map(|field| meta::immutable(new, old, &[field])).collect()
    },
    warn: |capacity, _| {
        let mut out = Vec::new();
        let topology = capacity.get("nodeTopology").unwrap_or(&Value::Null);
        let path = Path::new("nodeTopology");
        warnings::node_term(topology, &path, false, &mut out);
        for (label, _) in json::entries(topology, &["matchLabels"]) {
            if let Some(why) = warnings::node_label(label) {
                out.push(format!("{}: {why}", path.child("matchLabels").child(label)));
            }
        }
        out
    },
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn validate(class: &Value) -> Errors {
    let mut errors = Vec::new();
    let root = Path::default();
    provisioner(class, "provisioner", &mut errors);
    parameters(class, false, &mut errors);
    check::one_of(class, "reclaimPolicy", &root, &["Delete", "Retain"], &mut errors);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    check::one_of(class, "volumeBindingMode", &root, &modes, &mut errors);
    topologies(class, &mut errors);
    errors
}

/// Every requirement on where volumes may be, with its path.
fn requirements(class: &Value) -> Vec<(Path, &Value)> {
    let terms = json::list(class, &["allowedTopologies"]).iter().enumerate();
    terms
        .flat_map(|(term_at, term)| {
            let list = json::list(term, &["matchLabelExpressions"]).iter().enumerate();
            list.map(move |(index, requirement)| (expressions(term_at).index(index), requirement))
        })
        .collect()
}

fn expressions(term: usize) -> Path {
    Path::new("allowedTopologies").index(term).child("matchLabelExpressions")
}

fn topologies(class: &Value, errors: &mut Errors) {
    let terms = json::list(class, &["allowedTopologies"]);
    // Upstream's list starts with as many empty terms as there are terms, so that an empty one is always one too many.
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = vec![BTreeMap::new(); terms.len()];
    for (index, term) in terms.iter().enumerate() {
        if enough(errors) {
            return;
        }
        let mut keys = BTreeMap::new();
        for (at, requirement) in json::list(term, &["matchLabelExpressions"]).iter().enumerate() {
            let path = expressions(index).index(at);
            let key = json::text(requirement, &["key"]);
            let values = requirement_values(requirement, &path, errors);
            if keys.insert(key, values).is_some() {
                errors.push(FieldError::duplicate(&path.child("key"), key));
            }
        }
        for _ in seen.iter().filter(|before| **before == keys) {
            errors.push(FieldError::duplicate(&expressions(index), ""));
        }
        seen.push(keys);
    }
}

fn requirement_values<'a>(
    requirement: &'a Value,
    path: &Path,
    errors: &mut Errors,
) -> BTreeSet<&'a str> {
    let list = json::list(requirement, &["values"]);
    let at = path.child("values");
    if list.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    let mut values = BTreeSet::new();
    for (index, value) in list.iter().enumerate() {
        let text = value.as_str().unwrap_or("");
        if !values.insert(text) {
            errors.push(FieldError::duplicate(&at.index(index), text));
        }
    }
    let key = json::text(requirement, &["key"]);
    check::named(&path.child("key"), key, &names::qualified_name(key), errors);
    values
}

fn validate_capacity(capacity: &Value) -> Errors {
    let mut errors = Vec::new();
    let topology = capacity.get("nodeTopology").unwrap_or(&Value::Null);
    selector(topology, &Path::new("nodeTopology"), &mut errors);
    let class = json::text(capacity, &["storageClassName"]);
    let at = Path::new("storageClassName");
    check::named(&at, class, &names::dns1123_subdomain(class), &mut errors);
    let amount = json::at(capacity, &["capacity"]).and_then(resources::parse);
    if let Some(amount) = amount.filter(|amount| amount.is_negative()) {
        let at = Path::new("capacity");
        errors.push(FieldError::invalid(&at, &amount.to_string(), NOT_NEGATIVE));
    }
    errors
}
