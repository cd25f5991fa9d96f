//! Pulling from a registry that does what it should, and from one that does not.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leme_distribution::Error;
use leme_host::images::ImageStore;
use leme_pull::{Credentials, PullError, Puller, Registries};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is at a path, or what happens there.
#[derive(Clone)]
enum At {
    /// These bytes of this type.
    Is(&'static str, Bytes),
    /// The same, but the first answers end after so many bytes.
    Cut(Bytes, usize),
    /// Somewhere else has it.
    Elsewhere(String),
    /// Bytes without end.
    Endless,
}

#[derive(Clone, Default)]
struct Registry {
    paths: Arc<Mutex<HashMap<String, At>>>,
    /// `user:password` that it wants, by way of a token.
    login: Arc<Mutex<Option<String>>>,
    /// What was asked for, with what was shown.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    address: String,
}

type Body = BoxBody<Bytes, std::io::Error>;

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

impl Registry {
    async fn start() -> Registry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Registry { address, ..Registry::default() };
        let shared = registry.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let registry = shared.clone();
                let service = service_fn(move |request| {
                    let answer = registry.answer(&request);
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        registry
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let text = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let path = request.uri().path().to_owned();
        let shown = text("authorization");
        self.asked.lock().unwrap().push((request.uri().to_string(), shown.clone()));
        let login = self.login.lock().unwrap().clone();
        if path == "/token" {
            let wanted = login.map(|login| {
                use base64::Engine;
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
            });
            return match wanted.is_none_or(|wanted| wanted == shown) {
                true => Response::new(full(r#"{"token": "let-in"}"#)),
                false => answer(StatusCode::UNAUTHORIZED, full("{}")),
            };
        }
        if login.is_some() && path.starts_with("/v2/") && shown != "Bearer let-in" {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"test\"", self.address);
            let mut refused = answer(
                StatusCode::UNAUTHORIZED,
                full(
                    r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#,
                ),
            );
            refused.headers_mut().insert("www-authenticate", realm.parse().unwrap());
            return refused;
        }
        let mut paths = self.paths.lock().unwrap();
        let Some(at) = paths.get(&path).cloned() else {
            let text =
                r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#;
            return answer(StatusCode::NOT_FOUND, full(text));
        };
        match at {
            At::Is(type_, bytes) => {
                let mut is = ranged(&text("range"), bytes);
                is.headers_mut().insert("content-type", type_.parse().unwrap());
                is
            }
            At::Cut(bytes, most) => {
                // Half of what is left each time, until it is little.
                let next = if most > 64 {
                    At::Cut(bytes.clone(), most / 2)
                } else {
                    At::Is("x/x", bytes.clone())
                };
                paths.insert(path, next);
                let whole = ranged(&text("range"), bytes);
                let (parts, body) = whole.into_parts();
                let pieces = futures::stream::once(async move {
                    let all = body.collect().await.unwrap().to_bytes();
                    Ok(Frame::data(all.slice(..most.min(all.len()))))
                });
                let ends = futures::stream::once(async { Err(std::io::Error::other("cut")) });
                use futures::StreamExt;
                Response::from_parts(
                    parts,
                    BodyExt::boxed(StreamBody::new(pieces.chain(ends).boxed_sync())),
                )
            }
            At::Elsewhere(to) => {
                let mut away = answer(StatusCode::TEMPORARY_REDIRECT, full(""));
                away.headers_mut().insert("location", to.parse().unwrap());
                away
            }
            At::Endless => {
                let piece = Bytes::from(vec![b' '; 1 << 16]);
                let pieces = futures::stream::repeat_with(move || Ok(Frame::data(piece.clone())));
                Response::new(BodyExt::boxed(StreamBody::new(pieces.boxed_sync())))
            }
        }
    }

    fn put(&self, path: &str, at: At) {
        self.paths.lock().unwrap().insert(path.to_owned(), at);
    }

    /// An image of one layer, under a tag and its digest; the digest.
    fn image(&self, repository: &str, tag: &str, content: &str) -> String {
        let manifest = self.manifest(repository, content);
        let digest = digest(&manifest);
        for by in [tag, &digest] {
            self.put(
                &format!("/v2/{repository}/manifests/{by}"),
                At::Is(MANIFEST, manifest.clone()),
            );
        }
        digest
    }

    /// The manifest of such an image, whose content is there.
    fn manifest(&self, repository: &str, content: &str) -> Bytes {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", content.as_bytes()).unwrap();
        let layer = tar.into_inner().unwrap();
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        zipped.write_all(&layer).unwrap();
        let zipped = Bytes::from(zipped.finish().unwrap());
        let config = json!({"architecture": "amd64", "os": "linux", "config": {"Cmd": [content]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
        let config = Bytes::from(config.to_string());
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(&zipped), "size": zipped.len()}]});
        for blob in [config, zipped] {
            self.put(&format!("/v2/{repository}/blobs/{}", digest(&blob)), At::Is("x/x", blob));
        }
        Bytes::from(manifest.to_string())
    }

    /// The path of an image's only layer, and its bytes.
    fn layer(&self, manifest: &str) -> (String, Bytes) {
        let paths = self.paths.lock().unwrap();
        let At::Is(_, bytes) = &paths[manifest] else { panic!("no manifest") };
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let repository = manifest.split("/manifests/").next().unwrap();
        let path = format!("{repository}/blobs/{}", value["layers"][0]["digest"].as_str().unwrap());
        let At::Is(_, bytes) = &paths[&path] else { panic!("no layer") };
        (path, bytes.clone())
    }

    fn blobs_asked_for(&self) -> usize {
        self.asked.lock().unwrap().iter().filter(|(path, _)| path.contains("/blobs/")).count()
    }
}

fn answer(code: StatusCode, body: Body) -> Response<Body> {
    Response::builder().status(code).body(body).unwrap()
}

fn ranged(range: &str, bytes: Bytes) -> Response<Body> {
    let from = range.strip_prefix("bytes=");
    let from = from.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    match from {
        Some(from) if from < bytes.len() => {
            answer(StatusCode::PARTIAL_CONTENT, full(bytes.slice(from..)))
        }
        _ => Response::new(full(bytes)),
    }
}

trait Boxed: Sized {
    fn boxed_sync(self) -> std::pin::Pin<Box<Self>>;
}

impl<S: futures::Stream> Boxed for S {
    fn boxed_sync(self) -> std::pin::Pin<Box<S>> {
        Box::pin(self)
    }
}

struct Node {
    dir: tempfile::TempDir,
    store: ImageStore,
    puller: Puller,
}

impl Node {
    fn new() -> Node {
        Node::with(Registries::default())
    }

