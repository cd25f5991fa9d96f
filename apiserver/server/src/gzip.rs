//! Answers compressed for clients that take it: large ones, chunk by chunk, at the level that costs least.
//!
//! Knows: when that is worth it, as upstream has it. Refuses to know: what is compressed.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};

use crate::answer::Answer;

/// Larger bodies are compressed.
pub(crate) const SMALL: u64 = 128 * 1024;
/// What is worth a chunk of its own.
const PIECE: usize = 16 * 1024;

/// Whether a client takes it. Words with a weight are not looked at.
pub(crate) fn accepted(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim() == "gzip")
}

/// The answer, compressed if it is large and is not yet.
pub(crate) fn answer(answer: Answer) -> Answer {
    if answer.headers().contains_key(header::CONTENT_ENCODING) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let body = match body.compressed() {
        Ok(compressed) => {
            let gzip = HeaderValue::from_static("gzip");
            parts.headers.insert(header::CONTENT_ENCODING, gzip);
            parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            compressed
        }
        Err(as_it_was) => as_it_was,
    };
    Answer::from_parts(parts, body)
}

/// Chunks, compressed one after the other.
pub(crate) struct Compressed<I> {
    chunks: I,
    /// Gone after the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Bytes>> Compressed<I> {
    pub fn new(chunks: I) -> Compressed<I> {
        let encoder = GzEncoder::new(Vec::new(), Compression::fast());
        Compressed { chunks, encoder: Some(encoder) }
    }
}

impl<I: Iterator<Item = Bytes>> Iterator for Compressed<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let encoder = self.encoder.as_mut()?;
            // Memory takes everything: no write fails.
            let Some(chunk) = self.chunks.next() else {
                return self.encoder.take()?.finish().ok().map(Bytes::from);
            };
            encoder.write_all(&chunk).ok()?;
            if encoder.get_ref().len() >= PIECE {
                return Some(Bytes::from(std::mem::take(encoder.get_mut())));
            }
        }
    }
}
