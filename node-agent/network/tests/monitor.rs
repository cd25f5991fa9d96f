//! What the router tells of itself: metrics, health, the access log, the cause of failures; and what it believes of clients.

mod support;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use leme_network::RouterConfig;
use leme_network::router::{AllowList, LogConfig, LogFormat};
use serde_json::{Value, json};
use support::edge::{Edge, made, routed, routed_with, serving};
use support::netns::{add_loopback_address, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const APP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// An application that answers every request with what it got, and ends the connection.
async fn start_app(edge: &Edge) {
    add_loopback_address(APP).await;
    let listener = tokio::net::TcpListener::bind((APP, 8080)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0
                {
                    head.push(byte[0]);
                }
                let length = head.len();
                let start = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(&[start.as_bytes(), &head].concat()).await;
            });
        }
    });
    edge.put_endpoints("app", 8080, None, &[APP]);
    edge.admit("app", json!({}), json!({"host": "app.test", "to": {"name": "app"}}));
}

async fn say(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Sockets are of the namespace that they are made in: the test's is not there yet.
fn somewhere() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn asked(address: SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(get("localhost", path).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Red when a request is counted nowhere, or under another's name.
#[test]
fn metrics_have_the_names_of_openshifts_router() {
    let (listener, address) = somewhere();
    // Who asks is outside, as the socket is.
    let (ask, answers) = asker(address);
    routed_with(
        RouterConfig { monitor: Some(listener), ..RouterConfig::default() },
        |edge| async move {
            let fetch = |path: &str| {
                ask.send(path.to_owned()).unwrap();
                answers.recv().unwrap()
            };
            start_app(&edge).await;
            for path in ["/", "/again"] {
                assert!(say(edge.plain, &get("app.test", path)).await.starts_with("HTTP/1.1 200"));
            }
            assert!(say(edge.plain, &get("nobody.test", "/")).await.starts_with("HTTP/1.1 503"));
            let labels = "namespace=\"ns\",route=\"app\"";
            for expected in [
                "haproxy_up 1\n".to_owned(),
                "haproxy_frontend_http_responses_total{code=\"2xx\",frontend=\"public\"} 2\n"
                    .to_owned(),
                "haproxy_frontend_http_responses_total{code=\"5xx\",frontend=\"public\"} 1\n"
                    .to_owned(),
                "haproxy_frontend_current_sessions{frontend=\"public\"} 0\n".to_owned(),
                format!(
                    "haproxy_backend_http_responses_total{{code=\"2xx\",backend=\"http\",{labels}}} 2\n"
                ),
                format!("haproxy_backend_up{{backend=\"http\",{labels}}} 1\n"),
                format!(
                    "haproxy_server_connections_total{{server=\"10.244.0.1:8080\",{labels},pod=\"\",service=\"app\"}} 2\n"
                ),
            ] {
                eventually(|| fetch("/metrics").contains(&expected), true);
            }
            assert!(fetch("/healthz").starts_with("HTTP/1.1 200"));
            assert!(fetch("/healthz/ready").starts_with("HTTP/1.1 200"));
            assert!(fetch("/other").starts_with("HTTP/1.1 404"));
        },
    );
}

/// Asks an address outside of any namespace, one path after another.
fn asker(
    address: SocketAddr,
) -> (std::sync::mpsc::SyncSender<String>, std::sync::mpsc::Receiver<String>) {
    let (ask, paths) = std::sync::mpsc::sync_channel::<String>(1);
    let (answer, answers) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        while let Ok(path) = paths.recv() {
            let _ = answer.send(asked(address, &path));
        }
    });
    (ask, answers)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Red when a request is not written down, or what a client says ends the line.
#[test]
fn requests_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let log = LogConfig { file: Some(file.clone()), format: LogFormat::Json };
    routed_with(
        RouterConfig { access_log: Some(log), ..RouterConfig::default() },
        |edge| async move {
            start_app(&edge).await;
            say(edge.plain, &get("app.test", "/a?b=c")).await;
            say(edge.plain, &get("nobody.test", "/")).await;
            eventually(|| lines(&file).len(), 2);
            let all = lines(&file);
            let first = all.iter().find(|line| line["host"] == "app.test").unwrap();
            for (name, expected) in [
                ("client", json!("127.0.0.1")),
                ("scheme", json!("http")),
                ("method", json!("GET")),
                ("target", json!("/a?b=c")),
                ("status", json!(200)),
                ("namespace", json!("ns")),
                ("route", json!("app")),
                ("endpoint", json!("10.244.0.1:8080")),
            ] {
                assert_eq!(first[name], expected, "{name}: {first}");
            }
            assert!(first["bytesOut"].as_u64().unwrap() > 20, "{first}");
            let second = all.iter().find(|line| line["host"] == "nobody.test").unwrap();
            assert_eq!((&second["status"], &second["route"]), (&json!(503), &json!("")));
        },
    );
}

/// Red when the page, or the Event about the Route, does not say why.
#[test]
fn failures_say_their_cause() {
    routed(|edge| async move {
        start_app(&edge).await;
        let host = "x.test";
        let page = say(edge.plain, &get(host, "/")).await;
        assert!(page.contains("No Route or Ingress that is served leads from this host"), "{page}");
        edge.put_endpoints("empty", 8080, None, &[]);
        edge.admit("empty", json!({}), json!({"host": "empty.test", "to": {"name": "empty"}}));
        let page = say(edge.plain, &get("empty.test", "/")).await;
        assert!(page.contains("has no ready endpoint"), "{page}");
        edge.put_endpoints("gone", 8081, None, &[APP]);
        edge.admit("gone", json!({}), json!({"host": "gone.test", "to": {"name": "gone"}}));
        let page = say(edge.plain, &get("gone.test", "/")).await;
        assert!(page.starts_with("HTTP/1.1 503") && page.contains("takes no connection"), "{page}");
        // Somebody else's certificate.
        let (app, other) = (made("app.test"), made("app.test"));
        let tls = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(serving(&app, &[])));
        let listener = tokio::net::TcpListener::bind((APP, 8443)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = tls.accept(stream).await;
            }
        });
        edge.put_endpoints("encrypted", 8443, None, &[APP]);
        let tls = json!({"termination": "reencrypt", "destinationCACertificate": other.authority,
            "insecureEdgeTerminationPolicy": "Allow"});
        let spec = json!({"host": "re.test", "to": {"name": "encrypted"}, "tls": tls});
        edge.admit("re", json!({}), spec);
        let page = say(edge.plain, &get("re.test", "/")).await;
        assert!(page.contains("certificate is not trusted"), "{page}");
        let told = |route: &str| {
            let events = edge.api.all("events");
            let about = events.into_iter().find(|event| {
                event["involvedObject"]["name"] == route && event["reason"] == "BackendFailed"
            });
            about
                .map(|event| event["message"].as_str().unwrap_or("").to_owned())
                .unwrap_or_default()
        };
        eventually(|| told("gone").contains("10.244.0.1:8081: cannot connect"), true);
        eventually(|| told("re").contains("invalid peer certificate"), true);
    });
}

