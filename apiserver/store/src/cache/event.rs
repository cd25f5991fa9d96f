//! A change of one object, encoded at most once per representation and shared by all who watch it.
//!
//! Knows: the JSON watch frame. Refuses to know: other media types; it only keeps what they encode to.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::object::Cached;

/// What happened to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It came into being.
    Added,
    /// It changed.
    Modified,
    /// It is gone.
    Deleted,
}

impl Kind {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Added => "ADDED",
            Kind::Modified => "MODIFIED",
            Kind::Deleted => "DELETED",
        }
    }
}

/// How many representations beside the JSON frame an event keeps.
pub const ENCODINGS: usize = 4;

/// About what an event takes in memory beside its objects.
const EVENT: usize = 256;

/// A change of one object.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// The object after the change; of a deletion its last state with the revision of the deletion.
    pub object: Arc<Cached>,
    /// The object before the change.
    pub previous: Option<Arc<Cached>>,
    /// The revision of the change.
    pub revision: u64,
    encoded: [OnceLock<Bytes>; ENCODINGS],
}

impl Event {
    pub(super) fn new(kind: Kind, object: Arc<Cached>, previous: Option<Arc<Cached>>) -> Self {
        let revision = object.mod_revision;
        Self { kind, object, previous, revision, encoded: Default::default() }
    }

    /// The JSON watch frame, `{"type":"ADDED","object":{...}}` and a newline.
    pub fn frame(&self) -> Bytes {
        match &self.object.frame {
            Some((kind, frame)) if *kind == self.kind => frame.clone(),
            _ => frame(self.kind.word(), &self.object.json),
        }
    }

    /// About how much memory it keeps: when the event before it is gone, nothing else holds the object before the change.
    pub(super) fn weight(&self) -> usize {
        let previous = self.previous.as_ref().map_or(0, |previous| previous.weight());
        EVENT + self.object.weight() + previous
    }

    /// The representation number `slot` (below [`ENCODINGS`]), made by the first who asks. The caller decides which
    /// slot is which; beyond the last slot nothing is kept.
    pub fn encoded(&self, slot: usize, make: impl FnOnce(&Event) -> Bytes) -> Bytes {
        match self.encoded.get(slot) {
            Some(kept) => kept.get_or_init(|| make(self)).clone(),
            None => make(self),
        }
    }
}

/// A JSON watch frame of any type and object.
pub fn frame(kind: &str, object: &[u8]) -> Bytes {
    let [first, last] = around(kind);
    [first.as_bytes(), object, last.as_bytes()].concat().into()
}

/// What stands before and behind the object in a JSON watch frame.
pub(super) fn around(kind: &str) -> [String; 2] {
    [format!("{{\"type\":\"{kind}\",\"object\":"), "}\n".to_owned()]
}
