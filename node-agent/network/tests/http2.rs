//! HTTP/2 to applications and from clients: gRPC, streams both ways, resets, back-pressure.

mod support;

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::StreamExt;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode, uri::PathAndQuery};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use support::edge::{Edge, made, routed, serving};
use support::netns::add_loopback_address;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status, Streaming};

const APP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Longer than anything takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("an answer")
}

/// Messages that are text, without a schema.
#[derive(Clone, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        Ok(Some(String::from_utf8(bytes.to_vec()).unwrap()))
    }
}

/// Says back what it is told, one by one; `bad` is not found.
#[derive(Clone)]
struct Echo;

impl tonic::server::StreamingService<String> for Echo {
    type Response = String;
    type ResponseStream = futures::stream::BoxStream<'static, Result<String, Status>>;
    type Future = std::future::Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<String>>) -> Self::Future {
        let said = request.into_inner().map(|said| match said?.as_str() {
            "bad" => Err(Status::not_found("nothing of the name")),
            said => Ok(format!("you said {said}")),
        });
        std::future::ready(Ok(tonic::Response::new(said.boxed())))
    }
}

async fn serve_grpc(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| async {
        let mut grpc = tonic::server::Grpc::new(Text);
        // What gRPC cannot be without.
        assert_eq!(request.headers()["te"], "trailers");
        Ok::<_, std::convert::Infallible>(grpc.streaming(Echo, request).await)
    });
    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = http2.serve_connection(TokioIo::new(stream), service).await;
}

/// Serves each connection at a port of the application's address.
async fn listen<F, S>(port: u16, serve: F)
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((APP, port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
}

/// A gRPC client over one connection.
async fn grpc(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    origin: &str,
) -> tonic::client::Grpc<tonic::transport::Channel> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
        std::future::ready(stream.map_err(std::io::Error::from))
    });
    // The scheme is that of who is asked to connect.
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{origin}")).unwrap();
    tonic::client::Grpc::new(endpoint.connect_with_connector(connector).await.unwrap())
}

async fn talk(mut client: tonic::client::Grpc<tonic::transport::Channel>) {
    let path = PathAndQuery::from_static("/test.Echo/Say");
    client.ready().await.unwrap();
    let one = tonic::Request::new("hello".to_owned());
    let answer = client.unary(one, path.clone(), Text).await.unwrap();
    assert_eq!(answer.into_inner(), "you said hello");
    client.ready().await.unwrap();
    let bad = tonic::Request::new("bad".to_owned());
    let status = client.unary(bad, path.clone(), Text).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "nothing of the name"));
    // What is said next depends on what was answered: nothing may wait for the end.
    client.ready().await.unwrap();
    let (say, said) = futures::channel::mpsc::unbounded();
    say.unbounded_send("0".to_owned()).unwrap();
    let answer = client.streaming(tonic::Request::new(said), path, Text).await.unwrap();
    let mut answers = answer.into_inner();
    for number in 0..20 {
        assert_eq!(answers.next().await.unwrap().unwrap(), format!("you said {number}"));
        say.unbounded_send((number + 1).to_string()).unwrap();
    }
    drop(say);
    assert_eq!(answers.next().await.unwrap().unwrap(), "you said 20");
    assert!(answers.next().await.is_none());
}

/// Red when applications are spoken to in HTTP/1.1 alone, or trailers are lost.
#[test]
fn grpc_both_ways_by_every_termination() {
    routed(|edge| async move {
        add_loopback_address(APP).await;
        let app = made("app.test");
        listen(8080, serve_grpc).await;
        let tls = TlsAcceptor::from(Arc::new(serving(&app, &["h2"])));
        listen(8443, move |stream| {
            let tls = tls.clone();
            async move {
                if let Ok(stream) = tls.accept(stream).await {
                    serve_grpc(stream).await;
                }
            }
        })
        .await;
        edge.put_endpoints("plain", 8080, Some("kubernetes.io/h2c"), &[APP]);
        edge.put_endpoints("old-word", 8080, Some("h2c"), &[APP]);
        edge.put_endpoints("encrypted", 8443, None, &[APP]);
        let reencrypt =
            json!({"termination": "reencrypt", "destinationCACertificate": app.authority});
        for (name, service, tls) in [
            ("edge", "plain", json!({"termination": "edge"})),
            ("old", "old-word", json!({"termination": "edge"})),
            ("reencrypt", "encrypted", reencrypt),
        ] {
            let host = format!("{name}.test");
            edge.admit(name, json!({}), json!({"host": host, "to": {"name": service}, "tls": tls}));
            let stream = edge.connect(&host, &["h2"]).await;
            in_time(async { talk(grpc(stream, &host).await).await }).await;
        }
        edge.admit("open", json!({}), json!({"host": "open.test", "to": {"name": "plain"}}));
        let stream = TcpStream::connect(edge.plain).await.unwrap();
        in_time(async { talk(grpc(stream, "open.test").await).await }).await;
    });
}

