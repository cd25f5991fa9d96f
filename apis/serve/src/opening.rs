//! How a connection begins: plain, encrypted, or as the first message of the client's TLS says.
//!
//! Knows: the hello, and that what was read to see it is missed by nobody. Refuses to know: who is served.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// What is spoken on the connections of a server.
#[derive(Clone)]
pub enum Opening {
    /// HTTP/1.1 as it is.
    Plain,
    /// HTTP/1.1 as it is, or HTTP/2 of those who begin with it.
    Either,
    /// HTTP in TLS.
    Tls(Arc<rustls::ServerConfig>),
    /// What a client's first message of TLS decides.
    ByHello(Arc<dyn Doorkeeper>),
    /// As the other says, after a load balancer's word on who the client is: from the addresses that are believed, which have
    /// to say it. For everybody else it is as the other says.
    Announced(Believed, Box<Opening>),
}

/// Whether what comes from an address is believed.
pub type Believed = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

impl Opening {
    /// How a connection from an address begins, and whether something is said of its client before.
    pub(crate) fn of(&self, address: IpAddr) -> (&Opening, bool) {
        match self {
            Opening::Announced(believed, then) => (then.of(address).0, believed(address)),
            opening => (opening, false),
        }
    }
}

impl From<Option<Arc<rustls::ServerConfig>>> for Opening {
    fn from(tls: Option<Arc<rustls::ServerConfig>>) -> Opening {
        tls.map_or(Opening::Plain, Opening::Tls)
    }
}

/// Decides what becomes of connections.
pub trait Doorkeeper: Send + Sync {
    /// What becomes of a connection from `address` that asks for `name`, if it names anybody.
    fn receive(&self, name: Option<&str>, address: SocketAddr) -> Reception;
}

/// What becomes of a connection.
pub enum Reception {
    /// It is served here.
    Serve(Arc<rustls::ServerConfig>),
    /// It is given away as it came, and held until this is done with it.
    Pass(Passage),
    /// It ends.
    Refuse,
}

/// What is done with a connection that is given away.
pub type Passage = Box<dyn FnOnce(Opened) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A connection of which some has been read, which comes first.
pub struct Opened {
    stream: TcpStream,
    seen: Vec<u8>,
    /// How much of that has been read again; `None` while it is being seen.
    again: Option<usize>,
}

impl Opened {
    /// The connection from here on, as if nothing had been read.
    fn rewound(mut self) -> Opened {
        self.again = Some(0);
        self
    }

    /// The connection from here on, without what has been read.
    fn forgotten(mut self) -> Opened {
        self.seen = Vec::new();
        self.again = Some(0);
        self
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(again) = &mut this.again {
            let left = this.seen.get(*again..).unwrap_or_default();
            if !left.is_empty() {
                let count = left.len().min(buffer.remaining());
                buffer.put_slice(&left[..count]);
                *again += count;
                if *again >= this.seen.len() {
                    this.seen = Vec::new();
                }
                return Poll::Ready(Ok(()));
            }
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        this.seen.extend_from_slice(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What came of the hello.
pub(crate) enum Heard {
    Encrypted(Box<TlsStream<Opened>>),
    Given(Opened, Passage),
    Nobody,
}

/// How a client begins that speaks HTTP/2 without asking first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Hears whether a client begins with HTTP/2, and forgets nothing of what it said.
pub(crate) async fn listen(stream: TcpStream) -> io::Result<(bool, Opened)> {
    let mut opened = Opened { stream, seen: Vec::new(), again: None };
    let mut begin = [0; PREFACE.len()];
    loop {
        let heard = opened.seen.len();
        let same = opened.seen == PREFACE[..heard];
        if !same || heard == PREFACE.len() {
            return Ok((same, opened.rewound()));
        }
        if opened.read(&mut begin[heard..]).await? == 0 {
            return Ok((false, opened.rewound()));
        }
    }
}

/// Hears a client's hello, and asks what becomes of it.
pub(crate) async fn hear(
    keeper: &dyn Doorkeeper,
    stream: TcpStream,
    address: SocketAddr,
) -> io::Result<Heard> {
    let opened = Opened { stream, seen: Vec::new(), again: None };
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), opened).await?;
    // Bound here: the name is borrowed from what goes on.
    let reception = keeper.receive(start.client_hello().server_name(), address);
    match reception {
        Reception::Serve(config) => {
            let accepted = start.accepted;
            let opened = start.io.forgotten();
            let start = tokio_rustls::StartHandshake::from_parts(accepted, opened);
            Ok(Heard::Encrypted(Box::new(start.into_stream(config).await?)))
        }
        Reception::Pass(passage) => Ok(Heard::Given(start.io.rewound(), passage)),
        Reception::Refuse => Ok(Heard::Nobody),
    }
}
