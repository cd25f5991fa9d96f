//! Connections to backends, one per request.
//!
//! Knows: sockets and TLS. Refuses to know: what is sent. Nothing is resolved here: only addresses that were checked are
//! dialled.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use leme_meta::Status;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::locate::{Destination, Transport};
use crate::StartError;
use crate::body::RequestBody;
use crate::listen::provider;
use crate::node_proxy::NodeClient;

/// For the connection and its handshake. An answer may take as long as the client waits.
const CONNECT: Duration = Duration::from_secs(30);

/// 503, in upstream's words.
pub(super) fn unreachable(why: &str) -> Status {
    Status::unavailable(format!("error trying to reach service: {why}"))
}

/// Sends a request over a connection of its own; the answer's head.
pub(super) async fn send(
    destination: &Destination,
    nodes: &NodeClient,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, Status> {
    let connecting = tokio::time::timeout(CONNECT, connect(destination));
    let authority = destination.authority();
    let timed_out = || unreachable(&format!("dial tcp {authority}: i/o timeout"));
    let stream = connecting.await.map_err(|_| timed_out())??;
    let tls = match destination.transport {
        Transport::Plain => return exchange(stream, request).await,
        Transport::Tls => nodes.proxy_tls(),
        Transport::Agent => nodes.tls(),
    };
    let failed = |error: &dyn std::fmt::Display| unreachable(&format!("tls: {error}"));
    let name = ServerName::try_from(destination.name.clone()).map_err(|error| failed(&error))?;
    let handshake = tokio::time::timeout(CONNECT, tls.connect(name, stream)).await;
    let stream = handshake.map_err(|_| timed_out())?.map_err(|error| failed(&error))?;
    exchange(stream, request).await
}

async fn connect(destination: &Destination) -> Result<TcpStream, Status> {
    let mut last = unreachable("no address");
    for address in &destination.addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A socket that refuses the option still works.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => {
                let why = match error.kind() {
                    ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                    ErrorKind::HostUnreachable => "no route to host".to_owned(),
                    _ => error.to_string(),
                };
                last = unreachable(&format!("dial tcp {address}: connect: {why}"));
            }
        }
    }
    Err(last)
}

async fn exchange<S>(stream: S, request: Request<RequestBody>) -> Result<Response<Incoming>, Status>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| unreachable(&error.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the answer's body, or with the upgraded stream.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(failed)
}

/// TLS towards pods and services, which have no certificate that could be checked.
pub(crate) struct ProxyTls;

impl ProxyTls {
    /// A connector that takes any certificate.
    pub fn connector() -> Result<TlsConnector, StartError> {
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(StartError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// Encryption without a name: upstream's proxy does not check certificates either.
#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls_pki_types::CertificateDer<'_>,
        _intermediates: &[rustls_pki_types::CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
