//! Logs and commands: the server as go-between of a client and a node's agent, which is played here.

mod common;

use std::sync::Arc;

use common::*;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// What the agent says that its pods use.
static SUMMARY: std::sync::Mutex<String> = std::sync::Mutex::new(String::new());

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots(harness: &Harness) -> Arc<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(harness.server.pki().ca_der().clone()).unwrap();
    Arc::new(roots)
}

/// An agent that takes only the server's client certificate; returns its port.
async fn agent(harness: &Harness) -> u16 {
    let (certificate, key) = harness.server.pki().node("n1").unwrap().leaf().der().unwrap();
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots(harness), provider()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = service_fn(|request| async {
                    Ok::<_, std::convert::Infallible>(played(request))
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    });
    port
}

fn played(mut request: Request<Incoming>) -> Response<Full<bytes::Bytes>> {
    let path = request.uri().path_and_query().unwrap().to_string();
    let text =
        |code: u16, text: String| Response::builder().status(code).body(Full::from(text)).unwrap();
    if path.starts_with("/stats/summary") {
        return text(200, SUMMARY.lock().unwrap().clone());
    }
    if path.starts_with("/containerLogs/") {
        return match path.as_str() {
            "/containerLogs/default/two/away?" | "/containerLogs/default/two/away" => {
                Response::builder()
                    .status(302)
                    .header("location", "https://192.0.2.1/")
                    .body(Full::default())
                    .unwrap()
            }
            "/containerLogs/default/two/b" => text(400, "container \"b\" is gone".to_owned()),
            _ => text(200, path),
        };
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(path.as_bytes()).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-protocol", "v5.channel.k8s.io")
        .body(Full::default())
        .unwrap()
}

fn pod(name: &str, node: &str, containers: &[&str]) -> Value {
    let containers: Vec<Value> =
        containers.iter().map(|name| json!({ "name": name, "image": "i" })).collect();
    let mut spec = json!({ "containers": containers });
    if !node.is_empty() {
        spec["nodeName"] = node.into();
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
}

async fn cluster() -> Harness {
    let harness = Harness::start().await;
    let port = agent(&harness).await;
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } });
    harness.post("/api/v1/nodes", &node).await.ok();
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    } });
    harness.send("PATCH", "/api/v1/nodes/n1/status", MERGE, &status).await.ok();
    harness.post(PODS, &pod("one", "n1", &["a"])).await.ok();
    harness.post(PODS, &pod("two", "n1", &["a", "b", "away"])).await.ok();
    harness.post(PODS, &pod("none", "", &["a"])).await.ok();
    harness
}

#[tokio::test]
async fn a_log_comes_from_the_node_and_its_errors_keep_their_words() {
    let api = cluster().await;
    let log = api.get(&format!("{PODS}/one/log?tailLines=5&follow=true&bogus=1")).await;
    assert_eq!(log.code, 200);
    assert_eq!(&log.body[..], b"/containerLogs/default/one/a?follow=true&tailLines=5");
    let unnamed = api.get(&format!("{PODS}/two/log")).await.refused();
    let words = "a container name must be specified for pod two, choose one of: [a b away]";
    assert_eq!((unnamed.0, unnamed.2.as_str()), (400, words));
    let refused = api.get(&format!("{PODS}/two/log?container=b")).await.refused();
    assert_eq!((refused.0, refused.2.as_str()), (400, "container \"b\" is gone"));
    let moved = api.get(&format!("{PODS}/two/log?container=away")).await.refused();
    assert_eq!(moved.0, 500);
    let nowhere = api.get(&format!("{PODS}/none/log")).await.refused();
    assert_eq!((nowhere.0, nowhere.2.as_str()), (400, "pod none does not have a host assigned"));
    assert_eq!(api.get(&format!("{PODS}/no/log")).await.refused().0, 404);
    assert_eq!(api.get(&format!("{PODS}/one/log?tailLines=x")).await.refused().0, 400);
}

// Red when a certificate for the address that is dialled will do: a node may say that it has the address of another.
#[tokio::test]
async fn only_the_node_itself_answers_for_its_pods() {
    let api = cluster().await;
    let known = api.get("/api/v1/nodes/n1").await.ok();
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n2" } });
    api.post("/api/v1/nodes", &node).await.ok();
    let status = json!({ "status": { "addresses": known["status"]["addresses"],
        "daemonEndpoints": known["status"]["daemonEndpoints"] } });
    api.send("PATCH", "/api/v1/nodes/n2/status", MERGE, &status).await.ok();
    api.post(PODS, &pod("three", "n2", &["a"])).await.ok();
    let refused = api.get(&format!("{PODS}/three/log")).await.refused();
    assert!(refused.0 == 500 && refused.2.contains("certificate"), "{refused:?}");
}

