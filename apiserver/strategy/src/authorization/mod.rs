//! RoleBindingRestrictions; roles and bindings by their older names.
//!
//! Knows: what a restriction must say, and how the older kinds become those of `rbac.authorization.k8s.io`. Refuses to
//! know: who may be bound, and who may do what.

pub mod convert;

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::Value;

use crate::check::Errors;
use crate::pod_spec;

pub(crate) static RESTRICTION: Strategy = Strategy {
    validate,
    generation: Some(Strategy::spec_changed),
    unconditional_update: false,
    ..Strategy::PLAIN
};

/// What a restriction may be of, the lists of which one must say something, and what is told if none does.
const PARTS: [(&str, &[&str], &str, &str); 3] = [
    (
        "userrestriction",
        &["users", "groups", "labels"],
        "users",
        "must specify at least one user, group, or label selector",
    ),
    (
        "grouprestriction",
        &["groups", "labels"],
        "groups",
        "must specify at least one group or label selector",
    ),
    (
        "serviceaccountrestriction",
        &["serviceaccounts", "namespaces"],
        "serviceaccounts",
        "must specify at least one service account or namespace",
    ),
];

fn validate(restriction: &Value) -> Errors {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let part = |name: &str| json::at(restriction, &["spec", name]);
    let mut given = PARTS.iter().map(|(name, ..)| *name).filter(|name| part(name).is_some());
    let why = "must specify exactly one of userrestriction, grouprestriction, or serviceaccountrestriction";
    match given.next() {
        None => errors.push(FieldError::required(&path.child("userrestriction"), why)),
        Some(first) => {
            for other in given {
                let both = format!("both {first} and {other} specified");
                errors.push(FieldError::invalid(&path.child(other), &both, why));
            }
        }
    }
    for (name, lists, missed, why) in PARTS {
        let Some(part) = part(name) else { continue };
        let path = path.child(name);
        if lists.iter().all(|list| json::list(part, &[list]).is_empty()) {
            errors.push(FieldError::required(&path.child(missed), why));
        }
        for (index, selector) in json::list(part, &["labels"]).iter().enumerate() {
            pod_spec::selector(selector, &path.child("selector").index(index), &mut errors);
        }
    }
    errors
}
