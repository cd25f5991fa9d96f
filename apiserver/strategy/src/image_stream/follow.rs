//! What an ImageStream's tags come to name when its spec changes.
//!
//! Knows: tags that name tags and images of streams, and generations. Refuses to know: remote registries; what is there is
//! imported.

use leme_meta::quote;
use leme_meta::{FieldError, Path};
use leme_registry::{Allocator, Context, json};
use serde_json::{Value, json};

use super::history;
use crate::check::Errors;

const NO_REFERENCE: &str = "must be of the form <tag>, <repo>:<tag>, <id>, or <repo>@<id>";

/// Gives each tag the generation of the stream it last changed in. A client may only set one to 0, which changes the tag.
pub(super) fn generations(new: &mut Value, old: &Value) {
    let namespace = json::text(new, &["metadata", "namespace"]).to_owned();
    let asked = |tag: &Value| json::int(tag, &["generation"]) == Some(0);
    for tag in json::list_mut(json::child(new, "spec"), &["tags"]) {
        let before = history::spec_tag(old, json::text(tag, &["name"]));
        if let Some(before) = before.filter(|_| !asked(tag)) {
            json::keep(tag, before, "generation");
        }
    }
    let mut generation = json::int(old, &["metadata", "generation"]).unwrap_or(0);
    if new.get("spec") != old.get("spec") {
        generation += 1;
    }
    for tag in json::list_mut(json::child(new, "spec"), &["tags"]) {
        let before = history::spec_tag(old, json::text(tag, &["name"]));
        let stays = before.is_some_and(|before| !changed(before, tag, &namespace))
            && !asked(tag)
            && json::at(tag, &["generation"]).is_some();
        if !stays {
            json::set(tag, "generation", generation);
        }
    }
}

/// Whether a tag names something else than before, or is to be imported again.
fn changed(old: &Value, new: &Value, namespace: &str) -> bool {
    let Some(from) = json::at(new, &["from"]) else { return false };
    if json::text(from, &["kind"]).is_empty() && json::text(from, &["name"]).is_empty() {
        return false;
    }
    let space = |tag| match json::text(tag, &["from", "namespace"]) {
        "" => namespace.to_owned(),
        other => other.to_owned(),
    };
    let text = |path: &[&str]| json::text(old, path) != json::text(new, path);
    space(old) != space(new)
        || text(&["from", "name"])
        || json::flag(old, &["reference"]) != json::flag(new, &["reference"])
        || text(&["importPolicy", "importMode"])
        || matches!(
            (json::int(old, &["generation"]), json::int(new, &["generation"])),
            (Some(before), Some(0)) if before != 0
        )
}

/// Lets the tags that have changed name what they point to, where that is known here. What is wrong is told as upstream
/// tells it: within one error of the server.
pub(super) fn resolve(
    stream: &mut Value,
    old: Option<&Value>,
    ctx: &Context,
    others: &mut dyn Allocator,
) -> Errors {
    let mut errors = Vec::new();
    let generation = json::int(stream, &["metadata", "generation"]).unwrap_or(1);
    for tag in json::list(stream, &["spec", "tags"]).to_vec() {
        let name = json::text(&tag, &["name"]).to_owned();
        let before = old.and_then(|old| history::spec_tag(old, &name));
        let same = before.is_some_and(|before| !changed(before, &tag, ctx.namespace));
        let Some(from) = json::at(&tag, &["from"]).filter(|_| !same) else { continue };
        match event(stream, &tag, from, (ctx, &mut *others)) {
            Ok(Some(mut event)) => {
                json::set(&mut event, "generation", generation);
                history::add(stream, &name, &event);
            }
            Ok(None) => {}
            Err((field, why)) => {
                let from = Path::new("spec").child("tags").key(&name).child("from");
                let path = if field.is_empty() { from } else { from.child(field) };
                errors.push(why(&path));
            }
        }
    }
    if !errors.is_empty() {
        let shown: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let name = json::text(stream, &["metadata", "name"]);
        let list = match shown.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let why = format!("imagestreams {name} is invalid: {list}", name = quote(&name));
        return vec![FieldError::internal(&Path::default(), &why)];
    }
    tracking(stream, old);
    Vec::new()
}

