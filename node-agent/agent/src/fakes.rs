//! A runtime and an API for tests, in memory.
//!
//! Knows: what was asked, in order. Refuses to know: processes and sockets.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use leme_cri::{
    ExecOutput, ExecRequest, ExecSession, PortStream, Runtime, RuntimeError, RuntimeEvent,
};
use leme_node_core::cri::*;
use serde_json::{Value, json};
use tokio::sync::broadcast;

mod streams;

type Result<T> = leme_cri::Result<T>;

/// Runs nothing and says that it does.
#[derive(Debug)]
pub struct FakeRuntime {
    pub state: Mutex<FakeState>,
    /// What commands had to say.
    pub told: tokio::sync::watch::Sender<Vec<String>>,
    events: broadcast::Sender<RuntimeEvent>,
}

#[derive(Debug, Default)]
pub struct FakeState {
    pub sandboxes: BTreeMap<String, SandboxStatus>,
    pub containers: BTreeMap<String, ContainerStatus>,
    pub configs: HashMap<String, ContainerConfig>,
    pub calls: Vec<String>,
    pub images: Vec<String>,
    /// Bytes in writable layers.
    pub written: HashMap<String, u64>,
    next: u32,
}

impl FakeRuntime {
    pub fn new(images: &[&str]) -> Arc<Self> {
        let images = images.iter().map(|i| (*i).to_owned()).collect();
        let state = FakeState { images, ..FakeState::default() };
        Arc::new(Self {
            state: Mutex::new(state),
            told: tokio::sync::watch::Sender::default(),
            events: broadcast::channel(64).0,
        })
    }

    pub fn lock(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.state.lock().unwrap()
    }

    /// A container ends by itself.
    pub fn exit(&self, id: &str, code: i32) {
        if let Some(container) = self.lock().containers.get_mut(id) {
            container.state = ContainerState::Exited;
            container.exit_code = code;
            container.finished_at = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
        }
        let _ = self.events.send(RuntimeEvent::ContainerExited { id: id.to_owned() });
    }

