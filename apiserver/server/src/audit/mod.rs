//! The audit log: who did what, when, and what came of it.
//!
//! Knows: upstream's events (`audit.k8s.io/v1`), which of them the policy asks for, and that each is in the log before its
//! request goes on. Refuses to know: how requests are answered.

mod event;
mod log;
mod policy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use leme_access::{Attributes, Grant, Identity};
use leme_meta::Status;
use leme_registry::json;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answer::Answer;
use crate::body;
use crate::listen::Peer;
use crate::openshift::oauth::is_of_people;
use crate::request::ResourceRequest;
use event::{Event, ObjectRef};
pub use log::Kept as AuditKept;
use log::Log;
use policy::{Level, Policy, Stage, Told};

/// What is told of requests, and where.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// A Policy of `audit.k8s.io/v1`.
    pub policy: Value,
    /// The file that events are written to; `-` for standard output.
    pub log: PathBuf,
    /// How much of it is kept.
    pub kept: AuditKept,
}

/// Bytes of an answer that is told whole; of a larger one it is told that it was.
const TOLD: u64 = 4 << 20;
const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";

/// The policy and the log.
pub(crate) struct Audit {
    policy: Policy,
    log: Mutex<Log>,
}

impl Audit {
    /// As it is configured, if it is.
    ///
    /// # Errors
    /// When the policy makes no sense or the file cannot be opened.
    pub fn start(config: Option<AuditConfig>) -> Result<Option<Arc<Audit>>, String> {
        let Some(AuditConfig { policy, log, kept }) = config else { return Ok(None) };
        let policy = Policy::read(&policy).map_err(|why| format!("audit policy: {why}"))?;
        let shown = log.display().to_string();
        let log = Log::open(&log, kept).map_err(|error| format!("audit log {shown}: {error}"))?;
        Ok(Some(Arc::new(Audit { policy, log: Mutex::new(log) })))
    }

    fn write(&self, event: &Event<'_>) {
        let mut line = match serde_json::to_vec(event) {
            Ok(line) => line,
            Err(error) => return tracing::error!(%error, "an audit event cannot be written"),
        };
        line.push(b'\n');
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = log.write(&line) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

/// The name that a request has in logs: the client's, or one of the server's making.
pub(crate) const ID: HeaderName = HeaderName::from_static("audit-id");

/// One that no other request has: by chance the process's, then counted, for chance costs a call of the kernel each time.
pub(crate) fn id() -> Option<HeaderValue> {
    static PROCESS: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);
    static REQUEST: AtomicU64 = AtomicU64::new(0);
    let request = REQUEST.fetch_add(1, Ordering::Relaxed);
    let id = Uuid::from_u128(PROCESS.as_u128() ^ u128::from(request));
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())).ok()
}

/// The same answer, with its bytes on the trail.
pub(crate) fn told(answer: Answer, trail: &mut Trail) -> Answer {
    let (parts, body) = answer.into_parts();
    let type_ = body::media_type(&parts.headers);
    let (body, bytes) = body.told(TOLD);
    trail.response(&type_, bytes);
    Answer::from_parts(parts, body)
}

/// What is told of one request; nothing, where nobody asked.
#[derive(Default)]
pub(crate) struct Trail(Option<Box<Open>>);

/// A request of which something may be told.
struct Open {
    audit: Arc<Audit>,
    /// How much, once it is known who sent it.
    told: Option<Told>,
    id: String,
    received: Timestamp,
    uri: String,
    agent: String,
    sources: Vec<String>,
    verb: String,
    who: Identity,
    acting_for: Option<Identity>,
    about: Option<ObjectRef>,
    annotations: BTreeMap<&'static str, String>,
    request: Option<Value>,
    response: Option<Value>,
    /// What came of it, as far as that is known.
    status: Option<Value>,
}

