//! The definitions of the kinds and the class for volumes that are directories, each made once.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use leme_meta::Object;
use leme_meta::local_path::{PROVISIONER, SNAPSHOTS_MADE};
use serde_json::json;

use super::{API_VERSION, DEFAULT_CLASS, VolumeSnapshotClass, definitions};
use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::annotation;

/// The class that is made for snapshots of directories.
pub const CLASS: &str = "local-path";

/// What is seen of what has to be there for snapshots.
#[derive(Debug)]
pub struct SetupObserved {
    /// Whether a node has room for volumes.
    pub room: bool,
    /// The namespace that remembers whether all was made.
    pub system: Option<Arc<Namespace>>,
    /// The names of all definitions.
    pub defined: BTreeSet<String>,
    /// Whether the kinds are served.
    pub served: bool,
    /// All classes.
    pub classes: Vec<Arc<VolumeSnapshotClass>>,
}

/// Makes what is missing once: who takes it away does not get it back.
pub fn plan(seen: &SetupObserved, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(system) = seen.system.as_ref().filter(|_| seen.room) else { return plan };
    if annotation(&system.metadata, SNAPSHOTS_MADE).is_some() {
        return plan;
    }
    for definition in definitions() {
        if !definition["metadata"]["name"].as_str().is_some_and(|name| seen.defined.contains(name))
        {
            plan.act(Action::Create { object: Object(definition), told: None });
        }
    }
    if !plan.actions.is_empty() || !seen.served {
        return plan;
    }
    if !seen.classes.iter().any(|class| class.metadata.name.as_deref() == Some(CLASS)) {
        let default = !seen.classes.iter().any(|class| {
            class.driver == PROVISIONER
                && annotation(&class.metadata, DEFAULT_CLASS) == Some("true")
        });
        plan.act(Action::Create {
            object: Object(json!({
                "apiVersion": API_VERSION, "kind": "VolumeSnapshotClass",
                "metadata": { "name": CLASS, "annotations": { DEFAULT_CLASS: default.to_string() } },
                "driver": PROVISIONER, "deletionPolicy": "Delete",
            })),
            told: None,
        });
    }
    let remember = json!({ "metadata": { "annotations": { SNAPSHOTS_MADE: "true" } } });
    plan.act(Action::patch(ObjectRef::to(system.as_ref()).any_version(), remember));
    plan
}
