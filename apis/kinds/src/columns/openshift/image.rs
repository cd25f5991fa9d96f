//! Columns of images and their streams.

use std::cmp::Reverse;

use jiff::Timestamp;
use leme_meta::time;
use serde_json::Value;

use super::super::{flag, int, list, shown, text, typed, wide};
use super::build::ago;
use crate::Column;

pub(crate) const IMAGE: &[Column] =
    &[shown("Image Reference", |image, _| text(image, "/dockerImageReference").into())];

pub(crate) const IMAGE_STREAM: &[Column] = &[
    shown("Image Repository", |stream, _| repository(stream).into()),
    shown("Tags", |stream, _| tags(stream).into()),
    shown("Updated", |stream, now| updated(stream, now).into()),
];

pub(crate) const IMAGE_STREAM_TAG: &[Column] = &[
    shown("Image Reference", |tag, _| text(tag, "/image/dockerImageReference").into()),
    shown("Updated", made),
    wide("Image Name", |tag, _| text(tag, "/image/metadata/name").into()),
];

pub(crate) const IMAGE_STREAM_IMAGE: &[Column] = &[
    shown("Updated", made),
    wide("Image Reference", |image, _| text(image, "/image/dockerImageReference").into()),
    wide("Image Name", |image, _| text(image, "/image/metadata/name").into()),
];

pub(crate) const IMAGE_TAG: &[Column] = &[
    shown("Spec", |tag, _| spec_and_status(tag).0.into()),
    shown("Status", |tag, _| spec_and_status(tag).1.into()),
    typed("History", "number", |tag, _| match list(tag, "/status/items").len() {
        0 => Value::Null,
        count => count.into(),
    }),
    shown("Updated", |tag, now| {
        let item = text(tag, "/status/items/0/created");
        let conditions = list(tag, "/status/conditions").iter();
        let times = conditions.map(|condition| text(condition, "/lastTransitionTime"));
        let newest = times.chain([item]).max_by_key(|time| time::parse(time));
        newest.map(|newest| ago(newest, now)).unwrap_or_default().into()
    }),
];

fn made(object: &Value, now: Timestamp) -> Value {
    ago(text(object, "/metadata/creationTimestamp"), now).into()
}

/// How a tag came to be, and what it names or waits for.
fn spec_and_status(tag: &Value) -> (&'static str, String) {
    let name = text(tag, "/spec/from/name");
    let stream = name.split_once(':');
    let mut spec = match () {
        () if tag.pointer("/spec/from").is_none_or(Value::is_null) => "",
        // Tags that follow another of their stream.
        () if text(tag, "/spec/from/kind") == "ImageStreamTag" && stream.is_none() => "Track",
        () if flag(tag, "/spec/importPolicy/scheduled") => "Scheduled",
        () if flag(tag, "/spec/reference") => "Ref",
        () => "Tag",
    };
    let (mut source, mut status) = (String::new(), String::new());
    match text(tag, "/spec/from/kind") {
        _ if spec.is_empty() => {}
        "DockerImage" => source = name.to_owned(),
        "ImageStreamImage" => match name.split_once('@') {
            Some((_, id)) => source = format!("image/{id}"),
            None => status = "InvalidRefName".to_owned(),
        },
        "ImageStreamTag" => {
            source = match text(tag, "/spec/from/namespace") {
                "" => format!("istag/{name}"),
                namespace => format!("istag {namespace}/{name}"),
            }
        }
        _ => status = "InvalidRefKind".to_owned(),
    }
    if let Some(item) = tag.pointer("/status/items/0") {
        let (wanted, seen) = (int(tag, "/spec/generation"), int(item, "/generation"));
        if wanted > 0 && seen > 0 && seen < wanted {
            status = "Importing".to_owned();
        } else if !text(item, "/image").is_empty() {
            source = format!("image/{}", text(item, "/image"));
        } else if !text(item, "/dockerImageReference").is_empty() {
            source = text(item, "/dockerImageReference").to_owned();
        }
        let pushed = !source.is_empty() && spec.is_empty();
        if pushed || spec != "Track" && wanted > 0 && seen > wanted {
            spec = "Push";
        }
    }
    let failed = |condition: &&Value| {
        text(condition, "/type") == "ImportSuccess" && text(condition, "/status") == "False"
    };
    if let Some(condition) = list(tag, "/status/conditions").iter().rev().find(failed) {
        status = format!("ImportFailed ({})", text(condition, "/reason"));
    }
    (spec, if status.is_empty() { source } else { status })
}

/// Room for the list of tags.
const WIDTH: usize = 40;

fn repository(stream: &Value) -> &str {
    [
        "/status/publicDockerImageRepository",
        "/spec/dockerImageRepository",
        "/status/dockerImageRepository",
    ]
    .into_iter()
    .map(|pointer| text(stream, pointer))
    .find(|repository| !repository.is_empty())
    .unwrap_or("")
}

fn updated(stream: &Value, now: Timestamp) -> String {
    let newest = list(stream, "/status/tags")
        .iter()
        .map(|tag| text(tag, "/items/0/created"))
        .max_by_key(|created| time::parse(created));
    newest.map(|created| ago(created, now)).unwrap_or_default()
}

/// As many tags as fit; one over is let in when the line is otherwise ragged.
fn tags(stream: &Value) -> String {
    let mut tags: Vec<&str> =
        list(stream, "/status/tags").iter().map(|tag| text(tag, "/tag")).collect();
    tags.sort_by_cached_key(|tag| rank(tag));
    let (mut used, margin) = (0, WIDTH / 4);
    let fits = tags.iter().position(|tag| {
        let free = WIDTH.saturating_sub(used);
        used += tag.len() + 1;
        let over = used.saturating_sub(WIDTH);
        let ragged = free > margin + 1 && over <= margin;
        over > 0 && !ragged
    });
    let kept = fits.unwrap_or(tags.len()).max(tags.len().min(1));
    let shown = tags[..kept].join(",");
    match tags.len() - kept {
        0 => shown,
        hidden => format!("{shown} + {hidden} more..."),
    }
}

/// `latest`, then versions from the newest (`5.1` before `5.1.3`), then the rest by name.
fn rank(tag: &str) -> (u8, Reverse<Vec<u64>>, String) {
    if tag == "latest" {
        return (0, Reverse(Vec::new()), String::new());
    }
    let plain = tag.strip_prefix('v').unwrap_or(tag);
    let version = plain.split_once('-').map_or(plain, |(version, _)| version);
    let numbers: Result<Vec<u64>, _> = version.split('.').map(str::parse).collect();
    match numbers {
        Ok(numbers) if numbers.len() == 2 => (1, Reverse(numbers), tag.to_owned()),
        Ok(numbers) if numbers.len() == 3 => (2, Reverse(numbers), tag.to_owned()),
        _ => (3, Reverse(Vec::new()), tag.to_owned()),
    }
}
