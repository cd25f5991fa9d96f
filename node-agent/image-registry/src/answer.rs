//! What is answered: content, or one of the errors that the protocol knows.
//!
//! Knows: the codes of the specification and their form. Refuses to know: when each is due.

use std::io;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub type Answer = Response<Body>;
/// An answer, or why there is none.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// Why something is refused, as the specification names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    TooManyRequests,
    /// The specification leaves what is the server's own fault to it.
    Unknown,
}

impl Code {
    /// Its word, and the status that goes with it.
    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Code::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Code::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Code::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Code::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Code::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Code::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Code::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Code::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Code::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Code::SizeInvalid => ("SIZE_INVALID", StatusCode::PAYLOAD_TOO_LARGE),
            Code::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Code::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Code::Unsupported => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
            Code::TooManyRequests => ("TOOMANYREQUESTS", StatusCode::TOO_MANY_REQUESTS),
            Code::Unknown => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// Why something is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub code: Code,
    pub status: StatusCode,
    pub message: String,
    pub headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, status: code.row().1, message: message.into(), headers: Vec::new() }
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Refusal {
        Refusal { status, ..self }
    }

    /// The same with a header more.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }

    /// What is wrong here, and nobody's fault who asks.
    pub fn own(what: &str, error: impl std::fmt::Display) -> Refusal {
        tracing::warn!(%error, "the registry cannot {what}");
        Refusal::new(Code::Unknown, format!("cannot {what}: {error}"))
    }

    /// What the disk did not do.
    pub fn disk(what: &str, error: &io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::full(),
            _ => Refusal::own(what, error),
        }
    }

    /// The disk is full.
    pub fn full() -> Refusal {
        let why = "no space is left for images on the registry's disk: free some, or remove images";
        Refusal::new(Code::Unknown, why).with_status(StatusCode::INSUFFICIENT_STORAGE)
    }

    pub fn into_answer(self) -> Answer {
        let (word, _) = self.code.row();
        let body = json!({ "errors": [{ "code": word, "message": self.message, "detail": null }] });
        let mut answer = with_json(self.status, "application/json", &body);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().append(name, value);
            }
        }
        answer
    }
}

impl From<leme_host::images::ImageError> for Refusal {
    fn from(error: leme_host::images::ImageError) -> Refusal {
        match error {
            leme_host::images::ImageError::Io(error) => Refusal::disk("keep it", &error),
            other => Refusal::own("keep it", other),
        }
    }
}

/// An answer without content.
pub(crate) fn empty(status: StatusCode, headers: &[(HeaderName, &str)]) -> Answer {
    with_bytes(status, headers, Bytes::new())
}

/// An answer of what is in memory.
pub(crate) fn with_bytes(
    status: StatusCode,
    headers: &[(HeaderName, &str)],
    bytes: Bytes,
) -> Answer {
    let body = Full::new(bytes).map_err(|never: std::convert::Infallible| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// An answer of a document.
pub(crate) fn with_json(status: StatusCode, media_type: &str, body: &Value) -> Answer {
    let bytes = Bytes::from(body.to_string());
    with_bytes(status, &[(header::CONTENT_TYPE, media_type)], bytes)
}

/// The header that says which content an answer is about.
pub(crate) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The header that says what a manifest is about that was pushed.
pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The header that says by what referrers were chosen.
pub(crate) const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// The header by which an upload is known to docker.
pub(crate) const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// The header that says that a registry speaks the second version.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
