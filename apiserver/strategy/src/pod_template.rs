//! PodTemplates: a template that others copy.
//!
//! Knows: that it is a pod's. Refuses to know: who copies it.

use leme_meta::Path;
use leme_registry::{Strategy, json};
use serde_json::Value;

use crate::pod_spec::{self, defaults};

pub(crate) static STRATEGY: Strategy = Strategy {
    switched_off: crate::pod_spec::gates::of_template,
    default: |object| {
        json::child(object, "template");
        defaults::fill_template(object, "template");
    },
    validate: |object| pod_spec::validate_template(template(object), &Path::new("template")),
    warn: |object, old| match old {
        Some(old) if template(old) == template(object) => Vec::new(),
        _ => pod_spec::warnings::of(template(object), &Path::new("template")),
    },
    generation: Some(|new, old| template(new) != template(old)),
    returns_deleted: true,
    ..Strategy::PLAIN
};

fn template(object: &Value) -> &Value {
    object.get("template").unwrap_or(&Value::Null)
}
