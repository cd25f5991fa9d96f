//! A change of one object, encoded at most once per representation and shared by all who watch it.
//!
//! Knows: the JSON watch frame. Refuses to know: other media types; it only keeps what they encode to.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};

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
    frame: OnceLock<Bytes>,
    encoded: [OnceLock<Bytes>; ENCODINGS],
}

impl Event {
    pub(super) fn new(kind: Kind, object: Arc<Cached>, previous: Option<Arc<Cached>>) -> Self {
        let revision = object.mod_revision;
        let (frame, encoded) = (OnceLock::new(), Default::default());
        Self { kind, object, previous, revision, frame, encoded }
    }

    /// The JSON watch frame, `{"type":"ADDED","object":{...}}` and a newline.
    pub fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| frame(self.kind.word(), &self.object.json)).clone()
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
    let mut out = BytesMut::with_capacity(kind.len() + object.len() + 24);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
