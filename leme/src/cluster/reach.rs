//! Whether what is served can be reached from this machine: the last step of a start, tried for real.
//!
//! The API says when an endpoint is ready; rules and router follow it within milliseconds, and only a connection proves
//! that they have.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leme_meta::Object;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::api::Api;
use crate::documents::Document;

/// Pause between two tries at what has not come through yet, and their number.
const PAUSE: Duration = Duration::from_millis(20);
const TRIES: usize = 150;
/// How long the first try may take, for a packet to a pod that is gone since the last stop is answered by nobody; each
/// further try may take twice as long, up to the longest, for an application may be slow.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Connects to the first TCP port of each Service that has a cluster address and selects pods.
pub async fn services(api: &Api, documents: &[Document]) -> Result<()> {
    for document in documents.iter().filter(|document| document.kind.kind == "Service") {
        let found = api.find(&document.kind, &document.namespace, &document.name).await?;
        let service = Object(found.with_context(|| format!("{} is gone", document.shown()))?);
        if let Some(address) = address(&service) {
            connect(address)
                .await
                .with_context(|| format!("reach {} at {address}", document.shown()))?;
        }
    }
    Ok(())
}

fn address(service: &Object) -> Option<SocketAddr> {
    let selects = service.at(&["spec", "selector"])?.as_object()?;
    let ip: IpAddr = service.text(&["spec", "clusterIP"]).parse().ok()?;
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array)?;
    let tcp = ports.iter().find(|port| port["protocol"].as_str().unwrap_or("TCP") == "TCP")?;
    let port = u16::try_from(tcp["port"].as_u64()?).ok()?;
    (!selects.is_empty()).then(|| SocketAddr::new(ip, port))
}

async fn connect(address: SocketAddr) -> Result<()> {
    let (mut last, mut patience) = (String::new(), PATIENCE.0);
    for _ in 0..TRIES {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {
                last = "no answer".to_owned();
                patience = (patience * 2).min(PATIENCE.1);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("{last}")
}

/// Where a Route is asked for.
pub struct Door<'a> {
    /// The router.
    pub address: SocketAddr,
    /// Who certifies its host, where TLS is spoken: the authority's certificate.
    pub authority: Option<&'a Path>,
}

/// Asks the router for a host until somebody behind it answers.
pub async fn route(door: &Door<'_>, host: &str, path: &str) -> Result<()> {
    ensure!(
        !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic()),
        "the Route has no host"
    );
    let path = if path.is_empty() { "/" } else { path };
    let tls = door.authority.map(trusting).transpose()?;
    let (mut last, mut patience) = (String::new(), PATIENCE.0);
    for _ in 0..TRIES {
        match timeout(patience, status_of(door.address, tls.as_ref(), host, path)).await {
            Ok(Ok(line)) if !line.contains(" 503 ") => return Ok(()),
            Ok(Ok(line)) => last = line,
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {
                last = "no answer".to_owned();
                patience = (patience * 2).min(PATIENCE.1);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    bail!("{scheme}://{host}{path} is not served: {last}")
}

fn trusting(authority: &Path) -> Result<TlsConnector> {
    let shown = || format!("read {}", authority.display());
    let certificate = CertificateDer::from_pem_file(authority).with_context(shown)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).with_context(shown)?;
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn status_of(
    router: SocketAddr,
    tls: Option<&TlsConnector>,
    host: &str,
    path: &str,
) -> std::io::Result<String> {
    let stream = TcpStream::connect(router).await?;
    match tls {
        None => ask(stream, host, path).await,
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
            ask(tls.connect(name, stream).await?, host, path).await
        }
    }
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 64];
    let count = stream.read(&mut head).await?;
    Ok(String::from_utf8_lossy(&head[..count]).lines().next().unwrap_or("").to_owned())
}
