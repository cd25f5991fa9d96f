//! Calls to the API in terms of the kind table and JSON: what every verb of the command line is made of.
//!
//! Knows: paths, media types, Status. Refuses to know: any kind by name.

use std::fmt;

use futures::io::AsyncBufReadExt;
use futures::{Stream, StreamExt, TryStreamExt};
use http::Request;
use leme_kinds::Kind;
use serde_json::Value;

/// What kubectl asks for when it prints.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// Plain objects.
pub const JSON: &str = "application/json";

/// A connection and the namespace that is meant when none is said.
#[derive(Clone)]
pub struct Api {
    /// The client.
    pub client: kube::Client,
    /// Namespace of the command.
    pub namespace: String,
}

/// Why a call failed.
#[derive(Debug)]
pub enum ApiError {
    /// The server said no.
    Status {
        /// HTTP code.
        code: u16,
        /// Machine-readable reason.
        reason: String,
        /// What the server said.
        message: String,
    },
    /// The server was not reached or was not understood.
    Transport(String),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::Status { reason, message, .. } if reason.is_empty() => write!(f, "{message}"),
            ApiError::Status { reason, message, .. } => {
                write!(f, "Error from server ({reason}): {message}")
            }
            ApiError::Transport(message) => {
                write!(f, "the API server does not answer: {message}; is the cluster up?")
            }
        }
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// Whether the same request would be refused again: it is not allowed, or not served.
    pub fn is_final(&self) -> bool {
        matches!(self, ApiError::Status { code: 401 | 403 | 404 | 405, .. })
    }

    /// Whether the server said that it is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ApiError::Status { code: 404, .. })
    }

    /// Whether the object changed meanwhile, or already exists.
    pub fn is_conflict(&self) -> bool {
        matches!(self, ApiError::Status { code: 409, .. })
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> ApiError {
        match error {
            kube::Error::Api(status) => ApiError::Status {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            },
            other => ApiError::Transport(leme_host::files::chain(&other)),
        }
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, ApiError>;

/// The path of a kind's objects, or of one of them.
pub fn path(
    kind: &Kind,
    namespace: Option<&str>,
    name: Option<&str>,
    subresource: Option<&str>,
) -> String {
    let mut path = if kind.group.is_empty() {
        format!("/api/{}", kind.version)
    } else {
        format!("/apis/{}/{}", kind.group, kind.version)
    };
    let namespace =
        namespace.filter(|_| kind.namespaced()).map(|namespace| ["namespaces", namespace]);
    for part in
        namespace.into_iter().flatten().chain([&*kind.plural]).chain(name).chain(subresource)
    {
        path.push('/');
        path.push_str(part);
    }
    path
}

/// A query string of the pairs that have a value, with its question mark.
pub fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs.iter().filter_map(|(key, value)| Some((key, (*value)?))) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(byte as char);
                }
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
    }
    text
}

impl Api {
    /// Sends a request with a JSON body, or none, and reads a JSON answer.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, accept)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|error| ApiError::Transport(error.to_string()))?;
        let text = self.client.request_text(request).await?;
        serde_json::from_str(&text)
            .map_err(|error| ApiError::Transport(format!("bad answer: {error}")))
    }

    /// GET of a path.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Value> {
        self.call("GET", path, JSON, accept, None).await
    }

    /// GET of one object, `None` if it is not there.
    pub async fn find(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        match self.get(&self::path(kind, Some(namespace), Some(name), None), JSON).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The items of a list, with `apiVersion` and `kind` filled in, and the list's resourceVersion.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        query: &str,
    ) -> Result<(Vec<Value>, String)> {
        let mut list =
            self.get(&format!("{}{query}", self::path(kind, namespace, None, None)), JSON).await?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
        let mut items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        for item in &mut items {
            if item.get("kind").is_none() {
                item["kind"] = (*kind.kind).into();
                item["apiVersion"] = kind.api_version().into();
            }
        }
        Ok((items, version))
    }

    /// Events of a watch as they come: `(type, object)`. Ends when the server ends it.
    pub async fn watch(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<impl Stream<Item = Result<(String, Value)>> + Unpin + use<>> {
        let request = Request::get(path)
            .header(http::header::ACCEPT, accept)
            .body(Vec::new())
            .map_err(|error| ApiError::Transport(error.to_string()))?;
        let lines = self.client.request_stream(request).await?.lines();
        Ok(Box::pin(lines.map_err(|error| ApiError::Transport(error.to_string())).map(|line| {
            let mut event: Value = serde_json::from_str(&line?)
                .map_err(|error| ApiError::Transport(format!("bad watch event: {error}")))?;
            let kind = event["type"].as_str().unwrap_or("").to_owned();
            let object = event["object"].take();
            if kind == "ERROR" {
                return Err(ApiError::Status {
                    code: object["code"].as_u64().unwrap_or(500) as u16,
                    reason: object["reason"].as_str().unwrap_or("").to_owned(),
                    message: object["message"].as_str().unwrap_or("").to_owned(),
                });
            }
            Ok((kind, object))
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            query(&[("a", Some("x=y,z")), ("b", None), ("c", Some("1"))]),
            "?a=x%3Dy%2Cz&c=1"
        );
        assert_eq!(query(&[("a", None)]), "");
    }
}
