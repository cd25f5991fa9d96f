//! One request from beginning to end: parse, identify, authorise, dispatch, answer; and what all requests share.
//!
//! Knows: the order of those steps, which handler a verb has. Refuses to know: any kind, and connections.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use leme_access::Identity;
use leme_admission::Chain;
use leme_kinds::{Kind, Subresource};
use leme_meta::Status;
use leme_serve::Lifetime;
use leme_store::Store;
use leme_store::cache::Cache;

use crate::Build;
use crate::admit;
use crate::allocate::Pools;
use crate::answer::{self, Answer};
use crate::audit::{self, Audit, Trail};
use crate::body::RequestBody;
use crate::budget::{Budget, Payer};
use crate::charges::Quotas;
use crate::documents;
use crate::facts::CacheFacts;
use crate::fence::{Fence, Turnstile};
use crate::graph::Following;
use crate::gzip;
use crate::inflight::{Class, InFlight, Seat};
use crate::metrics::{Counted, Metrics, Running};
use crate::negotiate::{self, Encoding};
use crate::node_proxy::NodeClient;
use crate::openshift;
use crate::openshift::import::Importer;
use crate::openshift::oauth::OAuth;
use crate::policies::Policies;
use crate::present;
use crate::query::Query;
use crate::request::{RequestInfo, ResourceRequest, Verb, parse};
use crate::served::Served;
use crate::tokens::{Known, Tokens};
use crate::usage::{self, Usages};
use crate::write::Input;

/// What all requests share.
pub(crate) struct Api {
    pub store: Arc<dyn Store>,
    pub cache: Arc<Cache>,
    pub admission: Chain<CacheFacts>,
    pub policies: Arc<Policies>,
    /// What the agents of nodes may read.
    pub graph: Following,
    pub tokens: Tokens,
    pub known: Known,
    /// Where people log in; nowhere, if nobody's password is known.
    pub oauth: Option<OAuth>,
    pub importer: Importer,
    pub quotas: Quotas,
    pub turnstile: Turnstile,
    pub pools: Pools,
    pub route_domain: String,
    /// The cluster's registry of images, if it has one.
    pub registry: Option<crate::config::ImageRegistry>,
    pub served: ArcSwap<Served>,
    pub nodes: NodeClient,
    pub usages: Usages,
    pub in_flight: InFlight,
    pub metrics: Metrics,
    pub audit: Option<Arc<Audit>>,
    pub budget: Arc<Budget>,
    pub lifetime: Lifetime,
    pub build: Build,
    /// The components that run in this process.
    pub within: Vec<&'static str>,
}

/// A request with its body still to be read, as handlers get it.
pub(crate) struct Incoming<'a> {
    /// Who asks, for what is authorised only when it turns out to be done.
    pub who: Identity,
    pub parts: Parts,
    pub body: &'a mut RequestBody,
    pub seat: Seat,
    /// Who the answer's bytes are counted on.
    pub payer: Payer,
    /// What is told of it.
    pub trail: &'a mut Trail,
}

