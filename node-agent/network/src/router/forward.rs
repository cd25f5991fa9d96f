//! One HTTP request: finds its Route and endpoint, passes it on, passes the answer back. Knows HTTP; refuses to know the API.
//!
//! Messages are taken apart and put together again by hyper, so framing never crosses from one side to the other.

use super::activity::{Activity, Tracked};
use super::annotations::Speaks;
use super::gateway::{Came, Copies};
use super::headers;
use super::log::{AccessLog, Record};
use super::pages::{Cause, Page, page, redirect};
use super::pools::{Choice, Held};
use super::sender::{Outgoing, Sender};
use super::session::Session;
use super::stats::Stats;
use super::table::{Entry, Table};
use super::trouble::Trouble;
use super::tunnel::Tunnel;
use super::{actions, sticky};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

pub(super) type Answer = Response<Passing>;

/// How long a request waits for an endpoint that has as many as it may.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Endpoints tried for a request that may be repeated.
pub(super) const ATTEMPTS: usize = 3;

/// What all connections share.
pub(super) struct Forwarder {
    pub(super) table: Arc<ArcSwap<Table>>,
    plain: Sender,
    pub(super) token: CancellationToken,
    /// The port at which TLS is spoken, for those who are sent there.
    secure_port: Option<u16>,
    /// What times are counted from.
    start: Instant,
    /// The ways in: without TLS, and with it.
    pub(super) fronts: [Arc<Stats>; 2],
    log: Option<Arc<AccessLog>>,
    pub(super) trouble: Trouble,
    /// Who sends copies of requests.
    pub(super) copies: Copies,
}

/// The two ends of the client's connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    /// Whether it came with TLS that ends here.
    pub(super) secure: bool,
}

/// A client's connection.
pub(super) struct Client {
    ends: Ends,
    /// The host that its TLS asked for.
    asked: Option<String>,
    /// The port that it came to here, whatever a load balancer says.
    at: u16,
    /// The Route at which it was counted last.
    counted: AtomicUsize,
}

impl Client {
    pub(super) fn new(ends: Ends, asked: Option<String>, at: u16) -> Client {
        Client { ends, asked, at, counted: AtomicUsize::new(0) }
    }
}

/// The body of an answer, which counts as under way until it has ended.
pub(super) struct Passing {
    content: Either<Incoming, Full<Bytes>>,
    session: Option<Session>,
    /// Of the client, the endpoint, and the connection to it.
    _held: [Option<Held>; 3],
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = match &mut self.content {
            Either::Left(body) => Pin::new(body).poll_frame(cx),
            Either::Right(own) => Pin::new(own).poll_frame(cx).map_err(|never| match never {}),
        };
        if let (Poll::Ready(Some(Ok(frame))), Some(session)) = (&frame, &mut self.session) {
            session.gave(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Either::Left(body) => body.is_end_stream(),
            Either::Right(own) => own.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Either::Left(body) => body.size_hint(),
            Either::Right(own) => own.size_hint(),
        }
    }
}

/// What a request comes to.
pub(super) enum Outcome {
    /// An answer of the router itself.
    Own(Page),
    Passed(Response<Incoming>, [Option<Held>; 3]),
    /// The two connections become one.
    Tunnel(Page, Tunnel),
}

impl From<Cause> for Outcome {
    fn from(cause: Cause) -> Outcome {
        Outcome::Own(page(cause))
    }
}

impl Forwarder {
    pub(super) fn new(
        table: Arc<ArcSwap<Table>>,
        secure_port: Option<u16>,
        log: Option<Arc<AccessLog>>,
        trouble: Trouble,
        token: CancellationToken,
    ) -> Forwarder {
        let (fronts, start, copies) = (Default::default(), Instant::now(), Copies::new());
        let plain = Sender::plain();
        Forwarder { table, plain, token, secure_port, start, fronts, log, trouble, copies }
    }

    /// Begins to count at one of the ways in.
    pub(super) fn begin(&self, secure: bool, record: impl FnOnce() -> Record) -> Session {
        let [plain, encrypted] = &self.fronts;
        Session::begin(if secure { encrypted } else { plain }, self.log.as_ref(), record)
    }

    /// A request of a client of a Route that limits its clients; none if it has had enough.
    pub(super) fn admit(
        &self,
        entry: &Entry,
        address: IpAddr,
        first: bool,
    ) -> Option<Option<Held>> {
        if entry.options.limits.are_none() {
            return Some(None);
        }
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        entry.state.clients.admit(&entry.options.limits, address, first, now).map(Some)
    }

