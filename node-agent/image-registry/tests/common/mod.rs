//! A registry on the loopback, and an API server that knows a few people and streams.
#![allow(dead_code, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use leme_client::Client as Api;
use leme_distribution::{Client, Login, Registries};
use leme_host::images::ImageStore;
use leme_image_registry::{Limits, Registry, RegistryConfig, Sent, run};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// What the API server has.
#[derive(Default)]
pub struct World {
    /// Streams by `namespace/name`.
    pub streams: BTreeMap<String, Value>,
    /// Images by name, with who wrote them.
    pub images: BTreeMap<String, (String, Value)>,
    /// Who may do what: `user verb namespace`, or `user delete images`.
    pub rights: BTreeSet<String>,
    /// Pull secrets, as docker writes them, base64.
    pub secrets: Vec<String>,
    /// What was asked.
    pub asked: Vec<String>,
}

impl World {
    pub fn allow(&mut self, right: &str) {
        self.rights.insert(right.to_owned());
    }

    pub fn tag(&mut self, stream: &str, tag: &str, image: &str, reference: &str) {
        let stream =
            self.streams.entry(stream.to_owned()).or_insert(json!({ "status": { "tags": [] } }));
        let tags = stream["status"]["tags"].as_array_mut().unwrap();
        let item = json!({ "image": image, "dockerImageReference": reference });
        match tags.iter_mut().find(|one| one["tag"] == tag) {
            Some(known) => known["items"].as_array_mut().unwrap().insert(0, item),
            None => tags.push(json!({ "tag": tag, "items": [item] })),
        }
    }

    fn answer(&mut self, method: &Method, path: &str, user: &str, body: &Value) -> (u16, Value) {
        self.asked.push(format!("{method} {path} by {user}"));
        let status = |code: u16, reason: &str| {
            (
                code,
                json!({ "kind": "Status", "code": code, "reason": reason, "message": format!("{reason} for {user}") }),
            )
        };
        let words: Vec<&str> = path.split('/').skip(1).collect();
        match (method.as_str(), words[words.len() - 1]) {
            ("POST", "tokenreviews") => {
                let token = body["spec"]["token"].as_str().unwrap();
                let known = token.strip_prefix("token-of-");
                let user = known
                    .map(|name| json!({ "username": name, "groups": ["system:authenticated"] }));
                (201, json!({ "status": { "authenticated": user.is_some(), "user": user } }))
            }
            ("POST", "subjectaccessreviews") => {
                let spec = &body["spec"];
                let of = &spec["resourceAttributes"];
                let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
                let right = match text(&of["resource"]).as_str() {
                    "images" => format!("{} delete images", text(&spec["user"])),
                    _ => format!(
                        "{} {} {}",
                        text(&spec["user"]),
                        text(&of["verb"]),
                        text(&of["namespace"])
                    ),
                };
                (201, json!({ "status": { "allowed": self.rights.contains(&right) } }))
            }
            ("POST", "imagestreams") => {
                let namespace = words[4];
                if !self.rights.contains(&format!("{user} create {namespace}")) {
                    return status(403, "Forbidden");
                }
                let name = body["metadata"]["name"].as_str().unwrap();
                self.streams
                    .insert(format!("{namespace}/{name}"), json!({ "status": { "tags": [] } }));
                (201, json!({}))
            }
            ("POST", "imagestreammappings") => {
                let stream = format!("{}/{}", words[4], body["metadata"]["name"].as_str().unwrap());
                if user != "registry" {
                    return status(403, "Forbidden");
                }
                if !self.streams.contains_key(&stream) {
                    return status(404, "NotFound");
                }
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let (image, reference) = (
                    text(&body["image"]["metadata"]["name"]),
                    text(&body["image"]["dockerImageReference"]),
                );
                self.tag(&stream, body["tag"].as_str().unwrap(), &image, &reference);
                self.images.insert(image, (user.to_owned(), body["image"].clone()));
                (201, json!({}))
            }
            ("POST", "images") => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                self.images.insert(name, (user.to_owned(), body.clone()));
                (201, json!({}))
            }
            ("GET", "secrets") => {
                let items: Vec<Value> = self
                    .secrets
                    .iter()
                    .map(|text| json!({ "data": { ".dockerconfigjson": text } }))
                    .collect();
                (200, json!({ "items": items }))
            }
            ("GET", name) if words.len() == 4 => (200, json!({ "metadata": { "uid": name } })),
            ("GET", name) => match self.streams.get(&format!("{}/{name}", words[4])) {
                Some(stream) => (200, stream.clone()),
                None => status(404, "NotFound"),
            },
            _ => status(405, "MethodNotAllowed"),
        }
    }
}