#[tokio::test]
async fn a_command_is_a_stream_between_client_and_node() {
    let api = cluster().await;
    let (certificate, key) = api.server.pki().admin.leaf().der().unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&api))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let stream = TcpStream::connect(api.server.addresses()[0]).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = format!(
        "GET {PODS}/one/exec?command=sh&command=-c&stdin=true&stdout=1 HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: x\r\n\
         sec-websocket-protocol: v5.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await.unwrap().unwrap();
    let text = String::from_utf8(all).unwrap();
    assert!(text.starts_with("HTTP/1.1 101"), "{text}");
    assert!(
        text.to_ascii_lowercase().contains("sec-websocket-protocol: v5.channel.k8s.io"),
        "{text}"
    );
    let wanted = "/exec/default/one/a?command=sh&command=-c&stdin=true&stdout=trueping";
    assert!(text.ends_with(wanted), "{text}");
    assert_eq!(api.get(&format!("{PODS}/one/exec?command=x")).await.refused().0, 400);
}

// Red without the collection of Bindings: 404 for schedulers that bind the older way.
#[tokio::test]
async fn a_pod_is_bound_by_the_collection_of_bindings_too() {
    let api = Harness::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    let space = "/api/v1/namespaces/default";
    api.post(&format!("{space}/pods"), &pod).await.ok();
    let binding = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "kind": "Node", "name": "n" },
        })
    };
    let bindings = format!("{space}/bindings");
    let done = api.post(&bindings, &binding("p")).await;
    assert_eq!((done.code, done.ok()["status"].as_str()), (201, Some("Success")));
    assert_eq!(api.get(&format!("{space}/pods/p")).await.ok()["spec"]["nodeName"], "n");
    assert_eq!(api.post(&bindings, &binding("p")).await.refused().0, 409);
    assert_eq!(api.post(&bindings, &binding("q")).await.refused().0, 404);
    assert_eq!(api.get(&bindings).await.code, 405);
}

#[tokio::test]
async fn what_nodes_and_pods_use_is_asked_of_the_nodes() {
    let api = cluster().await;
    // One that no agent has told of, as a node that has gone.
    let silent = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "silent" } });
    api.post("/api/v1/nodes", &silent).await.ok();
    let labels = json!({ "metadata": { "labels": { "app": "one" } } });
    let one = api.send("PATCH", &format!("{PODS}/one"), MERGE, &labels).await.ok();
    let used = |cpu: u64, memory: u64| {
        json!({ "cpu": { "time": "2026-01-02T03:04:05Z", "usageNanoCores": cpu, "usageWindowNanoSeconds": 12_500_000_000u64 },
            "memory": { "time": "2026-01-02T03:04:05Z", "workingSetBytes": memory } })
    };
    let mut container = used(250_000_000, 4096);
    container["name"] = "a".into();
    let pods = json!([{ "podRef": { "uid": one["metadata"]["uid"] }, "containers": [container] }]);
    *SUMMARY.lock().unwrap() =
        json!({ "node": used(1_500_000_000, 8192), "pods": pods }).to_string();

    let group = "/apis/metrics.k8s.io/v1beta1";
    let nodes = api.get(&format!("{group}/nodes")).await.ok();
    assert_eq!(
        (&nodes["kind"], nodes["items"].as_array().unwrap().len()),
        (&json!("NodeMetricsList"), 1)
    );
    let node = api.get(&format!("{group}/nodes/n1")).await.ok();
    assert_eq!(node["usage"], json!({ "cpu": "1500m", "memory": "8Ki" }));
    assert_eq!(
        (&node["timestamp"], &node["window"]),
        (&json!("2026-01-02T03:04:05Z"), &json!("12.5s"))
    );
    let gone = api.get(&format!("{group}/nodes/silent")).await.refused();
    assert_eq!((gone.0, gone.2.as_str()), (404, "nodemetrics.metrics.k8s.io \"silent\" not found"));
    assert_eq!(
        api.get(&format!("{group}/nodes/none")).await.refused().2,
        "nodes \"none\" not found"
    );

    let here = format!("{group}/namespaces/default/pods");
    let pods = api.get(&format!("{group}/pods")).await.ok();
    let items = pods["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{pods}");
    assert_eq!(items[0]["metadata"]["labels"], json!({ "app": "one" }));
    assert_eq!(
        items[0]["containers"],
        json!([{ "name": "a", "usage": { "cpu": "250m", "memory": "4Ki" } }])
    );
    for (query, count) in [
        ("labelSelector=app%3Done", 1),
        ("labelSelector=app%21%3Done", 0),
        ("fieldSelector=spec.nodeName%3Dn1", 1),
    ] {
        let list = api.get(&format!("{here}?{query}")).await.ok();
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{query}");
    }
    let unknown = api.get(&format!("{here}/two")).await.refused();
    assert_eq!(unknown.2, "podmetrics.metrics.k8s.io \"default/two\" not found");
    let other = api.get(&format!("{group}/namespaces/other/pods/one")).await.refused();
    assert_eq!(other.2, "pods \"one\" not found");
    assert_eq!(api.delete(&format!("{here}/one")).await.refused().0, 405);
    let resources = api.get(group).await.ok();
    let names: Vec<&str> = resources["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, ["nodes", "pods"]);
}
