//! The images that builds start from, in place of the tags that a BuildConfig names.
//!
//! Knows: which image each tag names now, and which one a trigger has seen. Refuses to know: where streams are kept.

use leme_meta::quote;
use leme_meta::status::Details;
use leme_meta::{Cause, Status, time};
use leme_registry::json;
use serde_json::{Value, json};

use super::STRATEGIES;
use super::generate::{place, replaced};
use crate::deployment_config::request::Find;
use crate::image_stream::history;
use crate::image_tag::{stream_and_image, stream_and_tag};

const BASE_IMAGE: &str = "OPENSHIFT_CUSTOM_BUILD_BASE_IMAGE";

/// What the strategy of a build starts from.
fn input(config: &Value) -> Option<&Value> {
    STRATEGIES.iter().find_map(|(_, field)| json::at(config, &["spec", "strategy", field, "from"]))
}

/// Whether two references name one tag, seen from a namespace.
fn same_tag(one: &Value, other: &Value, namespace: &str) -> bool {
    let place = |of| match json::text(of, &["namespace"]) {
        "" => namespace.to_owned(),
        other => other.to_owned(),
    };
    json::text(one, &["name"]) == json::text(other, &["name"]) && place(one) == place(other)
}

/// Notes in the status which image each image change trigger has seen.
pub(super) fn triggers(
    config: &mut Value,
    request: &Value,
    streams: Find<'_>,
    now: &str,
) -> Result<(), Status> {
    let namespace = json::text(config, &["metadata", "namespace"]).to_owned();
    let by = json::at(request, &["triggeredByImage"]).map(|by| json::text(by, &["name"]));
    let from = json::at(request, &["from"]);
    let input = input(config).cloned();
    let seen = json::list(config, &["status", "imageChangeTriggers"]).iter();
    let known = from.and_then(|from| {
        let of = |one: &&Value| same_tag(one.get("from").unwrap_or(&Value::Null), from, &namespace);
        seen.clone().find(of)
    });
    if let (Some(by), Some(known)) = (by, known)
        && json::text(known, &["lastTriggeredImageID"]) == by
    {
        return Err(Status::internal(format!(
            "build config {} has already instantiated a build for imageid {by}",
            place(config)
        )));
    }
    let mut requested = false;
    let mut all = Vec::new();
    for trigger in json::list(config, &["spec", "triggers"]) {
        if json::text(trigger, &["type"]) != "ImageChange" {
            continue;
        }
        let own = json::at(trigger, &["imageChange", "from"]);
        let Some(source) = own.or(input.as_ref()) else { continue };
        let text = |field: &str| json::text(source, &[field]);
        let mut shown = json!({ "name": text("name") });
        if !text("namespace").is_empty() {
            shown["namespace"] = text("namespace").into();
        }
        let mut status = json!({ "from": shown });
        let asked = from.is_some_and(|from| same_tag(source, from, &namespace));
        if let Some(by) = by.filter(|_| asked && !requested) {
            requested = true;
            status["lastTriggeredImageID"] = by.into();
            status["lastTriggerTime"] = now.into();
        } else {
            match resolve(source, &namespace, streams) {
                Ok(image) => status["lastTriggeredImageID"] = image.into(),
                Err(why) if own.is_none() => return Err(why),
                Err(_) => {}
            }
        }
        all.push(status);
    }
    json::set(json::child(config, "status"), "imageChangeTriggers", all);
    Ok(())
}

/// The image that the trigger of a tag has seen.
fn triggered<'a>(config: &'a Value, from: &Value) -> Option<&'a str> {
    let exact = |of: &&Value| {
        ["name", "namespace"]
            .iter()
            .all(|field| json::text(of, &["from", field]) == json::text(from, &[field]))
    };
    json::list(config, &["status", "imageChangeTriggers"])
        .iter()
        .find(exact)
        .map(|status| json::text(status, &["lastTriggeredImageID"]))
}

/// Gives a build the images it starts from in place of the tags that its configuration names.
pub(super) fn images(config: &Value, spec: &mut Value, streams: Find<'_>) -> Result<(), Status> {
    let namespace = json::text(config, &["metadata", "namespace"]);
    let image_of = |from: &Value| match triggered(config, from) {
        Some(image) if json::text(from, &["kind"]) == "ImageStreamTag" && !image.is_empty() => {
            Ok(image.to_owned())
        }
        _ => resolve(from, namespace, streams),
    };
    for image in json::list_mut(spec, &["source", "images"]) {
        let from = json::child(image, "from");
        let found = image_of(from)?;
        *from = json!({ "kind": "DockerImage", "name": found });
    }
    for (_, field) in STRATEGIES {
        let Some(own) = json::at_mut(spec, &["strategy", field]) else { continue };
        let Some(from) = json::at(own, &["from"]) else { continue };
        let found = image_of(from)?;
        json::set(own, "from", json!({ "kind": "DockerImage", "name": found }));
        if field == "customStrategy" {
            let base = json!({ "name": BASE_IMAGE, "value": found });
            let all = replaced(json::list(own, &["env"]), &[base]);
            json::set(own, "env", all);
        }
    }
    Ok(())
}

/// The image that a reference names.
fn resolve(from: &Value, own: &str, streams: Find<'_>) -> Result<String, Status> {
    let text = |field: &str| json::text(from, &[field]);
    let (kind, name) = (text("kind"), text("name"));
    let namespace = if text("namespace").is_empty() { own } else { text("namespace") };
    let failed = |why: &str| unresolved(kind, namespace, name, why);
    let stream = |of: &str| {
        streams(namespace, of).ok_or_else(|| {
            failed(&format!("imagestreams.image.openshift.io {of} not found", of = quote(&of)))
        })
    };
    match kind {
        "DockerImage" => Ok(name.to_owned()),
        "ImageStreamTag" => {
            let (of, tag) = stream_and_tag(kind, name).map_err(|_| {
                failed(&format!(
                    "expected exactly one : delimiter in the istag {name}",
                    name = quote(&name)
                ))
            })?;
            let stream = stream(of)?;
            let event = history::latest(&stream, tag)
                .ok_or_else(|| failed("unable to find latest tagged image"))?;
            Ok(history::pull_spec(&stream, tag, event))
        }
        "ImageStreamImage" => {
            let (of, id) = stream_and_image(name).map_err(|_| {
                failed(&format!(
                    "expected exactly one @ in the isimage name {name}",
                    name = quote(&name)
                ))
            })?;
            let stream = stream(of)?;
            let newest = json::list(&stream, &["status", "tags"])
                .iter()
                .flat_map(|tag| json::list(tag, &["items"]).iter().map(move |item| (tag, item)))
                .filter(|(_, item)| history::is_image(json::text(item, &["image"]), id))
                .max_by_key(|(_, item)| time::parse(json::text(item, &["created"])));
            let why = format!("unable to find corresponding tag for image {id}", id = quote(&id));
            let (tag, item) = newest.ok_or_else(|| failed(&why))?;
            Ok(history::pull_spec(&stream, json::text(tag, &["tag"]), item))
        }
        other => Err(Status::internal(format!("unknown From Kind {other}"))),
    }
}

fn unresolved(kind: &str, namespace: &str, name: &str, why: &str) -> Status {
    let message = format!("Error resolving {kind} {name} in namespace {namespace}: {why}");
    let cause = Cause { field: "from".to_owned(), message: message.clone(), ..Cause::default() };
    let mut status = Status::new(422, "Invalid", message);
    status.details = Some(Box::new(Details {
        kind: kind.to_owned(),
        name: name.to_owned(),
        causes: vec![cause],
        ..Details::default()
    }));
    status
}