    fn with(registries: Registries) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path()).unwrap();
        Node { dir, store, puller: Puller::new(registries) }
    }

    async fn pull(&self, image: &str) -> Result<leme_pull::Pulled, PullError> {
        self.puller.pull(&self.store, image, &Credentials::default()).await
    }

    /// Nothing is there but empty directories and the lock.
    fn is_empty(&self) -> bool {
        let files = |folder: &str| {
            std::fs::read_dir(self.dir.path().join(folder)).map_or(0, Iterator::count)
        };
        files("blobs/sha256") + files("layers") + files("pulling") + files("staging") == 0
            && self.store.list().unwrap().is_empty()
    }
}

#[tokio::test]
async fn an_image_is_pulled_once_and_known_by_its_names() {
    let registry = Registry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let node = Node::new();
    let name = format!("{}/team/app", registry.address);
    let first = node.pull(&format!("{name}:v1")).await.unwrap();
    assert!(first.bytes > 0);
    let again = node.pull(&format!("{name}:v1")).await.unwrap();
    assert_eq!((again.id.as_str(), again.bytes), (first.id.as_str(), 0));
    let record = node.store.resolve(&format!("{name}@{digest}")).unwrap().unwrap();
    assert_eq!((&record.id, &record.tags), (&first.id, &vec![format!("{name}:v1")]));
    assert_eq!(record.digests, [format!("{name}@{digest}")]);
    assert!(record.came_from_registry(&name));
    assert_eq!(std::fs::read_to_string(record.layers[0].join("file")).unwrap(), "one");
    // The tag means another image now: of that the node gets what it lacks.
    registry.image("team/app", "v1", "two");
    let second = node.pull(&format!("{name}:v1")).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(node.store.resolve(&format!("{name}:v1")).unwrap().unwrap().id, second.id);
    // What it has under another name is not got again.
    let asked = registry.blobs_asked_for();
    registry.image("other/app", "v9", "two");
    node.pull(&format!("{}/other/app:v9", registry.address)).await.unwrap();
    assert_eq!(registry.blobs_asked_for(), asked);
    // By its digest alone it gets no tag.
    let node = Node::new();
    node.pull(&format!("{name}@{digest}")).await.unwrap();
    let record = node.store.resolve(&format!("{name}@{digest}")).unwrap().unwrap();
    assert_eq!((record.id, record.tags), (first.id, Vec::<String>::new()));
}

