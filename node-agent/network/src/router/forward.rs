//! One HTTP request: finds its Route and endpoint, passes it on, passes the answer back. Knows HTTP; refuses to know the API.
//!
//! Messages are taken apart and put together again by hyper, so framing never crosses from one side to the other.

use super::activity::{Activity, Noted, Tracked};
use super::pools::{Choice, Held};
use super::table::{Entry, Table};
use super::tls::backend::Trust;
use super::{actions, headers, sticky};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error, ResponseFuture, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

pub(super) type Answer = Response<Either<Passing, Full<Bytes>>>;
type Outgoing = Either<Tracked, Empty<Bytes>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_PER_ENDPOINT: usize = 256;
/// Endpoints tried for a request that may be repeated.
const ATTEMPTS: usize = 3;

/// What all connections share.
pub(super) struct Forwarder {
    table: Arc<ArcSwap<Table>>,
    client: Client<HttpConnector, Outgoing>,
    token: CancellationToken,
    /// The port at which TLS is spoken, for those who are sent there.
    secure_port: Option<u16>,
}

/// Speaks TLS to applications that some authority certifies.
pub(super) struct Sender(Client<HttpsConnector<HttpConnector>, Outgoing>);

impl Sender {
    pub(super) fn new(trust: &Trust) -> Sender {
        let mut connector = connector();
        connector.enforce_http(false);
        // Names are not verified; one has to be said all the same.
        let name = rustls::pki_types::ServerName::try_from("application.svc")
            .unwrap_or_else(|_| std::net::Ipv4Addr::LOCALHOST.into());
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(trust.config()))
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .wrap_connector(connector);
        Sender(pooled().build(connector))
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}

fn pooled() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_ENDPOINT)
        .set_host(false);
    builder
}

/// The two ends of the client's connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    /// Whether it came with TLS that ends here.
    pub(super) secure: bool,
}

