//! Columns of images and their streams.

use std::cmp::Reverse;

use jiff::Timestamp;
use leme_meta::time;
use serde_json::Value;

use super::super::{list, shown, text};
use super::build::ago;
use crate::Column;

pub(crate) const IMAGE: &[Column] =
    &[shown("Image Reference", |image, _| text(image, "/dockerImageReference").into())];

pub(crate) const IMAGE_STREAM: &[Column] = &[
    shown("Image Repository", |stream, _| repository(stream).into()),
    shown("Tags", |stream, _| tags(stream).into()),
    shown("Updated", |stream, now| updated(stream, now).into()),
];

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
