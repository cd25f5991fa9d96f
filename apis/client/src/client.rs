//! Requests, as one component makes them.
//!
//! Knows: media types, warnings, what is no success. Refuses to know: what is asked for.

use bytes::Bytes;
use futures::AsyncBufRead;
use http::request::Builder;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use kube::client::{Body, Connection};
use leme_meta::version::KUBERNETES;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::{BoxError, Service};

use crate::error::Error;

/// Plain objects.
pub const JSON: &str = "application/json";
/// A list of operations.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// An object that is laid over another.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// The same where the server knows how lists are merged.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// Under which Lease a request is made.
const LEASE: HeaderName = HeaderName::from_static("leme-lease");

/// The client of one component.
#[derive(Clone)]
pub struct Client {
    transport: kube::Client,
    agent: Option<HeaderValue>,
    lease: Option<HeaderValue>,
    warned: Option<fn(&str)>,
}

/// One request: what is asked for, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// GET and the like.
    pub method: &'a Method,
    /// Path and query.
    pub path: &'a str,
    /// Type of the body.
    pub content_type: &'a str,
    /// Types of the answer.
    pub accept: &'a str,
    /// The body.
    pub body: Option<&'a Value>,
}

impl Client {
    /// Speaks through `transport`.
    pub(crate) fn new(transport: kube::Client) -> Client {
        Client { transport, agent: None, lease: None, warned: None }
    }

    /// What it speaks through.
    pub(crate) fn transport(&self) -> &kube::Client {
        &self.transport
    }

    /// Speaks to a service of this process: a server's own, or one that stands for a server.
    pub fn over<S, B>(service: S) -> Client
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Client::new(kube::Client::new(service, "default"))
    }

    /// The same as a component, such as `kube-scheduler`: servers note what it writes under that name.
    pub fn named(self, component: &'static str) -> Client {
        Client { agent: Some(user_agent(component)), ..self }
    }

    /// The same as the holder of a Lease: a server of ours stores what it writes only as long as it is that.
    pub fn leading(self, namespace: &str, lease: &str, holder: &str) -> Client {
        let lease = HeaderValue::from_str(&format!("{namespace}/{lease}/{holder}")).ok();
        Client { lease, ..self }
    }

    /// The same, with `tell` called for everything that a server warns of.
    pub fn on_warning(self, tell: fn(&str)) -> Client {
        Client { warned: Some(tell), ..self }
    }

    /// The beginning of a request of this component.
    pub fn request(&self, method: &Method, path: &str) -> Builder {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in [(header::USER_AGENT, &self.agent), (LEASE, &self.lease)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        request
    }

    /// Sends a request. Gives the answer as it is if it is a success, or what was known already.
    pub async fn send(&self, request: Request<Body>) -> Result<(Parts, Vec<u8>), Error> {
        let (head, body) = self.transport.send(request).await?.into_parts();
        let body = body.collect_bytes().await?.to_vec();
        if let Some(tell) = self.warned {
            warnings(&head.headers).iter().for_each(|warning| tell(warning));
        }
        match head.status {
            status if status.is_success() => Ok((head, body)),
            StatusCode::NOT_MODIFIED => Ok((head, body)),
            status => Err(Error::of_answer(status, &body)),
        }
    }

    /// One request with an optional JSON body, and its JSON answer.
    pub async fn ask<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Error> {
        let body = match ask.body {
            Some(body) => serde_json::to_vec(body).map_err(|error| Error::transport(&error))?,
            None => Vec::new(),
        };
        let request = self
            .request(ask.method, ask.path)
            .header(header::ACCEPT, ask.accept)
            .header(header::CONTENT_TYPE, ask.content_type)
            .body(Body::from(body))
            .map_err(|error| Error::transport(&error))?;
        let (_, answer) = self.send(request).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::Transport(format!("bad answer: {error}")))
    }

    /// The same where the answer is JSON of the ordinary kind.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<T, Error> {
        self.ask(Ask { method: &method, path, content_type, accept: JSON, body }).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.read(path).await
    }

    /// GET of what is wanted as something else than a value.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, JSON, None).await
    }

    /// GET of what may not be there.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        match self.read(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path, JSON, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PUT, path, JSON, Some(body)).await
    }

    /// JSON merge patch.
    pub async fn merge(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, MERGE_PATCH, Some(body)).await
    }

    /// GET of what comes bit by bit.
    pub async fn stream(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<impl AsyncBufRead + Send + use<>, Error> {
        let request = self.request(&Method::GET, path).header(header::ACCEPT, accept);
        let request = request.body(Vec::new()).map_err(|error| Error::transport(&error))?;
        Ok(self.transport.request_stream(request).await?)
    }

    /// A WebSocket, for what goes both ways.
    pub async fn connect(&self, path: &str) -> Result<Connection, Error> {
        let request = self.request(&Method::GET, path).body(Vec::new());
        Ok(self.transport.connect(request.map_err(|error| Error::transport(&error))?).await?)
    }

    /// Whether an object of that uid exists and is not being deleted, asked at the API itself.
    pub async fn is_live(&self, path: &str, uid: &str) -> Result<bool, Error> {
        let found: Option<Value> = self.find(path).await?;
        Ok(found.is_some_and(|object| {
            let meta = &object["metadata"];
            (uid.is_empty() || meta["uid"] == uid) && meta["deletionTimestamp"].is_null()
        }))
    }
}

/// Who asks: from this header servers take the name of whoever sets a field.
fn user_agent(component: &'static str) -> HeaderValue {
    let agent = HeaderValue::from_str(&format!("{component}/{KUBERNETES}"));
    agent.unwrap_or(HeaderValue::from_static("leme"))
}

/// What a server warns of: the texts of the `Warning` headers of code 299.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::WARNING).iter();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_as_they_were_meant() {
        let mut headers = HeaderMap::new();
        for value in
            [r#"299 - "say \"aye\"""#, r#"199 - "not this""#, "299 - broken", r#"299 - "open"#]
        {
            headers.append(header::WARNING, value.parse().unwrap());
        }
        assert_eq!(warnings(&headers), [r#"say "aye""#]);
    }

    /// Red when only some of the ways to ask say who asks.
    #[tokio::test]
    async fn every_request_says_who_asks() {
        let answer = |request: Request<Body>| async move {
            let agent = request.headers().get(header::USER_AGENT).cloned();
            let agent = agent.and_then(|agent| agent.to_str().map(str::to_owned).ok());
            let watch = request.uri().query().is_some_and(|query| query.contains("watch"));
            let event = serde_json::json!({"type": "ADDED", "object": agent}).to_string();
            let body = if watch { event } else { serde_json::json!(agent).to_string() };
            Ok::<_, std::io::Error>(Response::new(Body::from(body.into_bytes())))
        };
        let anonymous = Client::over(tower::service_fn(answer));
        let client = anonymous.clone().named("kube-scheduler");
        let expected = format!("kube-scheduler/{KUBERNETES}");
        assert_eq!(client.get("/").await, Ok(expected.clone().into()));
        assert_eq!(client.post("/", &Value::Null).await, Ok(expected.clone().into()));
        let mut changes = client.watch("/", &[], JSON).await.unwrap();
        let change = futures::StreamExt::next(&mut changes).await.unwrap().unwrap();
        assert_eq!(change.value(), Ok(expected.into()));
        assert_eq!(anonymous.get("/").await, Ok(Value::Null));
    }
}
