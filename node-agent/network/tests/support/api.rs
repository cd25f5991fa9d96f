//! An API server that is a map: lists, watches and merge-patches the status of what a test puts in.
// A test puts in what it counts: nothing here grows by itself.
#![allow(clippy::disallowed_types)]

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use leme_client::{Body, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// Events that may wait for a watcher; one that does not keep up loses its watch, as with a real server.
const WAITING: usize = 1024;

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<(String, String, String), Value>,
    log: Vec<(u64, String, Bytes)>,
    watchers: Vec<(String, mpsc::Sender<Bytes>)>,
    patches: usize,
}

/// The API, as the test sees it.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

impl Api {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// A client of this API.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::over(service)
    }

    /// Creates or replaces an object.
    pub fn put(&self, plural: &str, object: Value) {
        self.state().put(plural, object);
    }

    /// Deletes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut state = self.state();
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut object = state.objects.remove(&key).expect("the object exists");
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.publish(plural, "DELETED", &object);
    }

    /// An object as it is now.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Value {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state().objects.get(&key).cloned().unwrap_or_default()
    }

    /// All objects of a kind.
    pub fn all(&self, plural: &str) -> Vec<Value> {
        let state = self.state();
        let of = state.objects.iter().filter(|(key, _)| key.0 == plural);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// How many patches were made.
    pub fn patches(&self) -> usize {
        self.state().patches
    }

    /// A service in the namespace `ns`, and a slice with these ready endpoints for its ports.
    pub fn put_service(&self, name: &str, spec: Value) {
        self.put("services", json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec}));
    }

    /// The endpoints of a service in the namespace `ns`, on one TCP port called `http`.
    pub fn put_endpoints(&self, service: &str, port: u16, addresses: &[std::net::Ipv4Addr]) {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}}))
            .collect();
        self.put(
            "endpointslices",
            json!({"metadata": {"namespace": "ns", "name": format!("{service}-1"),
                    "labels": {"kubernetes.io/service-name": service}},
                "addressType": "IPv4", "ports": [{"name": "http", "protocol": "TCP", "port": port}],
                "endpoints": endpoints}),
        );
    }

    async fn answer(&self, request: Request<Body>) -> Response<AnswerBody> {
        let path: Vec<String> = request.uri().path().split('/').map(str::to_owned).collect();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if request.method() == Method::PATCH {
            let [.., scope, namespace, plural, name, _status] = &path[..] else {
                return status(404);
            };
            let namespace = if scope == "namespaces" { namespace.as_str() } else { "" };
            let key = (plural.clone(), namespace.to_owned(), name.clone());
            let patch = request.into_body().collect().await.unwrap().to_bytes();
            return self.patch(key, &serde_json::from_slice(&patch).unwrap());
        }
        let plural = path.last().cloned().unwrap_or_default();
        if request.method() == Method::POST {
            let object = request.into_body().collect().await.unwrap().to_bytes();
            self.put(&plural, serde_json::from_slice(&object).unwrap());
            return body(String::from_utf8_lossy(&object).into_owned());
        }
        match query.contains("watch=true") {
            true => self.watch(plural, &query),
            false => self.list(&plural),
        }
    }

    fn patch(&self, key: (String, String, String), patch: &Value) -> Response<AnswerBody> {
        // Nobody comes between the look and the write.
        let mut state = self.state();
        let mut object = match state.objects.get(&key) {
            Some(object) => object.clone(),
            None => return status(404),
        };
        if object["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"] {
            return status(409);
        }
        object["status"] = patch["status"].clone();
        state.patches += 1;
        body(state.put(&key.0, object).to_string())
    }

    fn list(&self, plural: &str) -> Response<AnswerBody> {
        let state = self.state();
        let items: Vec<&Value> =
            state.objects.iter().filter(|(key, _)| key.0 == plural).map(|(_, v)| v).collect();
        body(
            json!({"metadata": {"resourceVersion": state.version.to_string()}, "items": items})
                .to_string(),
        )
    }

    fn watch(&self, plural: String, query: &str) -> Response<AnswerBody> {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let since: u64 = since.and_then(|text| text.parse().ok()).unwrap_or(0);
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut state = self.state();
        let missed =
            state.log.iter().filter(|(version, kind, _)| *version > since && *kind == plural);
        let missed: Vec<Bytes> = missed.map(|(_, _, line)| line.clone()).collect();
        state.watchers.push((plural, sender));
        let frames = stream::iter(missed).chain(receiver).map(|line| Ok(Frame::data(line)));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

impl State {
    /// Creates or replaces an object; as it is then.
    fn put(&mut self, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = (plural.to_owned(), text("namespace"), text("name"));
        let old = self.objects.insert(key, object.clone());
        self.publish(plural, if old.is_some() { "MODIFIED" } else { "ADDED" }, &object);
        object
    }

    fn publish(&mut self, plural: &str, kind: &str, object: &Value) {
        // As servers write it: the type comes first.
        let line = Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"));
        self.log.push((self.version, plural.to_owned(), line.clone()));
        self.watchers.retain_mut(|(watched, sender)| {
            watched != plural || sender.try_send(line.clone()).is_ok()
        });
    }
}

fn body(text: String) -> Response<AnswerBody> {
    let frames = stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn status(code: u16) -> Response<AnswerBody> {
    let text = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": "no", "reason": "No"});
    let mut answer = body(text.to_string());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
