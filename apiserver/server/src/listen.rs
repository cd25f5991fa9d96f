//! Connections: encrypted with the cluster's certificates, each with the identity that its own certificate tells.
//!
//! Knows: TLS as the server speaks it, who a connection belongs to. Refuses to know: how connections are bounded, and what
//! requests mean.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use leme_access::Identity;
use leme_serve::{Lifetime, Limits};
use rustls::ServerConfig as TlsConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;

use crate::api::Api;
use crate::budget::Payer;
use crate::identity;
use crate::pki::Pki;
use crate::{Result, StartError};

/// The crypto provider that every connection of the server uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS as the server speaks it: its own certificate, client certificates of the cluster's authority if one is shown.
pub(crate) fn tls(pki: &Pki) -> Result<Arc<TlsConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca_der().clone()).map_err(StartError::Tls)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| StartError::Tls(rustls::Error::General(error.to_string())))?;
    let mut config = TlsConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(StartError::Tls)?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(pki.serving.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub SocketAddr);

/// Answers what comes to the listeners until the server stops.
pub(crate) async fn serve(
    listeners: Vec<TcpListener>,
    tls: Arc<TlsConfig>,
    limits: Limits,
    api: Arc<Api>,
    lifetime: Lifetime,
) {
    let service = move |peer: &leme_serve::Peer<'_>| {
        let (api, identity) = (Arc::clone(&api), identity::of_peer(peer.certificates));
        let connection = peer.connection.clone();
        let payer = api.budget.account(move || connection.cut());
        let address = peer.address;
        service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Peer(address));
            let (api, identity, payer) = (Arc::clone(&api), identity.clone(), payer.clone());
            // Boxed: a watch's task holds the room of its largest state as long as the watch lasts.
            let answer = Box::pin(handle(api, identity, payer, request));
            async move { Ok::<_, Infallible>(answer.await) }
        })
    };
    leme_serve::serve(listeners, Some(tls), limits, service, lifetime).await;
}

async fn handle(
    api: Arc<Api>,
    identity: Identity,
    payer: Payer,
    request: http::Request<Incoming>,
) -> crate::answer::Answer {
    api.handle(identity, payer, request.map(|body| body.map_err(Into::into).boxed_unsync())).await
}
