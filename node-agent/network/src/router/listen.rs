//! Client connections: accepts them, bounds them, ends them gracefully. Refuses to know what is answered.

use super::forward::{Ends, Forwarder};
use anyhow::{Context, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send the next request's headers, which is also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of headers.
const HEADER_BYTES: usize = 64 * 1024;
/// Client connections at once; more wait in the listening socket.
const CONNECTIONS: usize = 20_000;
/// How long requests under way may take once the router ends.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `listeners` until `token` is cancelled, then lets requests under way finish.
pub(super) async fn serve(
    listeners: Vec<std::net::TcpListener>,
    forwarder: Arc<Forwarder>,
    token: CancellationToken,
) -> Result<()> {
    let connections = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let accepting = TaskTracker::new();
    for listener in listeners {
        listener.set_nonblocking(true).context("prepare a router socket")?;
        let listener = TcpListener::from_std(listener).context("prepare a router socket")?;
        let (forwarder, token) = (forwarder.clone(), token.clone());
        let (connections, permits) = (connections.clone(), permits.clone());
        accepting.spawn(accept(listener, forwarder, permits, connections, token));
    }
    accepting.close();
    accepting.wait().await;
    token.cancelled().await;
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::info!(left = connections.len(), "router ends with connections open");
    }
    Ok(())
}

async fn accept(
    listener: TcpListener,
    forwarder: Arc<Forwarder>,
    permits: Arc<Semaphore>,
    connections: TaskTracker,
    token: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => return,
            accepted = async { (permits.clone().acquire_owned().await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, client))) => {
                let (forwarder, token) = (forwarder.clone(), token.clone());
                connections.spawn(async move {
                    if let Ok(local) = stream.local_addr() {
                        connection(stream, Ends { client, local }, forwarder, token).await;
                    }
                    drop(permit);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "router cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn connection(
    stream: TcpStream,
    ends: Ends,
    forwarder: Arc<Forwarder>,
    token: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let forwarder = forwarder.clone();
        async move { Ok::<_, Infallible>(forwarder.serve(request, ends).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client = %ends.client, %error, "client connection");
    }
}