/// The body of an answer, which counts as under way until it has ended.
pub(super) struct Passing {
    body: Incoming,
    _held: Option<Held>,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Forwarder {
    pub(super) fn new(
        table: Arc<ArcSwap<Table>>,
        secure_port: Option<u16>,
        token: CancellationToken,
    ) -> Forwarder {
        Forwarder { table, client: pooled().build(connector()), token, secure_port }
    }

    /// Gives a connection to an application as it came, and lets both talk until nothing happens for too long.
    pub(super) async fn tunnel(&self, client: leme_serve::Opened, entry: &Entry, ends: Ends) {
        for attempt in 1..=ATTEMPTS {
            let Some(choice) = choose(entry, None, ends, attempt) else { return };
            let connecting = TcpStream::connect(choice.address);
            let endpoint = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(endpoint)) => endpoint,
                failed => {
                    tracing::debug!(endpoint = %choice.address, attempt, ?failed, "not passed through");
                    continue;
                }
            };
            let _ = endpoint.set_nodelay(true);
            let activity = Activity::new();
            let talk = async {
                let mut client = Noted::new(client, activity.clone());
                let mut endpoint = Noted::new(endpoint, activity.clone());
                let _ = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await;
            };
            let watched = activity.watch(entry.options.tunnel_timeout, talk);
            self.token.run_until_cancelled(watched).await;
            return;
        }
    }

    /// Sends a request on through what the Route speaks to its application.
    fn request(&self, entry: &Entry, request: Request<Outgoing>) -> ResponseFuture {
        match &entry.sender {
            Some(sender) => sender.0.request(request),
            None => self.client.request(request),
        }
    }

    /// Where a request without TLS is to come to.
    fn redirect(&self, code: StatusCode, uri: &Uri, host: &str) -> Answer {
        if host.is_empty() {
            return page(StatusCode::BAD_REQUEST);
        }
        let Some(port) = self.secure_port else { return page(StatusCode::SERVICE_UNAVAILABLE) };
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if target.starts_with('/') { target } else { "/" };
        let location = format!("https://{host}{port}{target}");
        let Ok(location) = header::HeaderValue::from_str(&location) else {
            return page(StatusCode::BAD_REQUEST);
        };
        let mut answer = Response::new(Either::Right(Full::default()));
        *answer.status_mut() = code;
        answer.headers_mut().insert(header::LOCATION, location);
        answer
            .headers_mut()
            .insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
        answer
    }

    /// Answers one request; every failure is an answer too.
    /// `asked` is the host that the client's TLS asked for.
    pub(super) async fn serve(
        &self,
        request: Request<Incoming>,
        ends: Ends,
        asked: Option<&str>,
    ) -> Answer {
        if request.method() == Method::CONNECT {
            return page(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(host) = headers::host(&request) else { return page(StatusCode::BAD_REQUEST) };
        if headers::ambiguous(&request) || !headers::is_plain(&host) {
            return page(StatusCode::BAD_REQUEST);
        }
        let table = self.table.load_full();
        let name = headers::bare_name(&host);
        // A certificate for several hosts lets clients bring the requests of all on one connection, also of those that are
        // to be given away.
        let other =
            request.version() == Version::HTTP_2 && asked.is_some_and(|asked| asked != name);
        if ends.secure && other {
            return page(StatusCode::MISDIRECTED_REQUEST);
        }
        match table.find(ends.secure, &name, &headers::normal_path(request.uri().path())) {
            Some(entry) if !entry.admits(ends.client.ip()) => page(StatusCode::FORBIDDEN),
            Some(entry) => match entry.redirects.filter(|_| !ends.secure) {
                Some(code) => self.redirect(code, request.uri(), &name),
                None => self.pass(request, entry, &host, ends).await,
            },
            None => page(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    async fn pass(
        &self,
        mut request: Request<Incoming>,
        entry: &Entry,
        host: &str,
        ends: Ends,
    ) -> Answer {
        let upgrade = headers::upgrade(request.headers());
        let from_client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        headers::prepare(&mut request, host, upgrade.as_ref(), ends, entry.options.forwarded);
        let empty = request.body().is_end_stream();
        let repeat = empty && upgrade.is_none() && request.method().is_idempotent();
        let (mut parts, body) = request.into_parts();
        if let Some(path) = entry.rewritten(parts.uri.path()) {
            let Some(uri) = with_path(&parts.uri, path) else {
                return page(StatusCode::BAD_REQUEST);
            };
            parts.uri = uri;
        }
        let cookie = entry.cookie();
        let kept = cookie.and_then(|name| sticky::take(&mut parts.headers, name));
        actions::apply(&entry.actions.request, &mut parts.headers);
        let mut body = Some(body);
        for attempt in 1.. {
            let activity = Activity::new();
            let Some(choice) = choose(entry, kept, ends, attempt) else { break };
            let scheme = if entry.sender.is_some() { "https" } else { "http" };
            let Some(uri) = endpoint_uri(scheme, &parts.uri, choice.address) else {
                return page(StatusCode::BAD_REQUEST);
            };
            let mut outgoing = Request::new(match body.take() {
                Some(body) if !empty => Either::Left(Tracked::new(body, activity.clone())),
                _ => Either::Right(Empty::new()),
            });
            *outgoing.method_mut() = parts.method.clone();
            *outgoing.uri_mut() = uri;
            *outgoing.headers_mut() = parts.headers.clone();
            let sent = activity.watch(entry.options.timeout, self.request(entry, outgoing)).await;
            let error = match sent {
                Some(Ok(mut answer)) => {
                    if let Some(name) = cookie.filter(|_| kept != Some(choice.id)) {
                        sticky::give(answer.headers_mut(), name, choice.id, entry.cookie_further);
                    }
                    return self.answer(answer, entry, ends, from_client, choice.held);
                }
                Some(Err(error)) => error,
                None => return page(StatusCode::GATEWAY_TIMEOUT),
            };
            tracing::debug!(
                endpoint = %choice.address, attempt, error = &error as &dyn std::error::Error, "not passed on"
            );
            if !repeat || attempt >= ATTEMPTS {
                return page(failure(&error));
            }
        }
        page(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Passes an answer back; after a 101 the two connections become a tunnel.
    fn answer(
        &self,
        mut answer: Response<Incoming>,
        entry: &Entry,
        ends: Ends,
        from_client: Option<hyper::upgrade::OnUpgrade>,
        held: Option<Held>,
    ) -> Answer {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            headers::strip_hop_by_hop(answer.headers_mut());
            if let Some(hsts) = entry.options.hsts.as_ref().filter(|_| ends.secure)
                && let Ok(value) = header::HeaderValue::from_str(hsts)
            {
                answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, value);
            }
            actions::apply(&entry.actions.response, answer.headers_mut());
            *answer.version_mut() = Version::HTTP_11;
            return answer.map(|body| Either::Left(Passing { body, _held: held }));
        }
        let Some(from_client) = from_client else { return page(StatusCode::BAD_GATEWAY) };
        let to_endpoint = hyper::upgrade::on(&mut answer);
        let (token, patience) = (self.token.clone(), entry.options.tunnel_timeout);
        tokio::spawn(async move {
            let _held = held;
            let activity = Activity::new();
            let tunnel = async {
                let (client, endpoint) = tokio::try_join!(from_client, to_endpoint).ok()?;
                let mut client = Noted::new(TokioIo::new(client), activity.clone());
                let mut endpoint = Noted::new(TokioIo::new(endpoint), activity.clone());
                tokio::io::copy_bidirectional(&mut client, &mut endpoint).await.ok()
            };
            token.run_until_cancelled(activity.watch(patience, tunnel)).await
        });
        actions::apply(&entry.actions.response, answer.headers_mut());
        answer.map(|_| Either::Right(Full::default()))
    }
}

/// The endpoint of a client's cookie first, then whichever is next.
fn choose(entry: &Entry, kept: Option<u128>, ends: Ends, attempt: usize) -> Option<Choice> {
    if attempt > 1 {
        return entry.pick_other(ends.client.ip());
    }
    kept.and_then(|id| entry.kept(id)).or_else(|| entry.pick(ends.client.ip()))
}

/// The same target with another path.
fn with_path(uri: &Uri, path: String) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    PathAndQuery::try_from(target).ok().map(Uri::from)
}

fn failure(error: &Error) -> StatusCode {
    if error.is_connect() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY }
}

fn endpoint_uri(scheme: &str, uri: &Uri, endpoint: SocketAddr) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme(scheme).authority(endpoint.to_string()).path_and_query(path).build().ok()
}

/// A short page for what the router answers itself.
pub(super) fn page(status: StatusCode) -> Answer {
    let (title, text) = match status {
        StatusCode::SERVICE_UNAVAILABLE => (
            "Application is not available",
            "The application is currently not serving requests at this address. It may not have been started, or no route \
             leads to it.",
        ),
        StatusCode::GATEWAY_TIMEOUT => {
            ("Gateway timeout", "The application did not answer in time.")
        }
        StatusCode::BAD_GATEWAY => ("Bad gateway", "The application broke the connection off."),
        StatusCode::FORBIDDEN => ("Forbidden", "This address may not use the application."),
        StatusCode::MISDIRECTED_REQUEST => {
            ("Misdirected request", "This connection was made for another host.")
        }
        StatusCode::METHOD_NOT_ALLOWED => ("Method not allowed", "This is not a forward proxy."),
        _ => ("Bad request", "The request cannot be understood."),
    };
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let mut answer = Response::new(Either::Right(Full::from(html)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache, no-store"));
    answer
}
