//! TLS of Routes over real sockets: where it ends, which certificate is shown, who is trusted behind it.

mod support;

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::Arc;

use leme_network::RouterConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use support::api::Api;
use support::edge::{Edge, Made, beside, made_for, serving};
use support::netns::{Netns, add_loopback_address, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PLAIN: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
const ENCRYPTED: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 2);

fn trusting(authority: &str) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// Answers each request with its name and what it got, then ends the connection.
async fn answer(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, name: &str) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
        head.push(byte[0]);
    }
    let text = format!("{name}\n{}", String::from_utf8_lossy(&head));
    let length = text.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn start_plain() {
    let listener = TcpListener::bind((PLAIN, 8080)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, "plain"));
        }
    });
}

async fn start_encrypted(made: &Made) {
    let tls = TlsAcceptor::from(Arc::new(serving(made, &[])));
    let listener = TcpListener::bind((ENCRYPTED, 8080)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, "encrypted").await;
                }
            });
        }
    });
}

struct Bench {
    edge: Edge,
    /// The application's authority.
    app: Made,
}

impl Deref for Bench {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

impl Bench {
    fn put(&self, name: &str, annotations: Value, spec: Value) {
        self.api.put(
            "routes",
            json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "annotations": annotations,
                "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
        );
    }

    /// Puts a Route and waits for what the router says of it.
    async fn admitted(&self, name: &str, annotations: Value, spec: Value) -> String {
        self.put(name, annotations, spec);
        self.said(name, |said| said != "nothing").await
    }

    async fn said(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let said = || {
            let condition =
                &self.api.get("routes", "ns", name)["status"]["ingress"][0]["conditions"][0];
            let text = |field: &str| condition[field].as_str().unwrap_or("").to_owned();
            match text("status").as_str() {
                "" => "nothing".to_owned(),
                "True" => format!("True{}", text("message")),
                _ => format!("{}: {}", text("reason"), text("message")),
            }
        };
        eventually(|| wanted(&said()), true);
        said()
    }

    async fn connect(&self, host: &str, authority: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_as(host, trusting(authority)).await
    }

    async fn connect_as(
        &self,
        host: &str,
        config: rustls::ClientConfig,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.secure).await?;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// The whole answer to a request with TLS.
    async fn secure(&self, host: &str, path: &str, authority: &str) -> String {
        match self.connect(host, authority).await {
            Ok(stream) => get(stream, host, path).await,
            Err(error) => error.to_string(),
        }
    }

    async fn plain(&self, host: &str, path: &str) -> String {
        get(TcpStream::connect(self.plain).await.unwrap(), host, path).await
    }
}

async fn get(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return "not sent".to_owned();
    }
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn routed<F: Future<Output = ()>>(test: impl FnOnce(Bench) -> F + Send) {
    Netns::new().host(|| async {
        let app = made_for("app.test", 30);
        for address in [PLAIN, ENCRYPTED] {
            add_loopback_address(address).await;
        }
        start_plain().await;
        start_encrypted(&app).await;
        let api = Api::default();
        api.put_endpoints("plain", 8080, &[PLAIN]);
        api.put_endpoints("encrypted", 8080, &[ENCRYPTED]);
        beside(api, RouterConfig::default(), |edge| test(Bench { edge, app })).await;
    });
}

fn edge(host: &str, insecure: &str) -> Value {
    json!({"host": host, "to": {"name": "plain"},
        "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": insecure}})
}

/// Red when the router shows one certificate for all hosts, or serves without TLS what asks for it.
#[test]
fn tls_ends_here_and_the_host_is_certified() {
    routed(|bench| async move {
        for (name, insecure) in [("none", "None"), ("allow", "Allow"), ("redirect", "Redirect")] {
            let spec = edge(&format!("{name}.test"), insecure);
            assert_eq!(bench.admitted(name, json!({}), spec).await, "True");
        }
        let answer = bench.secure("none.test", "/a?b=c", &bench.authority).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("plain\nGET /a?b=c"),
            "{answer}"
        );
        let lower = answer.to_lowercase();
        let port = bench.secure.port();
        for told in [
            "x-forwarded-proto: https".to_owned(),
            format!("x-forwarded-port: {port}"),
            "host=none.test;proto=https".to_owned(),
        ] {
            assert!(lower.contains(&told), "{told}: {answer}");
        }
        assert!(bench.plain("none.test", "/").await.starts_with("HTTP/1.1 503"));
        assert!(bench.plain("allow.test", "/").await.contains("x-forwarded-proto: http\r\n"));
        assert!(bench.secure("allow.test", "/", &bench.authority).await.contains("plain\n"));
        let sent = bench.plain("redirect.test", "/a?b=c").await;
        let location = format!("location: https://redirect.test:{port}/a?b=c\r\n");
        assert!(sent.starts_with("HTTP/1.1 302") && sent.contains(&location), "{sent}");
        // Whom nobody knows is shown the router's own certificate, which is for its domain alone.
        let unknown = bench.secure("unknown.test", "/", &bench.authority).await;
        assert!(
            unknown.contains("NotValidForName") || unknown.contains("not valid for name"),
            "{unknown}"
        );
        let own = bench.secure("any.apps.test", "/", &bench.authority).await;
        assert!(own.starts_with("HTTP/1.1 503"), "{own}");
        // A Route without TLS is not served with it.
        bench
            .admitted("open", json!({}), json!({"host": "open.apps.test", "to": {"name": "plain"}}))
            .await;
        assert!(bench.plain("open.apps.test", "/").await.contains("plain\n"));
        let none = bench.secure("open.apps.test", "/", &bench.authority).await;
        assert!(none.starts_with("HTTP/1.1 503"), "{none}");
    });
}

