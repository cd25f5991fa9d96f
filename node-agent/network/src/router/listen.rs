//! Client connections of the router: their bounds, and the service of each. Refuses to know what is answered.

use super::forward::{Client, Ends, Forwarder};
use super::headers::bare_name;
use anyhow::{Context, Result};
use hyper::service::service_fn;
use leme_serve::{Lifetime, Limits, Opening, Peer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests under way may take once the router ends.
const DRAIN: Duration = Duration::from_secs(5);

/// The times are those of OpenShift's router for a request's head, an idle connection, and a client that takes nothing; there may
/// be many connections, so each may hold little.
pub(super) fn limits() -> Limits {
    Limits {
        connections: 20_000,
        per_peer: 10_000,
        head: Duration::from_secs(10),
        idle: Duration::from_secs(300),
        head_bytes: 64 * 1024,
        stalled: Some(Duration::from_secs(30)),
        window: 64 * 1024,
        unwritten: 32 * 1024,
        streams: 100,
        ..Limits::default()
    }
}

/// Serves `listeners` until `token` is cancelled, then lets requests under way finish.
pub(super) async fn serve(
    listeners: Vec<std::net::TcpListener>,
    opening: Opening,
    forwarder: Arc<Forwarder>,
    token: CancellationToken,
) -> Result<()> {
    let listen = |listener: std::net::TcpListener| {
        listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener))
    };
    let listeners: std::io::Result<Vec<TcpListener>> = listeners.into_iter().map(listen).collect();
    let listeners = listeners.context("prepare a router socket")?;
    let ports: Vec<u16> =
        listeners.iter().filter_map(|one| Some(one.local_addr().ok()?.port())).collect();
    let service = move |peer: &Peer<'_>| {
        let forwarder = Arc::clone(&forwarder);
        let secure = peer.tls.is_some();
        let ends = Ends { client: peer.address, local: peer.local, secure };
        let asked = peer.tls.flatten().map(bare_name);
        // Of a connection that a load balancer announces the port is the balancer's.
        let port = peer.local.port();
        let at = if ports.contains(&port) { port } else { ports.first().copied().unwrap_or(port) };
        let client = Arc::new(Client::new(ends, asked, at));
        service_fn(move |request| {
            let (forwarder, client) = (Arc::clone(&forwarder), Arc::clone(&client));
            async move { Ok::<_, Infallible>(forwarder.serve(request, &client).await) }
        })
    };
    let lifetime = Lifetime::default();
    let serving = leme_serve::serve(listeners, opening, limits(), service, lifetime.clone());
    token.run_until_cancelled(serving).await;
    token.cancelled().await;
    lifetime.end(DRAIN).await;
    Ok(())
}
