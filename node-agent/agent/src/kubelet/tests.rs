//! The kubelet API over real sockets, with client certificates.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use leme_node_core::pod::{Event, Observed, PodMachine};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message as Frame, client::IntoClientRequest};

use super::*;
use crate::fakes::FakeRuntime;

mod streams;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rustls_pki_types::CertificateDer<'static>,
}

type Identity = (Vec<rustls_pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn sign(&self, name: &str, organisation: &str) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key))
    }

    fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

struct Server {
    authority: Authority,
    address: SocketAddr,
    views: Views,
    runtime: Arc<FakeRuntime>,
    logs: tempfile::TempDir,
    machine: PodMachine,
    token: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Server {
    /// A node with one running pod, `n/p`, of one container, `c`.
    async fn start() -> Self {
        let authority = Authority::new();
        let (chain, key) = authority.sign("node", "system:nodes");
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(authority.roots()),
            provider(),
        );
        let tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (views, runtime) = (Views::default(), FakeRuntime::new(&["i"]));
        let logs = tempfile::tempdir().unwrap();
        let context = Context {
            views: views.clone(),
            runtime: runtime.clone(),
            logs: logs.path().to_owned(),
            stats: crate::stats::Stats::new(runtime.clone(), "node".to_owned(), "/".into()),
        };
        let token = CancellationToken::new();
        tokio::spawn(serve(listener, Arc::new(tls), context, token.clone()));
        let machine = running(&runtime).await;
        views.set(&machine);
        std::fs::create_dir_all(logs.path().join("n_p_u/c")).unwrap();
        Self { authority, address, views, runtime, logs, machine, token }
    }

    fn log(&self) -> std::path::PathBuf {
        self.logs.path().join("n_p_u/c/0.log")
    }

    async fn connect(&self, name: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
        let (chain, key) = self.authority.sign(name, "x");
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.authority.roots())
            .with_client_auth_cert(chain, key)
            .unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn get_as(&self, name: &str, path: &str) -> (u16, hyper::body::Incoming) {
        let stream = TokioIo::new(self.connect(name).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(path).header("host", "x");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        (answer.status().as_u16(), answer.into_body())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.get_as(API_SERVER, path).await;
        let text = body.collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    /// The container ends.
    async fn end(&mut self) {
        let id = self.machine.slots()[0].current_id().unwrap().to_owned();
        self.runtime.exit(&id, 0);
        let status = leme_cri::Runtime::container(&*self.runtime, &id).await.unwrap();
        self.machine.step(Event::Exited(status), jiff::Timestamp::now());
        self.views.set(&self.machine);
    }
}

async fn running(runtime: &FakeRuntime) -> PodMachine {
    use leme_cri::Runtime;
    let pod: k8s_openapi::api::core::v1::Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}))
    .unwrap();
    let sandbox = leme_node_core::config::sandbox(&pod, 0, "/l", "node", &Default::default());
    let id = runtime.run_sandbox(&sandbox.unwrap()).await.unwrap();
    let config = leme_node_core::cri::ContainerConfig {
        name: "c".into(),
        image: "i".into(),
        ..Default::default()
    };
    let container = runtime.create_container(&id, &config).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    let observed = Observed {
        sandboxes: runtime.sandboxes().await.unwrap(),
        containers: runtime.containers().await.unwrap(),
    };
    PodMachine::new(Arc::new(pod), &observed, &Default::default(), jiff::Timestamp::now())
}

fn append(path: &Path, lines: &[&str]) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    for line in lines {
        writeln!(file, "2026-01-01T00:00:0{line}").unwrap();
    }
}

#[tokio::test]
async fn only_the_api_server_may_ask() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await, (200, "ok".into()));
    assert_eq!(server.get_as("mallory", "/healthz").await.0, 403);
    let (status, text) = server.get("/pods").await;
    assert_eq!(status, 200);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["items"][0]["metadata"]["name"], "p");
}

#[tokio::test]
async fn logs_with_options() {
    let server = Server::start().await;
    append(
        &server.log(),
        &["1Z stdout F one", "2Z stderr P tw", "3Z stderr F o", "4Z stdout F three"],
    );
    let check = async |query: &str, status: u16, want: &str| {
        let path = format!("/containerLogs/n/p/c?{query}");
        assert_eq!(server.get(&path).await, (status, want.to_owned()), "{query}");
    };
    check("", 200, "one\ntwo\nthree\n").await;
    check("tailLines=1", 200, "three\n").await;
    check("tailLines=0", 200, "").await;
    check("limitBytes=5", 200, "one\nt").await;
    check("timestamps=true&tailLines=1", 200, "2026-01-01T00:00:04Z three\n").await;
    check("sinceTime=2026-01-01T00:00:04Z", 200, "three\n").await;
    check("sinceSeconds=10", 200, "").await;
    check("timestamps=yes&tailLines=1", 200, "2026-01-01T00:00:04Z three\n").await;
    check("timestamps=False&tailLines=1", 200, "three\n").await;
    check("tailLines=x", 422, "strconv.ParseInt: parsing \"x\": invalid syntax").await;
    check("previous=true", 400, "previous terminated container \"c\" in pod \"p\" not found").await;
    assert_eq!(server.get("/containerLogs/n/q/c").await.0, 404);
    assert_eq!(server.get("/containerLogs/n/p/z").await.0, 404);
    assert_eq!(server.get("/containerLogs/n/p/..%2F..%2Fx").await.0, 404);
}