impl Api {
    /// Answers a request, whatever happens: an error becomes a Status, a panic a 500.
    pub async fn handle(
        self: Arc<Self>,
        identity: Identity,
        payer: Payer,
        request: http::Request<RequestBody>,
    ) -> Answer {
        let what = What { method: request.method().clone(), uri: request.uri().clone() };
        let payer = payer.of(request.method());
        let head = request.method() == Method::HEAD;
        let accept = request.headers().get(header::ACCEPT).cloned();
        let pretty = is_pretty(&request);
        let id = request.headers().get(audit::ID).cloned().or_else(audit::id);
        let (parts, mut body) = request.into_parts();
        let http1 = parts.version < Version::HTTP_2;
        let mut trail = Trail::begin(self.audit.as_ref(), id.as_ref(), &parts);
        let answering = self.answer(identity, &payer, parts, &mut body, &mut trail);
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        let mut answer = match answered {
            Ok(Ok(answer)) => {
                trail.answered(Ok(answer.status().as_u16()));
                answer
            }
            Ok(Err(status)) => {
                trail.answered(Err(&status));
                if status.code >= 500 {
                    tracing::warn!(request = %what, code = status.code, error = %status, "request failed");
                }
                let mut headers = HeaderMap::new();
                headers.extend(accept.map(|accept| (header::ACCEPT, accept)));
                let encoding = match negotiate::encoding(&headers) {
                    Encoding::Json if pretty => Encoding::Pretty,
                    other => other,
                };
                answer::status(&status, encoding)
            }
            Err(_) => {
                trail.panicked();
                panicked(&what)
            }
        };
        answer.headers_mut().extend(id.map(|id| (audit::ID, id)));
        let cut = !crate::body::finished(&mut body).await && http1;
        if cut || (answer.status() == StatusCode::UNAUTHORIZED && !http1) {
            // What still comes cannot be told from the next request; and a stranger does not keep a connection on which
            // every stream is another try.
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if head {
            return answer::without_body(answer);
        }
        let (parts, body) = answer.into_parts();
        Answer::from_parts(parts, body.paid_by(&payer).await)
    }

    async fn answer(
        self: Arc<Self>,
        identity: Identity,
        payer: &Payer,
        parts: Parts,
        body: &mut RequestBody,
        trail: &mut Trail,
    ) -> Result<Answer, Status> {
        if head_bytes(&parts.headers) > MAX_HEAD {
            let message = format!("Request header fields too large: limit is {MAX_HEAD} bytes");
            return Err(Status::generic(431, "", message));
        }
        let known = self.authenticate(identity, &parts.headers).await;
        let info = parse(&parts.method, &parts.uri, &self.served.load().kinds);
        let identity = self.identified(known, &parts, info.as_ref().ok(), trail)?;
        let info = match info {
            Ok(info) => info,
            // A stranger learns nothing about paths.
            Err(_) if admit::is_stranger(&identity) => return Err(Status::unauthorized()),
            Err(status) => return Err(status),
        };
        match info {
            RequestInfo::Other { segments, query } => {
                let seat = self.seat_of_path(&identity, &parts.method, parts.uri.path()).await?;
                let answered = self.oauth_answer(&parts, &segments, body, payer).await;
                if let Some(answer) = answered {
                    return Ok(answer?.map(|body| body.holding(seat)));
                }
                let path = (&segments[..], &query);
                let mut answer = documents::answer(&self, &identity, &parts, path, trail).await?;
                seat.show(answer.headers_mut());
                Ok(answer.map(|body| body.holding(seat)))
            }
            RequestInfo::Resource(request) => {
                let counted = self.metrics.request(&request, &parts);
                let is_long = Class::of(&request).is_long();
                let incoming = (identity, payer, parts, body, trail);
                let answered = self.resource(*request, incoming, &counted).await;
                match &answered {
                    // That goes on, and is counted when it is over.
                    Ok(_) if is_long => {}
                    Ok(answer) => counted.answer(answer),
                    Err(status) => counted.code(status.code),
                }
                answered
            }
        }
    }

    /// Answers a request for a resource.
    async fn resource(
        self: Arc<Self>,
        mut request: ResourceRequest,
        (identity, payer, parts, body, trail): (
            Identity,
            &Payer,
            Parts,
            &mut RequestBody,
            &mut Trail,
        ),
        counted: &Counted,
    ) -> Result<Answer, Status> {
        let class = Class::of(&request);
        let running = class.is_long().then(|| Running::new(counted.clone()));
        let what = admit::attributes(&request, request.verb.name());
        let seat = self.seat(&identity, &request, &what, running).await?;
        let decided = admit::decide_now(&self, &identity, &what).await;
        trail.decided(decided.as_ref().map(Option::as_ref));
        decided?;
        let named = class == Class::Mutating || request.kept.is_personal();
        request.who = named.then(|| identity.clone());
        request.fence = Fence::read(&parts.headers)?;
        let deprecated = deprecated(&request.kind);
        let payer = payer.clone();
        let compress = gzip::accepted(&parts.headers);
        let incoming =
            Incoming { who: identity, parts, body, seat: seat.clone(), payer, trail: &mut *trail };
        let mut answer = self.dispatch(request, incoming).await?;
        if class.is_long() {
            seat.ends(trail.goes_on(answer.status().as_u16()));
        } else if trail.wants_response() {
            answer = audit::told(answer, trail);
        }
        if !deprecated.is_empty() {
            answer::warn(&mut answer, &[deprecated]);
        }
        if compress {
            answer = gzip::answer(answer);
        }
        seat.answered(answer.status().as_u16());
        seat.show(answer.headers_mut());
        Ok(answer.map(|body| body.holding(seat)))
    }

    /// The handler of a verb, boxed: a connection's task shall not be as large as the largest handler.
    fn dispatch<'a>(
        self: Arc<Self>,
        request: ResourceRequest,
        incoming: Incoming<'a>,
    ) -> BoxFuture<'a, Result<Answer, Status>> {
        match (request.verb, request.subresource) {
            (_, Some(Subresource::InstantiateBinary)) => {
                let body = std::mem::replace(incoming.body, crate::body::nothing());
                Box::pin(async move {
                    let wanted = crate::present::wanted(&request, &incoming.parts.headers)?;
                    self.binary_build(&request, wanted, body).await
                })
            }
            (_, Some(Subresource::Log)) if &*request.kind.plural != "pods" => {
                Box::pin(async move { self.openshift_log(&request, streaming(incoming)).await })
            }
            (_, Some(Subresource::Log)) => {
                Box::pin(async move { self.log(&request, streaming(incoming)).await })
            }
            (_, Some(Subresource::Exec | Subresource::Attach | Subresource::PortForward)) => {
                Box::pin(async move { self.connect(&request, streaming(incoming)).await })
            }
            (_, Some(Subresource::Proxy)) => {
                let body = std::mem::replace(incoming.body, crate::body::nothing());
                let parts = streaming(incoming);
                Box::pin(async move { self.proxy(&request, parts, body).await })
            }
            (Verb::Get | Verb::List, _) if openshift::answers(&request) => {
                let (who, headers) = (incoming.who, incoming.parts.headers);
                Box::pin(async move { self.openshift_read(&request, &who, &headers).await })
            }
            (Verb::Get | Verb::List, _) if usage::answers(&request) => {
                let headers = incoming.parts.headers;
                Box::pin(async move { self.usage(&request, &headers).await })
            }
            (Verb::Get, _) => {
                let headers = incoming.parts.headers;
                Box::pin(async move { self.get(&request, &headers).await })
            }
            (Verb::List, _) => {
                let (headers, payer) = (incoming.parts.headers, incoming.payer);
                Box::pin(async move { self.list(&request, &headers, &payer).await })
            }
            (Verb::Watch, _) => {
                let series = incoming.seat.series();
                let (headers, payer) = (incoming.parts.headers, incoming.payer);
                Box::pin(async move { self.watch(&request, &headers, payer, series).await })
            }
            _ => Box::pin(self.write(request, incoming)),
        }
    }

    /// Writes run in a task of their own: a client that hangs up must not leave one half done.
    async fn write(
        self: Arc<Self>,
        request: ResourceRequest,
        Incoming { who, parts, body, seat, payer, trail }: Incoming<'_>,
    ) -> Result<Answer, Status> {
        // What cannot be shown is not done.
        let wanted = present::wanted(&request, &parts.headers)?;
        if request.kind.custom.is_some() && matches!(request.verb, Verb::Create | Verb::Update) {
            crate::body::without_protobuf(&parts.headers)?;
        }
        let body = crate::body::read(&parts.headers, body, &payer).await?;
        trail.request(&parts.headers, &body);
        let api = Arc::clone(&self);
        let what = What { method: parts.method, uri: parts.uri };
        let input = Input { who, headers: parts.headers, body, wanted };
        let write = self.lifetime.spawn_whole(async move {
            let _seat = seat;
            match request.verb {
                _ if openshift::answers(&request) => api.openshift_write(&request, input).await,
                Verb::Create => api.create(&request, input).await,
                Verb::Update => api.update(&request, input).await,
                Verb::Patch => api.patch(&request, input).await,
                Verb::Delete => api.delete(&request, input).await,
                Verb::DeleteCollection => api.delete_collection(&request, input).await,
                Verb::Get | Verb::List | Verb::Watch => Err(Status::no_such_path()),
            }
        });
        write.await.unwrap_or_else(|_| Ok(panicked(&what)))
    }

    /// The strategy of a kind; every row of the table has one.
    pub fn strategy(kind: &Kind) -> &'static leme_registry::Strategy {
        leme_strategy::of(kind)
    }
}

