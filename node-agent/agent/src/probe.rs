//! Probes and hooks, tried: HTTP and TCP from the host to the pod, commands in the container.
//!
//! Knows: what counts as healthy and how failures are worded. Refuses to know: thresholds and what follows.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use leme_cri::{Runtime, RuntimeError};
use leme_node_core::probe::Outcome;
use leme_node_core::spec;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::worker::Hooks;

/// Bytes of output or body that go into a message.
const SHOWN: usize = 10 * 1024;

/// What to try.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// A command.
    pub exec: Option<ExecAction>,
    /// A request.
    pub http: Option<HTTPGetAction>,
    /// A connection.
    pub tcp: Option<TCPSocketAction>,
    /// A gRPC health check, which is not supported.
    pub grpc: bool,
}

impl From<&Probe> for Check {
    fn from(probe: &Probe) -> Self {
        Self {
            exec: probe.exec.clone(),
            http: probe.http_get.clone(),
            tcp: probe.tcp_socket.clone(),
            grpc: probe.grpc.is_some(),
        }
    }
}

/// Tries it once.
pub async fn run(
    runtime: &dyn Runtime,
    hooks: &Hooks,
    id: &str,
    check: &Check,
    limit: Duration,
) -> Outcome {
    if let Some(action) = &check.exec {
        return exec(runtime, id, action, limit).await;
    }
    if check.grpc {
        return Outcome::Error("grpc probes are not supported on this node".to_owned());
    }
    let Some((host, port)) = target(hooks, check) else {
        return Outcome::Error("the probe names no usable port".to_owned());
    };
    match &check.http {
        Some(action) => http(action, &host, port, limit).await,
        None => match connect(&host, port, limit).await {
            Ok(_) => Outcome::Success,
            Err(message) => Outcome::Failure(message),
        },
    }
}

fn target(hooks: &Hooks, check: &Check) -> Option<(String, u16)> {
    let (host, port) = match (&check.http, &check.tcp) {
        (Some(action), _) => (&action.host, &action.port),
        (None, Some(action)) => (&action.host, &action.port),
        (None, None) => return None,
    };
    let host = host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| hooks.ip.clone());
    Some((host, spec::port(&hooks.container, port)?))
}

async fn exec(runtime: &dyn Runtime, id: &str, action: &ExecAction, limit: Duration) -> Outcome {
    let command = action.command.clone().unwrap_or_default();
    let call = runtime.exec_sync(id, &command, limit);
    // The runtime keeps the limit; a runtime that hangs does not hold the probe.
    let timed_out = || {
        format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs())
    };
    match tokio::time::timeout(limit + Duration::from_secs(2), call).await {
        Err(_) | Ok(Err(RuntimeError::Timeout(_))) => Outcome::Failure(timed_out()),
        Ok(Err(error)) => Outcome::Error(error.to_string()),
        Ok(Ok(output)) => {
            let mut text = output.stdout;
            text.extend(output.stderr);
            text.truncate(SHOWN);
            let text = String::from_utf8_lossy(&text).into_owned();
            if output.exit_code == 0 { Outcome::Success } else { Outcome::Failure(text) }
        }
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, String> {
    let address = authority(host, port);
    match tokio::time::timeout(limit, TcpStream::connect((host, port))).await {
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let what = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
                _ => format!("connect: {error}"),
            };
            Err(format!("dial tcp {address}: {what}"))
        }
    }
}

async fn http(action: &HTTPGetAction, host: &str, port: u16, limit: Duration) -> Outcome {
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
    let path = action.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let url = format!("{scheme}://{}{path}", authority(host, port));
    let stream = match connect(host, port, limit).await {
        Ok(stream) => stream,
        Err(message) => return Outcome::Failure(format!("Get \"{url}\": {message}")),
    };
    let request = match request(action, &path, &authority(host, port)) {
        Ok(request) => request,
        Err(error) => return Outcome::Error(error.to_string()),
    };
    let exchange = async {
        if scheme == "https" {
            let stream = tls(stream, host).await?;
            send(stream, request).await
        } else {
            send(stream, request).await
        }
    };
    match tokio::time::timeout(limit, exchange).await {
        Err(_) => Outcome::Failure(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Ok(Err(error)) => Outcome::Failure(format!("Get \"{url}\": {error:#}")),
        // A redirect is an answer: it is not followed.
        Ok(Ok(status)) if (200..400).contains(&status) => Outcome::Success,
        Ok(Ok(status)) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

fn request(
    action: &HTTPGetAction,
    path: &str,
    authority: &str,
) -> http::Result<http::Request<Empty<bytes::Bytes>>> {
    let mut builder = http::Request::get(path);
    let given = action.http_headers.as_deref().unwrap_or_default();
    let has = |name: &str| given.iter().any(|h| h.name.eq_ignore_ascii_case(name));
    for (name, value) in [("host", authority), ("user-agent", "kube-probe/1.33"), ("accept", "*/*")]
    {
        if !has(name) {
            builder = builder.header(name, value);
        }
    }
    for header in given.iter().filter(|h| !h.name.is_empty()) {
        builder = builder.header(header.name.as_str(), header.value.as_str());
    }
    builder.header("connection", "close").body(Empty::new())
}

async fn send<S>(stream: S, request: http::Request<Empty<bytes::Bytes>>) -> anyhow::Result<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    // Read a little so that the server sees an orderly end; what it says does not matter.
    let _ = Limited::new(answer.into_body(), SHOWN).collect().await;
    drop(connection);
    Ok(status)
}

async fn tls(
    stream: TcpStream,
    host: &str,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(host.to_owned())?;
    Ok(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// A probe asks whether the server answers, not who it is: certificates are not checked, by definition of `scheme: HTTPS`.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls_pki_types::CertificateDer<'_>,
        _intermediates: &[rustls_pki_types::CertificateDer<'_>],
        _server_name: &rustls_pki_types::ServerName<'_>,
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
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls_pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