/// What is wrong with a source: the field below it, and the error.
type Wrong = (&'static str, Box<dyn FnOnce(&Path) -> FieldError>);

fn event(
    stream: &Value,
    tag: &Value,
    from: &Value,
    (ctx, others): (&Context, &mut dyn Allocator),
) -> Result<Option<Value>, Wrong> {
    let (kind, name) = (json::text(from, &["kind"]), json::text(from, &["name"]).to_owned());
    if kind == "DockerImage" && !name.is_empty() {
        let event =
            json!({ "created": ctx.timestamp(), "dockerImageReference": name, "image": "" });
        return Ok(json::flag(tag, &["reference"]).then_some(event));
    }
    let invalid = |why: String| -> Wrong {
        let name = name.clone();
        ("name", Box::new(move |path| FieldError::invalid(path, name.as_str(), &why)))
    };
    let own = json::text(stream, &["metadata", "name"]);
    let by_tag = kind == "ImageStreamTag";
    let parts: Vec<&str> = name.split(if by_tag { ':' } else { '@' }).collect();
    let (of, part) = match parts.as_slice() {
        [part] => (own, *part),
        [of, part] => (*of, *part),
        _ => return Err(invalid(NO_REFERENCE.to_owned())),
    };
    let namespace = match json::text(from, &["namespace"]) {
        "" => ctx.namespace,
        other => other,
    };
    let other;
    let source = if namespace == ctx.namespace && of == own {
        stream
    } else {
        let kind = (&*ctx.kind.group, &*ctx.kind.plural);
        let Some(found) = others.object(kind, namespace, of) else {
            let name = name.clone();
            return Err(("name", Box::new(move |path| FieldError::not_found(path, name.as_str()))));
        };
        other = found;
        &other
    };
    if by_tag {
        return Ok(history::latest(source, part).cloned());
    }
    let mut event = history::by_id(source, part)
        .map_err(|why| invalid(format!("error generating tag event: {why}")))?;
    json::set(&mut event, "created", ctx.timestamp());
    Ok(Some(event))
}

/// Lets tags that follow another of the stream name what that has come to name.
fn tracking(stream: &mut Value, old: Option<&Value>) {
    for history in json::list(stream, &["status", "tags"]).to_vec() {
        let tag = json::text(&history, &["tag"]);
        let Some(newest) = json::list(&history, &["items"]).first() else { continue };
        let before = old.and_then(|old| history::of(old, tag));
        let before = before.and_then(|before| json::list(before, &["items"]).first());
        if old.is_none() || before != Some(newest) {
            history::follow(stream, tag, newest);
        }
    }
}

/// Gives the newest image of each tag that a status names without one a generation.
pub(super) fn observed(new: &mut Value, old: &Value) {
    let generation = json::int(new, &["metadata", "generation"]).unwrap_or(1);
    let spec: Vec<Value> = json::list(new, &["spec", "tags"]).to_vec();
    for history in json::list_mut(json::child(new, "status"), &["tags"]) {
        let tag = json::text(history, &["tag"]).to_owned();
        let Some(newest) = json::list_mut(history, &["items"]).first_mut() else { continue };
        if json::int(newest, &["generation"]).unwrap_or(0) != 0 {
            continue;
        }
        let before = history::of(old, &tag).and_then(|old| json::list(old, &["items"]).first());
        let other = |before: &Value| {
            ["image", "dockerImageReference"]
                .iter()
                .any(|field| json::text(before, &[field]) != json::text(newest, &[field]))
                || json::int(before, &["generation"]).unwrap_or(0) > 0
        };
        let wished = spec.iter().find(|one| json::text(one, &["name"]) == tag);
        let wished = wished.and_then(|one| json::int(one, &["generation"]));
        let moved = before.is_some_and(other);
        let generation = wished.filter(|_| moved).unwrap_or(generation);
        json::set(newest, "generation", generation);
    }
}