    /// Answers one request; every failure is an answer too.
    pub(super) async fn serve(&self, request: Request<Incoming>, client: &Client) -> Answer {
        let ends = client.ends;
        let record = || Record::of(&request, ends.client, ends.secure);
        let mut session = self.begin(ends.secure, record);
        let (answer, held) = match self.decide(request, client, &mut session).await {
            Outcome::Own(page) => (page.map(Either::Right), Default::default()),
            Outcome::Passed(answer, held) => (answer.map(Either::Left), held),
            Outcome::Tunnel(answer, tunnel) => {
                session.answered(answer.status().as_u16());
                let token = self.token.clone();
                tokio::spawn(async move { token.run_until_cancelled(tunnel.run(session)).await });
                let none = (None, Default::default());
                return answer.map(|own| Passing {
                    content: Either::Right(own),
                    session: none.0,
                    _held: none.1,
                });
            }
        };
        session.answered(answer.status().as_u16());
        answer.map(|content| Passing { content, session: Some(session), _held: held })
    }

    async fn decide(
        &self,
        request: Request<Incoming>,
        client: &Client,
        session: &mut Session,
    ) -> Outcome {
        let (ends, asked) = (client.ends, client.asked.as_deref());
        if request.method() == Method::CONNECT {
            return Cause::NotAProxy.into();
        }
        let Some(host) = headers::host(&request) else { return Cause::NoHost.into() };
        if headers::ambiguous(&request) || !headers::is_plain(&host) {
            return Cause::Unreadable.into();
        }
        let table = self.table.load_full();
        let name = headers::bare_name(&host);
        let path = headers::normal_path(request.uri().path());
        if table.is_for_gateways(client.at, &name) {
            let path = path.into_owned();
            let to = (host.as_str(), name.as_str(), path.as_str());
            let from = Came { asked: asked.filter(|_| ends.secure), ends, at: client.at };
            return self.by_gateways(&table, request, to, from, session).await;
        }
        // A certificate for several hosts lets clients bring the requests of all on one connection, also of those that are
        // to be given away.
        let other =
            request.version() == Version::HTTP_2 && asked.is_some_and(|asked| asked != name);
        if ends.secure && other {
            return Cause::OtherHost.into();
        }
        let Some(entry) = table.find(ends.secure, &name, &path) else {
            return Cause::NoRoute.into();
        };
        session.is_for(entry);
        if !entry.admits(ends.client.ip()) {
            return Cause::NotAllowed.into();
        }
        if let Some(code) = entry.redirects.filter(|_| !ends.secure) {
            return Outcome::Own(redirect(code, request.uri(), &name, self.secure_port));
        }
        let route = Arc::as_ptr(&entry.state).addr();
        let first = client.counted.swap(route, Ordering::Relaxed) != route;
        match self.admit(entry, ends.client.ip(), first) {
            Some(limited) => self.pass(request, entry, &host, ends, limited, session).await,
            None => Cause::TooMuch.into(),
        }
    }

