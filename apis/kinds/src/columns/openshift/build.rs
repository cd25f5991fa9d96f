//! Columns of builds and their configurations, and the wordy ages that OpenShift prints.

use jiff::Timestamp;
use leme_meta::time;
use serde_json::Value;

use super::super::{int, shown, text};
use crate::Column;

pub(crate) const BUILD: &[Column] = &[
    shown("Type", |build, _| strategy(build).into()),
    shown("From", |build, _| source(build).into()),
    shown("Status", |build, _| {
        match (text(build, "/status/phase"), text(build, "/status/reason")) {
            (phase, "") => phase.into(),
            (phase, reason) => format!("{phase} ({reason})").into(),
        }
    }),
    shown("Started", |build, now| ago(text(build, "/status/startTimestamp"), now).into()),
    shown("Duration", |build, _| duration(int(build, "/status/duration")).into()),
];

pub(crate) const BUILD_CONFIG: &[Column] = &[
    shown("Type", |config, _| strategy(config).into()),
    shown("From", |config, _| match config.pointer("/spec/strategy/customStrategy") {
        Some(custom @ Value::Object(_)) => text(custom, "/from/name").into(),
        _ => source(config).into(),
    }),
    shown("Latest", |config, _| int(config, "/status/lastVersion").into()),
];

fn strategy(build: &Value) -> &'static str {
    [
        ("/spec/strategy/dockerStrategy", "Docker"),
        ("/spec/strategy/customStrategy", "Custom"),
        ("/spec/strategy/sourceStrategy", "Source"),
        ("/spec/strategy/jenkinsPipelineStrategy", "JenkinsPipeline"),
    ]
    .into_iter()
    .find(|(pointer, _)| build.pointer(pointer).is_some_and(Value::is_object))
    .map_or("", |(_, name)| name)
}

fn source(build: &Value) -> String {
    let has = |pointer: &str| build.pointer(pointer).is_some_and(|source| !source.is_null());
    let (binary, git) = (has("/spec/source/binary"), has("/spec/source/git"));
    let from = match (has("/spec/source/dockerfile"), git) {
        _ if binary => "Binary",
        (true, true) => "Dockerfile,Git",
        (true, false) => return "Dockerfile".to_owned(),
        (false, true) => "Git",
        (false, false) => return String::new(),
    };
    match revision(build) {
        "" => from.to_owned(),
        revision => format!("{from}@{revision}"),
    }
}

/// The commit or ref; a whole commit hash is cut to seven digits.
fn revision(build: &Value) -> &str {
    let revision = match text(build, "/spec/revision/git/commit") {
        "" => text(build, "/spec/source/git/ref"),
        commit => commit,
    };
    let is_hash = revision.len() > 20 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &revision[..7] } else { revision }
}

/// `5 minutes ago`, or nothing for a time that is not set.
pub(super) fn ago(from: &str, now: Timestamp) -> String {
    let Some(from) = time::parse(from) else { return String::new() };
    let seconds = ((now.as_nanosecond() - from.as_nanosecond()) / 1_000_000_000) as i64;
    let hours = (seconds + 1800).div_euclid(3600);
    let words = match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if seconds < 120 => "About a minute".to_owned(),
        () if seconds < 3600 => format!("{} minutes", seconds / 60),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    };
    format!("{words} ago")
}

/// A span of nanoseconds as Go prints it: `1h2m3s`, `2m0.5s`, `250ms`; nothing for none.
pub(super) fn duration(nanos: i64) -> String {
    let fraction = |whole: i64, rest: i64, digits: usize, unit: &str| {
        let text = format!("{whole}.{rest:0digits$}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        ..=0 => String::new(),
        1..=999 => format!("{nanos}ns"),
        1_000..=999_999 => fraction(nanos / 1_000, nanos % 1_000, 3, "µs"),
        1_000_000..=999_999_999 => fraction(nanos / 1_000_000, nanos % 1_000_000, 6, "ms"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let last = fraction(seconds % 60, nanos % 1_000_000_000, 9, "s");
            match (seconds / 3600, seconds / 60 % 60) {
                (0, 0) => last,
                (0, minutes) => format!("{minutes}m{last}"),
                (hours, minutes) => format!("{hours}h{minutes}m{last}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_in_go() {
        for (nanos, want) in [
            (0, ""),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (10_000_000_000, "10s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(nanos), want, "{nanos}");
        }
    }

    #[test]
    fn ages_print_as_words() {
        let now = time::parse("2026-11-21T12:00:00Z").expect("a time");
        for (from, want) in [
            ("", ""),
            ("2026-11-21T12:00:00Z", "Less than a second ago"),
            ("2026-11-21T11:59:01Z", "59 seconds ago"),
            ("2026-11-21T11:58:01Z", "About a minute ago"),
            ("2026-11-21T11:01:00Z", "59 minutes ago"),
            ("2026-11-21T10:31:00Z", "About an hour ago"),
            ("2026-11-19T12:30:00Z", "2 days ago"),
            ("2026-09-30T12:00:00Z", "7 weeks ago"),
        ] {
            assert_eq!(ago(from, now), want, "{from}");
        }
    }
}
