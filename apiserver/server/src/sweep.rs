//! Events live for an hour, and there are only so many: a small task takes the old ones away.
//!
//! Knows: the age of an Event, and which ones are too many. Refuses to know: every other kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use leme_kinds::Kind;
use leme_registry::{DeleteOptions, json};
use leme_store::cache::{Cached, Subscription};
use serde_json::Value;

use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::table;

const LIFE: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(60);
/// Changes after which is counted again before the minute is over.
const CHANGES: usize = 100;
/// Deletes under way at once: they must be as fast as creates.
const AT_ONCE: usize = 32;
/// Where an Event says when it happened last.
const TIMES: [&[&str]; 5] = [
    &["series", "lastObservedTime"],
    &["lastTimestamp"],
    &["eventTime"],
    &["firstTimestamp"],
    &["metadata", "creationTimestamp"],
];

/// How many Events are kept, whatever their age. The ones that happened last stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// In the whole cluster.
    pub in_all: usize,
    /// In one namespace, so that a busy one does not push out those of others.
    pub in_namespace: usize,
}

impl Default for EventLimits {
    fn default() -> EventLimits {
        EventLimits { in_all: 5_000, in_namespace: 1_000 }
    }
}

/// Removes Events that are old or too many until the server stops.
pub(crate) async fn run(api: Arc<Api>, limits: EventLimits) {
    if let Some(kind) = leme_kinds::by_kind("", "v1", "Event") {
        sweeps(&api, kind, limits).await;
    }
}

async fn sweeps(api: &Api, kind: &Arc<Kind>, limits: EventLimits) {
    let stop = api.lifetime.stop_token();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changes = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = many(api, kind, &mut changes) => {}
            () = stop.cancelled() => return,
        }
        sweep(api, kind, limits, Timestamp::now()).await;
    }
}

/// Resolves after a number of changes. A subscription that fell behind has seen them.
async fn many(api: &Api, kind: &Kind, changes: &mut Option<Subscription>) {
    let prefix = kind.prefix(None);
    let subscription = match changes {
        Some(subscription) => subscription,
        None => match api.cache.watch(&prefix, api.cache.revision()) {
            Ok(subscription) => changes.insert(subscription),
            Err(_) => return std::future::pending().await,
        },
    };
    let mut seen = 0;
    while seen < CHANGES {
        let batch = subscription.next_batch(CHANGES).await.len();
        if batch == 0 {
            *changes = None;
            return;
        }
        seen += batch;
    }
}

async fn sweep(api: &Api, kind: &Arc<Kind>, limits: EventLimits, now: Timestamp) {
    let Some(snapshot) = api.cache.snapshot(&kind.prefix(None)) else { return };
    let (old, young): (Vec<Arc<Cached>>, _) = snapshot
        .iter()
        .cloned()
        .partition(|object| table::decoded(object).is_ok_and(|event| expired(&event, now)));
    let surplus = surplus(young, limits, |event| (&event.index.namespace, event.mod_revision));
    let deletes = old.into_iter().chain(surplus).map(|object| delete(api, kind, object));
    let mut deletes = futures::stream::iter(deletes).buffer_unordered(AT_ONCE);
    while let Some(deleted) = deletes.next().await {
        if let Err(error) = deleted
            && error.code >= 500
        {
            return tracing::warn!(%error, "cannot remove old events; trying again later");
        }
    }
}

async fn delete(api: &Api, kind: &Arc<Kind>, object: Arc<Cached>) -> Result<(), leme_meta::Status> {
    let (namespace, name) = (&object.index.namespace, &object.index.name);
    let request = ResourceRequest::of(Verb::Delete, kind, namespace, name);
    // One that has happened again in the meantime stays.
    let options = DeleteOptions {
        resource_version: Some(object.mod_revision.to_string()),
        ..DeleteOptions::default()
    };
    api.delete_object(&request, &options).await.map(drop)
}

/// What is too many: first in each namespace, then in all, the one that happened longest ago first. Where the bound is
/// passed a tenth more goes, so that not every further Event makes another round.
fn surplus<T>(mut events: Vec<T>, limits: EventLimits, of: impl Fn(&T) -> (&str, u64)) -> Vec<T> {
    let kept = |limit: usize| limit - limit / 10;
    events.sort_by_key(|event| std::cmp::Reverse(of(event).1));
    // How many each namespace has in all, and so far.
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for event in &events {
        counts.entry(of(event).0.to_owned()).or_default().0 += 1;
    }
    let (mut stay, mut surplus): (Vec<T>, Vec<T>) = events.into_iter().partition(|event| {
        let Some((all, rank)) = counts.get_mut(of(event).0) else { return true };
        *rank += 1;
        let most = limits.in_namespace;
        *rank <= if *all > most { kept(most) } else { most }
    });
    if stay.len() > limits.in_all {
        surplus.extend(stay.drain(kept(limits.in_all)..));
    }
    surplus
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

    #[test]
    fn the_oldest_are_too_many_first_in_the_namespace_that_has_most() {
        let limits = EventLimits { in_all: 30, in_namespace: 20 };
        fn of<'a>(event: &'a (&'static str, u64)) -> (&'a str, u64) {
            *event
        }
        let events = |name: &'static str, revisions: std::ops::Range<u64>| {
            revisions.map(move |revision| (name, revision))
        };
        let check = |events: Vec<(&'static str, u64)>, gone: Vec<(&'static str, u64)>| {
            let mut surplus = surplus(events, limits, of);
            surplus.sort_by_key(|event| event.1);
            assert_eq!(surplus, gone);
        };
        check(events("a", 0..20).collect(), vec![]);
        check(events("a", 0..21).collect(), events("a", 0..3).collect());
        check(events("a", 0..19).chain(events("b", 50..60)).collect(), vec![]);
        check(
            events("a", 0..19).chain(events("b", 50..69)).collect(),
            events("a", 0..11).collect(),
        );
        check(
            events("a", 100..121).chain(events("b", 0..2)).collect(),
            events("a", 100..103).collect(),
        );
    }
}
