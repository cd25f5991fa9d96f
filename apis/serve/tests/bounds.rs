//! One test per way to hold a connection, or to have it held, longer or larger than is good for the others.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use leme_serve::{Lifetime, Limits, Opening, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    address: SocketAddr,
    lifetime: Lifetime,
    /// Lets one request for `/wait` go on for each permit.
    gate: Arc<Semaphore>,
    certificate: Option<rustls_pki_types::CertificateDer<'static>>,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        Server::over(limits, Opening::Plain, None).await
    }

    async fn with_tls(limits: Limits) -> Server {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Server::over(limits, Opening::Tls(Arc::new(tls)), Some(made.cert.der().clone())).await
    }

    async fn over(
        limits: Limits,
        opening: impl Into<Opening>,
        certificate: Option<rustls_pki_types::CertificateDer<'static>>,
    ) -> Server {
        let opening = opening.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lifetime, gate) = (Lifetime::default(), Arc::new(Semaphore::new(0)));
        let held = Arc::clone(&gate);
        let service = move |_: &leme_serve::Peer<'_>| {
            let gate = Arc::clone(&held);
            service_fn(move |request| answer(request, Arc::clone(&gate)))
        };
        tokio::spawn(serve(vec![listener], opening, limits, service, lifetime.clone()));
        Server { address, lifetime, gate, certificate }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection with a request under way.
    async fn busy(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(b"GET /wait HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
        let mut first = [0; 1];
        // The answer's head comes before its body waits.
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
        stream
    }

    async fn is_served(&self) -> bool {
        let mut stream = self.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        rest(&mut stream).await.ends_with("ok")
    }

    async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone().unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, self.connect().await)
            .await
            .unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// An answer that nobody takes any more is one permit.
struct GivenUp(Arc<Semaphore>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    gate: Arc<Semaphore>,
) -> Result<Response<Body>, Infallible> {
    let ok = Full::new(Bytes::from_static(b"ok"));
    Ok(match request.uri().path() {
        "/wait" => {
            let waiting = futures::stream::once(async move {
                gate.acquire().await.unwrap().forget();
                Ok(http_body::Frame::data(Bytes::from_static(b"ok")))
            });
            Response::new(http_body_util::StreamBody::new(waiting).boxed_unsync())
        }
        "/endless" => {
            let given_up = GivenUp(gate);
            let pieces = futures::stream::repeat_with(move || {
                let _held = &given_up;
                Ok(http_body::Frame::data(Bytes::from_static(&[0; 64 * 1024])))
            });
            Response::new(http_body_util::StreamBody::new(pieces).boxed_unsync())
        }
        "/last" => {
            Response::builder().header("connection", "close").body(ok.boxed_unsync()).unwrap()
        }
        "/query" => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            Response::new(Full::new(Bytes::from(query)).boxed_unsync())
        }
        _ => Response::new(ok.boxed_unsync()),
    })
}

/// What still comes until the end, whichever way the connection ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("an end");
    String::from_utf8_lossy(&text).into_owned()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap()
}

/// Red when hyper sees them: 400 without a word.
#[tokio::test]
async fn what_is_not_escaped_in_a_target_is_taken_as_if_it_were() {
    let server = Server::start(Limits::default()).await;
    let mut stream = server.connect().await;
    for (sent, seen) in [("a<b", "a%3Cb"), ("\"é\">^{|}", "%22%C3%A9%22%3E^{|}"), ("a=b", "a=b")] {
        let request = format!("GET /query?{sent} HTTP/1.1\r\nhost: h\r\nx-not: <\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with(&format!("\r\n\r\n{seen}")) {
            let mut byte = [0];
            let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut byte)).await;
            read.unwrap_or_else(|_| panic!("{answer}")).unwrap();
            answer.push(char::from(byte[0]));
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A slow reader. Red when what is to be written waits for it for ever, or who takes something is cut.
#[tokio::test]
async fn who_takes_nothing_is_cut() {
    let stalled = Some(Duration::from_millis(600));
    let server = Server::start(Limits { stalled, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    // Slowly, for longer than that: each piece is more than what the sockets hold.
    let mut some = vec![0; 8 * 1024 * 1024];
    for _ in 0..4 {
        stream.read_exact(&mut some).await.unwrap();
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(server.gate.available_permits(), 0, "it takes something");
    let given_up = tokio::time::timeout(PATIENCE, server.gate.acquire()).await;
    given_up.expect("the answer is given up").unwrap().forget();
    drop(stream);
}

/// Smuggling. Red when a length beside chunks is passed over: 200, and what comes behind is the next request.
#[tokio::test]
async fn a_length_beside_chunks_is_refused() {
    let server = Server::start(Limits::default()).await;
    let (length, chunks) = ("content-length: 4\r\n", "transfer-encoding: chunked\r\n");
    for fields in [format!("{length}{chunks}"), format!("{chunks}{length}")] {
        let mut stream = server.connect().await;
        let body = "0\r\n\r\nGET /query?smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nhost: h\r\n{fields}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400") && !answer.contains("smuggled"), "{answer}");
    }
}

/// Red when those who begin with HTTP/2 are not heard, or what others begin with is lost.
#[tokio::test]
async fn a_client_begins_with_the_protocol_it_likes() {
    let server = Server::over(Limits::default(), Opening::Either, None).await;
    assert!(server.is_served().await);
    let mut slowly = server.connect().await;
    for byte in b"PR / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n" {
        slowly.write_all(&[*byte]).await.unwrap();
        slowly.flush().await.unwrap();
    }
    assert!(rest(&mut slowly).await.ends_with("ok"));
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(get("/"))).await.unwrap();
    assert_eq!(answer.unwrap().version(), http::Version::HTTP_2);
}

/// Slowloris. Red without the time for a head: the end never comes.
#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let server =
        Server::start(Limits { head: Duration::from_millis(300), ..Limits::default() }).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nx-slow: ").await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut slow).await, "");
    // The second head on a connection has the same time.
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    second.read_exact(&mut head).await.unwrap();
    second.write_all(b"GET /").await.unwrap();
    assert!(rest(&mut second).await.ends_with("ok"));
    assert!(server.is_served().await);
}