#[tokio::test]
async fn followed_logs_survive_rotation_and_end_with_the_container() {
    let mut server = Server::start().await;
    append(&server.log(), &["1Z stdout F one"]);
    let (status, mut body) = server.get_as(API_SERVER, "/containerLogs/n/p/c?follow=true").await;
    assert_eq!(status, 200);
    let mut text = Vec::new();
    let mut read_to = async |text: &mut Vec<u8>, want: &str| {
        while text.len() < want.len() {
            let frame = body.frame().await.expect("more").unwrap();
            text.extend_from_slice(&frame.into_data().unwrap());
        }
        assert_eq!(String::from_utf8_lossy(text), want);
    };
    read_to(&mut text, "one\n").await;
    append(&server.log(), &["2Z stdout F two"]);
    read_to(&mut text, "one\ntwo\n").await;
    std::fs::rename(server.log(), server.log().with_extension("log.1")).unwrap();
    append(&server.log(), &["3Z stdout F three"]);
    read_to(&mut text, "one\ntwo\nthree\n").await;
    append(&server.log(), &["4Z stdout F four"]);
    server.end().await;
    let rest = body.collect().await.unwrap().to_bytes();
    text.extend_from_slice(&rest);
    assert_eq!(String::from_utf8_lossy(&text), "one\ntwo\nthree\nfour\n");
}

/// Runs a command; what came on channels 1, 2 and 3.
async fn exec(server: &Server, protocol: &str, query: &str, frames: Vec<Vec<u8>>) -> [String; 3] {
    let uri = format!("ws://localhost/exec/n/p/c?{query}");
    let mut request = uri.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
    let stream = server.connect(API_SERVER).await;
    let (mut socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], protocol);
    for frame in frames {
        socket.send(Frame::Binary(frame.into())).await.unwrap();
    }
    let mut out = [const { String::new() }; 3];
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Frame::Binary(data) => {
                let channel = usize::from(data[0]);
                out[channel - 1] += std::str::from_utf8(&data[1..]).unwrap();
            }
            Frame::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1000);
                break;
            }
            _ => {}
        }
    }
    out
}

#[tokio::test]
async fn exec_carries_streams_and_exit_code() {
    let server = Server::start().await;
    let [out, err, status] =
        exec(&server, "v4.channel.k8s.io", "command=exit&command=3&stdout=1&stderr=1", vec![])
            .await;
    assert_eq!((out.as_str(), err.as_str()), ("exit 3", "err"));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["reason"], "NonZeroExitCode");
    assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));

    let frames = vec![
        b"\x04{\"Width\":80,\"Height\":24}".to_vec(),
        b"\x00 in".to_vec(),
        b"\x00put".to_vec(),
        vec![255, 0],
    ];
    let query = "command=cat&stdin=true&stdout=true";
    let [out, err, status] = exec(&server, "v5.channel.k8s.io", query, frames).await;
    assert_eq!((out.as_str(), err.as_str()), ("cat input[80x24]", ""));
    assert_eq!(status, "{\"metadata\":{},\"status\":\"Success\"}");
}

#[tokio::test]
async fn exec_refuses() {
    let mut server = Server::start().await;
    let refused = async |server: &Server, protocol: &str, path: &str| {
        let mut request = format!("ws://localhost{path}").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let stream = server.connect(API_SERVER).await;
        match tokio_tungstenite::client_async(request, stream).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => answer.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    let v4 = "v4.channel.k8s.io";
    assert_eq!(refused(&server, v4, "/exec/n/p/c?stdout=1").await, 400);
    assert_eq!(refused(&server, v4, "/exec/n/p/c?command=a").await, 400);
    assert_eq!(refused(&server, "v3.channel.k8s.io", "/exec/n/p/c?command=a&stdout=1").await, 403);
    assert_eq!(refused(&server, v4, "/exec/n/x/c?command=a&stdout=1").await, 404);
    assert_eq!(refused(&server, v4, "/exec/n/p/other/c?command=a&stdout=1").await, 404);
    assert_eq!(refused(&server, v4, "/exec/n/p/z?command=a&stdout=1").await, 500);
    server.end().await;
    assert_eq!(refused(&server, v4, "/exec/n/p/c?command=a&stdout=1").await, 500);
    assert_eq!(refused(&server, v4, "/attach/n/p/c?stdout=1").await, 500);
}
