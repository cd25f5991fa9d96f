//! `/openapi/v2`: a document that names the API and describes nothing.
//!
//! Clients of this decade read version 3; kubectl asks for version 2 only about what version 3 does not hold, and takes an
//! absent document for a broken server. So the answer is "nothing more is known", in the two encodings that are asked for.

use http::{HeaderMap, header};
use serde_json::json;

use crate::answer::{self, Answer};
use crate::body::Body;

/// The media type of gnostic's `openapi.v2.Document`. Clients ask for it with an `@`, which is no media type that Go's own
/// parser takes, so the answer has the later spelling.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const TITLE: &str = "Kubernetes";
const VERSION: &str = "v1.33.0";

/// Answers in protobuf where the client lists it, else in JSON.
pub(crate) fn document(headers: &HeaderMap) -> Answer {
    let accepted = headers.get_all(header::ACCEPT);
    let protobuf = accepted.iter().any(|value| {
        value.to_str().is_ok_and(|value| value.contains("com.github.proto-openapi.spec.v2"))
    });
    if protobuf {
        return answer::with_body(200, PROTOBUF, Body::whole(encoded()));
    }
    answer::value(
        200,
        &json!({"swagger": "2.0", "info": {"title": TITLE, "version": VERSION}, "paths": {}}),
    )
}

/// `Document { swagger: 1, info: 2 { title: 1, version: 2 }, paths: 8 {} }`.
fn encoded() -> Vec<u8> {
    let info = [field(1, TITLE.as_bytes()), field(2, VERSION.as_bytes())].concat();
    [field(1, b"2.0"), field(2, &info), field(8, b"")].concat()
}

/// A length-delimited field whose number is below 16 and whose length is below 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    debug_assert!(number < 16 && bytes.len() < 128);
    let mut out = vec![number << 3 | 2, bytes.len() as u8];
    out.extend_from_slice(bytes);
    out
}