/// The API as somebody.
fn api(world: &Arc<Mutex<World>>, user: &str) -> Api {
    let (world, user) = (Arc::clone(world), user.to_owned());
    Api::over(tower::service_fn(move |request: Request<leme_client::Body>| {
        let (world, user) = (Arc::clone(&world), user.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let (code, answer) =
                world.lock().unwrap().answer(&parts.method, parts.uri.path(), &user, &body);
            let answer = leme_client::Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
        }
    }))
}

pub struct Cluster {
    pub world: Arc<Mutex<World>>,
    pub registry: Arc<Registry>,
    pub store: ImageStore,
    pub folder: tempfile::TempDir,
    /// Where it listens.
    pub host: String,
    pub authority: String,
    stop: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::with(Limits::default(), Registries::default()).await
    }

    pub async fn with(limits: Limits, registries: Registries) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let store = ImageStore::open(&folder.path().join("images")).unwrap();
        let world = Arc::new(Mutex::new(World::default()));
        {
            let mut world = world.lock().unwrap();
            for right in [
                "ana get shop",
                "ana update shop",
                "ana create shop",
                "rui get shop",
                "eva get other",
                "eva update other",
                "root delete images",
                "root get shop",
                "system:anonymous get public",
            ] {
                world.allow(right);
            }
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let pushers = {
            let world = Arc::clone(&world);
            Arc::new(move |token: &str| {
                token.strip_prefix("token-of-").map(|user| api(&world, user))
            })
        };
        let config = RegistryConfig {
            host: host.clone(),
            store: store.clone(),
            client: api(&world, "registry"),
            pushers,
            registries,
            limits,
        };
        let registry = Registry::open(config).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], private)
            .unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(run(Arc::clone(&registry), listener, Some(Arc::new(tls)), stop.clone()));
        Cluster { world, registry, store, folder, host, authority: made.pem(), stop }
    }

    pub fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.lock().unwrap())
    }

    /// A client of somebody; nobody's if there is no name.
    pub fn client(&self, user: &str) -> Client {
        let mut registries = Registries::default();
        registries.believe(&self.host, &self.authority);
        let nobody = Client::new(&registries.registry(&self.host)).unwrap();
        let login = Login { user: "anybody".to_owned(), password: format!("token-of-{user}") };
        nobody.for_login((!user.is_empty()).then_some(login))
    }

    /// Asks without a connection.
    pub async fn ask(
        &self,
        user: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        if !user.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer token-of-{user}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent: Sent = Full::new(Bytes::copy_from_slice(body))
            .map_err(|never: Infallible| match never {})
            .boxed_unsync();
        let answer = self.registry.answer(request.body(sent).unwrap()).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Said { status: parts.status, headers: parts.headers, body }
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Said {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Said {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        body["errors"][0]["code"].as_str().unwrap_or("").to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An image of one layer: its manifest, and its blobs by their digests.
pub fn image(content: &str) -> (Bytes, Vec<(String, Bytes)>) {
    let digest = leme_distribution::reference::digest_of;
    let layer = Bytes::from(format!("layer of {content}"));
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Cmd": [content] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] } });
    let config = Bytes::from(config.to_string());
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len() }] });
    let blobs = [config, layer].map(|blob| (digest(&blob), blob)).to_vec();
    (Bytes::from(manifest.to_string()), blobs)
}

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
