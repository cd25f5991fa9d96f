//! The OpenAPI v3 documents: an index, and a document per group and version, made all at once.
//!
//! Knows: hashes, entity tags, compression. Refuses to know: what the documents say; that is the kind table's.
//!
//! Objects and lists are never compressed: on loopback and in a data centre's network that costs both sides more time
//! than it saves. These documents are: they are large, are the same for as long as the kinds are, and are fetched by every new client.

use std::collections::BTreeMap;
use std::io::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use leme_kinds::Kinds;
use leme_meta::Status;
use serde_json::{Map, Value, json};

use crate::answer::{self, Answer};
use crate::body::Body;
use crate::discovery::etag;
use crate::gzip;
use crate::query::Query;

struct Document {
    plain: Bytes,
    gzip: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn new(value: &Value) -> Document {
        let plain = Bytes::from(value.to_string());
        Document { gzip: compressed(&plain).into(), etag: etag(&plain), plain }
    }

    /// The tag without its quotes, as addresses carry it.
    fn hash(&self) -> &str {
        self.etag.to_str().unwrap_or("").trim_matches('"')
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| *seen == self.etag);
        let mut answer = if known {
            answer::with_body(304, "application/json", Body::empty())
        } else if gzip::accepted(headers) {
            let mut answer = answer::json(200, self.gzip.clone());
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        } else {
            answer::json(200, self.plain.clone())
        };
        answer.headers_mut().insert(header::ETAG, self.etag.clone());
        answer
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        answer
    }
}

/// The documents of a set of kinds.
pub(crate) struct Documents {
    index: Document,
    by_path: BTreeMap<String, Document>,
}

impl Documents {
    /// Makes them all, which takes a while.
    pub fn new(kinds: &Kinds) -> Documents {
        let mut by_path = BTreeMap::new();
        let mut paths = Map::new();
        for path in leme_kinds::openapi::v3_index(kinds) {
            let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
                ["api", version] => ("", *version),
                ["apis", group, version] => (*group, *version),
                _ => continue,
            };
            let document = Document::new(&leme_kinds::openapi::v3_document(kinds, group, version));
            let url = format!("/openapi/v3/{path}?hash={}", document.hash());
            paths.insert(path.clone(), json!({ "serverRelativeURL": url }));
            by_path.insert(path.clone(), document);
        }
        Documents { index: Document::new(&json!({ "paths": paths })), by_path }
    }

    /// The list of documents.
    pub fn index(&self, headers: &HeaderMap) -> Answer {
        self.index.answer(headers)
    }

    /// A document. Under the hash that the index names it may be kept for ever; a stale hash is sent on to the present one.
    pub fn document(
        &self,
        headers: &HeaderMap,
        path: &str,
        query: &Query,
    ) -> Result<Answer, Status> {
        let found = self.by_path.get(path).ok_or_else(Status::no_such_path)?;
        let hash = query.get("hash").unwrap_or("");
        if !hash.is_empty() && hash != found.hash() {
            let mut answer = answer::with_body(301, "application/json", Body::empty());
            let location = format!("/openapi/v3/{path}?hash={}", found.hash());
            if let Ok(location) = HeaderValue::from_str(&location) {
                answer.headers_mut().insert(header::LOCATION, location);
            }
            return Ok(answer);
        }
        let mut answer = found.answer(headers);
        if !hash.is_empty() {
            let forever = HeaderValue::from_static("public, immutable, max-age=31536000");
            answer.headers_mut().insert(header::CACHE_CONTROL, forever);
        }
        Ok(answer)
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to a Vec does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
