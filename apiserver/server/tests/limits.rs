//! What one client, or all of them, cannot do to the server: each test is one way to hold or to cost too much.

mod common;

use bytes::Bytes;
use common::*;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use leme_server::{Answer, Identity, InFlightLimits};
use serde_json::json;
use tower_service::Service;

const EVENTS: &str = "/api/v1/namespaces/default/events";

async fn one_at_a_time() -> Harness {
    Harness::with(|config| {
        config.in_flight = InFlightLimits { read_only: 1, mutating: 1, watches: 1, streams: 1 };
    })
    .await
}

fn node() -> Identity {
    Identity::of_certificate("system:node:n1", vec!["system:nodes".to_owned()])
}

async fn ask(api: &Harness, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    let body = http_body_util::Full::new(body.into());
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    api.server.local_service(node()).call(request).await.unwrap()
}

async fn assert_too_many(answer: Answer) {
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["message"], "Too many requests, please try again later.");
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(status["details"], json!({ "retryAfterSeconds": 1 }));
}

fn event(name: &str) -> String {
    json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": name },
        "involvedObject": { "kind": "Pod", "namespace": "default", "name": "p" }, "reason": "R" })
    .to_string()
}

/// Red without the seats: the second write is taken while the first is under way.
#[tokio::test]
async fn a_write_too_many_is_429_until_one_has_ended() {
    let api = one_at_a_time().await;
    let (send, receive) =
        futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::io::Error>>();
    let slow =
        Request::builder().method("POST").uri(EVENTS).body(StreamBody::new(receive)).unwrap();
    let mut slow = Box::pin(api.server.local_service(node()).call(slow));
    assert!(futures::poll!(&mut slow).is_pending());
    assert_too_many(ask(&api, "POST", EVENTS, event("b")).await).await;
    // Reads, watches and administrators are not held up by it.
    assert_eq!(ask(&api, "GET", "/version", "").await.status(), 200);
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    send.unbounded_send(Ok(Frame::data(event("a").into()))).unwrap();
    drop(send);
    assert_eq!(slow.await.unwrap().status(), 201);
    assert_eq!(ask(&api, "POST", EVENTS, event("b")).await.status(), 201);
}

/// Red when a seat is given back with the head of the answer.
#[tokio::test]
async fn a_read_is_under_way_until_its_answer_is_taken() {
    let api = one_at_a_time().await;
    let services = "/api/v1/services";
    let answer = ask(&api, "GET", services, "").await;
    assert_eq!(answer.status(), 200);
    assert_too_many(ask(&api, "GET", services, "").await).await;
    drop(answer);
    let watch = ask(&api, "GET", "/api/v1/services?watch=true", "").await;
    assert_eq!(watch.status(), 200);
    assert_too_many(ask(&api, "GET", "/api/v1/services?watch=true", "").await).await;
    assert_eq!(ask(&api, "GET", services, "").await.status(), 200);
}
