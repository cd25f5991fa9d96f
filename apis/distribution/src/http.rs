//! One registry, asked by one somebody: connections, redirects, and what is shown.
//!
//! Knows: requests, tokens, and bounds of each. Refuses to know: what is asked for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::{Endpoint, Error, Login, Result};

const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer or of what is sent, and before an answer's head.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of a document at most.
pub(crate) const DOCUMENT: usize = 4 << 20;
/// Bytes of an error's text that are told.
const TOLD: usize = 200;
/// How often a request is sent elsewhere.
const REDIRECTS: usize = 5;
/// Of how many repositories it is remembered what is shown for them.
const SHOWN: usize = 64;

/// What is sent.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

type Pool = legacy::Client<HttpsConnector<HttpConnector>, Body>;

/// A request, which may have to be made again.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    pub method: Method,
    pub headers: HeaderMap,
    /// What is sent along, if it is little.
    pub body: Bytes,
}

impl Ask {
    pub fn of(method: Method) -> Ask {
        Ask { method, ..Ask::default() }
    }

    /// With a header, unless its value is none.
    pub fn with(mut self, name: header::HeaderName, value: &str) -> Ask {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// Asks a registry.
pub(crate) struct Asker {
    pool: Pool,
    pub url: String,
    pub name: String,
    pub login: Option<Login>,
    /// What is shown for a repository, once it is known what is wanted.
    shown: Mutex<HashMap<String, HeaderValue>>,
}

impl Asker {
    /// For an endpoint, as nobody.
    pub fn new(endpoint: &Endpoint) -> Result<Asker> {
        let wrong = |why: String| Error::Unreachable { registry: endpoint.name.clone(), why };
        let tls = tls(endpoint).map_err(wrong)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let (url, name) = (endpoint.url.clone(), endpoint.name.clone());
        Ok(Asker { pool, url, name, login: None, shown: Mutex::default() })
    }

    /// The same endpoint, over the same connections, as somebody.
    pub fn for_login(&self, login: Option<Login>) -> Asker {
        let (pool, url, name) = (self.pool.clone(), self.url.clone(), self.name.clone());
        Asker { pool, url, name, login, shown: Mutex::default() }
    }

    /// The answer to a request for something of a repository, if it is one.
    pub async fn ask(&self, repository: &str, path: &str, ask: &Ask) -> Result<Response<Incoming>> {
        let url = format!("{}{path}", self.url);
        let answer = self.follow(&url, ask, self.shown(repository)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.checked(answer).await;
        }
        let asked = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let asked: Vec<_> =
            asked.iter().filter_map(|value| challenge::read(value.to_str().ok()?)).collect();
        // A password goes to who gives tokens for it, if there is one.
        let bearer = asked.iter().find(|one| matches!(one, Challenge::Bearer { .. }));
        let Some(asked) = bearer.or(asked.first()) else { return self.checked(answer).await };
        let pushes = !matches!(ask.method, Method::GET | Method::HEAD);
        let Some(shown) = self.answer_to(asked, repository, pushes).await? else {
            return self.checked(answer).await;
        };
        {
            let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= SHOWN {
                all.clear();
            }
            all.insert(repository.to_owned(), shown.clone());
        }
        let answer = self.follow(&url, ask, Some(shown)).await?;
        self.checked(answer).await
    }

    /// The answer to something larger that is sent to where the registry has said.
    pub async fn send(
        &self,
        repository: &str,
        to: &Uri,
        ask: &Ask,
        body: Body,
        moved: &AtomicU64,
    ) -> Result<Response<Incoming>> {
        let own = self.url.parse::<Uri>().ok();
        let is_own = own.is_some_and(|own| own.authority() == to.authority());
        let shown = if is_own { self.shown(repository) } else { None };
        let request = self.request(to, ask, shown.as_ref())?;
        let request = request.body(body).map_err(|error| self.wrong(error))?;
        let answer = self.pool.request(request);
        tokio::pin!(answer);
        let mut before = moved.load(Ordering::Relaxed);
        loop {
            if let Ok(answer) = tokio::time::timeout(SILENCE, &mut answer).await {
                let answer = answer.map_err(|error| self.failed(&error))?;
                return self.checked(answer).await;
            }
            let now = moved.load(Ordering::Relaxed);
            if now == before {
                return Err(self.unreachable("it does not answer"));
            }
            before = now;
        }
    }

    fn shown(&self, repository: &str) -> Option<HeaderValue> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned()
    }

    /// The next piece of a body.
    pub async fn piece(&self, body: &mut Incoming) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(SILENCE, body.frame()).await;
            let frame = frame.map_err(|_| self.unreachable("it has gone silent"))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.unreachable(error)),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// All of a body, if that is not more than a document is.
    pub async fn read(&self, mut body: Incoming) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(&mut body).await? {
            if all.len() + piece.len() > DOCUMENT {
                return Err(self.wrong("an answer is too large"));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    fn request(&self, to: &Uri, ask: &Ask, shown: Option<&HeaderValue>) -> Result<Builder> {
        let mut request = Request::builder().method(ask.method.clone()).uri(to.clone());
        let headers = request.headers_mut().ok_or_else(|| self.wrong("no address"))?;
        headers.clone_from(&ask.headers);
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("leme/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(shown) = shown {
            headers.insert(header::AUTHORIZATION, shown.clone());
        }
        Ok(request)
    }

    /// Asks, and asks where it is sent; what is shown is shown to the registry alone. What changes something is not sent on.
    async fn follow(
        &self,
        url: &str,
        ask: &Ask,
        mut shown: Option<HeaderValue>,
    ) -> Result<Response<Incoming>> {
        let mut uri: Uri = url.parse().map_err(|error| self.wrong(error))?;
        for _ in 0..=REDIRECTS {
            let request = self.request(&uri, ask, shown.as_ref())?;
            let request =
                request.body(little(ask.body.clone())).map_err(|error| self.wrong(error))?;
            let answer = tokio::time::timeout(SILENCE, self.pool.request(request)).await;
            let answer = answer.map_err(|_| self.unreachable("it does not answer"))?;
            let answer = answer.map_err(|error| self.failed(&error))?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            if !matches!(ask.method, Method::GET | Method::HEAD) {
                return Err(self.wrong("it sends elsewhere who pushes"));
            }
            let next = self.next(&uri, &answer)?;
            if uri.authority() != next.authority() {
                shown = None;
            }
            uri = next;
        }
        Err(self.wrong("it sends from one place to another without end"))
    }

    /// Where an answer leads, which is nowhere that is less protected.
    pub fn next(&self, from: &Uri, answer: &Response<Incoming>) -> Result<Uri> {
        let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.ok_or_else(|| self.wrong("it sends elsewhere, and does not say where"))?;
        let next = joined(from, to).ok_or_else(|| self.wrong("it sends to what is no address"))?;
        if from.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
            return Err(self.wrong("it sends to where nothing is encrypted"));
        }
        Ok(next)
    }

    /// What is shown to a registry that asks for this.
    async fn answer_to(
        &self,
        asked: &Challenge,
        repository: &str,
        pushes: bool,
    ) -> Result<Option<HeaderValue>> {
        let basic = self
            .login
            .as_ref()
            .map(|login| STANDARD.encode(format!("{}:{}", login.user, login.password)));
        let basic = basic.and_then(|text| secret(&format!("Basic {text}")));
        let Challenge::Bearer { realm, service, scope } = asked else { return Ok(basic) };
        #[derive(Deserialize)]
        struct Token {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        if self.url.starts_with("https:") && !realm.starts_with("https:") {
            return Err(self.wrong("it wants a login where nothing is encrypted"));
        }
        let mut url = format!("{realm}{}", if realm.contains('?') { '&' } else { '?' });
        let scope = match scope.is_empty() && !repository.is_empty() {
            true => {
                format!("repository:{repository}:{}", if pushes { "pull,push" } else { "pull" })
            }
            false => scope.clone(),
        };
        for scope in scope.split_whitespace() {
            url.push_str(&format!("scope={}&", encoded(scope)));
        }
        if !service.is_empty() {
            url.push_str(&format!("service={}", encoded(service)));
        }
        let ask = Ask::of(Method::GET).with(header::ACCEPT, "application/json");
        let answer = self.follow(url.trim_end_matches(['&', '?']), &ask, basic).await?;
        let answer = self.checked(answer).await?;
        let bytes = self.read(answer.into_body()).await?;
        let token: Token =
            serde_json::from_slice(&bytes).map_err(|_| self.wrong("it gives no token"))?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        Ok(secret(&format!("Bearer {token}")))
    }

    /// An answer that is one, or what is said instead of it.
    async fn checked(&self, answer: Response<Incoming>) -> Result<Response<Incoming>> {
        let status = answer.status();
        if status.is_success() || status == StatusCode::PAYLOAD_TOO_LARGE {
            return Ok(answer);
        }
        let text = self.read(answer.into_body()).await.unwrap_or_default();
        let said = said(&text);
        let why = match said.is_empty() {
            true => format!("{}: {status}", self.name),
            false => format!("{}: {status}: {said}", self.name),
        };
        Err(match status.as_u16() {
            401 => Error::Unauthorized(why),
            403 => Error::Denied(why),
            404 => Error::NotFound(why),
            _ => Error::Answer(why),
        })
    }

    pub fn unreachable(&self, why: impl std::fmt::Display) -> Error {
        Error::Unreachable { registry: self.name.clone(), why: why.to_string() }
    }

    /// What it answers makes no sense.
    pub fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::Answer(format!("{}: {why}", self.name))
    }

    /// Why a request failed: what is behind its error, which says the least itself.
    fn failed(&self, error: &legacy::Error) -> Error {
        let mut last: &(dyn std::error::Error + 'static) = error;
        let (registry, mut untrusted) = (self.name.clone(), false);
        loop {
            // An io::Error is silent about what it was made of, but for who asks for that.
            let inner = last.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let next = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
            let Some(next) = next.or_else(|| last.source()) else { break };
            last = next;
            untrusted |= matches!(last.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)));
        }
        let why = last.to_string();
        match untrusted {
            true => Error::Untrusted { registry, why },
            false => Error::Unreachable { registry, why },
        }
    }
}

