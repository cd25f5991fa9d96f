//! An API for tests, in memory.
//!
//! Knows: objects by path. Refuses to know: kinds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::broadcast;

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
            Method::GET if is_one(&path) => answer(404, &missing),
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

/// Whether a path is of one object.
fn is_one(path: &str) -> bool {
    ["/leases/", "/nodes/", "/csinodes/", "/volumeattachments/"]
        .iter()
        .any(|one| path.contains(one))
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
