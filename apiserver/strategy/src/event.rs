//! Events.
//!
//! Knows: that an event lives where its object does. Refuses to know: how long it is kept.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

/// By the names of the core group, which is how they are kept.
pub(crate) static STRATEGY: Strategy = OF_EVENTS;

const OF_EVENTS: Strategy =
    Strategy { name: meta::subdomain_name, validate, create_on_update: true, ..Strategy::PLAIN };

/// By the names of `events.k8s.io`, whose rules are stricter.
pub(crate) static NEWER: Strategy =
    Strategy { validate_create: validate_new, validate_update, ..OF_EVENTS };

/// Fields that `events.k8s.io` no longer has a use for, and what tells that they are set.
const OLD: &[(&str, &[&str])] = &[
    ("firstTimestamp", &[]),
    ("lastTimestamp", &[]),
    ("count", &[]),
    ("source", &["component", "host"]),
];

fn validate_new(event: &Value) -> Errors {
    let root = Path::default();
    let mut errors = series(event);
    if json::text(event, &["eventTime"]).is_empty() {
        errors.push(FieldError::required(&root.child("eventTime"), ""));
    }
    let type_ = json::text(event, &["type"]);
    if !matches!(type_, "Normal" | "Warning") {
        let why = format!("has invalid value: {type_}");
        errors.push(FieldError::invalid(&root.child("type"), "", &why));
    }
    for (field, parts) in OLD {
        let set = match parts {
            [] => event.get(field).is_some_and(|value| !value.is_null() && *value != 0),
            parts => parts.iter().any(|part| !json::text(event, &[field, part]).is_empty()),
        };
        if set {
            errors.push(FieldError::invalid(&root.child(field), "", "needs to be unset"));
        }
    }
    errors
}

fn series(event: &Value) -> Errors {
    let Some(series) = event.get("series").filter(|series| series.is_object()) else {
        return Errors::new();
    };
    let mut errors = Errors::new();
    if json::int(series, &["count"]).unwrap_or(0) < 2 {
        errors.push(FieldError::invalid(&Path::new("series.count"), "", "should be at least 2"));
    }
    if json::text(series, &["lastObservedTime"]).is_empty() {
        errors.push(FieldError::required(&Path::new("series.lastObservedTime"), ""));
    }
    errors
}

/// Fields that stay as they are, by the names in errors and those under which they are kept.
const FIXED: &[(&str, &str)] = &[
    ("involvedObject", "involvedObject"),
    ("reason", "reason"),
    ("message", "message"),
    ("source", "source"),
    ("firstTimestamp", "firstTimestamp"),
    ("lastTimestamp", "lastTimestamp"),
    ("count", "count"),
    ("reason", "reason"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingController", "reportingComponent"),
    ("reportingInstance", "reportingInstance"),
];

fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors =
        if new.get("series") == old.get("series") { Errors::new() } else { series(new) };
    for (name, field) in FIXED {
        // Indexing tells no difference between null and nothing.
        let value = &new[*field];
        if *value == old[*field] {
            continue;
        }
        errors.push(FieldError::invalid(&Path::new(name), value, "field is immutable"));
    }
    errors
}

fn validate(event: &Value) -> Errors {
    let mut errors = Vec::new();
    let namespace = json::text(event, &["metadata", "namespace"]);
    let involved = json::text(event, &["involvedObject", "namespace"]);
    let at = Path::new("involvedObject").child("namespace");
    let timed = !json::text(event, &["eventTime"]).is_empty();
    let fits = match (involved, timed) {
        ("", true) => matches!(namespace, "default" | "kube-system"),
        ("", false) => matches!(namespace, "" | "default"),
        (_, true) => true,
        (involved, false) => involved == namespace,
    };
    if !fits {
        errors.push(FieldError::invalid(&at, involved, "does not match event.namespace"));
    }
    if !timed {
        return errors;
    }
    let root = Path::default();
    let (at, reporter) =
        (root.child("reportingController"), json::text(event, &["reportingComponent"]));
    if reporter.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    // Upstream holds an empty name against the rule as well.
    check::named(&at, reporter, &names::qualified_name(reporter), &mut errors);
    for (field, most) in
        [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)]
    {
        let text = json::text(event, &[field]);
        if text.is_empty() && field != "message" {
            errors.push(FieldError::required(&root.child(field), ""));
        }
        if text.len() > most {
            let why = format!("can have at most {most} characters");
            errors.push(FieldError::invalid(&root.child(field), "", &why));
        }
    }
    errors
}
