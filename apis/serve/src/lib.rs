//! The one accept loop of everything that answers HTTP: API server, kubelet port, router.
//!
//! Knows: sockets, TLS, connections and their bounds, HTTP/1.1 and HTTP/2 as protocols. Refuses to know: what requests
//! mean, and who may ask.
//!
//! Invariants:
//! - Every connection is bounded: in number (in all and for each peer), in the time of its handshake, of its request
//!   heads and of its idleness, in the size of its heads, in the streams that it has open, starts and gives up.
//! - When all places are taken, an idle connection makes room, first one of the peer that has the most.
//! - One task per connection, so that what goes wrong in one stays there. No lock is held across an await.

mod announced;
mod connection;
mod crowd;
mod framing;
mod gather;
mod guard;
mod lifetime;
mod limits;
mod opening;
mod rate;
mod target;
mod turn;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use crowd::Connection;
pub use lifetime::{Guard, Lifetime};
pub use limits::Limits;
pub use opening::{Believed, Doorkeeper, Opened, Opening, Passage, Reception};

use connection::Protocols;
use crowd::{Crowd, Place};
use guard::Guarded;
use opening::Heard;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Out of file descriptors: wait for some to come back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The other end of a connection, as the service for it is made.
pub struct Peer<'a> {
    /// Where it comes from.
    pub address: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// What it showed, verified as the TLS configuration says; none without TLS.
    pub certificates: Option<&'a [CertificateDer<'static>]>,
    /// Whether it is encrypted, and for whom it asked if it named anybody.
    pub tls: Option<Option<&'a str>>,
    /// The connection itself.
    pub connection: Connection,
}

/// Serves each connection of the listeners with the service that `service` makes for its peer, until the lifetime's
/// "finish what you do"; connections are tasks of the lifetime and drain. HTTP/2 is spoken where TLS negotiates it, or
/// the opening says so.
pub async fn serve<F, S, B>(
    listeners: Vec<TcpListener>,
    opening: impl Into<Opening>,
    limits: Limits,
    service: F,
    lifetime: Lifetime,
) where
    F: Fn(&Peer<'_>) -> S + Send + Sync + 'static,
    S: Service<
            http::Request<Incoming>,
            Response = http::Response<B>,
            Error = std::convert::Infallible,
        > + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let door = Arc::new(Door {
        opening: opening.into(),
        protocols: Protocols::new(&limits),
        crowd: Crowd::new(limits),
        limits,
        service,
        lifetime,
    });
    futures::future::join_all(
        listeners.into_iter().map(|listener| Arc::clone(&door).accept(listener)),
    )
    .await;
}

/// What every connection of one server needs.
struct Door<F> {
    opening: Opening,
    protocols: Protocols,
    crowd: Arc<Crowd>,
    limits: Limits,
    service: F,
    lifetime: Lifetime,
}

