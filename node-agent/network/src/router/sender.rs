//! How applications are spoken to: in HTTP/1.1 over connections that are kept, or in HTTP/2 where that is spoken, with TLS and
//! without. Refuses to know: Routes, and what becomes of answers.

use super::activity::Tracked;
use super::http2::{Http2, Sent};
use super::pages::Cause;
use super::pools::{Choice, Held};
use super::tls::backend::Trust;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::time::Duration;

/// The body of a request to an application.
pub(super) type Outgoing = Either<Tracked, Empty<Bytes>>;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_PER_ENDPOINT: usize = 256;
/// What is read of an answer before it is taken.
const UNTAKEN: usize = 128 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody took the connection, or it could not be trusted.
    Connect(leme_serve::BoxError),
    /// The application broke it off, or spoke something else.
    Talk(leme_serve::BoxError),
}

impl Failure {
    /// What the client is told.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Failure::Connect(error) if is_of_tls(error.as_ref()) => Cause::NotTrusted,
            Failure::Connect(_) => Cause::Unreachable,
            Failure::Talk(_) => Cause::BrokenOff,
        }
    }
}

/// Whether TLS is what failed, somewhere below.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let is = |error: &(dyn std::error::Error + 'static)| error.is::<rustls::Error>();
        if is(error) || inner.is_some_and(|inner| is(inner) || is_of_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

impl std::fmt::Display for Failure {
    /// With all that is behind it: the first of an error's words seldom tell what it was.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, error) = match self {
            Failure::Connect(error) => ("cannot connect", error),
            Failure::Talk(error) => ("the connection failed", error),
        };
        f.write_str(what)?;
        let mut cause: Option<&dyn std::error::Error> = Some(error.as_ref());
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

enum Http1 {
    Plain(Client<HttpConnector, Outgoing>),
    Encrypted(Client<HttpsConnector<HttpConnector>, Outgoing>),
}

/// Speaks to applications.
pub(super) struct Sender {
    http1: Http1,
    http2: Http2,
}

impl Sender {
    /// Without TLS.
    pub(super) fn plain() -> Sender {
        Sender { http1: Http1::Plain(pooled().build(connector())), http2: Http2::plain() }
    }

    /// In TLS, with those that some authority certifies.
    pub(super) fn encrypted(trust: &Trust) -> Sender {
        let mut connector = connector();
        connector.enforce_http(false);
        let name = trust.name();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(trust.config()))
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name.clone()))
            .enable_http1()
            .wrap_connector(connector);
        Sender {
            http1: Http1::Encrypted(pooled().build(connector)),
            http2: Http2::encrypted(trust.config(), name),
        }
    }

    /// Sends a request for `host` to an endpoint. What comes with the answer is kept until that has ended.
    pub(super) async fn send(
        &self,
        choice: &Choice,
        host: &str,
        request: Request<Outgoing>,
        upgrades: bool,
    ) -> Result<(Response<Incoming>, Option<Held>), Failure> {
        let chooses = matches!(self.http1, Http1::Encrypted(_)) && !upgrades;
        if !choice.http2 && !chooses {
            return self.http1(choice.address, request).await;
        }
        match self.http2.request(choice.address, host, request).await? {
            Sent::Answer(answer, held) => Ok((answer, Some(held))),
            Sent::Older(request) => {
                let sent = self.http1(choice.address, request).await;
                if matches!(sent, Err(Failure::Connect(_))) {
                    self.http2.ask_again(choice.address);
                }
                sent
            }
        }
    }

    async fn http1(
        &self,
        endpoint: SocketAddr,
        mut request: Request<Outgoing>,
    ) -> Result<(Response<Incoming>, Option<Held>), Failure> {
        let scheme = match self.http1 {
            Http1::Plain(_) => "http",
            Http1::Encrypted(_) => "https",
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder().scheme(scheme).authority(endpoint.to_string());
        *request.uri_mut() =
            uri.path_and_query(path).build().map_err(|error| Failure::Talk(error.into()))?;
        let sending = match &self.http1 {
            Http1::Plain(client) => client.request(request),
            Http1::Encrypted(client) => client.request(request),
        };
        match sending.await {
            Ok(answer) => Ok((answer, None)),
            Err(error) if error.is_connect() => Err(Failure::Connect(error.into())),
            Err(error) => Err(Failure::Talk(error.into())),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}

fn pooled() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_ENDPOINT)
        .http1_max_buf_size(UNTAKEN)
        .set_host(false);
    builder
}
