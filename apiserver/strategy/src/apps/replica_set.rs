//! ReplicaSets.
//!
//! Knows: that the selector must match the template. Refuses to know: how many pods there are.

use leme_meta::Path;
use leme_registry::{Scale, Strategy, json, meta};
use serde_json::Value;

use super::replicated;
use crate::check::{self, Errors};
use crate::pod_spec::defaults;
use crate::replication_controller;

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    default: |set| {
        let spec = json::child(set, "spec");
        json::default(spec, "replicas", 1);
        json::child(spec, "template");
        defaults::fill_template(spec, "template");
    },
    validate,
    validate_update: |new, old| {
        meta::immutable(new, old, &["spec", "selector"]).into_iter().collect()
    },
    validate_status: replication_controller::validate_status,
    warn: replication_controller::warn,
    generation: Some(Strategy::spec_changed),
    scale: Some(Scale::BY_SELECTOR),
    ..Strategy::PLAIN
};

fn validate(set: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    check::not_negative(spec, &["replicas", "minReadySeconds"], &path, &mut errors);
    replicated(spec, &path, &mut errors);
    errors
}
