//! Resources of a pod as a whole, which its containers share.
//!
//! Knows: which resources a pod may have, and how they stand to those of its containers. Refuses to know: who holds a pod
//! to them.

use std::collections::BTreeSet;

use leme_meta::quantity::Quantity;
use leme_meta::{FieldError, Path};
use leme_registry::amounts::{Amounts, of_containers};
use leme_registry::json;
use serde_json::Value;

use super::{claims, resources};
use crate::check::Errors;

const SUPPORTED: [&str; 3] = ["cpu", "hugepages-", "memory"];

/// Whether a pod as a whole may have a resource.
fn is_supported(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || resources::is_huge(name)
}

/// Whether a pod asks for anything as a whole.
pub(crate) fn asks(spec: &Value) -> bool {
    ["requests", "limits"]
        .iter()
        .any(|which| json::entries(spec, &["resources", which]).any(|(name, _)| is_supported(name)))
}

fn amounts(of: &Value, which: &str) -> Amounts {
    leme_registry::amounts::amounts(json::at(of, &["resources", which]))
}

/// Fills what a pod that asks for something as a whole does not say: limits of huge pages and requests, after what its
/// containers ask for, and requests that nobody has after its limits.
pub(super) fn fill(spec: &mut Value) {
    let [mut requests, mut limits] = ["requests", "limits"].map(|which| amounts(spec, which));
    if requests.is_empty() && limits.is_empty() {
        return;
    }
    for (name, amount) in of_containers(spec, "limits") {
        if resources::is_huge(&name) && !requests.contains_key(&name) {
            set(spec, "limits", &name, &amount, &mut limits);
        }
    }
    if limits.is_empty() {
        return;
    }
    for (name, amount) in of_containers(spec, "requests") {
        if is_supported(&name) && resources::overcommit(&name) {
            set(spec, "requests", &name, &amount, &mut requests);
        }
    }
    for (name, amount) in &limits {
        if is_supported(name) {
            set(spec, "requests", name, amount, &mut requests);
        }
    }
}

/// Sets an amount that is not there.
fn set(spec: &mut Value, which: &str, name: &str, amount: &Quantity, known: &mut Amounts) {
    if known.contains_key(name) {
        return;
    }
    known.insert(name.to_owned(), *amount);
    let into = json::child(json::child(spec, "resources"), which);
    json::set(into, name, amount.to_string());
}

/// Checks the resources of a pod spec; `of_pod` are its claims to devices.
pub(super) fn validate(spec: &Value, of_pod: &BTreeSet<&str>, path: &Path, errors: &mut Errors) {
    let Some(own) = json::at(spec, &["resources"]) else { return };
    let path = path.child("resources");
    if json::text(spec, &["os", "name"]) == "windows" {
        errors.push(FieldError::forbidden(&path, "may not be set for a windows pod"));
        return;
    }
    if json::at(own, &["claims"]).is_some() {
        let why = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&path.child("claims"), why));
    }
    resources::validate_as(own, name, &path, errors);
    claims::named(own, of_pod, &path, errors);
    consistent(spec, &path, errors);
}

fn name(name: &str, path: &Path, errors: &mut Errors) {
    let before = errors.len();
    resources::name(name, path, errors);
    if errors.len() == before && !is_supported(name) {
        errors.push(FieldError::not_supported(path, name, &SUPPORTED));
    }
}

/// Checks that what the containers have fits into what the pod has.
fn consistent(spec: &Value, path: &Path, errors: &mut Errors) {
    let [requests, limits] = ["requests", "limits"].map(|which| amounts(spec, which));
    let mut fits = |which: &str, own: &Amounts, counts: fn(&str) -> bool| {
        for (name, sum) in of_containers(spec, which) {
            if let Some(own) = own.get(&name).filter(|own| counts(&name) && sum > **own) {
                let why = format!(
                    "must be greater than or equal to aggregate container {which} of {sum}"
                );
                let at = path.child(which).key(&name);
                errors.push(FieldError::invalid(&at, &own.to_string(), &why));
            }
        }
    };
    fits("requests", &requests, |_| true);
    fits("limits", &limits, resources::is_huge);
    for (index, container) in json::list(spec, &["containers"]).iter().enumerate() {
        for (name, limit) in amounts(container, "limits") {
            if let Some(own) = limits.get(&name).filter(|own| limit > **own) {
                // Upstream's own path, which names nothing that is there.
                let at = path.child("containers").index(index).key(&name).child("limits");
                let why = format!("must be less than or equal to pod limits of {own}");
                errors.push(FieldError::invalid(&at, &limit.to_string(), &why));
            }
        }
    }
}
