//! The exchange with a backend that is played here.

use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use leme_store::memory::MemoryStore;
use tokio::net::TcpListener;

use super::locate::Transport;
use super::*;
use crate::{Server, ServerConfig};

/// What the backend was asked, and a server to ask it through.
struct Played {
    server: Server,
    _folder: tempfile::TempDir,
    destination: Destination,
    asked: Arc<Mutex<Vec<String>>>,
}

type Answered = http::Response<Full<Bytes>>;

async fn played(answer: impl Fn() -> Answered + Send + Sync + 'static) -> Played {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            tokio::spawn(async move {
                let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                    let text = format!("{} {}", request.method(), request.uri());
                    log.lock().unwrap().push(text);
                    let answer = answer();
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::new());
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = ServerConfig::new(listen, folder.path().join("pki"), store);
    let destination = Destination {
        transport: Transport::Plain,
        host: address.ip().to_string(),
        port: address.port(),
        name: address.ip().to_string(),
        addresses: vec![address],
    };
    Played { server: Server::start(config).await.unwrap(), _folder: folder, destination, asked }
}

const PROXY: &str = "/api/v1/namespaces/n/pods/p/proxy";

impl Played {
    async fn ask(&self, rest: &str, headers: &[(&str, &str)]) -> Result<Answer, Status> {
        let mut request = http::Request::get(format!("{PROXY}{rest}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let path = rest.split('?').next().unwrap_or_default();
        self.server.api.carry(&self.destination, path, parts, crate::body::nothing()).await
    }
}

async fn text(answer: Answer) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

const WEBSOCKET: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "websocket")];

/// CVE-2018-1002105: red when the tunnel does not wait for 101. The client would go on talking to the backend over the
/// server's own connection.
#[tokio::test]
async fn nothing_is_tunnelled_unless_the_backend_says_101() {
    for (code, expected) in [(200, 500), (302, 500), (403, 403), (500, 500)] {
        let played =
            played(move || http::Response::builder().status(code).body(Full::from("no")).unwrap())
                .await;
        match played.ask("/x", &WEBSOCKET).await {
            Ok(answer) => {
                assert_eq!(answer.status().as_u16(), expected);
                assert!(answer.extensions().get::<OnUpgrade>().is_none());
                assert_eq!(text(answer).await, "no");
            }
            Err(status) => {
                assert_eq!(status.code, expected);
                let words = format!("invalid upgrade response: status code {code}");
                assert_eq!(status.message, words);
            }
        }
    }
    let unasked = played(|| http::Response::builder().status(101).body(Full::default()).unwrap());
    assert_eq!(unasked.await.ask("/x", &[]).await.err().unwrap().code, 503);
}

/// CVE-2020-8559: red when a redirect is followed. The backend is asked once, and the client decides.
#[tokio::test]
async fn redirects_are_passed_on_and_never_followed() {
    let played = played(|| {
        let moved = http::Response::builder().status(302).header("location", "/elsewhere?a=b");
        moved.body(Full::default()).unwrap()
    })
    .await;
    let answer = played.ask("/x?q=1", &[("host", "h")]).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], format!("{PROXY}/elsewhere?a=b"));
    assert_eq!(*played.asked.lock().unwrap(), ["GET /x?q=1"]);
}

#[tokio::test]
async fn pages_are_rewritten_and_other_answers_are_not() {
    let page = played(|| {
        http::Response::builder()
            .header("content-type", "text/html; charset=utf-8")
            .header("access-control-allow-origin", "*")
            .body(Full::from("<a href=\"/x\">x</a>"))
            .unwrap()
    })
    .await;
    let answer = page.ask("/", &[]).await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    assert!(!answer.headers().contains_key("content-length"));
    assert_eq!(text(answer).await, format!("<a href=\"{PROXY}/x\">x</a>"));
    let plain = played(|| http::Response::new(Full::from("<a href=\"/x\">x</a>"))).await;
    assert_eq!(text(plain.ask("/", &[]).await.unwrap()).await, "<a href=\"/x\">x</a>");
    let moved = plain.ask("", &[]).await.unwrap();
    assert_eq!(moved.status(), 301);
    assert_eq!(moved.headers()["location"], format!("{PROXY}/"));
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_named() {
    let mut played = played(|| http::Response::new(Full::default())).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    played.destination.addresses = vec![closed];
    let status = played.ask("/", &[]).await.err().unwrap();
    let words =
        format!("error trying to reach service: dial tcp {closed}: connect: connection refused");
    assert_eq!((status.code, status.message), (503, words));
}
