//! Connections: accepted, encrypted, spoken to in HTTP/1.1 or HTTP/2, drained at the end.
//!
//! Knows: sockets, TLS, timeouts, who a connection's certificate belongs to. Refuses to know: what requests mean.
//!
//! One task per connection, so that what goes wrong in one stays there. No lock is held across an await.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use leme_access::Identity;
use rustls::ServerConfig as TlsConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::gather::Gather;
use crate::identity;
use crate::lifetime::Lifetime;
use crate::pki::Pki;
use crate::{Result, StartError};

/// A peer that has not finished its handshake by then is not a client.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Also how long an idle HTTP/1.1 connection is kept, as upstream keeps it.
const HEADERS: Duration = Duration::from_secs(90);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const STREAMS_PER_CONNECTION: u32 = 1000;
const HEADER_BYTES: u32 = 64 * 1024;
const WINDOW: u32 = 1024 * 1024;
/// Out of file descriptors: wait for some to come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The crypto provider that every connection of the server uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS as the server speaks it: its own certificate, client certificates of the cluster's authority if one is shown.
pub(crate) fn tls(pki: &Pki) -> Result<TlsAcceptor> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca_der().clone()).map_err(StartError::Tls)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| StartError::Tls(rustls::Error::General(error.to_string())))?;
    let (certificate, key) = pki.serving.der()?;
    let mut config = TlsConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(StartError::Tls)?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate, pki.ca_der().clone()], key)
        .map_err(StartError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What every connection needs.
pub(crate) struct Acceptor {
    pub tls: TlsAcceptor,
    pub api: Arc<Api>,
    pub lifetime: Lifetime,
    http1: Builder<TokioExecutor>,
    http2: Builder<TokioExecutor>,
}

impl Acceptor {
    pub fn new(tls: TlsAcceptor, api: Arc<Api>, lifetime: Lifetime) -> Arc<Acceptor> {
        let mut http1 = Builder::new(TokioExecutor::new()).http1_only();
        http1.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let mut http2 = Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .max_header_list_size(HEADER_BYTES)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Arc::new(Acceptor { tls, api, lifetime, http1, http2 })
    }

    /// Accepts until the server stops.
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.lifetime.stopping() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let acceptor = Arc::clone(&self);
                    self.lifetime.spawn(async move { acceptor.connection(stream).await });
                }
                Err(error) if of_one_connection(error.kind()) => {}
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    async fn connection(&self, stream: TcpStream) {
        // Small answers leave at once. A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let tls = match tokio::time::timeout(HANDSHAKE, self.tls.accept(stream)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => return tracing::debug!("TLS handshake timed out"),
        };
        let (_, session) = tls.get_ref();
        let identity = identity::of_peer(session.peer_certificates());
        let http2 = session.alpn_protocol() == Some(b"h2".as_slice());
        let builder = if http2 { &self.http2 } else { &self.http1 };
        let service = service_fn(|request: http::Request<Incoming>| {
            let (api, identity) = (Arc::clone(&self.api), identity.clone());
            async move { Ok::<_, Infallible>(handle(api, identity, request).await) }
        });
        // Boxed: in the task itself it would be counted once per step of its life.
        let mut connection = Box::pin(
            builder.serve_connection_with_upgrades(TokioIo::new(Gather::new(tls, http2)), service),
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.lifetime.stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

async fn handle(
    api: Arc<Api>,
    identity: Identity,
    request: http::Request<Incoming>,
) -> crate::answer::Answer {
    api.handle(identity, request.map(|body| body.map_err(Into::into).boxed_unsync())).await
}

/// Errors of `accept` that only say that the peer has gone again.
fn of_one_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}
