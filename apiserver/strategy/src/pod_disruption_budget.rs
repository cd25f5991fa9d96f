//! PodDisruptionBudgets.
//!
//! Knows: the form of a budget. Refuses to know: which pods it is for, and whether one may go.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta};
use serde_json::{Value, json};

use crate::check::{self, Errors};
use crate::{conditions, int_or_percent, pod_spec};

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::segment_name,
    validate,
    validate_status,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

fn validate(budget: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = budget.get("spec").unwrap_or(&Value::Null);
    let limits = ["minAvailable", "maxUnavailable"];
    let mut errors = Vec::new();
    if limits.iter().all(|field| json::at(spec, &[field]).is_some()) {
        let shown = check::go_struct(&[
            ("MinAvailable", check::go_field(spec, &["minAvailable"])),
            ("Selector", check::go_field(spec, &["selector"])),
            ("MaxUnavailable", check::go_field(spec, &["maxUnavailable"])),
            ("UnhealthyPodEvictionPolicy", check::go_field(spec, &["unhealthyPodEvictionPolicy"])),
        ]);
        let why = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(&path, shown, why));
    }
    for field in limits {
        let (limit, at) = (json::at(spec, &[field]), path.child(field));
        if limit.is_some() {
            int_or_percent::validate(limit, &at, &mut errors);
            int_or_percent::at_most_all(limit, &at, &mut errors);
        }
    }
    if let Some(selector) = json::at(spec, &["selector"]) {
        pod_spec::selector(selector, &path.child("selector"), &mut errors);
    }
    if let Some(policy) = json::at(spec, &["unhealthyPodEvictionPolicy"]).and_then(Value::as_str) {
        let known = ["AlwaysAllow", "IfHealthyBudget"];
        if !known.contains(&policy) {
            let at = path.child("unhealthyPodEvictionPolicy");
            errors.push(FieldError::not_supported(&at, policy, &known));
        }
    }
    errors
}

fn validate_status(new: &Value, _: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let list = json::list(status, &["conditions"]);
    conditions::validate(list, &path.child("conditions"), &mut errors);
    let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    check::not_negative(status, &counts, &path, &mut errors);
    errors
}

/// Says in a selector that it is empty in the beta, or not in the version that is kept: it is of no pod there, of all here.
const EMPTY: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

/// A budget of the beta as it is kept.
pub(crate) fn from_beta(budget: &mut Value) {
    json::set(budget, "apiVersion", "policy/v1");
    swap(budget, "Exists", "DoesNotExist");
}

/// A budget as the beta shows it.
pub(crate) fn to_beta(budget: &mut Value) {
    json::set(budget, "apiVersion", "policy/v1beta1");
    swap(budget, "DoesNotExist", "Exists");
}

/// What an empty selector becomes, and what becomes one.
fn swap(budget: &mut Value, of_empty: &str, to_empty: &str) {
    let by =
        |operator: &str| json!({ "matchExpressions": [{ "key": EMPTY, "operator": operator }] });
    let Some(selector) = json::at_mut(budget, &["spec", "selector"]) else { return };
    if *selector == json!({}) {
        *selector = by(of_empty);
    } else if *selector == by(to_empty) {
        *selector = json!({});
    }
}
