//! Which constraints would let a pod in, for whoever asks without making one.
//!
//! Knows: what is told of constraints that let it in, and of others. Refuses to know: who asks.

use leme_access::Identity;
use leme_meta::{Status, quote};
use leme_registry::json;
use serde_json::{Value, json};

use super::{CONSTRAINTS, GROUP, allotted, fitted, may_use, order};
use crate::Facts;
use crate::lifecycle::NAMESPACES;

/// What constraints make of a pod.
pub struct Review(Result<Value, Value>);

impl Review {
    /// Whether they let it in.
    pub fn is_let_in(&self) -> bool {
        self.0.is_ok()
    }

    /// What is told of it.
    pub fn status(&self) -> &Value {
        match &self.0 {
            Ok(status) | Err(status) => status,
        }
    }

    /// The same.
    pub fn into_status(self) -> Value {
        match self.0 {
            Ok(status) | Err(status) => status,
        }
    }
}

/// What each of the constraints that one of these may use makes of a pod of a namespace, in the order in which they are
/// tried.
///
/// # Errors
/// Within, why nothing can be said of pods of that namespace.
pub fn review(
    namespace: &str,
    template: &Value,
    who: &[Identity],
    facts: &dyn Facts,
) -> Result<Result<Vec<Review>, String>, Status> {
    let space = facts.get(&NAMESPACES, "", namespace)?;
    let fetching = |why: String| format!("error fetching namespace {}: {why}", quote(namespace));
    let Some(space) = space else {
        return Ok(Err(fetching(format!("namespace {} not found", quote(namespace)))));
    };
    for name in [allotted::USERS, allotted::LABEL] {
        if json::at(&space, &["metadata", "annotations", name]).is_none() {
            return Ok(Err(fetching(format!("unable to find annotation {name}"))));
        }
    }
    let mut all = facts.list(&CONSTRAINTS, "")?;
    order::sort(&mut all);
    all.retain(|one| who.iter().any(|who| may_use(who, one, namespace, facts)));
    let reviewed = all.iter().map(|one| Ok(of(one, &allotted::filled(one, &space)?, template)));
    Ok(reviewed.collect())
}

fn of(stored: &Value, constraints: &Value, template: &Value) -> Review {
    let pod = json!({ "spec": template["spec"] });
    let Ok(pod) = fitted(constraints, &pod) else {
        return Review(Err(json!({ "reason": "CantAssignSecurityContextConstraintProvider" })));
    };
    let text = |field: &str| json::text(stored, &["metadata", field]);
    let mut status = json!({ "allowedBy": {
        "kind": "SecurityContextConstraints", "apiVersion": format!("{GROUP}/v1"),
        "name": text("name"), "uid": text("uid"), "resourceVersion": text("resourceVersion"),
    } });
    if !json::text(template, &["spec", "serviceAccountName"]).is_empty() {
        json::set(&mut status, "template", json!({ "spec": pod["spec"] }));
    }
    Review(Ok(status))
}
