//! Bare HTTP over TLS, so that what is measured is the server and not the client.
//!
//! Knows: the administrator's certificate, connections that stay open. Refuses to know: objects.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leme_client::kubeconfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server to connect to.
#[derive(Clone)]
pub struct Target {
    /// Host and port.
    authority: String,
    name: ServerName<'static>,
    tls: rustls::ClientConfig,
}

impl Target {
    /// The server that a kubeconfig names.
    pub async fn of(kubeconfig: &Path) -> Result<Target> {
        let found = kubeconfig::Context::read(kubeconfig).await?;
        let authority = found.server().authority().context("the server has no address")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Target {
            authority: authority.to_string(),
            name: ServerName::try_from(host).context("the server's name")?,
            tls: found.tls().context("the administrator's certificate")?,
        })
    }

    async fn tls(&self, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(&self.authority).await.context("connect")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let connector = TlsConnector::from(Arc::new(tls));
        connector.connect(self.name.clone(), stream).await.context("TLS handshake")
    }

    /// An HTTP/1.1 connection: one request at a time.
    pub async fn http1(&self) -> Result<Http1> {
        let stream = self.tls(b"http/1.1").await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context("HTTP handshake")?;
        // It ends with its sender; what went wrong before that is the answer of a request.
        tokio::spawn(async move { connection.await.ok() });
        Ok(Http1 { sender, authority: self.authority.clone() })
    }

    /// An HTTP/2 connection: many requests side by side.
    pub async fn http2(&self) -> Result<Http2> {
        let stream = self.tls(b"h2").await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .context("HTTP/2 handshake")?;
        tokio::spawn(async move { connection.await.ok() });
        Ok(Http2 { sender, authority: self.authority.clone() })
    }
}

/// The type of answers that are asked for without saying more.
const JSON: &str = "application/json";

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// GET and the like.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Type of the answer, JSON if it is empty.
    pub accept: &'static str,
}

impl Ask {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Ask {
        Ask { method: "GET", path: path.into(), ..Ask::default() }
    }

    /// A POST of a JSON document.
    pub fn post(path: impl Into<String>, body: &Value) -> Ask {
        let body = Bytes::from(body.to_string());
        Ask { method: "POST", path: path.into(), content_type: JSON, body, ..Ask::default() }
    }
}

/// A connection.
pub struct Http1 {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http1 {
    /// Asks and counts the answer's bytes, without keeping them.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn count(&mut self, ask: Ask) -> Result<usize> {
        let request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, if ask.accept.is_empty() { JSON } else { ask.accept })
            .header(header::CONTENT_TYPE, ask.content_type)
            .body(Full::new(ask.body))
            .context("make a request")?;
        // The connection may still be putting away the last answer.
        self.sender.ready().await.context("the connection is gone")?;
        let answer = self.sender.send_request(request).await.context("send a request")?;
        let mut body = succeeded(answer).await?;
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            count += frame.context("read an answer")?.data_ref().map_or(0, Bytes::len);
        }
        Ok(count)
    }
}

/// A connection.
#[derive(Clone)]
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    authority: String,
}

impl Http2 {
    /// Opens a stream of bytes.
    pub async fn open(&mut self, path: &str) -> Result<Incoming> {
        let request = Request::get(format!("https://{}{path}", self.authority))
            .header(header::ACCEPT, "application/json")
            .body(Full::default())
            .context("make a request")?;
        let answer = self.sender.send_request(request).await.context("send a request")?;
        succeeded(answer).await
    }
}

async fn succeeded(answer: Response<Incoming>) -> Result<Incoming> {
    let status = answer.status();
    if matches!(status, StatusCode::OK | StatusCode::CREATED) {
        return Ok(answer.into_body());
    }
    let body = answer.into_body().collect().await.context("read an answer")?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    anyhow::bail!("unexpected success {status}")
}