impl Trail {
    /// Of a request that has just come.
    pub fn begin(audit: Option<&Arc<Audit>>, id: Option<&HeaderValue>, parts: &Parts) -> Trail {
        let Some(audit) = audit else { return Trail::default() };
        let text = |value: Option<&HeaderValue>| {
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        // Where people log in, queries hold codes and secrets.
        let uri = match is_of_people(parts.uri.path()) {
            true => parts.uri.path(),
            false => parts.uri.path_and_query().map_or("", |uri| uri.as_str()),
        };
        Trail(Some(Box::new(Open {
            audit: Arc::clone(audit),
            told: None,
            id: text(id),
            received: Timestamp::now(),
            uri: without_secrets(uri),
            agent: text(parts.headers.get(header::USER_AGENT)),
            sources: sources(parts),
            verb: String::new(),
            who: Identity::default(),
            acting_for: None,
            about: None,
            annotations: BTreeMap::new(),
            request: None,
            response: None,
            status: None,
        })))
    }

    /// Who sent it, for whom they act, and what they want: from here on it is known how much is told.
    pub fn known(
        &mut self,
        who: &Identity,
        acting_for: Option<&Identity>,
        what: &Attributes,
        of: Option<&ResourceRequest>,
    ) {
        let Some(open) = &mut self.0 else { return };
        let told = open.audit.policy.of(acting_for.unwrap_or(who), what);
        if told.level == Level::None {
            self.0 = None;
            return;
        }
        open.told = Some(told);
        open.verb = what.verb.clone();
        open.who = who.clone();
        open.acting_for = acting_for.cloned();
        // A web hook's path ends in the secret that it is known by.
        let secret = of.map_or("", |request| &request.rest);
        if what.subresource == "webhooks" && !secret.is_empty() {
            open.uri = open.uri.replace(secret, "-");
        }
        open.about = of.map(|request| ObjectRef {
            resource: request.kind.plural.to_string(),
            namespace: what.namespace.clone(),
            name: request.name.clone(),
            api_group: request.kind.group.to_string(),
            api_version: request.kind.version.to_string(),
            subresource: what.subresource.clone(),
        });
        open.tell(Stage::RequestReceived);
    }

    /// What the policy of access says of it.
    pub fn decided(&mut self, decided: Result<Option<&Grant>, &Status>) {
        let Some(open) = &mut self.0 else { return };
        let (decision, reason) = match decided {
            Ok(grant) => ("allow", grant.map(ToString::to_string).unwrap_or_default()),
            Err(_) => ("forbid", String::new()),
        };
        open.annotations.insert(DECISION, decision.to_owned());
        open.annotations.insert(REASON, reason);
    }

    /// What was sent.
    pub fn request(&mut self, headers: &HeaderMap, bytes: &Bytes) {
        let Some(open) = self.0.as_mut().filter(|open| open.tells(Level::Request)) else { return };
        if bytes.is_empty() {
            return;
        }
        let type_ = body::media_type(headers);
        let type_ = if type_.ends_with("json") { "application/json" } else { &*type_ };
        let type_ = if type_.ends_with("yaml") { "application/yaml" } else { type_ };
        let json = body::to_json(type_, bytes.clone()).ok();
        let sent = json.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        // What is sent to where it does not belong may be what nobody shall read.
        open.request = sent.filter(|sent| !policy::is_of_secrets(json::text(sent, &["kind"])));
        open.shorten();
    }

    /// Whether anything may be told of it.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it is told what is answered.
    pub fn wants_response(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.tells(Level::RequestResponse))
    }

    /// What is answered, or that it is too much to be told.
    pub fn response(&mut self, media_type: &str, bytes: Option<Bytes>) {
        let Some(open) = self.0.as_mut().filter(|open| open.tells(Level::RequestResponse)) else {
            return;
        };
        open.response = match bytes {
            Some(bytes) => {
                let json = body::to_json(media_type, bytes).ok();
                json.and_then(|json| serde_json::from_slice(&json).ok())
            }
            None => Some(json!({ "leme": format!("larger than {TOLD} bytes") })),
        };
        open.shorten();
    }

    /// It has been answered; what is told of that is told.
    pub fn answered(&mut self, answered: Result<u16, &Status>) {
        let Some(mut open) = self.0.take() else { return };
        let mut told = status(answered);
        if open.told.as_ref().is_some_and(|told| told.holds_secrets) {
            json::remove(&mut told, "message");
            json::remove(&mut told, "details");
        }
        open.status = Some(told);
        open.tell(Stage::ResponseComplete);
    }

