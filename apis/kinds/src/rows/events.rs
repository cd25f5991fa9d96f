//! events.k8s.io, a view of the core group's Events.

use super::Row;
use crate::columns::event;
use crate::{Storage, selectable};

const V1: Row = Row::of("events.k8s.io", "v1", "io.k8s.api.events.v1");

pub(super) const ROWS: &[Row] = &[Row {
    kind: "Event",
    plural: "events",
    short_names: &["ev"],
    storage: Storage::As("", "v1", "events"),
    columns: event::EVENT,
    selectable: selectable::EVENTS,
    ..V1
}];