    fn call(&self, text: String) {
        self.lock().calls.push(text);
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<(String, String)> {
        Ok(("fake".into(), "1".into()))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("s{}", state.next);
        state.calls.push(format!("run_sandbox {}", config.pod.name));
        let status = SandboxStatus {
            id: id.clone(),
            pod: config.pod.clone(),
            attempt: config.attempt,
            state: SandboxState::Ready,
            ip: "127.0.0.1".into(),
            created_at: 1,
            labels: config.labels.clone(),
        };
        state.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        self.call(format!("stop_sandbox {id}"));
        if let Some(sandbox) = self.lock().sandboxes.get_mut(id) {
            sandbox.state = SandboxState::NotReady;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.call(format!("remove_sandbox {id}"));
        let mut state = self.lock();
        state.sandboxes.remove(id);
        state.containers.retain(|_, c| c.sandbox_id != id);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        Ok(self.lock().sandboxes.values().cloned().collect())
    }

    async fn create_container(&self, sandbox: &str, config: &ContainerConfig) -> Result<String> {
        let mut state = self.lock();
        state.next += 1;
        let id = format!("c{}", state.next);
        state.calls.push(format!("create {} #{}", config.name, config.attempt));
        let status = ContainerStatus {
            id: id.clone(),
            sandbox_id: sandbox.into(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Created,
            pid: 0,
            created_at: 1,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            oom_killed: false,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            image_id: "sha256:1".into(),
            log_path: String::new(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        state.containers.insert(id.clone(), status);
        state.configs.insert(id.clone(), config.clone());
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let mut state = self.lock();
        let container =
            state.containers.get_mut(id).ok_or_else(|| RuntimeError::NotFound(id.into()))?;
        container.state = ContainerState::Running;
        container.started_at = 1_700_000_000_000_000_000;
        Ok(())
    }

    async fn stop_container(&self, id: &str, _grace: Duration) -> Result<()> {
        self.call(format!("stop {id}"));
        self.exit(id, 143);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.call(format!("remove {id}"));
        self.lock().containers.remove(id);
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        Ok(self.lock().containers.values().cloned().collect())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus> {
        let found = self.lock().containers.get(id).cloned();
        found.ok_or_else(|| RuntimeError::NotFound(id.into()))
    }

    async fn writable_layer(&self, id: &str) -> Result<u64> {
        Ok(self.lock().written.get(id).copied().unwrap_or(0))
    }

    async fn exec_sync(&self, _: &str, command: &[String], _: Duration) -> Result<ExecOutput> {
        let exit_code = i32::from(command.first().is_some_and(|c| c == "false"));
        Ok(ExecOutput { exit_code, ..ExecOutput::default() })
    }

    async fn exec(&self, _: &str, request: ExecRequest) -> Result<ExecSession> {
        Ok(streams::exec(request, self.told.clone()))
    }

    async fn attach(&self, _: &str, stdin: bool) -> Result<ExecSession> {
        Ok(streams::attach(stdin))
    }

    async fn port_forward(&self, _: &str, port: u16) -> Result<PortStream> {
        streams::port(port)
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        let found = self.lock().images.iter().any(|i| i == reference);
        Ok(found.then(|| Image { id: "sha256:1".into(), uid: Some(0), ..Image::default() }))
    }

    async fn images(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }

    async fn remove_image(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let events = self.events.subscribe();
        tokio_stream::wrappers::BroadcastStream::new(events)
            .filter_map(|e| async { e.ok() })
            .boxed()
    }
}

/// Objects by path, with list, watch, create, merge patch, replace and delete.
#[derive(Clone, Debug)]
pub struct FakeApi {
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    changes: broadcast::Sender<(String, &'static str, Value)>,
    pub deletes: Arc<Mutex<Vec<Value>>>,
    /// The object whose status it refuses, whatever it says.
    pub refuses: Arc<Mutex<String>>,
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

fn answer(code: u16, value: &Value) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}

impl FakeApi {
    pub fn new() -> Self {
        Self {
            objects: Arc::default(),
            changes: broadcast::channel(1000).0,
            deletes: Arc::default(),
            refuses: Arc::default(),
        }
    }

    pub fn client(&self) -> leme_client::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<leme_client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.serve(request).await) }
        });
        leme_client::Client::over(service)
    }

    /// Stores an object and tells watchers.
    pub fn put(&self, path: &str, value: Value) {
        let mut objects = self.objects.lock().unwrap();
        let kind = if objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        let mut value = value;
        value["metadata"]["resourceVersion"] = (objects.len() + 1).to_string().into();
        objects.insert(path.to_owned(), value.clone());
        let _ = self.changes.send((path.to_owned(), kind, value));
    }

    pub fn get(&self, path: &str) -> Value {
        self.objects.lock().unwrap().get(path).cloned().unwrap_or(Value::Null)
    }

    /// Everything whose path begins so.
    pub fn under(&self, prefix: &str) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        objects.iter().filter(|(p, _)| p.starts_with(prefix)).map(|(_, v)| v.clone()).collect()
    }

    pub fn remove(&self, path: &str) {
        if let Some(value) = self.objects.lock().unwrap().remove(path) {
            let _ = self.changes.send((path.to_owned(), "DELETED", value));
        }
    }

    async fn serve(&self, request: Request<leme_client::Body>) -> Response<Body> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "NotFound", "message": "not found", "code": 404});
        if method == Method::GET && query.contains("watch=true") {
            return self.watch(&path, &query);
        }
        let object = path.strip_suffix("/status").unwrap_or(&path);
        let known = self.get(object);
        match method {
            Method::GET if !known.is_null() => answer(200, &known),
            Method::GET if path.contains("/leases/") || path.contains("/nodes/") => {
                answer(404, &missing)
            }
            Method::GET => self.list(&path, &query),
            Method::POST => {
                let mut value = sent;
                let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                value["metadata"]["uid"] = format!("uid-{name}").into();
                self.put(&format!("{path}/{name}"), value.clone());
                answer(201, &value)
            }
            _ if known.is_null() => answer(404, &missing),
            Method::DELETE => {
                self.deletes.lock().unwrap().push(sent);
                self.remove(object);
                answer(200, &known)
            }
            Method::PATCH if *self.refuses.lock().unwrap() == object => answer(
                422,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": "Invalid", "message": "not so", "code": 422}),
            ),
            Method::PATCH => {
                let mut value = known;
                merge(&mut value, sent);
                self.put(object, value.clone());
                answer(200, &value)
            }
            _ => {
                self.put(object, sent.clone());
                answer(200, &sent)
            }
        }
    }

    fn list(&self, path: &str, query: &str) -> Response<Body> {
        let objects = self.objects.lock().unwrap();
        let listed = objects.iter().filter(|(p, _)| matches(path, query, p));
        let items: Vec<_> = listed.map(|(_, v)| v.clone()).collect();
        let metadata = json!({ "resourceVersion": "1" });
        let list =
            json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items });
        answer(200, &list)
    }

    fn watch(&self, path: &str, query: &str) -> Response<Body> {
        let (path, query) = (path.to_owned(), query.to_owned());
        let changes = tokio_stream::wrappers::BroadcastStream::new(self.changes.subscribe());
        let frames = changes.filter_map(move |change| {
            let change = change.ok().filter(|(p, _, _)| matches(&path, &query, p));
            let frame = change.map(|(_, kind, object)| Ok::<_, Infallible>(frame(kind, &object)));
            async move { frame }
        });
        let body = StreamBody::new(frames).boxed_unsync();
        Response::builder()
            .status(200)
            .header("content-type", "application/json")
            .body(body)
            .unwrap()
    }
}

/// Whether an object is in a collection, by path and by name.
fn matches(collection: &str, query: &str, object: &str) -> bool {
    let Some((parent, name)) = object.rsplit_once('/') else { return false };
    let all = collection
        .rsplit_once('/')
        .map(|(base, plural)| (format!("{base}/namespaces/"), format!("/{plural}")));
    let everywhere = all.is_some_and(|(base, plural)| {
        parent.starts_with(&base)
            && parent.ends_with(&plural)
            && !collection.contains("/namespaces/")
    });
    let wanted = query.split('&').find_map(|p| p.strip_prefix("fieldSelector=metadata.name%3D"));
    let wanted =
        wanted.or(query.split('&').find_map(|p| p.strip_prefix("fieldSelector=metadata.name=")));
    (parent == collection || everywhere) && wanted.is_none_or(|n| n == name)
}

fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[&key], value);
        }
    }
}

/// An event of a watch as servers write it: the type comes first.
fn frame(kind: &str, object: &Value) -> http_body::Frame<Bytes> {
    http_body::Frame::data(Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")))
}
