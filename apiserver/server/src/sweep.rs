//! Events live for an hour: a small task takes the old ones away.
//!
//! Knows: the age of an Event. Refuses to know: every other kind.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use leme_kinds::{KINDS, Kind};
use leme_registry::{DeleteOptions, json};
use serde_json::Value;

use crate::api::Api;
use crate::query::Query;
use crate::request::{ResourceRequest, Verb};
use crate::table;

const LIFE: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(60);
/// Where an Event says when it happened last.
const TIMES: [&[&str]; 5] = [
    &["series", "lastObservedTime"],
    &["lastTimestamp"],
    &["eventTime"],
    &["firstTimestamp"],
    &["metadata", "creationTimestamp"],
];

/// Removes old Events until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let stop = api.lifetime.stop_token();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        for kind in KINDS.iter().filter(|kind| kind.kind == "Event") {
            sweep(&api, kind, Timestamp::now()).await;
        }
    }
}

async fn sweep(api: &Api, kind: &'static Kind, now: Timestamp) {
    let Some(snapshot) = api.cache.snapshot(&kind.prefix(None)) else { return };
    for object in snapshot.iter() {
        let Ok(event) = table::decoded(object) else { continue };
        if !expired(&event, now) {
            continue;
        }
        let request = ResourceRequest {
            verb: Verb::Delete,
            kind,
            subresource: None,
            namespace: object.index.namespace.to_string(),
            name: object.index.name.to_string(),
            query: Query::default(),
        };
        // One that has happened again in the meantime stays.
        let options = DeleteOptions {
            resource_version: Some(object.mod_revision.to_string()),
            ..DeleteOptions::default()
        };
        if let Err(error) = api.delete_object(&request, &options).await
            && error.code >= 500
        {
            return tracing::warn!(%error, "cannot remove old events; trying again later");
        }
    }
}

fn expired(event: &Value, now: Timestamp) -> bool {
    let times = TIMES.iter().filter_map(|path| json::text(event, path).parse::<Timestamp>().ok());
    times.max().is_some_and(|last| now.duration_since(last).unsigned_abs() > LIFE && last < now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_expires_an_hour_after_it_happened_last() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let event = |last: &str| json!({ "metadata": { "creationTimestamp": "2026-01-01T01:00:00Z" }, "lastTimestamp": last });
        assert!(expired(&event("2026-01-01T10:59:00Z"), now));
        assert!(!expired(&event("2026-01-01T11:01:00Z"), now));
        assert!(!expired(&event("2026-01-02T11:01:00Z"), now));
        assert!(!expired(&json!({}), now));
    }
}
