//! One connection: spoken to in HTTP/1.1 or HTTP/2 until it ends, runs out of time, or the server stops.
//!
//! Knows: both protocols' settings, and the order of a connection's end. Refuses to know: what requests mean.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxError;
use crate::crowd::{Connection, Overdue};
use crate::gather::Gather;
use crate::guard::Guarded;
use crate::lifetime::Lifetime;
use crate::limits::Limits;
use crate::turn::{Taken, Turn};

const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that was idle too long may take to agree to its end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Both protocols as they are spoken here.
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    limits: Limits,
}

impl Protocols {
    pub(crate) fn new(limits: &Limits) -> Protocols {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Heads and idleness have times of their own here.
            .header_read_timeout(None)
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(limits.unwritten));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(limits.unwritten)
            .initial_stream_window_size(limits.window)
            .initial_connection_window_size(limits.window.saturating_mul(4))
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Protocols { http1, http2, limits: *limits }
    }

    pub(crate) async fn http1<T, S, B>(&self, io: Guarded<T>, service: S, lifetime: &Lifetime)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let connection = io.place().connection().clone();
        let service = turns(service, connection.clone());
        let served =
            self.http1.serve_connection(TokioIo::new(io.of_http1()), service).with_upgrades();
        self.drive(Box::pin(served), &connection, lifetime).await;
    }

    pub(crate) async fn http2<T, S, B>(&self, io: Guarded<T>, service: S, lifetime: &Lifetime)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let connection = io.place().connection().clone();
        let service = turns(service, connection.clone());
        let served = self.http2.serve_connection(TokioIo::new(Gather::new(io)), service);
        self.drive(Box::pin(served), &connection, lifetime).await;
    }

    /// Lets a connection run to its end. Boxed: in the task itself it would be counted once per step of its life.
    async fn drive<C: Graceful>(
        &self,
        mut served: Pin<Box<C>>,
        connection: &Connection,
        lifetime: &Lifetime,
    ) {
        let mut ending = false;
        let stalled = self.limits.stalled.unwrap_or(Duration::MAX);
        let mut wait = self.limits.head.min(self.limits.idle).min(stalled);
        let ended = loop {
            tokio::select! {
                ended = served.as_mut() => break ended,
                () = connection.cut_short() => return,
                () = lifetime.stopping(), if !ending => {}
                () = connection.closing(), if !ending => {}
                () = tokio::time::sleep(wait) => match connection.overdue(&self.limits) {
                    Ok(left) => {
                        wait = left;
                        continue;
                    }
                    Err(Overdue::Idle) if !ending => {}
                    Err(what) => return tracing::debug!(?what, "connection timed out"),
                },
            }
            ending = true;
            wait = FAREWELL;
            served.as_mut().graceful_shutdown();
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// The service, each of whose requests is a turn of the connection. An answer that says `Connection: close` ends an
/// HTTP/2 connection too, which has no such header.
fn turns<S, B>(
    service: S,
    connection: Connection,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Taken<B>>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Taken<B>>, Infallible>> + Send,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
{
    let service = Arc::new(service);
    service_fn(move |request: Request<Incoming>| {
        let (service, connection) = (Arc::clone(&service), connection.clone());
        let wait = connection.begin();
        let turn = Turn::new(connection.clone());
        async move {
            let http2 = request.version() == http::Version::HTTP_2;
            if http2 && !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let Ok(mut answer) = service.call(request).await;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                connection.upgrade();
            }
            if http2 && answer.headers_mut().remove(header::CONNECTION).is_some() {
                connection.close();
            } else if answer.headers().get(header::CONNECTION).is_some_and(|word| word == "close") {
                connection.answers_last();
            }
            Ok(answer.map(|body| Taken::new(body, turn)))
        }
    })
}

/// A connection that can be asked to end.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, S, B> Graceful for http1::UpgradeableConnection<I, S>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::UpgradeableConnection::graceful_shutdown(self);
    }
}

impl<I, S, B> Graceful for http2::Connection<I, S, TokioExecutor>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http2::Connection::graceful_shutdown(self);
    }
}
