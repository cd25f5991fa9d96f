//! Deployments.
//!
//! Knows: strategies and their limits. Refuses to know: how a rollout proceeds.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Scale, Strategy, json, meta};
use serde_json::Value;

use super::{collisions, replicated, unknown_strategy, within};
use crate::check::{self, Errors};
use crate::pod_spec::defaults;
use crate::{int_or_percent, replication_controller};

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    default,
    prepare_status,
    kept_by_status: &[&["spec"], &["metadata", "labels"]],
    validate,
    validate_update: |new, old| {
        meta::immutable(new, old, &["spec", "selector"]).into_iter().collect()
    },
    validate_status,
    warn: replication_controller::warn,
    generation: Some(changed),
    scale: Some(Scale::BY_SELECTOR),
    ..Strategy::PLAIN
};

/// Annotations count as well: they are handed down to the ReplicaSets.
fn changed(new: &Value, old: &Value) -> bool {
    let annotations = |object| json::at(object, &["metadata", "annotations"]).cloned();
    Strategy::spec_changed(new, old) || annotations(new) != annotations(old)
}

fn default(deployment: &mut Value) {
    let spec = json::child(deployment, "spec");
    json::default(spec, "replicas", 1);
    let strategy = json::child(spec, "strategy");
    json::default(strategy, "type", "RollingUpdate");
    if json::text(strategy, &["type"]) == "RollingUpdate" {
        let rolling = json::child(strategy, "rollingUpdate");
        json::default(rolling, "maxUnavailable", "25%");
        json::default(rolling, "maxSurge", "25%");
    }
    json::default(spec, "revisionHistoryLimit", 10);
    json::default(spec, "progressDeadlineSeconds", 600);
    json::child(spec, "template");
    defaults::fill_template(spec, "template");
}

fn prepare_status(new: &mut Value, old: &Value, _: &Context) {
    if let Some(metadata) = old.get("metadata") {
        json::keep(json::child(new, "metadata"), metadata, "labels");
    }
}

fn validate(deployment: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = deployment.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    check::not_negative(spec, &["replicas"], &path, &mut errors);
    replicated(spec, &path, &mut errors);
    strategy(spec.get("strategy").unwrap_or(&Value::Null), &path.child("strategy"), &mut errors);
    let limits = ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
    check::not_negative(spec, &limits, &path, &mut errors);
    let deadline = json::int(spec, &["progressDeadlineSeconds"]);
    if let Some(deadline) =
        deadline.filter(|deadline| *deadline <= json::int(spec, &["minReadySeconds"]).unwrap_or(0))
    {
        let at = path.child("progressDeadlineSeconds");
        errors.push(FieldError::invalid(&at, deadline, "must be greater than minReadySeconds"));
    }
    errors
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let rolling = json::at(strategy, &["rollingUpdate"]);
    let at = path.child("rollingUpdate");
    match (json::text(strategy, &["type"]), rolling) {
        ("Recreate", None) => {}
        ("Recreate", Some(_)) => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(&at, why));
        }
        ("RollingUpdate", None) => {
            errors.push(FieldError::required(&at, "this should be defaulted and never be nil"));
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(rolling, &at, errors),
        (other, rolling) => {
            let shown = unknown_strategy(other, rolling);
            let known = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(path, shown, &known));
        }
    }
}

fn rolling_update(rolling: &Value, path: &Path, errors: &mut Errors) {
    let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
    let at = path.child("maxUnavailable");
    int_or_percent::validate(unavailable, &at, errors);
    int_or_percent::validate(surge, &path.child("maxSurge"), errors);
    if int_or_percent::amount(unavailable) == 0 && int_or_percent::amount(surge) == 0 {
        let shown = unavailable.cloned().unwrap_or(0.into());
        errors.push(FieldError::invalid(&at, &shown, "may not be 0 when `maxSurge` is 0"));
    }
    int_or_percent::at_most_all(unavailable, &at, errors);
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ];
    check::not_negative(status, &counts, &path, &mut errors);
    let pairs = [
        ("updatedReplicas", "replicas", "status.replicas"),
        ("readyReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "replicas", "status.replicas"),
        ("availableReplicas", "readyReplicas", "readyReplicas"),
    ];
    within(status, &pairs, &path, &mut errors);
    collisions(new, old, &mut errors);
    errors
}
