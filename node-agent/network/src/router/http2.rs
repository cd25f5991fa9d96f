//! HTTP/2 to applications: connections that many requests share.
//!
//! Knows: which connection has room, and what an application answered when it was asked what it speaks. Refuses to know: Routes,
//! and what requests say.
//!
//! A connection's window is as large as those of all its streams: who takes an answer slowly keeps nobody else waiting.

use super::pools::Held;
use super::sender::{CONNECT_TIMEOUT, Failure, Outgoing};
use http::{HeaderMap, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a connection that nobody uses is kept at least; at most twice as long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests under way on one connection before there is another one.
const STREAMS: usize = 100;
/// Connections to one endpoint; beyond that, requests wait for those before them.
const CONNECTIONS: usize = 32;
/// What an application may send of one answer before it is taken.
const WINDOW: u32 = 64 * 1024;
/// What waits to be sent of one request.
const UNSENT: usize = 64 * 1024;
const HEAD_BYTES: u32 = 64 * 1024;
/// Endpoints that are remembered without a connection.
const REMEMBERED: usize = 4096;

/// What came of a request.
pub(super) enum Sent {
    /// An answer, which counts as under way as long as the second is kept.
    Answer(Response<Incoming>, Held),
    /// The application speaks HTTP/1.1: nothing was sent.
    Older(Request<Outgoing>),
}

/// Connections in HTTP/2, by endpoint.
pub(super) struct Http2 {
    /// How TLS is spoken and whom it is asked for, if it is.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    endpoints: Mutex<HashMap<SocketAddr, Arc<Endpoint>>>,
}

#[derive(Default)]
struct Endpoint {
    links: Mutex<Vec<Arc<Link>>>,
    /// One connection is made at a time: those who wait for it share it.
    dialing: tokio::sync::Mutex<()>,
    /// It has chosen HTTP/1.1.
    older: AtomicBool,
}

struct Link {
    sender: SendRequest<Outgoing>,
    under_way: Arc<AtomicUsize>,
    /// As many as the application takes at once.
    streams: Arc<AtomicUsize>,
    /// Since somebody looked.
    used: AtomicBool,
}

impl Link {
    fn has_room(&self) -> bool {
        let most = self.streams.load(Ordering::Relaxed).clamp(1, STREAMS);
        self.under_way.load(Ordering::Relaxed) < most
    }

    /// Whether nobody has used it for a while.
    fn rests(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed) && self.under_way.load(Ordering::Relaxed) == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// A connection with room; among as many as there may be, the one with the fewest requests.
    fn link(&self) -> Option<(Arc<Link>, Held)> {
        let mut links = lock(&self.links);
        links.retain(|link| !link.sender.is_closed());
        let all = links.len() >= CONNECTIONS;
        let load = |link: &&Arc<Link>| link.under_way.load(Ordering::Relaxed);
        let found = links.iter().find(|link| link.has_room());
        let found = found.or_else(|| links.iter().min_by_key(load).filter(|_| all))?;
        found.used.store(true, Ordering::Relaxed);
        Some((Arc::clone(found), Held::new(&found.under_way)))
    }

    fn forget(&self, link: &Arc<Link>) {
        lock(&self.links).retain(|one| !Arc::ptr_eq(one, link));
    }
}

impl Http2 {
    /// To applications that are known to speak it.
    pub(super) fn plain() -> Http2 {
        Http2 { tls: None, endpoints: Mutex::default() }
    }

    /// To applications that choose it in TLS.
    pub(super) fn encrypted(config: &rustls::ClientConfig, name: ServerName<'static>) -> Http2 {
        let mut config = config.clone();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls = Some((TlsConnector::from(Arc::new(config)), name));
        Http2 { tls, endpoints: Mutex::default() }
    }

    /// Sends a request for `host` to an endpoint.
    pub(super) async fn request(
        &self,
        address: SocketAddr,
        host: &str,
        mut request: Request<Outgoing>,
    ) -> Result<Sent, Failure> {
        let endpoint = self.endpoint(address);
        if endpoint.older.load(Ordering::Relaxed) {
            return Ok(Sent::Older(request));
        }
        let mut prepared = false;
        loop {
            let Some((link, held)) = self.connected(&endpoint, address).await? else {
                return Ok(Sent::Older(request));
            };
            if !std::mem::replace(&mut prepared, true) {
                self.prepare(&mut request, host, address);
            }
            let mut sender = link.sender.clone();
            let mut error = match sender.try_send_request(request).await {
                Ok(answer) => return Ok(Sent::Answer(answer, held)),
                Err(error) => error,
            };
            // It had ended before anything was sent on it.
            endpoint.forget(&link);
            match error.take_message() {
                Some(unsent) => request = unsent,
                None => return Err(Failure::Talk(error.into_error().into())),
            }
        }
    }

    /// An endpoint may have changed its mind about what it speaks.
    pub(super) fn ask_again(&self, address: SocketAddr) {
        self.endpoint(address).older.store(false, Ordering::Relaxed);
    }

    fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let mut endpoints = lock(&self.endpoints);
        if endpoints.len() >= REMEMBERED && !endpoints.contains_key(&address) {
            endpoints.retain(|_, one| Arc::strong_count(one) > 1 || !lock(&one.links).is_empty());
        }
        Arc::clone(endpoints.entry(address).or_default())
    }

    /// A connection, made if need be; none if HTTP/1.1 is spoken there.
    async fn connected(
        &self,
        endpoint: &Arc<Endpoint>,
        address: SocketAddr,
    ) -> Result<Option<(Arc<Link>, Held)>, Failure> {
        if let Some(found) = endpoint.link() {
            return Ok(Some(found));
        }
        let _dialing = endpoint.dialing.lock().await;
        if let Some(found) = endpoint.link() {
            return Ok(Some(found));
        }
        if endpoint.older.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.dial(address));
        let late = |_| Failure::Connect(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        let Some(Talk { sender, streams, driven }) = connecting.await.map_err(late)?? else {
            endpoint.older.store(true, Ordering::Relaxed);
            return Ok(None);
        };
        let (under_way, used) = (Arc::default(), AtomicBool::new(true));
        let link = Link { sender, under_way, streams, used };
        let link = Arc::new(link);
        lock(&endpoint.links).push(Arc::clone(&link));
        let held = Held::new(&link.under_way);
        tokio::spawn(attend(Arc::downgrade(endpoint), Arc::downgrade(&link), driven));
        Ok(Some((link, held)))
    }

    async fn dial(&self, address: SocketAddr) -> Result<Option<Talk>, Failure> {
        let stream = TcpStream::connect(address).await.map_err(refused)?;
        let _ = stream.set_nodelay(true);
        let Some((tls, name)) = &self.tls else { return handshake(stream).await.map(Some) };
        let stream = tls.connect(name.clone(), stream).await.map_err(refused)?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => handshake(stream).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Says in HTTP/2 what HTTP/1.1 says by a header.
    fn prepare<B>(&self, request: &mut Request<B>, host: &str, address: SocketAddr) {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let uri = |authority: &str| {
            Uri::builder().scheme(scheme).authority(authority).path_and_query(&*path).build().ok()
        };
        let named = uri(host).filter(|_| !host.is_empty());
        if let Some(uri) = named.or_else(|| uri(&address.to_string())) {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        headers.remove(header::HOST);
        only_http1(headers);
        *request.version_mut() = http::Version::HTTP_2;
    }
}

fn refused(error: std::io::Error) -> Failure {
    Failure::Connect(error.into())
}

/// Removes what HTTP/2 has no word for.
fn only_http1(headers: &mut HeaderMap) {
    headers.remove(header::CONNECTION);
    headers.remove(header::UPGRADE);
}

type Driven = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection that has been made.
struct Talk {
    sender: SendRequest<Outgoing>,
    streams: Arc<AtomicUsize>,
    driven: Driven,
}

async fn handshake<S>(stream: S) -> Result<Talk, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * STREAMS as u32)
        .max_send_buf_size(UNSENT)
        .max_header_list_size(HEAD_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, mut connection): (_, Connection<_, Outgoing, _>) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Talk(error.into()))?;
    let streams = Arc::new(AtomicUsize::new(STREAMS));
    let told = Arc::clone(&streams);
    let driven = Box::pin(poll_fn(move |context| {
        let polled = Pin::new(&mut connection).poll(context);
        told.store(connection.current_max_send_streams(), Ordering::Relaxed);
        polled
    }));
    Ok(Talk { sender, streams, driven })
}

/// Lets a connection run to its end, and ends it when nobody has used it for a while.
async fn attend(
    endpoint: std::sync::Weak<Endpoint>,
    link: std::sync::Weak<Link>,
    mut driven: Driven,
) {
    loop {
        tokio::select! {
            ended = driven.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to an application ended");
                }
                break;
            }
            () = tokio::time::sleep(IDLE_TIMEOUT) => {}
        }
        // What holds no request is the last to know of it: without it, the connection comes to its end.
        if let (Some(endpoint), Some(link)) = (endpoint.upgrade(), link.upgrade())
            && link.rests()
        {
            endpoint.forget(&link);
        }
    }
    if let (Some(endpoint), Some(link)) = (endpoint.upgrade(), link.upgrade()) {
        endpoint.forget(&link);
    }
}
