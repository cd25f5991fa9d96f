//! The definitions of the kinds and the class, each made once: who takes one away does not get it back, and definitions that
//! are there already are left as they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use leme_meta::Object;
use leme_meta::gateway::{CLASS, CONTROLLER, MADE};
use serde_json::json;

use super::definitions::unowned;
use super::{API_VERSION, definitions};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::annotation;

/// What is seen of what has to be there for Gateways.
#[derive(Debug)]
pub struct SetupObserved {
    /// Whether there is a node, and so a router.
    pub nodes: bool,
    /// The namespace that remembers whether all was made.
    pub system: Option<Arc<Namespace>>,
    /// The names of all definitions.
    pub defined: BTreeSet<String>,
    /// Whether classes are served.
    pub served: bool,
    /// The names of all classes.
    pub classes: BTreeSet<String>,
}

/// Makes what is missing once.
pub fn plan(seen: &SetupObserved, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(system) = seen.system.as_ref().filter(|_| seen.nodes) else { return plan };
    if annotation(&system.metadata, MADE).is_some() {
        return plan;
    }
    for definition in definitions() {
        let name = definition.name().to_owned();
        if seen.defined.contains(&name) {
            continue;
        }
        let made = ObjectRef {
            api_version: "apiextensions.k8s.io/v1".to_owned(),
            kind: "CustomResourceDefinition".to_owned(),
            name,
            ..ObjectRef::default()
        };
        plan.act(Action::Create { object: definition, told: None });
        plan.act(Action::patch(made, json!({ "metadata": { "managedFields": unowned() } })));
    }
    if !plan.actions.is_empty() || !seen.served {
        return plan;
    }
    if !seen.classes.contains(CLASS) {
        plan.act(Action::Create {
            object: Object(json!({
                "apiVersion": API_VERSION, "kind": "GatewayClass",
                "metadata": { "name": CLASS },
                "spec": { "controllerName": CONTROLLER,
                    "description": "Gateways that the router of this cluster serves." },
            })),
            told: None,
        });
    }
    let remember = json!({ "metadata": { "annotations": { MADE: "true" } } });
    plan.act(Action::patch(ObjectRef::to(system.as_ref()).any_version(), remember));
    plan
}
