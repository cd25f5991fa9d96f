//! The OAuth server: where clients are given tokens on behalf of users, and people log in.
//!
//! Knows: its paths, and by which addresses it is reached. Refuses to know: what clients may have (`leme-oauth`).

mod answers;
mod authorize;
pub(crate) mod bearer;
mod clients;
mod ending;
mod login;
mod people;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, Method, header};
use leme_access::scope::OF_USERS;
use leme_meta::Status;
use leme_oauth::{Attempts, Form, Passwords, RANDOM, Sessions, token_of};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::{self, RequestBody};
use crate::budget::Payer;
use crate::listen::{Peer, provider};
use crate::ordered;

pub(crate) use ending::run as take_away_what_is_over;

/// Passwords that are looked at at once: each takes a core for a tenth of a second.
const AT_ONCE: usize = 2;
/// What the provider of identities is called.
const PROVIDER: &str = "htpasswd";
/// How long somebody who has shown their password on a page need not do so again, in seconds.
const SESSION: i64 = 300;

/// The file of passwords as it was read last.
#[derive(Default)]
struct File {
    passwords: Arc<Passwords>,
    /// When the file was changed, and its size.
    of: Option<(std::time::SystemTime, u64)>,
}

/// What the OAuth server needs besides objects.
pub(crate) struct OAuth {
    path: PathBuf,
    file: Mutex<File>,
    sessions: Sessions,
    /// By which addresses clients reach the server; the first is told to those who use another.
    bases: Vec<String>,
    /// Whether there may be other servers, with addresses of their own.
    shared: bool,
    of_address: Mutex<Attempts>,
    of_user: Mutex<Attempts>,
    looking: Semaphore,
    began: Instant,
}

/// A request, read.
struct Asking {
    query: Form,
    body: Form,
    headers: HeaderMap,
    method: Method,
    /// Where it came from; nowhere within the process.
    from: Option<IpAddr>,
    /// The path and query as they were sent.
    target: String,
    /// The address by which the client reaches the server.
    base: String,
}

impl Asking {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    fn cookie(&self, name: &str) -> &str {
        let mut all = self.headers.get_all(header::COOKIE).iter();
        let found = all.find_map(|one| leme_oauth::cookie(one.to_str().ok()?, name));
        found.unwrap_or("")
    }

    fn is_post(&self) -> bool {
        self.method == Method::POST
    }
}

/// Chance for a secret.
fn chance() -> Result<[u8; RANDOM], Status> {
    let mut bytes = [0; RANDOM];
    let filled = provider().secure_random.fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| Status::internal("there is no chance to be had"))
}

/// A code or a token that nobody can guess.
fn secret() -> Result<String, Status> {
    loop {
        if let Some(token) = token_of(chance()?) {
            return Ok(token);
        }
    }
}

impl OAuth {
    /// Of a server that is told to be reached by these names, and listens there; nothing where nobody's password is known.
    ///
    /// # Errors
    /// When the passwords cannot be read.
    pub fn of(
        path: Option<PathBuf>,
        advertised: &[String],
        listened: &[SocketAddr],
        shared: bool,
    ) -> Result<Option<OAuth>, String> {
        let Some(path) = path else { return Ok(None) };
        let port = listened.first().map_or(6443, SocketAddr::port);
        let own = listened.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
        let own = own.map(|ip| ip.to_string());
        let names: Vec<String> = advertised.iter().cloned().chain(own).collect();
        OAuth::new(path, &names, port, shared).map(Some)
    }