    /// Nobody knows who sent it.
    pub fn unauthenticated(&mut self, what: &Attributes, of: Option<&ResourceRequest>) {
        self.known(&Identity::default(), None, what, of);
        let Some(mut open) = self.0.take() else { return };
        let refused = Status::unauthorized();
        let mut told = status(Err(&refused));
        told["message"] = "Authentication failed, attempted: bearer".into();
        open.status = Some(told);
        open.tell(Stage::ResponseStarted);
    }

    /// It is answered from now on, until what this gives is dropped.
    pub fn goes_on(&mut self, code: u16) -> Trail {
        if let Some(open) = &mut self.0 {
            open.status = Some(status(Ok(code)));
            open.tell(Stage::ResponseStarted);
        }
        Trail(self.0.take())
    }

    /// The server failed at it.
    pub fn panicked(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        let code = json!({ "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": "APIServer panic'd" });
        open.status = Some(code);
        open.tell(Stage::Panic);
    }
}

/// A stream that is over, or a client that went away.
impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.tell(Stage::ResponseComplete);
        }
    }
}

impl Open {
    fn tells(&self, level: Level) -> bool {
        self.told.as_ref().is_some_and(|told| told.level >= level)
    }

    /// Leaves out who owns which field, if the policy does.
    fn shorten(&mut self) {
        if self.told.as_ref().is_none_or(|told| !told.omit_managed_fields) {
            return;
        }
        for object in [&mut self.request, &mut self.response].into_iter().flatten() {
            without_managed_fields(object);
            for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten()
            {
                without_managed_fields(item);
            }
        }
    }

    fn tell(&self, stage: Stage) {
        let Some(told) = &self.told else { return };
        if told.omit_stages.contains(&stage) {
            return;
        }
        let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let over = stage != Stage::RequestReceived;
        self.audit.write(&Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: told.level.word(),
            id: &self.id,
            stage: stage.word(),
            uri: &self.uri,
            verb: &self.verb,
            user: (&self.who).into(),
            impersonated_user: self.acting_for.as_ref().map(Into::into),
            sources: &self.sources,
            user_agent: &self.agent,
            object_ref: self.about.as_ref(),
            response_status: self.status.as_ref().filter(|_| over),
            request_object: self.request.as_ref().filter(|_| over),
            response_object: self.response.as_ref().filter(|_| over),
            request_received_timestamp: &time(self.received),
            stage_timestamp: &time(Timestamp::now()),
            annotations: &self.annotations,
        });
    }
}

fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

fn status(answered: Result<u16, &Status>) -> Value {
    match answered {
        Ok(code) => json!({ "metadata": {}, "code": code }),
        Err(status) => {
            let mut status = status.to_json();
            for field in ["kind", "apiVersion"] {
                json::remove(&mut status, field);
            }
            status
        }
    }
}

/// Parameters of queries that are secrets, or are as good as one for a while.
const SECRETS: [&str; 9] = [
    "access_token",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "password",
    "refresh_token",
    "token",
];

/// An address without the secrets of its query.
fn without_secrets(uri: &str) -> String {
    let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
    let shown = query.split('&').map(|pair| {
        let (name, _) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
        if SECRETS.contains(&&*plain) { format!("{name}=-") } else { pair.to_owned() }
    });
    format!("{path}?{}", shown.collect::<Vec<String>>().join("&"))
}

/// Where a request says that it comes from, and where it came from, in upstream's order.
fn sources(parts: &Parts) -> Vec<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = header("x-forwarded-for").unwrap_or_default().split(',').map(str::trim);
    let said = forwarded.chain(header("x-real-ip"));
    let said = said.filter(|text| text.parse::<std::net::IpAddr>().is_ok()).map(str::to_owned);
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip().to_string());
    let mut all: Vec<String> = said.collect();
    all.extend(peer.filter(|peer| all.last() != Some(peer)));
    all
}
