//! Events about objects: in the order in which things happened last.
//!
//! Knows: that times are told in seconds as a rule, and that versions tell apart what those do not. Refuses to know: what is
//! told.

use jiff::Timestamp;
use leme_meta::Object;
use serde_json::Value;

use super::join;
use crate::follow::Lister;

/// Events about an object, in order.
pub fn about<'a>(object: &Object, lister: &'a Lister) -> Vec<&'a Value> {
    let uid = object.uid().to_owned();
    let all = lister.all("", "events").map(|event| &event.0);
    in_order(all.filter(|event| event["involvedObject"]["uid"].as_str() == Some(&uid)))
}

/// Events by when each was last seen, the newest last. Those of one second are in the order in which they were written.
pub fn in_order<'a>(events: impl IntoIterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut events: Vec<&Value> = events.into_iter().collect();
    events.sort_by_key(|event| {
        let second = time(event).map(Timestamp::as_second);
        let version = event["metadata"]["resourceVersion"].as_str();
        (second, version.and_then(|version| version.parse::<u64>().ok()))
    });
    events
}

/// When an event was last seen.
pub fn time(event: &Value) -> Option<Timestamp> {
    let series = &event["series"]["lastObservedTime"];
    let fields = ["lastTimestamp", "eventTime", "firstTimestamp"].map(|field| &event[field]);
    let made = &event["metadata"]["creationTimestamp"];
    let all = std::iter::once(series).chain(fields).chain([made]);
    all.into_iter().find_map(|time| time.as_str()?.parse().ok())
}

pub(super) fn last(object: &Object, lister: &Lister) -> Option<String> {
    Some(about(object, lister).last()?["message"].as_str()?.to_owned())
}

pub(super) fn last_warning(object: &Object, lister: &Lister) -> Option<String> {
    let last = *about(object, lister).last()?;
    let text = |field: &str| last[field].as_str().unwrap_or("");
    (text("type") == "Warning").then(|| join(text("reason"), text("message")))
}