/// Red when an application that the service authority certifies is not believed, or one with another Service's certificate is.
#[test]
fn services_are_certified_by_their_authority() {
    let app = made("app.ns.svc");
    let config =
        RouterConfig { service_authority: Some(app.authority.clone()), ..RouterConfig::default() };
    routed_with(config, |edge| async move {
        add_loopback_address(APP).await;
        let tls = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(serving(&app, &[])));
        let listener = tokio::net::TcpListener::bind((APP, 8443)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = tls.accept(stream).await else { continue };
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let mut some = [0; 1024];
                let _ = stream.read(&mut some).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let tls = json!({"termination": "reencrypt", "insecureEdgeTerminationPolicy": "Allow"});
        for service in ["app", "other"] {
            edge.put_endpoints(service, 8443, None, &[APP]);
            let host = format!("{service}.test");
            edge.admit(
                service,
                json!({}),
                json!({"host": host, "to": {"name": service}, "tls": tls}),
            );
        }
        let answer = say(edge.plain, &get("app.test", "/")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
        let answer = say(edge.plain, &get("other.test", "/")).await;
        assert!(answer.contains("certificate is not trusted"), "{answer}");
    });
}

/// Red when everybody is believed, or who must say who the client is need not.
#[test]
fn load_balancers_say_who_the_client_is() {
    let list = AllowList::parse("127.0.0.7").unwrap();
    routed_with(
        RouterConfig { announced_by: Some(list), ..RouterConfig::default() },
        |edge| async move {
            start_app(&edge).await;
            edge.admit(
                "tls",
                json!({}),
                json!({"host": "tls.test", "to": {"name": "app"}, "tls": {"termination": "edge"}}),
            );
            let from = |source: [u8; 4], to: SocketAddr, bytes: Vec<u8>| async move {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.bind((Ipv4Addr::from(source), 0).into()).unwrap();
                let mut stream = socket.connect(to).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                let mut answer = Vec::new();
                let read = stream.read_to_end(&mut answer);
                let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("an end");
                String::from_utf8_lossy(&answer).to_lowercase()
            };
            let header = "PROXY TCP4 192.0.2.33 192.0.2.9 4711 8888\r\n";
            let request = get("app.test", "/");
            let said =
                from([127, 0, 0, 7], edge.plain, format!("{header}{request}").into_bytes()).await;
            assert!(said.contains("x-forwarded-for: 192.0.2.33\r\n"), "{said}");
            assert!(said.contains("x-forwarded-port: 8888\r\n"), "{said}");
            assert_eq!(from([127, 0, 0, 7], edge.plain, request.clone().into_bytes()).await, "");
            let liar =
                from([127, 0, 0, 8], edge.plain, format!("{header}{request}").into_bytes()).await;
            assert!(liar.starts_with("http/1.1 400"), "{liar}");
            assert!(
                from([127, 0, 0, 8], edge.plain, request.into_bytes())
                    .await
                    .contains("for=127.0.0.8")
            );
            // In front of TLS as well: the header, then what is not TLS.
            let broken = format!("{header}GET / HTTP/1.1\r\n\r\n").into_bytes();
            let answer = from([127, 0, 0, 7], edge.secure, broken).await;
            assert!(!answer.contains("200 ok"), "{answer}");
        },
    );
}
