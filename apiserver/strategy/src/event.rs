//! Events.
//!
//! Knows: that an event lives where its object does. Refuses to know: how long it is kept.

use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json, meta, names};
use serde_json::Value;

use crate::check::{self, Errors};

pub(crate) static STRATEGY: Strategy = Strategy {
    name: meta::subdomain_name,
    prepare_create: |_, _| {},
    prepare_update: |_, _, _| {},
    validate,
    create_on_update: true,
    ..Strategy::PLAIN
};

fn validate(event: &Value) -> Errors {
    let mut errors = Vec::new();
    let namespace = json::text(event, &["metadata", "namespace"]);
    let involved = json::text(event, &["involvedObject", "namespace"]);
    let at = Path::new("involvedObject").child("namespace");
    let fits = if involved.is_empty() {
        matches!(namespace, "" | "default")
    } else {
        involved == namespace
    };
    if !fits {
        errors.push(FieldError::invalid(&at, involved, "does not match event.namespace"));
    }
    if json::text(event, &["eventTime"]).is_empty() {
        return errors;
    }
    let root = Path::default();
    check::required_name(event, "reportingComponent", &root, names::qualified_name, &mut errors);
    for error in &mut errors {
        if error.field == "reportingComponent" {
            error.field = "reportingController".to_owned();
        }
    }
    check::required(event, "reportingInstance", &root, &mut errors);
    check::required(event, "action", &root, &mut errors);
    check::required(event, "reason", &root, &mut errors);
    for (field, most) in
        [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)]
    {
        let text = json::text(event, &[field]);
        if text.len() > most {
            let why = format!("can have at most {most} characters");
            errors.push(FieldError::invalid(&root.child(field), text, &why));
        }
    }
    errors
}
