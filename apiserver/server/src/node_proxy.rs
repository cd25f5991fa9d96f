//! Requests to nodes: HTTPS to the agent's port, with the server's own client certificate.
//!
//! Knows: where a node answers, TLS towards it, what its errors mean. Refuses to know: what is asked of it. A redirect is
//! never followed, and only a certificate of the cluster's authority that names this very node is believed, whatever address
//! the node says that it has.

use leme_meta::quote;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use leme_meta::Status;
use leme_registry::json;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::listen::provider;
use crate::pki::Pki;
use crate::proxy::ProxyTls;
use crate::{Result, StartError};

const CONNECT: Duration = Duration::from_secs(5);
/// For the head of the answer; a log that follows may stay silent after it for ever.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of a node's answer that wait for a client that reads slowly.
const UNREAD: usize = 64 * 1024;
/// Errors are a line of text.
const ERROR_BYTES: usize = 64 * 1024;

/// Where a node's agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    name: String,
    host: String,
    port: u16,
}

impl Endpoint {
    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Address or name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint that a Node's status tells.
    pub fn of_node(node: &Value) -> std::result::Result<Endpoint, Status> {
        let name = json::text(node, &["metadata", "name"]);
        let addresses = json::list(node, &["status", "addresses"]);
        let of_type = |wanted: &str| {
            let found =
                addresses.iter().find(|address| json::text(address, &["type"]) == wanted)?;
            Some(json::text(found, &["address"])).filter(|address| !address.is_empty())
        };
        let host = of_type("InternalIP").or_else(|| of_type("Hostname"));
        let port = json::int(node, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"])
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        match (host, port) {
            (Some(host), Some(port)) => {
                Ok(Endpoint { name: name.to_owned(), host: host.to_owned(), port })
            }
            (None, _) => Err(Status::internal(format!(
                "no preferred addresses found for node {name}",
                name = quote(&name)
            ))),
            (_, None) => Err(Status::internal(format!(
                "node {name} has not told its agent's port",
                name = quote(&name)
            ))),
        }
    }
}

/// The server as a client of nodes.
pub(crate) struct NodeClient {
    tls: TlsConnector,
    proxy: TlsConnector,
}

impl NodeClient {
    /// A client with the certificate that the authority gave the server for this.
    pub fn new(pki: &Pki) -> Result<NodeClient> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki.ca_der().clone()).map_err(StartError::Tls)?;
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(StartError::Tls)?
            .with_root_certificates(roots)
            .with_client_cert_resolver(pki.kubelet_client.clone());
        let tls = TlsConnector::from(Arc::new(config));
        Ok(NodeClient { tls, proxy: ProxyTls::connector()? })
    }

    /// TLS towards nodes: both sides show certificates of the cluster's authority.
    pub fn tls(&self) -> &TlsConnector {
        &self.tls
    }

    /// TLS towards what nodes run.
    pub fn proxy_tls(&self) -> &TlsConnector {
        &self.proxy
    }

    /// Sends a request whose address is a path, over a connection of its own.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        mut request: Request<Empty<Bytes>>,
    ) -> std::result::Result<Response<Incoming>, Status> {
        let Endpoint { name, host, port } = endpoint;
        let failed = |why: &dyn std::fmt::Display| {
            Status::internal(format!("error dialing backend: https://{host}:{port}: {why}"))
        };
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let _ = stream.set_nodelay(true);
            let name = ServerName::try_from(name.clone())
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
            self.tls.connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT, connecting)
            .await
            .map_err(|_| failed(&"timed out"))?
            .map_err(|error| failed(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(UNREAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        // Ends with the answer's body, or with the upgraded stream.
        tokio::spawn(connection.with_upgrades());
        if let Ok(value) = http::HeaderValue::from_str(&format!("{host}:{port}")) {
            request.headers_mut().insert(http::header::HOST, value);
        }
        tokio::time::timeout(ANSWER, sender.send_request(request))
            .await
            .map_err(|_| failed(&"no answer in time"))?
            .map_err(|error| failed(&error))
    }
}

/// The Status for an answer of a node that is no success: its text is the message.
pub(crate) async fn refused(answer: Response<Incoming>) -> Status {
    let code = answer.status().as_u16();
    let text = match Limited::new(answer.into_body(), ERROR_BYTES).collect().await {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).trim().to_owned(),
        Err(_) => String::new(),
    };
    let status: Option<Value> = serde_json::from_str(&text).ok();
    let message = status
        .as_ref()
        .map(|status| json::text(status, &["message"]))
        .filter(|message| !message.is_empty())
        .unwrap_or(&text);
    let message = if message.is_empty() {
        "the server rejected our request for an unknown reason"
    } else {
        message
    };
    match code {
        400 => Status::bad_request(message),
        500 => Status::internal(message),
        403 => Status::new(403, "Forbidden", message),
        404 => Status::new(404, "NotFound", message),
        code => Status::internal(format!("unknown ({code}) from the node: {message}")),
    }
}
