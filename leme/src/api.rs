//! Calls to the API in terms of kinds and JSON: what every verb of the command line is made of.
//!
//! Knows: paths, media types, Status, warnings. Refuses to know: any kind by name.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::io::AsyncBufReadExt;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
pub use leme_client::query::query;
pub use leme_client::{JSON, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::discovery::Served;
use crate::resource::Resource;
use crate::say;

/// What kubectl asks for when it prints.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// A connection and the namespace that is meant when none is said.
#[derive(Clone)]
pub struct Api {
    /// The client.
    pub client: kube::Client,
    /// Namespace of the command.
    pub namespace: String,
    /// The kinds that the server serves, once somebody has asked.
    served: Arc<OnceCell<Served>>,
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
    kind: &Resource,
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
        namespace.filter(|_| kind.namespaced).map(|namespace| ["namespaces", namespace]);
    for part in
        namespace.into_iter().flatten().chain([kind.plural.as_str()]).chain(name).chain(subresource)
    {
        path.push('/');
        path.push_str(part);
    }
    path
}

impl Api {
    /// Speaks through `client`; what has a namespace and says none is in `namespace`.
    pub fn new(client: kube::Client, namespace: String) -> Api {
        Api { client, namespace, served: Arc::default() }
    }

    /// The same where the kinds served are known beforehand.
    pub fn with_kinds(client: kube::Client, namespace: String, served: Served) -> Api {
        Api { client, namespace, served: Arc::new(OnceCell::from(served)) }
    }

    /// The kinds that the server serves: asked once.
    pub async fn served(&self) -> Result<&Served> {
        self.served.get_or_try_init(|| Served::ask(self)).await
    }

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
            .body(Body::from(body))
            .map_err(|error| ApiError::Transport(error.to_string()))?;
        let bytes = self.send(request).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ApiError::Transport(format!("bad answer: {error}")))
    }

    /// Sends a request and gives the answer as it is; says what the server warns of.
    async fn send(&self, request: Request<Body>) -> Result<Bytes> {
        let answer = self.client.send(request).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| ApiError::Transport(error.to_string()))?;
        for warning in warnings(&head.headers) {
            say::note(format_args!("Warning: {warning}"));
        }
        let bytes = body.to_bytes();
        if head.status.is_success() { Ok(bytes) } else { Err(refusal(head.status, &bytes)) }
    }

    /// GET of a path, whatever is behind it.
    pub async fn raw(&self, path: &str) -> Result<Bytes> {
        let request = Request::get(path).body(Body::empty());
        self.send(request.map_err(|error| ApiError::Transport(error.to_string()))?).await
    }

    /// GET of a path.
    pub async fn get(&self, path: &str, accept: &str) -> Result<Value> {
        self.call("GET", path, JSON, accept, None).await
    }

    /// GET of one object, `None` if it is not there.
    pub async fn find(
        &self,
        kind: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        match self.get(&self::path(kind, Some(namespace), Some(name), None), JSON).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The items of a list, with `apiVersion` and `kind` filled in, and the list's resourceVersion.
    pub async fn list(
        &self,
        kind: &Resource,
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
                item["kind"] = kind.kind.as_str().into();
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

/// What a server warns of: the texts of the `Warning` headers of code 299.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(http::header::WARNING).iter();
    values
        .filter_map(|value| {
            let (code, rest) = value.to_str().ok()?.split_once(' ')?;
            let quoted = rest.split_once(" \"")?.1;
            let mut text = String::new();
            let mut characters = quoted.chars();
            loop {
                match characters.next()? {
                    '"' => return (code == "299").then_some(text),
                    '\\' => text.extend(characters.next()),
                    other => text.push(other),
                }
            }
        })
        .collect()
}

/// What an answer that is no success says.
fn refusal(status: StatusCode, body: &[u8]) -> ApiError {
    let said: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let code = said["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let message = match said["message"].as_str() {
        Some(message) => message.to_owned(),
        None => format!("{status}: {}", String::from_utf8_lossy(body).trim()),
    };
    ApiError::Status {
        code: code.unwrap_or(status.as_u16()),
        reason: said["reason"].as_str().unwrap_or("").to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_as_they_were_meant() {
        let mut headers = HeaderMap::new();
        for value in
            [r#"299 - "say \"aye\"""#, r#"199 - "not this""#, "299 - broken", r#"299 - "open"#]
        {
            headers.append(http::header::WARNING, value.parse().unwrap());
        }
        assert_eq!(warnings(&headers), [r#"say "aye""#]);
    }

    #[test]
    fn what_is_no_status_is_told_as_it_is() {
        let error = refusal(StatusCode::BAD_GATEWAY, b"no one home\n").to_string();
        assert_eq!(error, "502 Bad Gateway: no one home");
        let body =
            br#"{"kind":"Status","reason":"NotFound","message":"pods \"a\" not found","code":404}"#;
        let error = refusal(StatusCode::NOT_FOUND, body);
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "Error from server (NotFound): pods \"a\" not found");
    }
}
