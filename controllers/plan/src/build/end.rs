//! What a build says once it is over: when it began and ended, how long it took, and the last words of what failed.
//!
//! Knows: which container's words count, and how much of them. Refuses to know: why it is over.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Map, Value};

use super::{Build, text};
use crate::common::time_text;

/// Lines of the last words, and the length of each.
const LINES: usize = 5;
const WIDTH: usize = 120;

/// Adds to a status what every end has, where it is not there yet.
pub(super) fn complete(
    build: &Build,
    pod: Option<&Pod>,
    phase: &str,
    now: Timestamp,
    status: &mut Map<String, Value>,
) {
    let of_pod = pod.and_then(|pod| pod.status.as_ref()?.start_time.as_ref()).map(|time| time.0);
    let said = text(&build.whole, "/status/startTimestamp");
    let start = match said.parse::<Timestamp>() {
        Ok(start) => start,
        Err(_) => {
            let start = of_pod.unwrap_or(now);
            status.insert("startTimestamp".to_owned(), time_text(start).into());
            start
        }
    };
    if text(&build.whole, "/status/completionTimestamp").is_empty() {
        status.insert("completionTimestamp".to_owned(), time_text(now).into());
        let seconds = now.as_second().saturating_sub(start.as_second()).max(0);
        status.insert("duration".to_owned(), seconds.saturating_mul(1_000_000_000).into());
    }
    let failed = matches!(phase, "Failed" | "Error");
    if failed && text(&build.whole, "/status/logSnippet").is_empty() {
        let words = pod.map(last_words).unwrap_or_default();
        if !words.is_empty() {
            status.insert("logSnippet".to_owned(), words.into());
        }
    }
}

/// Whether a build that is over lacks something of what it could say.
pub(super) fn lacks(build: &Build, pod: Option<&Pod>) -> bool {
    let none = |pointer: &str| text(&build.whole, pointer).is_empty();
    match build.phase() {
        "Complete" => none("/status/completionTimestamp"),
        "Failed" => {
            let could = || pod.is_some_and(|pod| !last_words(pod).is_empty());
            none("/status/completionTimestamp") || (none("/status/logSnippet") && could())
        }
        _ => false,
    }
}

fn ended(statuses: Option<&Vec<ContainerStatus>>) -> impl Iterator<Item = (i32, &str, &str)> {
    let states = statuses.into_iter().flatten().filter_map(|one| one.state.as_ref());
    states.filter_map(|state| state.terminated.as_ref()).map(|ended| {
        let reason = ended.reason.as_deref().unwrap_or("");
        (ended.exit_code, reason, ended.message.as_deref().unwrap_or(""))
    })
}

/// The ends of a pod's containers, the one that builds first: exit code, reason, message.
pub(super) fn ends(pod: &Pod) -> impl Iterator<Item = (i32, &str, &str)> {
    let status = pod.status.as_ref();
    let main = status.and_then(|status| status.container_statuses.as_ref());
    let init = status.and_then(|status| status.init_container_statuses.as_ref());
    ended(main).chain(ended(init))
}

fn last_words(pod: &Pod) -> String {
    let mut said = ends(pod).map(|(_, _, message)| message.trim_end_matches('\n'));
    let Some(message) = said.find(|message| !message.is_empty()) else { return String::new() };
    let lines: Vec<&str> = message.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(LINES)).map(|line| short(line));
    last.collect::<Vec<String>>().join("\n")
}

/// A line with its middle left out if it is long.
fn short(line: &str) -> String {
    let letters: Vec<char> = line.chars().collect();
    if letters.len() <= WIDTH {
        return line.to_owned();
    }
    let (head, tail) = (&letters[..58], &letters[letters.len() - 59..]);
    format!("{}...{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}
