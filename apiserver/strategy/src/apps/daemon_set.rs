//! DaemonSets.
//!
//! Knows: update strategies, and the count of templates that an annotation keeps. Refuses to know: which nodes there are.

use leme_meta::{FieldError, Path};
use leme_registry::{Context, Strategy, json, meta};
use serde_json::Value;

use super::{collisions, endless, matching, read_selector, selects, unknown_strategy};
use crate::check::{self, Errors};
use crate::pod_spec::{self, defaults};
use crate::{int_or_percent, replication_controller};

/// How often the template has changed, in an annotation since the field is gone.
const TEMPLATES: &str = "deprecated.daemonset.template.generation";

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_workload,
    decode: |set| match json::text(set, &["metadata", "annotations", TEMPLATES]) {
        "" => Ok(()),
        text => leme_meta::query::int(text).map(|_| ()),
    },
    default,
    prepare_create: |set, _| {
        json::remove(set, "status");
        let counted = templates(set).max(1);
        set_templates(set, counted);
    },
    prepare_update,
    validate,
    validate_update: |new, old| {
        meta::immutable(new, old, &["spec", "selector"]).into_iter().collect()
    },
    validate_status,
    warn: replication_controller::warn_template,
    generation: Some(Strategy::spec_changed),
    ..Strategy::PLAIN
};

fn templates(set: &Value) -> i64 {
    json::text(set, &["metadata", "annotations", TEMPLATES]).parse().unwrap_or(0)
}

fn set_templates(set: &mut Value, count: i64) {
    let annotations = json::child(json::child(set, "metadata"), "annotations");
    json::set(annotations, TEMPLATES, count.to_string());
}

fn default(set: &mut Value) {
    let spec = json::child(set, "spec");
    let strategy = json::child(spec, "updateStrategy");
    json::default(strategy, "type", "RollingUpdate");
    if json::text(strategy, &["type"]) == "RollingUpdate" {
        let rolling = json::child(strategy, "rollingUpdate");
        json::default(rolling, "maxUnavailable", 1);
        json::default(rolling, "maxSurge", 0);
    }
    json::default(spec, "revisionHistoryLimit", 10);
    json::child(spec, "template");
    defaults::fill_template(spec, "template");
}

/// Counts the template if it is another one, whatever the client says of the count.
fn prepare_update(new: &mut Value, old: &Value, _: &Context) {
    json::keep(new, old, "status");
    let template = |set| json::at(set, &["spec", "template"]).cloned();
    let changed = template(new) != template(old);
    set_templates(new, templates(old).saturating_add(i64::from(changed)));
}

fn validate(set: &Value) -> Errors {
    let path = Path::new("spec");
    let spec = set.get("spec").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let given = json::at(spec, &["selector"]);
    if let Some(given) = given {
        pod_spec::selector(given, &path.child("selector"), &mut errors);
    }
    if let Ok(selector) = read_selector(spec) {
        matching(&selector, spec, &path, &mut errors);
    }
    if let Some(given) = given {
        selects(given, "daemonset", &path.child("selector"), &mut errors);
    }
    let template = spec.get("template").unwrap_or(&Value::Null);
    errors.extend(pod_spec::validate_template(template, &path.child("template")));
    endless(spec, "DaemonSet", &path, &mut errors);
    check::not_negative(spec, &["minReadySeconds"], &path, &mut errors);
    update_strategy(
        spec.get("updateStrategy").unwrap_or(&Value::Null),
        &path.child("updateStrategy"),
        &mut errors,
    );
    check::not_negative(spec, &["revisionHistoryLimit"], &path, &mut errors);
    errors
}

fn update_strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let rolling = json::at(strategy, &["rollingUpdate"]);
    match (json::text(strategy, &["type"]), rolling) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => {
            errors.push(FieldError::required(&path.child("rollingUpdate"), ""));
        }
        ("RollingUpdate", Some(rolling)) => {
            rolling_update(rolling, &path.child("rollingUpdate"), errors);
        }
        (other, rolling) => {
            let shown = unknown_strategy(other, rolling);
            let known = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(path, shown, &known));
        }
    }
}

/// Pods of a node are replaced either after they are gone or before: exactly one of the limits is set.
fn rolling_update(rolling: &Value, path: &Path, errors: &mut Errors) {
    let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
    let (at_unavailable, at_surge) = (path.child("maxUnavailable"), path.child("maxSurge"));
    int_or_percent::validate(unavailable, &at_unavailable, errors);
    int_or_percent::validate(surge, &at_surge, errors);
    int_or_percent::at_most_all(unavailable, &at_unavailable, errors);
    int_or_percent::at_most_all(surge, &at_surge, errors);
    match (int_or_percent::amount(unavailable), int_or_percent::amount(surge)) {
        (0, 0) => {
            let why = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(&at_unavailable, why));
        }
        (0, _) | (_, 0) => {}
        _ => {
            let why = "may not be set when maxUnavailable is non-zero";
            let surge = surge.unwrap_or(&Value::Null);
            errors.push(FieldError::invalid(&at_surge, surge, why));
        }
    }
}

fn validate_status(new: &Value, old: &Value) -> Errors {
    let path = Path::new("status");
    let status = new.get("status").unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    let counts = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    check::not_negative(status, &counts, &path, &mut errors);
    collisions(new, old, &mut errors);
    errors
}
