//! One registry, asked by one somebody.
//!
//! Knows: requests, tokens, redirects, and bounds of each. Refuses to know: what is asked for.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use leme_host::images::EVERYBODY;
use leme_node_core::credentials::Login;
use serde::Deserialize;

use crate::challenge::{self, Challenge};
use crate::config::Endpoint;
use crate::{PullError, Result};

const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer, and before its head.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of a document at most.
const DOCUMENT: usize = 4 << 20;
/// Bytes of an error's text that are told.
const TOLD: usize = 200;
/// How often a request is sent elsewhere.
const REDIRECTS: usize = 5;

type Http = legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Asks a registry.
pub(crate) struct Client {
    http: Http,
    url: String,
    name: String,
    login: Option<Login>,
    /// What is shown, once it is known what is wanted.
    shown: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// For an endpoint, as nobody.
    pub fn new(endpoint: &Endpoint) -> Result<Client> {
        let wrong = |why: String| PullError::Unreachable { registry: endpoint.name.clone(), why };
        let tls = tls(endpoint).map_err(wrong)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let (url, name) = (endpoint.url.clone(), endpoint.name.clone());
        Ok(Client { http, url, name, login: None, shown: Mutex::default() })
    }

    /// The same endpoint, over the same connections, as somebody.
    pub fn for_login(&self, login: Option<Login>) -> Client {
        let (http, url, name) = (self.http.clone(), self.url.clone(), self.name.clone());
        Client { http, url, name, login, shown: Mutex::default() }
    }

    /// The mark of whom it asks as.
    pub fn mark(&self) -> String {
        self.login.as_ref().map_or_else(|| EVERYBODY.to_owned(), Login::mark)
    }

    /// A document: its media type and its bytes.
    pub async fn document(&self, path: &str, accept: &str) -> Result<(String, Bytes)> {
        let answer = self.get(path, accept, 0).await?;
        let type_ = answer.headers().get(header::CONTENT_TYPE);
        let type_ = type_.and_then(|type_| type_.to_str().ok()).unwrap_or_default();
        let type_ = type_.split(';').next().unwrap_or_default().trim().to_owned();
        Ok((type_, self.read(answer.into_body(), DOCUMENT).await?))
    }

    /// The content of something from some byte on, and whether it begins there.
    pub async fn content(&self, path: &str, from: u64) -> Result<(Incoming, bool)> {
        let answer = self.get(path, "*/*", from).await?;
        let begins_there = from == 0 || answer.status() == StatusCode::PARTIAL_CONTENT;
        Ok((answer.into_body(), begins_there))
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

    async fn read(&self, mut body: Incoming, most: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(&mut body).await? {
            if all.len() + piece.len() > most {
                return Err(PullError::Answer(format!("{}: an answer is too large", self.name)));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    async fn get(&self, path: &str, accept: &str, from: u64) -> Result<Response<Incoming>> {
        let url = format!("{}{path}", self.url);
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.follow(&url, accept, from, shown).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.checked(answer).await;
        }
        let asked = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let asked = asked.iter().filter_map(|value| challenge::read(value.to_str().ok()?)).next();
        let Some(asked) = asked else { return self.checked(answer).await };
        let shown = self.answer_to(&asked, path).await?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown.clone();
        let answer = self.follow(&url, accept, from, shown).await?;
        self.checked(answer).await
    }

    /// Asks, and asks where it is sent; what is shown is shown to the registry alone.
    async fn follow(
        &self,
        url: &str,
        accept: &str,
        from: u64,
        mut shown: Option<HeaderValue>,
    ) -> Result<Response<Incoming>> {
        let wrong =
            |why: &dyn std::fmt::Display| PullError::Answer(format!("{}: {why}", self.name));
        let mut uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        for _ in 0..=REDIRECTS {
            let mut request = Request::get(uri.clone())
                .header(header::ACCEPT, accept)
                .header(header::USER_AGENT, concat!("leme/", env!("CARGO_PKG_VERSION")));
            if let Some(shown) = &shown {
                request = request.header(header::AUTHORIZATION, shown);
            }
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let request = request.body(Empty::new()).map_err(|error| wrong(&error))?;
            let answer = tokio::time::timeout(SILENCE, self.http.request(request)).await;
            let answer = answer.map_err(|_| self.unreachable("it does not answer"))?;
            let answer = answer.map_err(|error| self.unreachable(cause(&error)))?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| wrong(&"it sends elsewhere, and does not say where"))?;
            let next = joined(&uri, to).ok_or_else(|| wrong(&"it sends to what is no address"))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(wrong(&"it sends to where nothing is encrypted"));
            }
            if uri.authority() != next.authority() {
                shown = None;
            }
            uri = next;
        }
        Err(wrong(&"it sends from one place to another without end"))
    }

    /// What is shown to a registry that asks for this.
    async fn answer_to(&self, asked: &Challenge, path: &str) -> Result<Option<HeaderValue>> {
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
            let why = format!("{}: it wants a login where nothing is encrypted", self.name);
            return Err(PullError::Answer(why));
        }
        let scope = if scope.is_empty() { self.scope(path) } else { scope.clone() };
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let joint = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{joint}scope={}", encode(&scope));
        if !service.is_empty() {
            url.push_str(&format!("&service={}", encode(service)));
        }
        let answer = self.follow(&url, "application/json", 0, basic).await?;
        let answer = self.checked(answer).await?;
        let bytes = self.read(answer.into_body(), DOCUMENT).await?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|_| PullError::Answer(format!("{}: it gives no token", self.name)))?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        Ok(secret(&format!("Bearer {token}")))
    }

    /// To read the repository of a path: `/v2/NAME/manifests/...`.
    fn scope(&self, path: &str) -> String {
        let name = path.trim_start_matches("/v2/");
        let end = ["/manifests/", "/blobs/"].iter().find_map(|part| name.rfind(part));
        format!("repository:{}:pull", &name[..end.unwrap_or(name.len())])
    }

    /// An answer that is one, or what is said instead of it.
    async fn checked(&self, answer: Response<Incoming>) -> Result<Response<Incoming>> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = self.read(answer.into_body(), DOCUMENT).await.unwrap_or_default();
        let said = said(&text);
        let why = match said.is_empty() {
            true => format!("{}: {status}", self.name),
            false => format!("{}: {status}: {said}", self.name),
        };
        Err(match status.as_u16() {
            401 | 403 | 404 => PullError::Refused(why),
            _ => PullError::Answer(why),
        })
    }

    fn unreachable(&self, why: impl std::fmt::Display) -> PullError {
        PullError::Unreachable { registry: self.name.clone(), why: why.to_string() }
    }
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

/// What is behind an error, which says the least itself.
fn cause(error: &legacy::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    match error.source() {
        Some(_) => last.to_string(),
        None => error.to_string(),
    }
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