#[tokio::test]
async fn of_several_machines_this_ones_image_is_taken() {
    let registry = Registry::start().await;
    let (own, other) = (registry.manifest("app", "own"), registry.manifest("app", "other"));
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let platform = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let of = |manifest: &Bytes, platform: Value| json!({"mediaType": MANIFEST, "digest": digest(manifest), "size": manifest.len(), "platform": platform});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        of(&other, platform("s390x")), of(&own, platform(here)),
        of(&other, json!({"os": "unknown", "architecture": "unknown"}))]});
    let index = Bytes::from(index.to_string());
    registry.put("/v2/app/manifests/latest", At::Is(INDEX, index.clone()));
    registry.put(&format!("/v2/app/manifests/{}", digest(&own)), At::Is(MANIFEST, own));
    let node = Node::new();
    let name = format!("{}/app", registry.address);
    let pulled = node.pull(&name).await.unwrap();
    // It is known by the digest of them all, as pods name it.
    let record = node.store.resolve(&format!("{name}@{}", digest(&index))).unwrap().unwrap();
    assert_eq!(record.id, pulled.id);
    assert_eq!(node.pull(&name).await.unwrap().bytes, 0);
    let nothing = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [of(&other, platform("s390x"))]});
    registry.put("/v2/app/manifests/none", At::Is(INDEX, nothing.to_string().into()));
    let why = node.pull(&format!("{name}:none")).await.unwrap_err().to_string();
    assert!(why.contains("no match for platform"), "{why}");
}

