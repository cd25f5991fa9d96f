//! RoleBindings and ClusterRoleBindings: subjects, and the role that stays.
//!
//! Knows: the groups and namespaces of subjects. Refuses to know: whether there is such a role or subject.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, names};
use serde_json::{Value, json};

use super::{GROUP, PLAIN};
use crate::check::{self, Errors};

pub(crate) static ROLE_BINDING: Strategy =
    Strategy { default, validate: |binding| validate(binding, true), validate_update, ..PLAIN };

pub(crate) static CLUSTER_ROLE_BINDING: Strategy =
    Strategy { default, validate: |binding| validate(binding, false), validate_update, ..PLAIN };

fn default(binding: &mut Value) {
    json::default(json::child(binding, "roleRef"), "apiGroup", GROUP);
    for subject in json::list_mut(binding, &["subjects"]) {
        if subject.is_object() && matches!(json::text(subject, &["kind"]), "User" | "Group") {
            json::default(subject, "apiGroup", GROUP);
        }
    }
}

fn validate(binding: &Value, namespaced: bool) -> Errors {
    let mut errors = Vec::new();
    let path = Path::new("roleRef");
    let role = binding.get("roleRef").unwrap_or(&Value::Null);
    let group = json::text(role, &["apiGroup"]);
    if group != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = json::text(role, &["kind"]);
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
    }
    check::required_name(role, "name", &path, names::path_segment_name, &mut errors);
    for (index, one) in json::list(binding, &["subjects"]).iter().enumerate() {
        subject(one, namespaced, &Path::new("subjects").index(index), &mut errors);
    }
    errors
}

fn subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut Errors) {
    let name = check::required(subject, "name", path, errors);
    let group = json::text(subject, &["apiGroup"]);
    let of_group = |wanted: &str, errors: &mut Errors| {
        if group != wanted {
            errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[wanted]));
        }
    };
    match json::text(subject, &["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                let wrong = names::dns1123_subdomain(name);
                check::named(&path.child("name"), name, &wrong, errors);
            }
            of_group("", errors);
            if !namespaced {
                check::required(subject, "namespace", path, errors);
            }
        }
        "User" | "Group" => of_group(GROUP, errors),
        other => {
            let known = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), other, &known));
        }
    }
}

/// Which role is bound is for good: a binding must be made anew for another.
fn validate_update(new: &Value, old: &Value) -> Errors {
    let role = |binding: &Value| {
        let text = |field| json::text(binding, &["roleRef", field]).to_owned();
        // Upstream shows the fields under their names in Go.
        json!({ "APIGroup": text("apiGroup"), "Kind": text("kind"), "Name": text("name") })
    };
    let (new, old) = (role(new), role(old));
    if new == old {
        return Vec::new();
    }
    vec![FieldError::invalid(&Path::new("roleRef"), &new, "cannot change roleRef")]
}