    fn new(path: PathBuf, names: &[String], port: u16, shared: bool) -> Result<OAuth, String> {
        let host = |name: &String| match name.parse() {
            Ok(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
            _ => format!("https://{name}:{port}"),
        };
        let mut bases: Vec<String> = names.iter().map(host).collect();
        bases.push(format!("https://localhost:{port}"));
        let mut seen = std::collections::HashSet::new();
        bases.retain(|base| seen.insert(base.clone()));
        let key = chance().map_err(|status| status.message)?;
        let oauth = OAuth {
            path,
            file: Mutex::default(),
            sessions: Sessions::new(key),
            bases,
            shared,
            of_address: Mutex::new(Attempts::new(60, Duration::from_secs(1))),
            of_user: Mutex::new(Attempts::new(10, Duration::from_secs(6))),
            looking: Semaphore::new(AT_ONCE),
            began: Instant::now(),
        };
        oauth.passwords()?;
        Ok(oauth)
    }

    /// The address by which a client reaches the server that says this host; one that is none of ours is not repeated.
    fn base(&self, host: &str) -> String {
        let own = self.bases.iter().find(|base| base.strip_prefix("https://") == Some(host));
        own.or(self.bases.first()).cloned().unwrap_or_default()
    }
}

/// Whether what a path is asked with tells secrets.
pub(crate) fn is_of_people(path: &str) -> bool {
    path.starts_with("/oauth/") || path.starts_with("/login")
}

/// Whether a path is the OAuth server's.
fn is_here(segments: &[&str]) -> bool {
    matches!(
        segments,
        [".well-known", "oauth-authorization-server"]
            | ["oauth", "authorize" | "token"]
            | ["oauth", "authorize", "approve"]
            | ["oauth", "token", "request" | "display" | "implicit"]
            | ["login" | "logout"]
    )
}

impl Api {
    /// The answer to a request for one of the paths of OAuth; nothing for any other, or where nobody logs in.
    pub(crate) async fn oauth_answer(
        &self,
        parts: &Parts,
        segments: &[String],
        body: &mut RequestBody,
        payer: &Payer,
    ) -> Option<Result<Answer, Status>> {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let oauth = self.oauth.as_ref().filter(|_| is_here(&segments))?;
        let answered = async {
            let sent = match parts.method {
                Method::POST => body::read(&parts.headers, body, payer).await?,
                _ => bytes::Bytes::new(),
            };
            let asking = asking(oauth, parts, &sent);
            self.catch_up(None).await?;
            self.oauth_at(oauth, &segments, &asking).await
        };
        Some(answered.await.map(answers::guarded))
    }

    async fn oauth_at(
        &self,
        oauth: &OAuth,
        segments: &[&str],
        asking: &Asking,
    ) -> Result<Answer, Status> {
        let reads = matches!(asking.method, Method::GET | Method::HEAD);
        if !reads && !asking.is_post() {
            return Ok(answer::text(405, "Method not allowed\n"));
        }
        match segments {
            [".well-known", ..] if reads => Ok(metadata(&asking.base)),
            ["oauth", "authorize"] => self.authorize_client(oauth, asking).await,
            ["oauth", "authorize", _] if reads => self.ask_for_grant(oauth, asking),
            ["oauth", "authorize", _] => self.take_grant(oauth, asking).await,
            ["oauth", "token"] => self.exchange_code(asking).await,
            ["oauth", "token", "request"] if reads => Ok(token::request(&asking.base)),
            ["oauth", "token", "implicit"] if reads => Ok(token::implicit()),
            ["oauth", "token", "display"] if reads => token::display(asking),
            ["oauth", "token", "display"] => self.display_token(asking).await,
            ["login"] if reads => login::form(asking),
            ["login"] => self.log_in(oauth, asking).await,
            ["logout"] if !reads => Ok(login::out(asking)),
            _ => Ok(answer::text(405, "Method not allowed\n")),
        }
    }
}

fn asking(oauth: &OAuth, parts: &Parts, body: &[u8]) -> Asking {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(parts.uri.authority().map(|authority| authority.as_str())).unwrap_or("");
    let peer: Option<SocketAddr> = parts.extensions.get::<Peer>().map(|peer| peer.0);
    Asking {
        query: Form::parse(parts.uri.query().unwrap_or("").as_bytes()),
        body: Form::parse(body),
        headers: parts.headers.clone(),
        method: parts.method.clone(),
        from: peer.map(|peer| peer.ip().to_canonical()),
        target: parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        base: oauth.base(host),
    }
}

/// What clients look up before they ask.
fn metadata(base: &str) -> Answer {
    let document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/oauth/authorize"),
        "token_endpoint": format!("{base}/oauth/token"),
        "scopes_supported": OF_USERS.map(|(name, _)| name),
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit"],
        "code_challenge_methods_supported": ["plain", "S256"],
    });
    answer::json(200, ordered::pretty(&document))
}