#[tokio::test]
async fn who_is_let_in_gets_it_and_nobody_else_sees_what_was_shown() {
    let (registry, elsewhere) = (Registry::start().await, Registry::start().await);
    registry.image("app", "v1", "one");
    let (path, layer) = registry.layer("/v2/app/manifests/v1");
    elsewhere.put("/content", At::Is("x/x", layer));
    registry.put(&path, At::Elsewhere(format!("http://{}/content", elsewhere.address)));
    *registry.login.lock().unwrap() = Some("ana:pw".to_owned());
    let node = Node::new();
    let image = format!("{}/app:v1", registry.address);
    let refused = node.pull(&image).await.unwrap_err().to_string();
    assert!(refused.contains("authentication required") || refused.contains("401"), "{refused}");
    assert!(node.is_empty());
    let text = format!(
        r#"{{"auths": {{"{0}/other": {{"username": "no", "password": "no"}}, "{0}": {{"username": "rui", "password": "x"}}}}}}"#,
        registry.address
    );
    let mut logins = Credentials::read(text.as_bytes()).unwrap();
    assert!(node.puller.pull(&node.store, &image, &logins).await.is_err());
    let text = format!(r#"{{"{}": {{"username": "ana", "password": "pw"}}}}"#, registry.address);
    logins.and(Credentials::read(text.as_bytes()).unwrap());
    node.puller.pull(&node.store, &image, &logins).await.unwrap();
    let asked = registry.asked.lock().unwrap().clone();
    assert!(
        asked.iter().any(|(path, _)| path.contains("scope=repository%3Aapp%3Apull")),
        "{asked:?}"
    );
    // Red when what is shown goes along: whoever a registry sends to could be it.
    let seen = elsewhere.asked.lock().unwrap().clone();
    assert_eq!(seen, [("/content".to_owned(), String::new())]);
}

#[tokio::test]
async fn what_is_cut_off_goes_on_where_it_was() {
    let registry = Registry::start().await;
    registry.image("app", "v1", &"x".repeat(1000));
    let (path, layer) = registry.layer("/v2/app/manifests/v1");
    registry.put(&path, At::Cut(layer, 256));
    let node = Node::new();
    node.pull(&format!("{}/app:v1", registry.address)).await.unwrap();
    assert!(registry.blobs_asked_for() > 2);
}

/// Red when anything is believed before its digest: whoever holds a registry, or the way to it, would choose what runs.
#[tokio::test]
async fn a_registry_that_lies_leaves_nothing() {
    let node = Node::new();
    let lied = async |what: &str, change: &dyn Fn(&Registry)| {
        let registry = Registry::start().await;
        registry.image("app", "v1", "one");
        change(&registry);
        let error = node.pull(&format!("{}/app:v1", registry.address)).await.unwrap_err();
        assert!(node.is_empty(), "{what}: {error}");
        error.to_string()
    };
    let why = lied("another layer", &|registry| {
        let (path, layer) = registry.layer("/v2/app/manifests/v1");
        let mut other = layer.to_vec();
        *other.last_mut().unwrap() ^= 1;
        registry.put(&path, At::Is("x/x", other.into()));
    });
    assert!(why.await.contains("does not match its digest"));
    let why = lied("a longer layer", &|registry| {
        let (path, layer) = registry.layer("/v2/app/manifests/v1");
        registry.put(&path, At::Is("x/x", [&layer[..], b"more"].concat().into()));
    });
    assert!(why.await.contains("more bytes"));
    let why = lied("an endless layer", &|registry| {
        let (path, _) = registry.layer("/v2/app/manifests/v1");
        registry.put(&path, At::Endless);
    });
    assert!(why.await.contains("more bytes"));
    let why = lied("a shorter layer", &|registry| {
        let (path, layer) = registry.layer("/v2/app/manifests/v1");
        registry.put(&path, At::Is("x/x", layer.slice(..10)));
    });
    assert!(why.await.contains("and should have"));
    let why = lied("an endless manifest", &|registry| {
        registry.put("/v2/app/manifests/v1", At::Endless);
    });
    assert!(why.await.contains("too large"));
    let why = lied("no manifest", &|registry| {
        registry.put("/v2/app/manifests/v1", At::Is(MANIFEST, "no json".into()));
    });
    assert!(why.await.contains("its manifest"));
    let why = lied("a climbing digest", &|registry| {
        let bad = json!({"schemaVersion": 2, "config": {"mediaType": "x/x", "digest": "sha256:../../../etc/passwd", "size": 1}, "layers": []});
        registry.put("/v2/app/manifests/v1", At::Is(MANIFEST, bad.to_string().into()));
    });
    assert!(!why.await.is_empty());
    let why = lied("more than any disk has", &|registry| {
        let manifest = registry.manifest("app", "one");
        let mut value: Value = serde_json::from_slice(&manifest).unwrap();
        value["layers"][0]["size"] = json!(1_u64 << 60);
        registry.put("/v2/app/manifests/v1", At::Is(MANIFEST, value.to_string().into()));
    });
    assert!(why.await.contains("there is room for"));
    let why = lied("a circle", &|registry| {
        registry.put("/v2/app/manifests/v1", At::Elsewhere("/v2/app/manifests/v1".to_owned()));
    });
    assert!(why.await.contains("without end"));
    // By its digest it is asked for, and another one answers.
    let registry = Registry::start().await;
    registry.image("app", "v1", "one");
    let other = digest(b"other");
    registry.put(
        &format!("/v2/app/manifests/{other}"),
        At::Is(MANIFEST, registry.manifest("app", "two")),
    );
    let why = node.pull(&format!("{}/app@{other}", registry.address)).await.unwrap_err();
    assert!(why.to_string().contains("does not match its digest"));
    assert!(node.is_empty());
}

#[tokio::test]
async fn nobody_there_no_such_image_and_no_name_are_told_apart() {
    let registry = Registry::start().await;
    let node = Node::new();
    let missing = node.pull(&format!("{}/app:v1", registry.address)).await.unwrap_err();
    assert!(
        matches!(&missing, PullError::Registry(Error::NotFound(why)) if why.contains("manifest unknown")),
        "{missing}"
    );
    let nobody = node.pull("127.0.0.1:1/app:v1").await.unwrap_err();
    assert!(matches!(nobody, PullError::Registry(Error::Unreachable { .. })), "{nobody}");
    assert!(matches!(node.pull("No:Name:At/All").await, Err(PullError::Reference(_))));
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_when_they_have_it_not() {
    let (mirror, registry) = (Registry::start().await, Registry::start().await);
    let name = &registry.address;
    let document = json!({"mirrors": {name: {"endpoint": [format!("http://{}", mirror.address)]}}});
    let node = Node::with(Registries::read(&document, |_| Err(String::new())).unwrap());
    registry.image("app", "v1", "own");
    node.pull(&format!("{name}/app:v1")).await.unwrap();
    assert!(!mirror.asked.lock().unwrap().is_empty());
    mirror.image("app", "v2", "mirrored");
    let asked = registry.asked.lock().unwrap().len();
    node.pull(&format!("{name}/app:v2")).await.unwrap();
    assert_eq!(registry.asked.lock().unwrap().len(), asked);
    // Red when the last to be asked is told of: why the mirror refused would be nobody's to know.
    let document =
        json!({"mirrors": {"127.0.0.1:1": {"endpoint": [format!("http://{}", mirror.address)]}}});
    let node = Node::with(Registries::read(&document, |_| Err(String::new())).unwrap());
    let why = node.pull("127.0.0.1:1/app:v3").await.unwrap_err().to_string();
    assert!(why.contains("manifest unknown"), "{why}");
}