/// Something that is in memory.
pub(crate) fn little(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where an address leads that stands in an answer of another one.
fn joined(from: &Uri, to: &str) -> Option<Uri> {
    if to.contains("://") {
        return to.parse().ok();
    }
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let path = if to.starts_with('/') { to.to_owned() } else { format!("/{to}") };
    format!("{scheme}://{authority}{path}").parse().ok()
}

/// What the errors of a registry say, in one short line.
fn said(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(text).map(|errors| errors.errors);
    let first = errors.ok().and_then(|errors| errors.into_iter().next());
    let said = first.map(|One { code, message }| if message.is_empty() { code } else { message });
    let said = said.unwrap_or_default();
    said.chars().filter(|char| !char.is_control()).take(TOLD).collect()
}

fn tls(endpoint: &Endpoint) -> std::result::Result<rustls::ClientConfig, String> {
    let known = leme_trust::of_machine_and(&endpoint.authority);
    match (endpoint.unchecked, endpoint.url.starts_with("http:")) {
        (true, _) => leme_trust::of_anybody(),
        // It may send elsewhere all the same.
        (false, true) => known.or_else(|_| leme_trust::of_nobody()),
        (false, false) => known,
    }
}

/// How much has been sent, for who waits for an answer.
pub(crate) type Moved = Arc<AtomicU64>;
