//! Columns of events, which put their name last.

use jiff::Timestamp;
use std::borrow::Cow;

use serde_json::Value;

use super::{int, shown, since, text, wide};
use crate::{Cell, Column};

pub(crate) const EVENT: &[Column] = &[
    shown("Last Seen", |event, now| last_seen(event, now).into()),
    shown("Type", |event, _| text(event, "/type").into()),
    shown("Reason", |event, _| text(event, "/reason").into()),
    shown("Object", |event, _| target(event).into()),
    wide("Subobject", |event, _| text(event, "/involvedObject/fieldPath").into()),
    wide("Source", |event, _| source(event).into()),
    shown("Message", |event, _| text(event, "/message").trim().into()),
    wide("First Seen", |event, now| first_seen(event, now).into()),
    wide("Count", |event, _| count(event).into()),
    Column {
        name: Cow::Borrowed("Name"),
        type_: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        priority: 1,
        cell: Cell::Native(|event, _| text(event, "/metadata/name").into()),
    },
];

/// The first of the fields that is set.
fn either<'a>(event: &'a Value, first: &str, second: &str) -> &'a str {
    match text(event, first) {
        "" => text(event, second),
        found => found,
    }
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    let first = event.get("firstTimestamp").filter(|time| !time.is_null());
    since(first.or_else(|| event.get("eventTime")), now)
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    if event.get("series").is_some_and(Value::is_object) {
        return since(event.pointer("/series/lastObservedTime"), now);
    }
    match event.get("lastTimestamp").filter(|time| !time.is_null()) {
        Some(last) => since(Some(last), now),
        None => first_seen(event, now),
    }
}

fn count(event: &Value) -> i64 {
    if event.get("series").is_some_and(Value::is_object) {
        return int(event, "/series/count");
    }
    // An event that happened once carries no count in the newer API.
    int(event, "/count").max(1)
}

fn target(event: &Value) -> String {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    match text(event, "/involvedObject/name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let component = either(event, "/source/component", "/reportingComponent");
    match either(event, "/source/host", "/reportingInstance") {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}