impl<F, S, B> Door<F>
where
    F: Fn(&Peer<'_>) -> S + Send + Sync + 'static,
    S: Service<
            http::Request<Incoming>,
            Response = http::Response<B>,
            Error = std::convert::Infallible,
        > + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.lifetime.stopping() => return,
            };
            match accepted {
                Ok((stream, address)) => match self.crowd.enter(address.ip()) {
                    Some(place) => {
                        let door = Arc::clone(&self);
                        self.lifetime
                            .spawn(async move { door.connection(stream, address, place).await });
                    }
                    None => tracing::debug!(%address, "refused a connection: too many"),
                },
                Err(error) if of_one_connection(error.kind()) => {}
                Err(error) => {
                    // Out of descriptors, most likely: whoever is idle gives one back.
                    tracing::warn!(%error, "accept failed");
                    self.crowd.make_room();
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    async fn connection(&self, mut stream: TcpStream, address: SocketAddr, place: Place) {
        // Small answers leave at once. A socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let Ok(mut local) = stream.local_addr() else { return };
        let (mut address, connection) = (address, place.connection().clone());
        let (opening, is_announced) = self.opening.of(address.ip());
        if is_announced {
            let announced = self.in_time(&connection, announced::read(&mut stream)).await;
            let Some(announced) = announced else { return };
            (address, local) = announced.unwrap_or((address, local));
        }
        match opening {
            // What an announcement stands before is none.
            Opening::Announced(..) => {}
            Opening::Plain => {
                let peer = Peer { address, local, certificates: None, tls: None, connection };
                let service = (self.service)(&peer);
                let stream = Guarded::new(stream, place);
                self.protocols.http1(stream, service, &self.lifetime).await;
            }
            Opening::Either => {
                let listening = opening::listen(stream);
                let heard = self.in_time(&connection, listening).await;
                let Some((http2, stream)) = heard else { return };
                let peer = Peer { address, local, certificates: None, tls: None, connection };
                let service = (self.service)(&peer);
                let stream = Guarded::new(stream, place);
                match http2 {
                    true => self.protocols.http2(stream, service, &self.lifetime).await,
                    false => self.protocols.http1(stream, service, &self.lifetime).await,
                }
            }
            Opening::Tls(config) => {
                let tls = TlsAcceptor::from(Arc::clone(config));
                match self.in_time(&connection, encrypted(&tls, stream)).await {
                    Some(Some(stream)) => self.encrypted(stream, address, local, place).await,
                    Some(None) => tracing::debug!("HTTP came where TLS is spoken"),
                    None => {}
                }
            }
            Opening::ByHello(keeper) => {
                let heard = opening::hear(keeper.as_ref(), stream, address);
                match self.in_time(&connection, heard).await {
                    Some(Heard::Encrypted(stream)) => {
                        self.encrypted(*stream, address, local, place).await;
                    }
                    Some(Heard::Given(opened, passage)) => {
                        connection.upgrade();
                        let _: Option<()> = connection.unless_cut(passage(opened)).await;
                    }
                    Some(Heard::Nobody) => tracing::debug!("nobody is served by that name"),
                    None => {}
                }
            }
        }
    }

    /// What comes of a connection's beginning, unless it fails or takes too long.
    async fn in_time<T>(
        &self,
        connection: &Connection,
        handshake: impl Future<Output = std::io::Result<T>>,
    ) -> Option<T> {
        let handshake = tokio::time::timeout(self.limits.handshake, handshake);
        match connection.unless_cut(handshake).await {
            Some(Ok(Ok(done))) => return Some(done),
            Some(Ok(Err(error))) => tracing::debug!(%error, "a connection did not begin"),
            Some(Err(_)) => tracing::debug!("a connection did not begin in time"),
            None => tracing::debug!("made room for a connection before it began"),
        }
        None
    }

    async fn encrypted<T>(
        &self,
        stream: TlsStream<T>,
        address: SocketAddr,
        local: SocketAddr,
        place: Place,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = place.connection().clone();
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2".as_slice());
        let certificates = session.peer_certificates();
        let tls = Some(session.server_name());
        let service = (self.service)(&Peer { address, local, certificates, tls, connection });
        let stream = Guarded::new(stream, place);
        if http2 {
            self.protocols.http2(stream, service, &self.lifetime).await;
        } else {
            self.protocols.http1(stream, service, &self.lifetime).await;
        }
    }
}

/// What a client that speaks HTTP to a TLS port is told, in the words of Go's server.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// How requests in plain HTTP begin.
const PLAIN: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];
/// How much of such a request is taken in, so that the answer is not lost to a reset.
const TAKEN_IN: u64 = 64 * 1024;

/// The TLS session of a connection; none if its client spoke HTTP, and has been told.
async fn encrypted(
    tls: &TlsAcceptor,
    mut stream: TcpStream,
) -> std::io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if !PLAIN.iter().any(|begin| begin[0] == first[0]) {
        return tls.accept(stream).await.map(Some);
    }
    // No TLS begins like that: what is read now is missed by nobody.
    let mut begin = [0; 5];
    stream.read_exact(&mut begin).await?;
    if PLAIN.contains(&&begin) {
        stream.write_all(NOT_TLS).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(TAKEN_IN), &mut tokio::io::sink()).await?;
    }
    Ok(None)
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