    /// Passes a request on to one of an entry's endpoints.
    pub(super) async fn pass(
        &self,
        mut request: Request<Incoming>,
        entry: &Entry,
        host: &str,
        ends: Ends,
        limited: Option<Held>,
        session: &mut Session,
    ) -> Outcome {
        let upgrade = headers::upgrade(request.headers());
        let from_client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        headers::prepare(&mut request, host, upgrade.as_ref(), ends, entry.options.forwarded);
        let empty = request.body().is_end_stream();
        let repeat = empty && upgrade.is_none() && request.method().is_idempotent();
        let (mut parts, body) = request.into_parts();
        if let Some(path) = entry.rewritten(parts.uri.path()) {
            let Some(uri) = with_path(&parts.uri, path) else { return Cause::Unreadable.into() };
            parts.uri = uri;
        }
        let cookie = entry.cookie();
        let kept = cookie.and_then(|name| sticky::take(&mut parts.headers, name));
        actions::apply(&entry.actions.request, &mut parts.headers);
        let mut body = Some(body);
        for attempt in 1.. {
            let activity = Activity::new();
            let mut choice = match chosen(entry, kept, ends, attempt).await {
                Ok(choice) => choice,
                Err(cause) => return cause.into(),
            };
            choice.http2 |= entry.options.speaks == Speaks::Http2;
            session.goes_to(&choice, &activity);
            let body = body.take().filter(|_| !empty);
            let outgoing = outgoing(&mut parts, body, &activity);
            let sender = choice.sender.as_deref().unwrap_or(&self.plain);
            let sending = sender.send(&choice, host, outgoing, upgrade.is_some());
            let (cause, error) = match activity.watch(entry.options.timeout, sending).await {
                Some(Ok((mut answer, link))) => {
                    if let Some(name) = cookie.filter(|_| kept != Some(choice.id)) {
                        sticky::give(answer.headers_mut(), name, choice.id, entry.cookie_further);
                    }
                    return answered(
                        answer,
                        entry,
                        ends,
                        from_client,
                        [limited, choice.held, link],
                    );
                }
                Some(Err(error)) => (error.cause(), error.to_string()),
                None => (Cause::TooSlow, "no answer in time".to_owned()),
            };
            session.failed(!matches!(cause, Cause::BrokenOff | Cause::TooSlow));
            self.trouble.tell(entry, format!("endpoint {}: {error}", choice.address));
            if cause == Cause::TooSlow || !repeat || attempt >= ATTEMPTS {
                return cause.into();
            }
        }
        Cause::NoEndpoints.into()
    }
}

/// What is sent to the endpoint.
fn outgoing(parts: &mut Parts, body: Option<Incoming>, activity: &Activity) -> Request<Outgoing> {
    let mut outgoing = Request::new(match body {
        Some(body) => {
            let followers = parts.extensions.remove().unwrap_or_default();
            Either::Left(Tracked::new(body, activity.clone(), followers))
        }
        None => Either::Right(Empty::new()),
    });
    *outgoing.method_mut() = parts.method.clone();
    *outgoing.uri_mut() = parts.uri.clone();
    *outgoing.headers_mut() = parts.headers.clone();
    outgoing
}

/// Passes an answer back; after a 101 the two connections become a tunnel.
fn answered(
    mut answer: Response<Incoming>,
    entry: &Entry,
    ends: Ends,
    from_client: Option<hyper::upgrade::OnUpgrade>,
    held: [Option<Held>; 3],
) -> Outcome {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        headers::strip_hop_by_hop(answer.headers_mut());
        if let Some(hsts) = entry.options.hsts.as_ref().filter(|_| ends.secure)
            && let Ok(value) = header::HeaderValue::from_str(hsts)
        {
            answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        actions::apply(&entry.actions.response, answer.headers_mut());
        *answer.version_mut() = Version::HTTP_11;
        return Outcome::Passed(answer, held);
    }
    let Some(from_client) = from_client else { return Cause::BrokenOff.into() };
    let from_endpoint = hyper::upgrade::on(&mut answer);
    let tunnel =
        Tunnel { from_client, from_endpoint, held, patience: entry.options.tunnel_timeout };
    actions::apply(&entry.actions.response, answer.headers_mut());
    Outcome::Tunnel(answer.map(|_| Full::default()), tunnel)
}

/// The endpoint of a client's cookie first, then whichever is next.
fn choose(entry: &Entry, kept: Option<u128>, ends: Ends, attempt: usize) -> Option<Choice> {
    if attempt > 1 {
        return entry.pick_other(ends.client.ip());
    }
    kept.and_then(|id| entry.kept(id)).or_else(|| entry.pick(ends.client.ip()))
}

/// What is chosen, waiting for an endpoint that may have one more request if need be.
pub(super) async fn chosen(
    entry: &Entry,
    kept: Option<u128>,
    ends: Ends,
    attempt: usize,
) -> Result<Choice, Cause> {
    if entry.options.endpoint_limit.is_none() {
        return choose(entry, kept, ends, attempt).ok_or(Cause::NoEndpoints);
    }
    let waiting = async {
        loop {
            let freed = entry.freed();
            match choose(entry, kept, ends, attempt) {
                Some(choice) => return Ok(choice),
                None if entry.has_endpoints() => freed.await,
                None => return Err(Cause::NoEndpoints),
            }
        }
    };
    let waited = tokio::time::timeout(QUEUE_TIMEOUT, waiting).await;
    waited.unwrap_or(Err(Cause::NoEndpointFree))
}

/// The same target with another path.
fn with_path(uri: &Uri, path: String) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::try_from(target).ok().map(Uri::from)
}
