//! Answers, and the one ladder from every error to the Status a client sees.
//!
//! Knows: status codes, headers, what each store error means to a client. Refuses to know: what was asked.
//!
//! | error | answer |
//! |---|---|
//! | Status of any crate | as it is; `retryAfterSeconds` also as a header |
//! | store: compacted | 410 `Expired` |
//! | store: future revision | 504 `Timeout`, cause `ResourceVersionTooLarge`, retry after 1 s |
//! | store: out of space | 507 `InsufficientStorage`; nothing was written, reads go on |
//! | store: value too large | 413 `RequestEntityTooLarge` |
//! | store: not reached, nothing happened | 503 `ServiceUnavailable`, retry after 1 s |
//! | store: unreachable, on a read | 503 `ServiceUnavailable`, retry after 1 s |
//! | store: unreachable, on a write | 504 `Timeout` without a retry hint: whether it was written is unknown |
//! | store: foreign or locked data | 500 `InternalError` |
//! | store: an object that cannot be read | 500 `InternalError`, "StorageError: corrupt object" |
//! | panic | 500 `InternalError`, logged with what was asked |

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use leme_meta::status::Details;
use leme_meta::{Cause, Status};
use leme_store::StoreError;
use serde_json::Value;

use crate::body::Body;
use crate::negotiate::Encoding;
use crate::{ordered, present, warnings};

/// The answer to any request.
pub type Answer = Response<Body>;

/// What the API server answers with: JSON of the given code.
pub(crate) fn json(code: u16, bytes: impl Into<Bytes>) -> Answer {
    with_body(code, "application/json", Body::whole(bytes))
}

/// An answer of any type.
pub(crate) fn with_body(code: u16, media_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// Plain text, as Go's server has it.
pub(crate) fn text(code: u16, text: impl Into<Bytes>) -> Answer {
    let mut answer = with_body(code, "text/plain; charset=utf-8", Body::whole(text));
    let name = HeaderName::from_static("x-content-type-options");
    answer.headers_mut().insert(name, HeaderValue::from_static("nosniff"));
    answer
}

/// What is said of a path that is no API's.
pub(crate) fn page_not_found() -> Answer {
    text(404, "404 page not found\n")
}

/// A JSON value.
pub(crate) fn value(code: u16, value: &Value) -> Answer {
    json(code, ordered::document(value))
}

/// A Status, with its headers, in the encoding that the client takes.
pub(crate) fn status(status: &Status, encoding: Encoding) -> Answer {
    let document = status.to_json();
    let mut answer = match present::encoded(encoding, &document) {
        Ok(bytes) => with_body(status.code, encoding.media_type(), Body::whole(bytes)),
        Err(_) => value(status.code, &document),
    };
    let retry = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    answer
}

/// The answer as HEAD gives it: everything but the body.
pub(crate) fn without_body(answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

/// Adds a `Warning` header per text, each once, as clients show them to people. What is too much in all is cut, as
/// upstream does.
pub(crate) fn warn(answer: &mut Answer, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let mut headers: Vec<HeaderValue> =
        answer.headers().get_all(header::WARNING).iter().cloned().collect();
    for warning in warnings::fitting(warnings) {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        match HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            Ok(value) if !headers.contains(&value) => headers.push(value),
            _ => {}
        }
    }
    answer.headers_mut().remove(header::WARNING);
    for value in headers {
        answer.headers_mut().append(header::WARNING, value);
    }
}

/// What a failed read of the store means to the client.
pub(crate) fn read_failed(error: StoreError) -> Status {
    match error {
        StoreError::Compacted { asked, oldest } => too_old(asked, oldest),
        StoreError::Future { asked, newest } => too_new(asked, newest),
        StoreError::Full(why) => full(&why),
        StoreError::Format(why) | StoreError::InUse(why) => Status::internal(why),
        StoreError::TooLarge(why) => {
            Status::new(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
        }
        StoreError::Unreachable(why) | StoreError::Unavailable(why) => {
            tracing::warn!(error = %why, "store read failed");
            let mut status = Status::unavailable(format!("the store is unavailable: {why}"));
            status.details =
                Some(Box::new(Details { retry_after_seconds: 1, ..Details::default() }));
            status
        }
    }
}

/// What a failed write to the store means to the client: never a success, and no hint to try again unless it is certain
/// that nothing was written.
pub(crate) fn write_failed(error: StoreError) -> Status {
    match error {
        StoreError::Unavailable(why) => {
            tracing::warn!(error = %why, "store write failed");
            Status::timeout(
                format!("the store did not confirm the write, which may have happened: {why}"),
                0,
            )
        }
        other => read_failed(other),
    }
}

fn full(why: &str) -> Status {
    tracing::warn!(error = %why, "store is out of space");
    Status::new(507, "InsufficientStorage", format!("the store is out of space: {why}"))
}

/// 500 for an object that the store has and nobody can read, in upstream's words.
pub(crate) fn unreadable(key: &str, why: &str) -> Status {
    Status::internal(format!("StorageError: corrupt object, Key: {key}: {why}"))
}

/// 410 for a resourceVersion whose history is gone.
pub(crate) fn too_old(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}

/// 504 for a resourceVersion that does not exist yet.
pub(crate) fn too_new(asked: u64, newest: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
    let mut status = Status::timeout(message, 1);
    if let Some(details) = &mut status.details {
        details.causes = vec![Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        }];
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_errors_become_the_documented_codes() {
        let code = |error: StoreError| write_failed(error).code;
        assert_eq!(code(StoreError::Compacted { asked: 1, oldest: 5 }), 410);
        assert_eq!(code(StoreError::Future { asked: 9, newest: 5 }), 504);
        assert_eq!(code(StoreError::Full("disk".into())), 507);
        assert_eq!(code(StoreError::Format("x".into())), 500);
        assert_eq!(code(StoreError::Unavailable("x".into())), 504);
        assert_eq!(code(StoreError::Unreachable("x".into())), 503);
        assert_eq!(code(StoreError::TooLarge("x".into())), 413);
        assert_eq!(read_failed(StoreError::Unavailable("x".into())).code, 503);
    }

    #[test]
    fn only_reads_invite_another_try() {
        let retry = |answer: Answer| answer.headers().contains_key(header::RETRY_AFTER);
        let unavailable = || StoreError::Unavailable("x".into());
        assert!(retry(status(&read_failed(unavailable()), Encoding::Json)));
        assert!(!retry(status(&write_failed(unavailable()), Encoding::Json)));
        let unreachable = write_failed(StoreError::Unreachable("x".into()));
        assert!(retry(status(&unreachable, Encoding::Json)));
    }
}
