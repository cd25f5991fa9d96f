//! A list document, put together chunk by chunk while it is sent.
//!
//! Knows: its head, its items and its end as bytes. Refuses to know: encodings, and whose items they are.

use bytes::{BufMut, Bytes};

use crate::answer::{self, Answer};
use crate::body::{Body, CHUNK};

/// Items of this size are passed on as the cache has them; smaller ones are put together.
const BY_ITSELF: usize = 16 * 1024;

/// Writes what stands before an item of this length, the first one or another.
pub(crate) type Before = fn(&mut Vec<u8>, bool, usize);

/// The items of a list document.
pub(crate) struct Items<I> {
    /// Each as it stands in the document.
    pub items: I,
    /// What stands before each.
    pub before: Before,
    /// How many bytes they come to, with what stands before each.
    pub length: usize,
}

/// A list document that is put together while it is sent.
pub(crate) fn chunked<I>(
    media_type: &'static str,
    head: Vec<u8>,
    items: Items<I>,
    tail: &'static [u8],
) -> Answer
where
    I: Iterator<Item = Bytes> + Send + 'static,
{
    let total = head.len() + items.length + tail.len();
    let chunks = Chunks { head, items, tail, large: None, first: true, done: false, left: total };
    answer::with_body(200, media_type, Body::chunks(total as u64, chunks))
}

/// The chunks of a list document.
struct Chunks<I> {
    head: Vec<u8>,
    items: Items<I>,
    tail: &'static [u8],
    /// An object that goes by itself, next.
    large: Option<Bytes>,
    first: bool,
    done: bool,
    left: usize,
}

impl<I: Iterator<Item = Bytes>> Iterator for Chunks<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(large) = self.large.take() {
            self.left = self.left.saturating_sub(large.len());
            return Some(large);
        }
        if self.done {
            return None;
        }
        let mut out = Vec::with_capacity(self.left.min(CHUNK + CHUNK / 8));
        out.append(&mut self.head);
        while out.len() < CHUNK {
            let Some(item) = self.items.items.next() else {
                out.put_slice(self.tail);
                self.done = true;
                break;
            };
            (self.items.before)(&mut out, std::mem::take(&mut self.first), item.len());
            if item.len() >= BY_ITSELF {
                self.large = Some(item);
                break;
            }
            out.put_slice(&item);
        }
        self.left = self.left.saturating_sub(out.len());
        Some(Bytes::from(out))
    }
}
