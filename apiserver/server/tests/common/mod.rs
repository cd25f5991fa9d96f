//! A server over the memory store, and a client that shows answers as they are.
//!
//! Knows: how a test starts, asks and stops. Refuses to know: what is tested.
#![allow(dead_code)]

pub mod defined;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use leme_server::{Answer, Identity, LocalService, Server, ServerConfig};
use leme_store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const MERGE: &str = "application/merge-patch+json";
pub const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const JSON_PATCH: &str = "application/json-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub struct Harness {
    pub server: Server,
    _dir: tempfile::TempDir,
}

/// An answer, read whole.
pub struct Read {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Read {
    async fn whole(answer: Answer) -> Read {
        let (code, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = tokio::time::timeout(PATIENCE, answer.into_body().collect())
            .await
            .unwrap()
            .unwrap()
            .to_bytes();
        Read { code, headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.code < 300, "{} {:?}", self.code, self.body);
        self.json()
    }

    /// Code, reason and message of a Status.
    #[track_caller]
    pub fn refused(&self) -> (u16, String, String) {
        assert!(self.code >= 400, "{} {:?}", self.code, self.body);
        let status = self.json();
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["code"], self.code);
        let text = |field: &str| status[field].as_str().unwrap_or("").to_owned();
        (self.code, text("reason"), text("message"))
    }
}

impl Harness {
    pub async fn start() -> Harness {
        Harness::over(Arc::new(MemoryStore::new())).await
    }

    pub async fn over(store: Arc<dyn leme_store::Store>) -> Harness {
        Harness::configured(store, |_| {}).await
    }

    /// A server configured otherwise.
    pub async fn with(change: impl FnOnce(&mut ServerConfig)) -> Harness {
        Harness::configured(Arc::new(MemoryStore::new()), change).await
    }

    async fn configured(
        store: Arc<dyn leme_store::Store>,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = ServerConfig::new(listen, dir.path().join("pki"), store);
        config.advertise = vec!["192.0.2.1".to_owned()];
        // No controller makes the accounts of pods here.
        config.admission.off = vec!["ServiceAccount"];
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        Harness { server, _dir: dir }
    }

    pub fn admin(&self) -> LocalService {
        let masters = vec!["system:masters".to_owned()];
        self.server.local_service(Identity::of_certificate("kubernetes-admin", masters))
    }

    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        Harness::open_by(self.admin(), method, path, headers, body).await
    }

    async fn open_by(
        mut service: LocalService,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        service.call(request).await.unwrap()
    }

    /// The same by who shows nothing but what these headers say.
    pub async fn raw_by_nobody(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Read {
        let service = self.server.local_service(Identity::anonymous());
        Read::whole(Harness::open_by(service, method, path, headers, body).await).await
    }

    /// The same as somebody else.
    pub async fn raw_as(&self, who: &Identity, method: &str, path: &str, body: &Value) -> Read {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let service = self.server.local_service(who.clone());
        Read::whole(Harness::open_by(service, method, path, &[], &body).await).await
    }

    /// Opens a watch as somebody else.
    pub async fn watch_as(&self, who: &Identity, path: &str) -> Watch {
        let service = self.server.local_service(who.clone());
        let answer = Harness::open_by(service, "GET", path, &[], b"").await;
        assert_eq!(answer.status(), 200);
        Watch { body: answer.into_body(), left: Vec::new() }
    }

    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Read {
        Read::whole(self.open(method, path, headers, body).await).await
    }

    pub async fn get(&self, path: &str) -> Read {
        self.raw("GET", path, &[], b"").await
    }

    pub async fn send(&self, method: &str, path: &str, media_type: &str, body: &Value) -> Read {
        self.raw(method, path, &[("content-type", media_type)], body.to_string().as_bytes()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Read {
        self.send("POST", path, "application/json", body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Read {
        self.send("PUT", path, "application/json", body).await
    }

    pub async fn delete(&self, path: &str) -> Read {
        self.raw("DELETE", path, &[], b"").await
    }

    /// Applies a configuration as a manager; `query` is what else is asked for, such as `force=true`.
    pub async fn apply(&self, path: &str, manager: &str, query: &str, config: &Value) -> Read {
        let path = format!("{path}?fieldManager={manager}&{query}");
        self.send("PATCH", &path, APPLY, config).await
    }

    /// A TLS connection as the administrator, or as a stranger, that speaks one protocol.
    pub async fn connect(&self, admin: bool, protocol: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.server.pki().ca_der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if admin {
            let (certificate, key) = self.server.pki().admin.leaf().der().unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.server.addresses()[0]).await.unwrap();
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Opens a watch.
    pub async fn watch(&self, path: &str) -> Watch {
        let answer = self.open("GET", path, &[], b"").await;
        assert_eq!(answer.status(), 200);
        Watch { body: answer.into_body(), left: Vec::new() }
    }
}

/// An open watch.
pub struct Watch {
    body: leme_server::Body,
    left: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.left.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.left.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap()?;
            self.left.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// The next event as type and name.
    pub async fn named(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": "v" } })
}

/// Who owns what of an object: `manager operation subresource` and the fields.
pub fn owners(object: &Value) -> Vec<(String, Value)> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("").to_owned();
    let shown = |entry: &Value| {
        let who = ["manager", "operation", "subresource"].map(|field| text(entry, field));
        (who.join(" ").trim_end().to_owned(), entry["fieldsV1"].clone())
    };
    list.iter().map(shown).collect()
}

/// The fields that one of them owns.
pub fn owned(object: &Value, who: &str) -> Value {
    owners(object).into_iter().find(|(owner, _)| owner == who).map_or(Value::Null, |(_, set)| set)
}

pub fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

pub fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().expect("a resourceVersion").to_owned()
}