/// Red without the time for idleness.
#[tokio::test]
async fn an_idle_connection_is_ended() {
    let server =
        Server::start(Limits { idle: Duration::from_millis(300), ..Limits::default() }).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    assert!(rest(&mut idle).await.ends_with("ok"));
}

/// A header bomb. Red when heads may be of any size.
#[tokio::test]
async fn a_head_beyond_its_bytes_is_431() {
    let server = Server::start(Limits { head_bytes: 16 * 1024, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    let bomb = format!("GET / HTTP/1.1\r\nhost: h\r\nx-bomb: {}\r\n\r\n", "x".repeat(64 * 1024));
    stream.write_all(bomb.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

/// Red without places: the third is served.
#[tokio::test]
async fn more_connections_than_places_are_refused_unless_one_is_idle() {
    let server = Server::start(Limits { connections: 2, per_peer: 2, ..Limits::default() }).await;
    let (mut first, second) = (server.busy().await, server.busy().await);
    let mut third = server.connect().await;
    assert_eq!(rest(&mut third).await, "");
    // One that is idle makes room for another.
    drop(second);
    let mut idle = loop {
        let mut stream = server.connect().await;
        let sent = stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let mut head = [0; 15];
        if sent.is_ok() && stream.read_exact(&mut head).await.is_ok() {
            break stream;
        }
    };
    assert!(server.is_served().await);
    rest(&mut idle).await;
    server.gate.add_permits(1);
    first.shutdown().await.unwrap();
    assert!(rest(&mut first).await.contains("ok"));
}

/// CVE-2023-44487, rapid reset. Red without the count of what is given up: the loop comes to its end.
#[tokio::test]
async fn a_peer_that_gives_up_stream_after_stream_is_cut() {
    let limits = Limits { streams: 10, abandoned_per_second: 1, ..Limits::default() };
    let server = Server::with_tls(limits).await;
    let mut sender = server.http2().await;
    let mut given_up = 0;
    while given_up < 5_000 && sender.ready().await.is_ok() {
        let answer = sender.send_request(get("/wait"));
        let _ = tokio::time::timeout(Duration::from_millis(1), answer).await;
        given_up += 1;
    }
    assert!(given_up < 5_000, "never cut");
    // As many requests that are answered are no offence.
    let mut sender = server.http2().await;
    for _ in 0..200 {
        sender.ready().await.unwrap();
        let answer = sender.send_request(get("/")).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
}

/// Red when the word is only said in HTTP/1.1: the sender stays ready.
#[tokio::test]
async fn a_last_answer_ends_an_http2_connection_too() {
    let server = Server::with_tls(Limits::default()).await;
    let mut sender = server.http2().await;
    let answer = sender.send_request(get("/last")).await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    answer.into_body().collect().await.unwrap();
    let ended = async {
        while sender.ready().await.is_ok() && !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

/// Red when the socket is closed at once: the reset takes the answer with it.
#[tokio::test]
async fn an_answer_before_the_end_of_the_body_can_be_read() {
    let server = Server::start(Limits::default()).await;
    let mut stream = server.connect().await;
    let head = "POST /last HTTP/1.1\r\nhost: h\r\ncontent-length: 900000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.readable().await.unwrap();
    for _ in 0..90 {
        stream.write_all(&[b'x'; 10_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.ends_with("ok"), "{text}");
}

#[tokio::test]
async fn what_is_under_way_is_finished_at_the_end() {
    let server = Server::start(Limits::default()).await;
    let mut busy = server.busy().await;
    let lifetime = server.lifetime.clone();
    let end = tokio::spawn(async move { lifetime.end(PATIENCE).await });
    server.lifetime.stopping().await;
    server.gate.add_permits(1);
    assert!(rest(&mut busy).await.contains("ok"));
    tokio::time::timeout(PATIENCE, end).await.unwrap().unwrap();
}

/// Red when the handshake meets it: an alert, or nothing, is all that the client sees.
#[tokio::test]
async fn plain_http_where_tls_is_spoken_is_told_so() {
    let server = Server::with_tls(Limits::default()).await;
    for request in
        ["GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(), format!("POST /{}", "x".repeat(50_000))]
    {
        let mut stream = server.connect().await;
        // The rest of what is too long is not taken.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 30];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.0 400 Bad Request\r\n\r\nCl");
    }
    // Who says nothing more is not waited for longer than for a handshake.
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let server = Server::with_tls(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GE").await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // The socket may be reset: that is an end too.
    let _ = end.unwrap();
    assert!(rest.is_empty());
}
