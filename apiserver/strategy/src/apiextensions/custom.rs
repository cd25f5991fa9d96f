//! Objects of defined kinds.
//!
//! Knows: when their status is kept apart, and what counts as a change. Refuses to know: their schema, which the
//! registry holds them against.

use leme_kinds::{Kind, Subresource};
use leme_meta::quote;
use leme_registry::{Scale, Strategy, json, meta, names};
use serde_json::Value;

pub(crate) static STRATEGY: Strategy = Strategy {
    prepare_create: |new, ctx| {
        if has_status(ctx.kind) {
            json::remove(new, "status");
        }
    },
    prepare_update: |new, old, ctx| {
        if has_status(ctx.kind) {
            json::keep(new, old, "status");
        }
    },
    prepare_status: |new, old, _| {
        // Who wrote the status is told all the same.
        let written = new["metadata"].take();
        json::keep(new, old, "metadata");
        json::keep(json::child(new, "metadata"), &written, "managedFields");
    },
    kept_by_status: &[&["apiVersion"], &["kind"], &["metadata"], &["spec"]],
    warn,
    generation: Some(|new, old| {
        let rest = |object: &Value| {
            let mut rest = object.clone();
            json::remove(&mut rest, "metadata");
            rest
        };
        rest(new) != rest(old)
    }),
    unconditional_update: false,
    scale: Some(Scale::AUTOSCALING),
    ..Strategy::PLAIN
};

fn has_status(kind: &Kind) -> bool {
    kind.subresources.contains(&Subresource::Status)
}

/// Of finalizers that are new and could be anybody's.
fn warn(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |object| -> Vec<&str> {
        json::list(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
    };
    let before = old.map(of).unwrap_or_default();
    let mut added = of(new);
    added.retain(|name| !before.contains(name));
    added.sort_unstable();
    added.dedup();
    let mut warnings = Vec::new();
    for name in added {
        let at = format!("metadata.finalizers: {name}", name = quote(&name));
        warnings.extend(names::qualified_name(name).iter().map(|why| format!("{at}: {why}")));
        if name.contains('/') || meta::STANDARD_FINALIZERS.contains(&name) {
            continue;
        }
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        warnings.push(format!(
            "{at}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        ));
    }
    warnings
}