/// Red when a connection that is passed through is opened here, or keeps those out that come without TLS.
#[test]
fn connections_are_passed_through_as_they_come() {
    routed(|bench| async move {
        let tls =
            json!({"termination": "passthrough", "insecureEdgeTerminationPolicy": "Redirect"});
        let spec = json!({"host": "app.test", "to": {"name": "encrypted"}, "tls": tls});
        assert_eq!(bench.admitted("through", json!({}), spec).await, "True");
        let answer = bench.secure("app.test", "/", &bench.app.authority).await;
        assert!(answer.contains("encrypted\nGET /"), "{answer}");
        assert!(!answer.to_lowercase().contains("x-forwarded"), "nobody has read it: {answer}");
        let untrusted = bench.secure("app.test", "/", &bench.authority).await;
        assert!(untrusted.contains("UnknownIssuer"), "{untrusted}");
        assert!(bench.plain("app.test", "/").await.starts_with("HTTP/1.1 302"));
        let list = json!({"haproxy.router.openshift.io/ip_allowlist": "192.0.2.1"});
        let spec = json!({"host": "app.test", "to": {"name": "encrypted"}, "tls": {"termination": "passthrough"}});
        bench.put("through", list, spec);
        let mut kept_out = false;
        for _ in 0..100 {
            kept_out = bench.connect("app.test", &bench.app.authority).await.is_err();
            if kept_out {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(kept_out);
    });
}

/// Red when an application is spoken to that its Route does not trust.
#[test]
fn applications_are_spoken_to_in_tls_of_their_own() {
    routed(|bench| async move {
        let to = |authority: &str| {
            json!({"host": "re.test", "to": {"name": "encrypted"},
                "tls": {"termination": "reencrypt", "destinationCACertificate": authority}})
        };
        assert_eq!(bench.admitted("re", json!({}), to(&bench.app.authority)).await, "True");
        let answer = bench.secure("re.test", "/", &bench.authority).await;
        assert!(answer.contains("encrypted\nGET /"), "{answer}");
        bench.put("re", json!({}), to(&made_for("app.test", 30).authority));
        let mut last = String::new();
        for _ in 0..100 {
            last = bench.secure("re.test", "/", &bench.authority).await;
            if !last.contains("200 OK") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(last.starts_with("HTTP/1.1 50"), "{last}");
        let bare = json!({"host": "bare.test", "to": {"name": "encrypted"}, "tls": {"termination": "reencrypt"}});
        let refused = bench.admitted("bare", json!({}), bare).await;
        assert!(
            refused.starts_with("ExtendedValidationFailed: spec.tls.destinationCACertificate"),
            "{refused}"
        );
    });
}

/// Red when a certificate that cannot be used is, and when one that clients will refuse is passed over in silence.
#[test]
fn routes_bring_their_own_certificates() {
    routed(|bench| async move {
        let own = made_for("own.test", 30);
        let with = |host: &str, made: &Made, key: &str| {
            json!({"host": host, "to": {"name": "plain"}, "tls": {"termination": "edge",
                "certificate": made.leaf, "key": key, "caCertificate": made.authority}})
        };
        let hsts =
            json!({"haproxy.router.openshift.io/hsts_header": "max-age=60;includeSubDomains"});
        assert_eq!(bench.admitted("own", hsts, with("own.test", &own, &own.key)).await, "True");
        let answer = bench.secure("own.test", "/", &own.authority).await;
        assert!(
            answer.contains("strict-transport-security: max-age=60;includeSubDomains\r\n"),
            "{answer}"
        );
        let other = made_for("own.test", 30);
        for (name, key, why) in [
            ("foreign", other.key.as_str(), "spec.tls.key: it does not belong to the certificate"),
            ("none", "nonsense", "spec.tls.key: there is no private key in it"),
        ] {
            let refused = bench.admitted(name, json!({}), with("bad.test", &own, key)).await;
            assert_eq!(refused, format!("ExtendedValidationFailed: {why}"));
        }
        let mut garbage = with("bad.test", &own, &own.key);
        garbage["tls"]["certificate"] =
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into();
        let refused = bench.admitted("garbage", json!({}), garbage).await;
        assert!(refused.contains("spec.tls.certificate: it is no X.509 certificate"), "{refused}");
        let mismatch = bench.admitted("name", json!({}), with("else.test", &own, &own.key)).await;
        assert_eq!(mismatch, "Truespec.tls.certificate is not for else.test");
        let old = made_for("old.test", -1);
        let expired = bench.admitted("old", json!({}), with("old.test", &old, &old.key)).await;
        assert_eq!(expired, "Truespec.tls.certificate has expired");
        // The next connection is shown the new certificate; those that are open stay.
        let open = bench.connect("own.test", &own.authority).await.unwrap();
        bench.put("own", json!({}), with("own.test", &other, &other.key));
        for _ in 0..100 {
            if bench.connect("own.test", &other.authority).await.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(bench.connect("own.test", &own.authority).await.is_err());
        assert!(get(open, "own.test", "/").await.contains("plain\n"));
    });
}

/// Red when HTTP/2 is not spoken, or when a connection for one host carries requests for another.
#[test]
fn http2_is_for_the_host_that_it_asked_for() {
    routed(|bench| async move {
        for host in ["one.test", "two.test"] {
            bench.admitted(host, json!({}), edge(host, "None")).await;
        }
        let mut config = trusting(&bench.authority);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = bench.connect_as("one.test", config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(executor, io).await.unwrap();
        tokio::spawn(connection);
        let mut ask = async |host: &str| {
            let request = http::Request::get(format!("https://{host}/"))
                .body(http_body_util::Empty::<bytes::Bytes>::new())
                .unwrap();
            sender.send_request(request).await.unwrap().status().as_u16()
        };
        assert_eq!((ask("one.test").await, ask("two.test").await), (200, 421));
    });
}

/// Red when a browser may send the cookie of a Route that nobody reaches without TLS over a connection without.
#[test]
fn cookies_stay_where_tls_is_spoken() {
    routed(|bench| async move {
        bench.api.put_endpoints("plain", 8080, &[PLAIN, ENCRYPTED]);
        let kept = |answer: &str| {
            let lower = answer.to_lowercase();
            let line =
                lower.lines().find(|line| line.starts_with("set-cookie")).unwrap_or("").to_owned();
            line.split_once("httponly").map_or(line.clone(), |(_, rest)| rest.to_owned())
        };
        let site = json!({"router.openshift.io/cookie-same-site": "Lax"});
        for (name, annotations, insecure, expected) in [
            ("a", json!({}), "None", "; secure; samesite=none"),
            ("b", site, "Redirect", "; secure; samesite=lax"),
            ("c", json!({}), "Allow", ""),
        ] {
            let host = format!("{name}.test");
            bench.admitted(name, annotations, edge(&host, insecure)).await;
            // One of the two speaks TLS and answers nothing: whoever answers is kept to.
            let mut seen = None;
            for _ in 0..10 {
                let answer = bench.secure(&host, "/", &bench.authority).await;
                if answer.contains("200 OK") && answer.to_lowercase().contains("set-cookie") {
                    seen = Some(kept(&answer));
                    break;
                }
            }
            assert_eq!(seen.as_deref(), Some(expected), "{name}");
        }
    });
}

/// Red when a path is taken for another kind of path, when an Ingress of another class is served, or one is not told where.
#[test]
fn ingresses_are_served_beside_routes() {
    routed(|bench| async move {
        let service = |name: &str| {
            json!({"metadata": {"namespace": "ns", "name": name}, "spec": {"clusterIP": "10.96.0.9",
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
        };
        bench.api.put("services", service("plain"));
        let class = |name: &str, controller: &str| json!({"metadata": {"name": name}, "spec": {"controller": controller}});
        bench.api.put("ingressclasses", class("ours", "leme.dev/router"));
        bench.api.put("ingressclasses", class("theirs", "example.org/other"));
        let own = made_for("tls.test", 30);
        let encoded = |text: &str| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text);
        bench.api.put(
            "secrets",
            json!({"metadata": {"namespace": "ns", "name": "cert"}, "type": "kubernetes.io/tls",
                "data": {"tls.crt": encoded(&own.leaf), "tls.key": encoded(&own.key)}}),
        );
        let to = |port: Value| json!({"service": {"name": "plain", "port": port}});
        let put = |name: &str, spec: Value| {
            bench.api.put(
                "ingresses",
                json!({"metadata": {"namespace": "ns", "name": name, "uid": name,
                    "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec}),
            );
        };
        put(
            "paths",
            json!({"ingressClassName": "ours", "rules": [{"host": "i.test", "http": {"paths": [
                {"path": "/p/", "pathType": "Prefix", "backend": to(json!({"number": 80}))},
                {"path": "/e", "pathType": "Exact", "backend": to(json!({"name": "http"}))},
                {"path": "/none", "pathType": "Prefix", "backend": to(json!({"number": 81}))}]}}]}),
        );
        put(
            "theirs",
            json!({"ingressClassName": "theirs", "defaultBackend": to(json!({"number": 80}))}),
        );
        put(
            "tls",
            json!({"tls": [{"hosts": ["tls.test", "bare.test"], "secretName": "cert"}, {"hosts": ["own.test"]}],
                "rules": [{"host": "tls.test", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": to(json!({"number": 80}))}]}},
                    {"host": "own.test", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": to(json!({"number": 80}))}]}}]}),
        );
        let told = |name: &str| {
            bench.api.get("ingresses", "ns", name)["status"]["loadBalancer"]["ingress"][0]["ip"]
                .clone()
        };
        eventually(|| told("paths"), json!("192.0.2.9"));
        eventually(|| told("tls"), json!("192.0.2.9"));
        let code = async |path: &str| {
            bench.plain("i.test", path).await.split(' ').nth(1).unwrap_or("").to_owned()
        };
        for (path, expected) in [
            ("/p", "200"),
            ("/p/x", "200"),
            ("/px", "503"),
            ("/e", "200"),
            ("/e/", "503"),
            ("/none", "503"),
            ("/", "503"),
        ] {
            assert_eq!(code(path).await, expected, "{path}");
        }
        assert_eq!(told("theirs"), Value::Null);
        let sent = bench.plain("tls.test", "/a").await;
        assert!(sent.starts_with("HTTP/1.1 308"), "{sent}");
        assert!(bench.secure("tls.test", "/", &own.authority).await.contains("plain\n"));
        assert!(bench.secure("own.test", "/", &bench.authority).await.contains("plain\n"));
        // The default is for whatever no other answers.
        put("rest", json!({"defaultBackend": to(json!({"number": 80}))}));
        eventually(|| told("rest"), json!("192.0.2.9"));
        assert_eq!(code("/px").await, "200");
        assert!(bench.plain("who.test", "/").await.contains("plain\n"));
    });
}

/// Red when what a namespace leaves open of its host is answered by another's catch-all, or by its wildcard.
#[test]
fn nobody_else_answers_for_a_host() {
    routed(|bench| async move {
        let meta = |name: &str| {
            json!({"namespace": "other", "name": name, "uid": name,
            "labels": {"kubernetes.io/service-name": "thief"}, "creationTimestamp": "2025-01-01T00:00:00Z"})
        };
        bench.api.put(
            "services",
            json!({"metadata": meta("thief"), "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}),
        );
        bench.api.put(
            "endpointslices",
            json!({"metadata": meta("thief-1"), "addressType": "IPv4",
                "ports": [{"protocol": "TCP", "port": 8080}], "endpoints": [{"addresses": [PLAIN]}]}),
        );
        let backend = json!({"service": {"name": "thief", "port": {"number": 80}}});
        let rule = json!({"host": "*.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}});
        bench.api.put(
            "ingresses",
            json!({"metadata": meta("all"), "spec": {"defaultBackend": backend, "tls": [{}]}}),
        );
        bench.api.put(
            "ingresses",
            json!({"metadata": meta("wild"), "spec": {"rules": [rule],
            "tls": [{"hosts": ["*.test"]}]}}),
        );
        let plain = json!({"host": "path.test", "path": "/only", "to": {"name": "plain"}});
        for (name, spec) in [("bank", edge("bank.test", "None")), ("path", plain)] {
            assert_eq!(bench.admitted(name, json!({}), spec).await, "True");
        }
        let told = || {
            bench.api.get("ingresses", "other", "wild")["status"]["loadBalancer"]["ingress"][0]["ip"].clone()
        };
        eventually(told, json!("192.0.2.9"));
        assert!(bench.secure("free.test", "/", &bench.authority).await.contains("plain\n"));
        for (host, path) in [("bank.test", "/"), ("path.test", "/"), ("path.test", "/onlyx")] {
            let answer = bench.plain(host, path).await;
            assert!(answer.starts_with("HTTP/1.1 503"), "{host}{path}: {answer}");
        }
        assert!(!bench.secure("path.test", "/", &bench.authority).await.contains("200 OK"));
        assert!(bench.secure("bank.test", "/", &bench.authority).await.contains("200 OK"));
    });
}
