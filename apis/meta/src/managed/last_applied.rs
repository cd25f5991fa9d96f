//! The annotation of client-side apply: what it lets `kubectl` take over without a conflict, and what it becomes.
//!
//! Knows: the annotation. Refuses to know: how a configuration is applied.

use serde_json::Value;

use super::Request;
use super::compare::compare;
use super::schema::Schema;
use super::set::FieldSet;
use super::walk::{fields, misfits};
use crate::object;

/// The annotation.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How many bytes the annotations of an object may have.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The manager whose objects have the annotation.
const KUBECTL: &str = "kubectl";

/// The annotation of an object.
fn annotation(object: &Value) -> Option<&str> {
    let text = object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The configuration that client-side apply left in an object, where it counts: only `kubectl` takes it over.
pub(super) fn left_behind<S>(request: &Request<'_, S>, live: &Value) -> Option<Value> {
    if request.manager != KUBECTL {
        return None;
    }
    let config: Value = serde_json::from_str(annotation(live)?).ok()?;
    let api_version = config.get("apiVersion").and_then(Value::as_str);
    (config.is_object() && api_version == Some(request.api_version)).then_some(config)
}

/// The fields that still are what client-side apply made them.
pub(super) fn still_its_own<'a, 's: 'a, S: Schema<'s>>(
    schema: S,
    config: &'a Value,
    live: &'a Value,
) -> Option<FieldSet<'a>> {
    if !misfits(schema, live).is_empty() || !misfits(schema, config).is_empty() {
        return None;
    }
    let changes = compare(schema, Some(config), live).ok()?;
    Some(
        fields(schema, config)
            .difference(&changes.modified)
            .difference(&changes.added)
            .difference(&changes.removed),
    )
}

/// Brings the annotation of an object up to date that `kubectl` has applied a configuration to.
pub(super) fn follow<S>(request: &Request<'_, S>, config: &Value, object: &mut Value) {
    if request.manager != KUBECTL || annotation(object).is_none() {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) = annotations_mut(&mut config) {
        annotations.remove(ANNOTATION);
    }
    let mut text = String::new();
    crate::go::json(&config, &mut text);
    text.push('\n');
    if let Some(annotations) = annotations_mut(object) {
        annotations.insert(ANNOTATION.to_owned(), Value::String(text));
        let size =
            |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
        if annotations.iter().map(size).sum::<usize>() > MAX_ANNOTATIONS {
            annotations.remove(ANNOTATION);
        }
    }
}

fn annotations_mut(object: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
    let annotations = object.get_mut("metadata")?.get_mut("annotations")?;
    annotations.is_object().then(|| object::map_mut(annotations))
}
