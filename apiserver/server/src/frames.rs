//! What a watcher is told of a change, in each representation.
//!
//! Knows: the types of watch events, how a change looks to who selects. Refuses to know: streams, and what is selected.
//!
//! The frames that all watchers of a representation share are kept with the event: slot 0 holds metadata, slots 1 to 3
//! hold Table rows without, with metadata, with whole objects.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_store::cache::{Cached, Event, Kind as Change, frame};
use serde_json::{Value, json};

use crate::negotiate::{Encoding, Include, Representation, Shape};
use crate::request::{Kept, ResourceRequest};
use crate::{ordered, protobuf, table};

/// The version of `meta.k8s.io` that everybody asks for.
const V1: &str = "meta.k8s.io/v1";

/// The writer of one watch's events.
pub(crate) struct Frames {
    kind: Arc<Kind>,
    kept: Kept,
    wanted: Representation,
    include: Include,
    /// Only the first Table of a watch says what its columns are.
    columns_told: bool,
}

impl Frames {
    pub fn new(request: &ResourceRequest, wanted: Representation, include: Include) -> Frames {
        let (kind, kept) = (Arc::clone(&request.kind), request.kept.clone());
        Frames { kind, kept, wanted, include, columns_told: false }
    }

    /// The media type of the stream.
    pub fn media_type(&self) -> &'static str {
        match self.wanted.encoding {
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            Encoding::Json | Encoding::Pretty | Encoding::Yaml => "application/json",
        }
    }

    /// What became of an object otherwise than by a change of it: it was there when the watch began, or who watches has
    /// come to see it, or sees it no longer.
    pub fn told(&mut self, change: Change, object: &Cached) -> Bytes {
        self.encode(change, object)
    }

    /// A change of what was meant before it or not, and is after it or not: what enters is added, what leaves is deleted.
    pub fn event(&mut self, event: &Event, (before, now): (bool, bool)) -> Option<Bytes> {
        let change = match (before, now) {
            (false, false) => return None,
            (false, true) => Change::Added,
            (true, true) => Change::Modified,
            (true, false) => Change::Deleted,
        };
        if change == event.kind {
            return Some(self.shared(event));
        }
        match (&event.previous, change) {
            // Left the selection: shown as it last was in it, with the revision of its leaving.
            (Some(previous), Change::Deleted) => {
                Some(self.encode(change, &previous.at_revision(event.revision)))
            }
            _ => Some(self.encode(change, &event.object)),
        }
    }

    /// A bookmark; `initial` for the one that ends the initial events.
    pub fn bookmark(&mut self, revision: u64, initial: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = match self.wanted.shape {
            Shape::Plain => {
                json!({ "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata })
            }
            Shape::Metadata(version) => table::partial(json!({ "metadata": metadata }), version),
            Shape::Table(version) => {
                let cells: Vec<Value> = self.kind.table_columns().map(|_| Value::Null).collect();
                let row = json!({ "cells": cells, "object": table::partial(json!({ "metadata": metadata }), version) });
                let metadata = json!({ "resourceVersion": revision.to_string() });
                table::table(self.columns(), metadata, vec![row], version)
            }
        };
        self.written("BOOKMARK", &object)
    }

    /// The end of a watch that failed.
    pub fn error(&self, status: &Status) -> Bytes {
        self.written("ERROR", &status.to_json())
    }

    fn written(&self, word: &str, object: &Value) -> Bytes {
        let bytes = match self.wanted.encoding {
            Encoding::Protobuf => protobuf::frame(word, object).map(Bytes::from),
            Encoding::Json | Encoding::Pretty | Encoding::Yaml => None,
        };
        // What has no protobuf encoding is not watched in it.
        bytes.unwrap_or_else(|| frame(word, &ordered::document(object)))
    }

    fn shared(&mut self, event: &Event) -> Bytes {
        let shared =
            self.wanted.encoding == Encoding::Json && self.kept.as_served(&event.object.json);
        let slot = match (self.wanted.shape, self.include) {
            (Shape::Plain, _) if shared => return event.frame(),
            (Shape::Metadata(V1), _) if shared => 0,
            (Shape::Table(V1), Include::None) if self.columns_told => 1,
            (Shape::Table(V1), Include::Metadata) if self.columns_told => 2,
            (Shape::Table(V1), Include::Object) if self.columns_told => 3,
            // What few ask for, and the one that holds the columns, is nobody else's.
            _ => return self.encode(event.kind, &event.object),
        };
        event.encoded(slot, |event| self.encode(event.kind, &event.object))
    }

    fn encode(&mut self, change: Change, object: &Cached) -> Bytes {
        if self.wanted == (Representation { encoding: Encoding::Json, shape: Shape::Plain })
            && self.kept.as_served(&object.json)
        {
            return frame(change.word(), &object.json);
        }
        if let Some(bytes) = self.kept_in_protobuf(change, object) {
            return bytes;
        }
        let shown = match (table::decoded(object), self.wanted.shape) {
            (Err(status), _) => return self.error(&status),
            (Ok(value), Shape::Table(version)) => {
                let metadata = json!({ "resourceVersion": object.mod_revision.to_string() });
                let row = table::row(
                    (&self.kind, &self.kept),
                    None,
                    value,
                    self.include,
                    Timestamp::now(),
                    version,
                );
                table::table(self.columns(), metadata, vec![row], version)
            }
            (Ok(value), Shape::Metadata(version)) => table::partial(value, version),
            (Ok(value), Shape::Plain) => self.kept.to_served(value),
        };
        self.written(change.word(), &shown)
    }

    /// The frame of an object that is kept as it is to be shown.
    fn kept_in_protobuf(&self, change: Change, object: &Cached) -> Option<Bytes> {
        let wanted = Representation { encoding: Encoding::Protobuf, shape: Shape::Plain };
        if self.wanted != wanted || !self.kept.as_served(&object.json) {
            return None;
        }
        let message = protobuf::kept(&self.kind, object)?;
        let whole = protobuf::enveloped(&self.kind.api_version(), &self.kind.kind, &message);
        protobuf::framed(change.word(), &whole).map(Bytes::from)
    }

    fn columns(&mut self) -> Option<Value> {
        (!std::mem::replace(&mut self.columns_told, true)).then(|| table::columns(&self.kind, None))
    }
}
