//! The images of a build in place of the tags and streams that it names: where it goes to, and what it starts from.
//!
//! Knows: references. Refuses to know: how tags come to name images; a build made from a configuration names images already.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Build, STRATEGIES, text};
use crate::image_stream::{ImageStream, find};

/// Why a build cannot start yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The stream that it goes to is not there.
    Output,
    /// There is no registry that the stream it goes to is kept in.
    NoRegistry,
    /// What it starts from is not there.
    Input,
}

/// The namespace of a reference.
fn place<'a>(from: &'a Value, own: &'a str) -> &'a str {
    match text(from, "/namespace") {
        "" => own,
        other => other,
    }
}

/// The stream of a reference, and what follows its name.
fn stream_name(from: &Value) -> (&str, &str) {
    let name = text(from, "/name");
    let mark = if text(from, "/kind") == "ImageStreamImage" { '@' } else { ':' };
    name.split_once(mark).unwrap_or((name, "latest"))
}

/// The namespaces and names of the streams that a build names.
pub fn streams_of(build: &Build) -> impl Iterator<Item = (&str, &str)> {
    references(&build.whole)
        .filter(|from| text(from, "/kind").starts_with("ImageStream"))
        .map(|from| (place(from, build.namespace()), stream_name(from).0))
}

fn references(build: &Value) -> impl Iterator<Item = &Value> {
    let strategies = STRATEGIES.iter().filter_map(|field| {
        build.pointer("/spec/strategy").and_then(|all| all.get(field)?.get("from"))
    });
    let images = super::list(build, "/spec/source/images").iter();
    let images = images.filter_map(|image| image.get("from"));
    build.pointer("/spec/output/to").into_iter().chain(strategies).chain(images)
}

/// The build with images alone in it.
pub(super) fn resolved(build: &Build, streams: &[Arc<ImageStream>]) -> Result<Value, Unresolved> {
    let own = build.namespace();
    let mut whole = build.whole.clone();
    if let Some(to) = whole.pointer_mut("/spec/output/to")
        && text(to, "/kind").starts_with("ImageStream")
    {
        let (name, tag) = stream_name(to);
        let stream = find(streams, place(to, own), name).ok_or(Unresolved::Output)?;
        if stream.repository().is_empty() {
            return Err(Unresolved::NoRegistry);
        }
        *to = json!({ "kind": "DockerImage", "name": format!("{}:{tag}", stream.repository()) });
    }
    for field in STRATEGIES {
        if let Some(from) = whole.pointer_mut(&format!("/spec/strategy/{field}/from")) {
            input(from, own, streams)?;
        }
    }
    let images = whole.pointer_mut("/spec/source/images").and_then(Value::as_array_mut);
    for image in images.into_iter().flatten() {
        if let Some(from) = image.get_mut("from") {
            input(from, own, streams)?;
        }
    }
    Ok(whole)
}

fn input(from: &mut Value, own: &str, streams: &[Arc<ImageStream>]) -> Result<(), Unresolved> {
    let kind = text(from, "/kind");
    if !kind.starts_with("ImageStream") {
        return Ok(());
    }
    let (name, which) = stream_name(from);
    let stream = find(streams, place(from, own), name).ok_or(Unresolved::Input)?;
    let image = match kind {
        "ImageStreamImage" => stream.image_by_id(which),
        _ => stream.image(which),
    };
    let image = image.ok_or(Unresolved::Input)?;
    *from = json!({ "kind": "DockerImage", "name": image });
    Ok(())
}