/// What an application of the tests does with each request.
async fn serve_paths(stream: TcpStream, sent: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&sent)));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    sent: Arc<AtomicUsize>,
) {
    let seen = format!("{} {}", request.uri(), request.headers().contains_key("host"));
    let ok = || Response::builder().status(StatusCode::OK).header("x-seen", seen.as_str());
    match request.uri().path() {
        "/reset" => {
            let mut stream = respond.send_response(ok().body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"some"), false).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            stream.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        "/endless" => {
            let mut stream = respond.send_response(ok().body(()).unwrap(), false).unwrap();
            while give(&mut stream, 16 * 1024).await {
                sent.fetch_add(16 * 1024, Ordering::SeqCst);
            }
            sent.store(usize::MAX, Ordering::SeqCst);
        }
        _ => {
            let mut stream = respond.send_response(ok().body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
    }
}

/// Sends so much when the other end takes it; whether it did.
async fn give(stream: &mut SendStream<Bytes>, mut left: usize) -> bool {
    while left > 0 {
        stream.reserve_capacity(left);
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(capacity)) => {
                let piece = capacity.min(left);
                if stream.send_data(Bytes::from(vec![0; piece]), false).is_err() {
                    return false;
                }
                left -= piece;
            }
            _ => return false,
        }
    }
    true
}

async fn http2_app(edge: &Edge) -> Arc<AtomicUsize> {
    add_loopback_address(APP).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    listen(8080, move |stream| serve_paths(stream, Arc::clone(&count))).await;
    edge.put_endpoints("app", 8080, Some("kubernetes.io/h2c"), &[APP]);
    edge.admit("app", json!({}), json!({"host": "app.test", "to": {"name": "app"}}));
    sent
}

async fn client(edge: &Edge) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(edge.plain).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://app.test{path}")).body(()).unwrap()
}

/// Red when a reset is an end like any other, or takes other requests of the connection with it.
#[test]
fn resets_go_through_both_ways() {
    routed(|edge| async move {
        let sent = http2_app(&edge).await;
        let mut client = client(&edge).await;
        let (answer, _) = client.send_request(get("/reset"), true).unwrap();
        let answer = in_time(answer).await.unwrap();
        assert_eq!(answer.headers()["x-seen"], "http://app.test/reset false");
        let mut body = answer.into_body();
        assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "some");
        let error = in_time(body.data()).await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
        let (answer, _) = client.send_request(get("/"), true).unwrap();
        assert_eq!(in_time(answer).await.unwrap().status(), 200);
        // A client that gives up is given up by the application as well.
        let (answer, mut stream) = client.send_request(get("/endless"), true).unwrap();
        let body = in_time(answer).await.unwrap().into_body();
        stream.send_reset(Reason::CANCEL);
        drop(body);
        in_time(async {
            while sent.load(Ordering::SeqCst) != usize::MAX {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    });
}

/// Red when what a slow client does not take is kept here, or keeps others of the same connection waiting.
#[test]
fn who_takes_nothing_is_sent_little_and_stops_nobody() {
    routed(|edge| async move {
        let sent = http2_app(&edge).await;
        let mut slow = client(&edge).await;
        let mut held = Vec::new();
        for _ in 0..20 {
            let (answer, _) = slow.send_request(get("/endless"), true).unwrap();
            held.push(in_time(answer).await.unwrap());
        }
        // Until nothing moves any more.
        let mut before = usize::MAX;
        while sent.load(Ordering::SeqCst) != before {
            before = sent.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(before < 20 * 512 * 1024, "{before}");
        let mut other = client(&edge).await;
        for _ in 0..50 {
            let (answer, _) = other.send_request(get("/"), true).unwrap();
            let mut body = in_time(answer).await.unwrap().into_body();
            assert_eq!(in_time(body.data()).await.unwrap().unwrap(), "ok");
        }
    });
}

/// Red when one side's protocol has to be the other's.
#[test]
fn each_side_speaks_its_own_protocol() {
    routed(|edge| async move {
        let _sent = http2_app(&edge).await;
        let request = "GET /x HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(edge.plain).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        in_time(stream.read_to_string(&mut text)).await.unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains("http://app.test/x false"),
            "{text}"
        );
        // An application that chooses nothing in TLS, or HTTP/1.1.
        let app = made("app.test");
        for (port, protocols) in [(8444, &[][..]), (8445, &["http/1.1"][..])] {
            let tls = TlsAcceptor::from(Arc::new(serving(&app, protocols)));
            listen(port, move |stream| serve_http1(tls.clone(), stream)).await;
            let name = format!("old-{port}");
            edge.put_endpoints(&name, port, None, &[APP]);
            let tls = json!({"termination": "reencrypt", "destinationCACertificate": app.authority,
                "insecureEdgeTerminationPolicy": "Allow"});
            edge.admit(
                &name,
                json!({}),
                json!({"host": format!("{name}.test"), "to": {"name": name}, "tls": tls}),
            );
            let mut client = client(&edge).await;
            for _ in 0..3 {
                let uri = format!("http://{name}.test/");
                let request = Request::get(uri).body(()).unwrap();
                let (answer, _) = client.send_request(request, true).unwrap();
                let mut body = in_time(answer).await.unwrap().into_body();
                let seen = in_time(body.data()).await.unwrap().unwrap();
                assert!(seen.starts_with(b"GET / HTTP/1.1\r\n"), "{seen:?}");
            }
        }
    });
}

/// Answers each request with its head, and ends the connection.
async fn serve_http1(tls: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = tls.accept(stream).await else { return };
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