/// What every request for a kind is answered with, if the kind goes some day.
fn deprecated(kind: &Kind) -> String {
    match &kind.custom {
        Some(custom) => custom.deprecated.clone().unwrap_or_default(),
        None => leme_strategy::view(kind)
            .map_or(Api::strategy(kind).deprecated, |view| view.deprecated)
            .to_owned(),
    }
}

/// Whether JSON is to be indented for who asks.
fn is_pretty(request: &http::Request<RequestBody>) -> bool {
    let query = request.uri().query().filter(|query| query.contains("pretty")).map(Query::parse);
    negotiate::pretty(query.as_ref().and_then(|query| query.get("pretty")), request.headers())
}

/// Bytes of a request's header fields at most. The connection refuses much more by itself.
const MAX_HEAD: usize = 64 * 1024;

fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The head of a request whose stream outlives the answer, and keeps its seat.
fn streaming(incoming: Incoming<'_>) -> Parts {
    let mut parts = incoming.parts;
    parts.extensions.insert(incoming.seat);
    parts
}

/// A request as the log names it.
struct What {
    method: Method,
    uri: Uri,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.uri.path())
    }
}

fn panicked(what: &What) -> Answer {
    tracing::error!(request = %what, "a request handler panicked");
    let status = Status::internal("the server panicked while it handled the request");
    answer::status(&status, Encoding::Json)
}
