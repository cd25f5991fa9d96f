//! What is told of the router itself: its health, and its counters for Prometheus. Refuses to know: how they come about.

use super::forward::Forwarder;
use super::stats::{Counted, single, tell};
use super::table::Entry;
use super::tls::Termination;
use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use leme_serve::{Lifetime, Limits, Opening, Peer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Endpoints beyond which none is told of by itself, as with OpenShift's router.
const SERVERS: usize = 500;
const DRAIN: Duration = Duration::from_secs(1);

/// Answers until `token` is cancelled.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    forwarder: Arc<Forwarder>,
    token: CancellationToken,
) -> Result<()> {
    listener.set_nonblocking(true).context("prepare the socket of the router's metrics")?;
    let listener = tokio::net::TcpListener::from_std(listener)
        .context("prepare the socket of the router's metrics")?;
    let limits = Limits { connections: 100, per_peer: 100, ..Limits::default() };
    let service = move |_: &Peer<'_>| {
        let forwarder = Arc::clone(&forwarder);
        service_fn(move |request| {
            let answer = answer(&forwarder, &request);
            async move { Ok::<_, Infallible>(answer) }
        })
    };
    let lifetime = Lifetime::default();
    let serving =
        leme_serve::serve(vec![listener], Opening::Plain, limits, service, lifetime.clone());
    token.run_until_cancelled(serving).await;
    lifetime.end(DRAIN).await;
    Ok(())
}

fn answer(forwarder: &Forwarder, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return said(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    match request.uri().path() {
        "/healthz" | "/healthz/" => said(StatusCode::OK, "ok\n"),
        "/healthz/ready" => match forwarder.table.load().is_complete {
            true => said(StatusCode::OK, "ok\n"),
            false => {
                said(StatusCode::INTERNAL_SERVER_ERROR, "not everything to serve is known yet\n")
            }
        },
        "/metrics" => said(StatusCode::OK, &metrics(forwarder)),
        _ => said(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /healthz/ready\n"),
    }
}

fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text.to_owned()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// What HAProxy's backends of the same kind are called in OpenShift.
fn backend(entry: &Entry) -> &'static str {
    match entry.termination {
        None => "http",
        Some(Termination::Edge) => "https-edge",
        Some(Termination::Reencrypt) => "https",
        Some(Termination::Passthrough) => "tcp",
    }
}

fn metrics(forwarder: &Forwarder) -> String {
    let table = forwarder.table.load();
    let mut text = String::new();
    single(&mut text, "haproxy_up", "Whether the router serves.", 1);
    let most = super::listen::limits().connections as u64;
    single(&mut text, "haproxy_max_connections", "Maximum number of concurrent connections.", most);
    let fronts = ["public", "public_ssl"].iter().zip(&forwarder.fronts);
    let fronts = fronts.map(|(name, stats)| Counted {
        labels: vec![("frontend", (*name).to_owned())],
        stats,
        up: None,
    });
    tell(&mut text, "frontend", &fronts.collect::<Vec<_>>());
    let named = |entry: &Entry| {
        let (namespace, route) = entry.key.clone();
        [("namespace", namespace), ("route", route)]
    };
    let backends = table.all.iter().map(|entry| {
        let labels = [("backend", backend(entry).to_owned())].into_iter().chain(named(entry));
        let up = Some(entry.has_endpoints());
        Counted { labels: labels.collect(), stats: &entry.state.stats, up }
    });
    tell(&mut text, "backend", &backends.collect::<Vec<_>>());
    let of = |entry: &Arc<Entry>| {
        let endpoints = entry.endpoints();
        endpoints.into_iter().map(|endpoint| (Arc::clone(entry), endpoint)).collect::<Vec<_>>()
    };
    let endpoints: Vec<_> = table.all.iter().flat_map(of).take(SERVERS + 1).collect();
    let servers = endpoints.iter().map(|(entry, (service, (address, pod, stats)))| {
        let labels = [("server", address.to_string())].into_iter().chain(named(entry));
        let behind = [("pod", pod.to_string()), ("service", service.clone())];
        Counted { labels: labels.chain(behind).collect(), stats, up: Some(true) }
    });
    if endpoints.len() <= SERVERS {
        tell(&mut text, "server", &servers.collect::<Vec<_>>());
    }
    text
}
