//! ResourceQuotas.
//!
//! Knows: what can be limited, and of which objects. Refuses to know: how much of it is used.

use leme_meta::quote;
use std::collections::BTreeSet;

use leme_meta::{FieldError, Path};
use leme_registry::meta::Raw;
use leme_registry::{Strategy, json};
use serde_json::Value;

use crate::check::{self, Errors};
use crate::pod_spec::resources;

/// Scopes, which are of pods except the last.
const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    OF_CLAIMS,
];

/// The scope of claims.
const OF_CLAIMS: &str = "VolumeAttributesClass";

/// Scopes that a pod is in or not, so that nothing but `Exists` can be asked of them.
const FLAGS: [&str; 5] =
    ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];

/// Scopes that no pod is in at once.
const CONFLICTS: [[&str; 2]; 2] =
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// What pods are given that has a part in quotas of pods.
const OF_PODS: [&str; 6] =
    ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

pub(crate) static STRATEGY: Strategy = Strategy {
    default: |quota| {
        for map in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
            resources::round_up(quota, &map);
        }
    },
    validate: |quota| {
        let mut errors = Vec::new();
        spec(quota.get("spec").unwrap_or(&Value::Null), &Path::new("spec"), &mut errors);
        errors
    },
    validate_update: |new, old| {
        let set = |quota| -> BTreeSet<String> {
            let scopes = json::list(quota, &["spec", "scopes"]).iter();
            scopes.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if set(new) == set(old) {
            return Vec::new();
        }
        let at = Path::new("spec").child("scopes");
        let shown = json::at(new, &["spec", "scopes"]).unwrap_or(&Value::Null);
        vec![FieldError::invalid(&at, shown, "field is immutable")]
    },
    validate_status: |new, _| {
        let status = new.get("status").unwrap_or(&Value::Null);
        let mut errors = Vec::new();
        for map in ["hard", "used"] {
            amounts(status, map, &Path::new("status"), &mut errors);
        }
        errors
    },
    returns_deleted: true,
    ..Strategy::PLAIN
};

/// All that is wrong with what a quota asks for.
pub(crate) fn spec(spec: &Value, path: &Path, errors: &mut Errors) {
    amounts(spec, "hard", path, errors);
    scopes(spec, path, errors);
    selector(spec, &path.child("scopeSelector"), errors);
}

/// All that is wrong with a map of amounts.
pub(crate) fn amounts(of: &Value, map: &str, path: &Path, errors: &mut Errors) {
    for (name, amount) in json::entries(of, &[map]) {
        let at = path.child(map).key(name);
        resources::quota_name(name, &at, errors);
        resources::amount(name, amount, &at, errors);
    }
}

/// Whether a scope says anything of a resource that quotas know.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        OF_CLAIMS => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if SCOPES.contains(&scope) => resource == "pods" || OF_PODS.contains(&resource),
        _ => true,
    }
}

/// The limited resources that a scope says nothing of.
fn strange<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = &'a str> {
    let names = json::entries(spec, &["hard"]).map(|(name, _)| name);
    names.filter(move |name| resources::is_of_quotas(name) && !fits(scope, name))
}

fn scopes(spec: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("scopes");
    let list = json::list(spec, &["scopes"]);
    let shown = spec.get("scopes").unwrap_or(&Value::Null);
    let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, shown, why));
    let names: Vec<&str> = list.iter().map(|scope| scope.as_str().unwrap_or("")).collect();
    for scope in &names {
        if !SCOPES.contains(scope) {
            refuse("unsupported scope");
        }
        strange(spec, scope).for_each(|_| refuse("unsupported scope applied to resource"));
    }
    conflicts(&names).for_each(|()| refuse("conflicting scopes"));
}

fn conflicts(names: &[&str]) -> impl Iterator<Item = ()> {
    CONFLICTS.iter().filter(|pair| pair.iter().all(|one| names.contains(one))).map(|_| ())
}

fn selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let list = json::list(spec, &["scopeSelector", "matchExpressions"]);
    let path = path.child("matchExpressions");
    let mut names = Vec::new();
    for requirement in list {
        let scope = json::text(requirement, &["scopeName"]);
        names.push(scope);
        if !SCOPES.contains(&scope) {
            let at = path.child("scopeName");
            errors.push(FieldError::invalid(&at, scope, "unsupported scope"));
        }
        for _ in strange(spec, scope) {
            let why = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(&path, shown(list), why));
        }
        self::requirement(requirement, scope, &path, errors);
    }
    for () in conflicts(&names) {
        // Upstream shows the other field.
        let shown = spec.get("scopes").unwrap_or(&Value::Null);
        errors.push(FieldError::invalid(&path, shown, "conflicting scopes"));
    }
}

fn requirement(requirement: &Value, scope: &str, path: &Path, errors: &mut Errors) {
    let operator = json::text(requirement, &["operator"]);
    let operator_at = path.child("operator");
    if FLAGS.contains(&scope) && operator != "Exists" {
        let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(FieldError::invalid(&operator_at, operator, why));
    }
    let values = json::list(requirement, &["values"]);
    let at = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            let why =
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(FieldError::required(&at, why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why =
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(FieldError::invalid(&at, &requirement["values"], why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            errors.push(FieldError::invalid(&operator_at, other, "not a valid selector operator"));
        }
    }
}

/// A selector as upstream shows its own struct.
fn shown(requirements: &[Value]) -> Raw<String> {
    let one = |requirement: &Value| {
        let field = |name: &str| quote(json::text(requirement, &[name]));
        check::go_struct(&[
            ("ScopeName", field("scopeName")),
            ("Operator", field("operator")),
            ("Values", check::go_field(requirement, &["values"])),
        ])
        .0
    };
    let all: Vec<String> = requirements.iter().map(one).collect();
    check::go_struct(&[("MatchExpressions", format!("[{}]", all.join(",")))])
}
