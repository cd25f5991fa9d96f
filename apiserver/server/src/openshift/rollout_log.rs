//! What a rollout has said that the controllers carry out: it is written on its replication controller.
//!
//! Knows: where it stands, and what is asked of a log. Refuses to know: what rollouts say, and whose turn it is to speak.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use jiff::Timestamp;
use leme_meta::Status;
use leme_registry::json;
use leme_store::cache::SubEvent;
use serde_json::Value;

use super::apps::phase;
use super::kind;
use crate::answer::{self, Answer, read_failed};
use crate::api::Api;
use crate::body::Body;
use crate::query::Query;
use crate::request::ResourceRequest;
use crate::table;

/// The annotation: lines, each behind the time when it was said.
const LOG: &str = "rollout.leme.dev/log";

/// What a rollout has said so far.
pub(super) fn log_of(rollout: &Value) -> &str {
    json::text(rollout, &["metadata", "annotations", LOG])
}

fn is_over(rollout: &Value) -> bool {
    matches!(phase(rollout), "Complete" | "Failed")
}

/// What is to be shown of a log.
struct Wanted {
    timestamps: bool,
    since: Option<Timestamp>,
    lines: Option<usize>,
    bytes: Option<usize>,
    follow: bool,
}

impl Wanted {
    fn of(query: &Query) -> Result<Wanted, Status> {
        let number = |name| -> Result<Option<usize>, Status> {
            Ok(query.int(name)?.and_then(|number| usize::try_from(number).ok()))
        };
        let ago = number("sinceSeconds")?.map(|seconds| Duration::from_secs(seconds as u64));
        let ago = ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok());
        Ok(Wanted {
            timestamps: query.flag("timestamps"),
            since: ago.or(query.get("sinceTime").and_then(|text| text.parse().ok())),
            lines: number("tailLines")?,
            bytes: number("limitBytes")?,
            follow: query.flag("follow"),
        })
    }

    /// These lines as they are to be seen.
    fn shown(&self, log: &str, lines: Option<usize>) -> String {
        let split = log.lines().map(|line| line.split_once(' ').unwrap_or(("", line)));
        let late = |time: &str| {
            self.since.is_none_or(|since| time.parse().is_ok_and(|time: Timestamp| time >= since))
        };
        let all: Vec<(&str, &str)> = split.filter(|(time, _)| late(time)).collect();
        let skipped = lines.map_or(0, |lines| all.len().saturating_sub(lines));
        let mut out = String::new();
        for (time, text) in &all[skipped..] {
            if self.timestamps {
                out.extend([time, " "]);
            }
            out.extend([text, "\n"]);
        }
        out
    }
}

/// The end of a log that was not there before: what is kept of it may begin later than it did.
fn added<'a>(before: &str, now: &'a str) -> &'a str {
    if let Some(rest) = now.strip_prefix(before) {
        return rest;
    }
    let Some(last) = before.lines().last() else { return now };
    now.rfind(last).map_or(now, |at| now[at + last.len()..].trim_start_matches('\n'))
}

impl Api {
    /// What a rollout says, as far as it has come, or to its end.
    pub(super) fn rollout_log(
        &self,
        request: &ResourceRequest,
        rollout: &Value,
    ) -> Result<Answer, Status> {
        let wanted = Wanted::of(&request.query)?;
        let log = log_of(rollout).to_owned();
        let first = wanted.shown(&log, wanted.lines);
        if !wanted.follow || is_over(rollout) {
            let mut text = first.into_bytes();
            text.truncate(wanted.bytes.unwrap_or(usize::MAX));
            return Ok(answer::with_body(200, "text/plain", Body::whole(text)));
        }
        let name = json::text(rollout, &["metadata", "name"]);
        let controllers = kind("", "replicationcontrollers")?;
        let (key, prefix) = (controllers.key(&request.namespace, name), controllers.prefix(None));
        let revision = json::text(rollout, &["metadata", "resourceVersion"]).parse().unwrap_or(0);
        let changes = self.cache.watch(&prefix, revision).map_err(read_failed)?;
        let followed =
            Followed { key, changes, wanted, log, first: Some(first), over: false, sent: 0 };
        let stopping = self.lifetime.stop_token();
        let lines = stream::unfold(followed, |mut followed| async move {
            followed.next().await.map(|text| (Ok(Bytes::from(text)), followed))
        });
        let lines = futures::StreamExt::take_until(lines, stopping.cancelled_owned());
        Ok(answer::with_body(200, "text/plain", Body::live(lines)))
    }
}

/// The log of a rollout that goes on.
struct Followed {
    key: String,
    changes: leme_store::cache::Subscription,
    wanted: Wanted,
    log: String,
    first: Option<String>,
    over: bool,
    sent: usize,
}

impl Followed {
    async fn next(&mut self) -> Option<String> {
        let mut text = match self.first.take() {
            Some(first) => first,
            None => self.more().await?,
        };
        let room = self.wanted.bytes.unwrap_or(usize::MAX).saturating_sub(self.sent);
        if text.len() >= room {
            self.over = true;
            text.truncate((0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        self.sent += text.len();
        Some(text)
    }

    async fn more(&mut self) -> Option<String> {
        while !self.over {
            let SubEvent::Event(event) = self.changes.next().await? else { continue };
            if *event.object.key != *self.key {
                continue;
            }
            let rollout = table::decoded(&event.object).ok()?;
            self.over = is_over(&rollout) || event.kind == leme_store::cache::Kind::Deleted;
            let more = self.wanted.shown(added(&self.log, log_of(&rollout)), None);
            log_of(&rollout).clone_into(&mut self.log);
            if !more.is_empty() {
                return Some(more);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "2026-01-01T00:00:00Z --> one\n2026-01-01T00:00:05Z     two\n";

    #[test]
    fn lines_are_shown_as_they_are_asked_for() {
        let shown = |query: &str| {
            let wanted = Wanted::of(&Query::parse(query)).unwrap();
            wanted.shown(LINES, wanted.lines)
        };
        assert_eq!(shown(""), "--> one\n    two\n");
        assert_eq!(shown("tailLines=1"), "    two\n");
        assert_eq!(shown("tailLines=0"), "");
        assert_eq!(shown("timestamps=true"), LINES);
        assert_eq!(shown("sinceTime=2026-01-01T00:00:01Z"), "    two\n");
        assert_eq!(shown("sinceSeconds=1"), "");
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        assert_eq!(added("", LINES), LINES);
        assert_eq!(added(LINES, LINES), "");
        let (first, rest) = LINES.split_at(29);
        assert_eq!(added(first, LINES), rest);
        // The beginning has gone meanwhile.
        assert_eq!(
            added(LINES, &format!("{rest}2026-01-01T00:00:06Z three\n")),
            "2026-01-01T00:00:06Z three\n"
        );
        assert_eq!(added("gone\n", LINES), LINES);
    }
}
