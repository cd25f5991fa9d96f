//! One HTTP request: finds its Route and endpoint, passes it on, passes the answer back. Knows HTTP; refuses to know the API.
//!
//! Messages are taken apart and put together again by hyper, so framing never crosses from one side to the other.

use super::activity::{Activity, Tracked};
use super::headers;
use super::table::{Entry, Table};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) type Answer = Response<Either<Incoming, Full<Bytes>>>;
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
}

/// The two ends of the client's connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Forwarder {
    pub(super) fn new(table: Arc<ArcSwap<Table>>, token: CancellationToken) -> Forwarder {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_ENDPOINT)
            .set_host(false)
            .build(connector);
        Forwarder { table, client, token }
    }

    /// Answers one request; every failure is an answer too.
    pub(super) async fn serve(&self, request: Request<Incoming>, ends: Ends) -> Answer {
        if request.method() == Method::CONNECT {
            return page(StatusCode::METHOD_NOT_ALLOWED);
        }
        let Some(host) = headers::host(&request) else { return page(StatusCode::BAD_REQUEST) };
        if headers::ambiguous(&request) {
            return page(StatusCode::BAD_REQUEST);
        }
        let table = self.table.load_full();
        let name = headers::bare_name(&host);
        match table.find(&name, request.uri().path()) {
            Some(entry) => self.pass(request, entry, &host, ends).await,
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
        headers::prepare(&mut request, host, upgrade.as_ref(), ends);
        let empty = request.body().is_end_stream();
        let repeat = empty && upgrade.is_none() && request.method().is_idempotent();
        let (parts, body) = request.into_parts();
        let mut body = Some(body);
        for attempt in 1.. {
            let activity = Activity::new();
            let Some(endpoint) = entry.pick() else { break };
            let Some(uri) = endpoint_uri(&parts.uri, endpoint) else {
                return page(StatusCode::BAD_REQUEST);
            };
            let mut outgoing = Request::new(match body.take() {
                Some(body) if !empty => Either::Left(Tracked::new(body, activity.clone())),
                _ => Either::Right(Empty::new()),
            });
            *outgoing.method_mut() = parts.method.clone();
            *outgoing.uri_mut() = uri;
            *outgoing.headers_mut() = parts.headers.clone();
            let sent = activity.watch(entry.timeout, self.client.request(outgoing)).await;
            let error = match sent {
                Some(Ok(answer)) => return self.answer(answer, from_client),
                Some(Err(error)) => error,
                None => return page(StatusCode::GATEWAY_TIMEOUT),
            };
            tracing::debug!(%endpoint, attempt, error = &error as &dyn std::error::Error, "not passed on");
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
        from_client: Option<hyper::upgrade::OnUpgrade>,
    ) -> Answer {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            headers::strip_hop_by_hop(answer.headers_mut());
            *answer.version_mut() = Version::HTTP_11;
            return answer.map(Either::Left);
        }
        let Some(from_client) = from_client else { return page(StatusCode::BAD_GATEWAY) };
        let to_endpoint = hyper::upgrade::on(&mut answer);
        let token = self.token.clone();
        tokio::spawn(async move {
            let tunnel = async {
                let (client, endpoint) = tokio::try_join!(from_client, to_endpoint).ok()?;
                let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
                tokio::io::copy_bidirectional(&mut client, &mut endpoint).await.ok()
            };
            token.run_until_cancelled(tunnel).await
        });
        answer.map(|_| Either::Right(Full::default()))
    }
}

fn failure(error: &Error) -> StatusCode {
    if error.is_connect() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_GATEWAY }
}

fn endpoint_uri(uri: &Uri, endpoint: SocketAddr) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder().scheme("http").authority(endpoint.to_string()).path_and_query(path).build().ok()
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
