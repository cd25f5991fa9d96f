//! The OpenAPI v3 documents: an index, and a document per group and version, made when first asked for; and how any
//! document of OpenAPI is answered.
//!
//! Knows: hashes, entity tags, compression. Refuses to know: what the documents say; that is the kind table's.
//!
//! Objects and lists are never compressed: on loopback and in a data centre's network that costs both sides more time
//! than it saves. These documents are: they are large, are the same for as long as the kinds are, and are fetched by every new client.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use leme_kinds::{Kind, Kinds};
use leme_meta::Status;
use serde_json::{Map, Value, json};

use crate::answer::{self, Answer};
use crate::body::Body;
use crate::discovery::etag;
use crate::gzip;
use crate::query::Query;

pub(crate) struct Document {
    plain: Bytes,
    gzip: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn new(value: &Value) -> Document {
        Document::of(Bytes::from(value.to_string()))
    }

    pub fn of(plain: Bytes) -> Document {
        Document { gzip: compressed(&plain).into(), etag: etag(&plain), plain }
    }

    /// The tag without its quotes, as addresses carry it.
    fn hash(&self) -> &str {
        self.etag.to_str().unwrap_or("").trim_matches('"')
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        self.answer_as("application/json", headers)
    }

    /// The document under its media type, unless the client has it.
    pub fn answer_as(&self, media_type: &'static str, headers: &HeaderMap) -> Answer {
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|seen| *seen == self.etag);
        let whole = |bytes: &Bytes| answer::with_body(200, media_type, Body::whole(bytes.clone()));
        let mut answer = if known {
            answer::with_body(304, media_type, Body::empty())
        } else if gzip::accepted(headers) {
            let mut answer = whole(&self.gzip);
            answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            answer
        } else {
            whole(&self.plain)
        };
        answer.headers_mut().insert(header::ETAG, self.etag.clone());
        answer
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        answer
    }
}

/// The document of a group and version, made when first asked for.
struct Entry {
    group: String,
    version: String,
    kinds: Vec<Arc<Kind>>,
    made: Arc<OnceLock<Document>>,
}

impl Entry {
    fn document(&self, kinds: &Kinds) -> &Document {
        self.made.get_or_init(|| {
            Document::new(&leme_kinds::openapi::v3_document(kinds, &self.group, &self.version))
        })
    }

    /// Whether both are of the very same kinds.
    fn is_like(&self, other: &Entry) -> bool {
        self.kinds.len() == other.kinds.len()
            && self.kinds.iter().zip(&other.kinds).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// The documents of a set of kinds.
pub(crate) struct Documents {
    index: OnceLock<Document>,
    by_path: BTreeMap<String, Entry>,
}

impl Documents {
    /// Those of the kinds; what has been made before of kinds that stay is made already.
    pub fn new(kinds: &Kinds, before: Option<&Documents>) -> Documents {
        let mut by_path: BTreeMap<String, Entry> = BTreeMap::new();
        for kind in kinds.iter() {
            let path = leme_kinds::openapi::path(&kind.group, &kind.version);
            let entry = by_path.entry(path).or_insert_with(|| Entry {
                group: kind.group.to_string(),
                version: kind.version.to_string(),
                kinds: Vec::new(),
                made: Arc::default(),
            });
            entry.kinds.push(Arc::clone(kind));
        }
        for (path, entry) in &mut by_path {
            let known = before.and_then(|before| before.by_path.get(path));
            if let Some(known) = known.filter(|known| known.is_like(entry)) {
                entry.made = Arc::clone(&known.made);
            }
        }
        Documents { index: OnceLock::new(), by_path }
    }

    /// The list of documents. It tells the hash of each, so that all are made.
    pub fn index(&self, kinds: &Kinds, headers: &HeaderMap) -> Answer {
        let index = self.index.get_or_init(|| {
            let paths = self.by_path.iter().map(|(path, entry)| {
                let hash = entry.document(kinds).hash();
                let url = format!("/openapi/v3/{path}?hash={hash}");
                (path.clone(), json!({ "serverRelativeURL": url }))
            });
            Document::new(&json!({ "paths": paths.collect::<Map<String, Value>>() }))
        });
        index.answer(headers)
    }

    /// A document. Under the hash that the index names it may be kept for ever; a stale hash is sent on to the present one.
    pub fn document(
        &self,
        kinds: &Kinds,
        headers: &HeaderMap,
        path: &str,
        query: &Query,
    ) -> Result<Answer, Status> {
        let found = self.by_path.get(path).ok_or_else(Status::no_such_path)?.document(kinds);
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
