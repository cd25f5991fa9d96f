//! What one client, or all of them, cannot do to the server: each test is one way to hold or to cost too much.

mod common;

use bytes::Bytes;
use common::*;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leme_server::{Answer, Identity, InFlightLimits};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

fn person() -> Identity {
    Identity::of_certificate("jo", Vec::new())
}

async fn ask(api: &Harness, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    ask_as(api, node(), method, path, body).await
}

async fn ask_as(
    api: &Harness,
    who: Identity,
    method: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> Answer {
    let body = http_body_util::Full::new(body.into());
    let request = Request::builder().method(method).uri(path).body(body).unwrap();
    api.server.local_service(who).call(request).await.unwrap()
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
async fn a_write_too_many_waits_for_its_turn() {
    let api = one_at_a_time().await;
    let (send, receive) =
        futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::io::Error>>();
    let slow =
        Request::builder().method("POST").uri(EVENTS).body(StreamBody::new(receive)).unwrap();
    let mut slow = Box::pin(api.server.local_service(node()).call(slow));
    assert!(futures::poll!(&mut slow).is_pending());
    let mut second = Box::pin(ask(&api, "POST", EVENTS, event("b")));
    assert!(futures::poll!(&mut second).is_pending());
    // Watches, administrators, and people of other levels are not held up by it.
    let watch = ask(&api, "GET", "/api/v1/services?watch=true", "").await;
    assert_eq!(watch.status(), 200);
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    assert_eq!(ask_as(&api, person(), "GET", "/version", "").await.status(), 200);
    assert!(futures::poll!(&mut second).is_pending());
    send.unbounded_send(Ok(Frame::data(event("a").into()))).unwrap();
    drop(send);
    assert_eq!(slow.await.unwrap().status(), 201);
    assert_eq!(second.await.status(), 201);
}

/// Red when a seat is given back with the head of the answer.
#[tokio::test]
async fn a_read_is_under_way_until_its_answer_is_taken() {
    let api = one_at_a_time().await;
    let services = "/api/v1/services";
    let answer = ask(&api, "GET", services, "").await;
    assert_eq!(answer.status(), 200);
    let mut second = Box::pin(ask(&api, "GET", services, ""));
    assert!(futures::poll!(&mut second).is_pending());
    let watch = ask(&api, "GET", "/api/v1/services?watch=true", "").await;
    assert_eq!(watch.status(), 200);
    assert_too_many(ask(&api, "GET", "/api/v1/services?watch=true", "").await).await;
    drop(answer);
    assert_eq!(second.await.status(), 200);
}

/// Red when the objects are kept and nothing is sorted by them.
#[tokio::test]
async fn requests_are_sorted_as_objects_say() {
    const FLOW: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let api = one_at_a_time().await;
    let level = json!({"metadata": {"name": "strict"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}});
    let level = api.post(&format!("{FLOW}/prioritylevelconfigurations"), &level).await.ok();
    let schema = json!({"metadata": {"name": "jo"}, "spec": {
        "priorityLevelConfiguration": {"name": "strict"}, "matchingPrecedence": 50,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "jo"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version"]}]}]}});
    let schema = api.post(&format!("{FLOW}/flowschemas"), &schema).await.ok();
    let lost = json!({"metadata": {"name": "lost"}, "spec": {
        "priorityLevelConfiguration": {"name": "nowhere"}, "matchingPrecedence": 60}});
    api.post(&format!("{FLOW}/flowschemas"), &lost).await.ok();
    for (name, dangling) in [("jo", "False"), ("lost", "True"), ("exempt", "False")] {
        let path = format!("{FLOW}/flowschemas/{name}");
        for attempt in 0.. {
            let told = api.get(&path).await.ok()["status"]["conditions"][0].clone();
            if told["type"] == "Dangling" && told["status"] == dangling {
                break;
            }
            assert!(attempt < 600, "{name}: {told}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let uid = |object: &serde_json::Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    for attempt in 0.. {
        let held = ask_as(&api, person(), "GET", "/version", "").await;
        let headers = held.headers();
        let of = |name: &str| {
            headers.get(name).and_then(|uid| uid.to_str().ok()).unwrap_or("").to_owned()
        };
        if of("x-kubernetes-pf-flowschema-uid") == uid(&schema) {
            assert_eq!(of("x-kubernetes-pf-prioritylevel-uid"), uid(&level));
            assert_too_many(ask_as(&api, person(), "GET", "/version", "").await).await;
            drop(held);
            assert_eq!(ask_as(&api, person(), "GET", "/version", "").await.status(), 200);
            return;
        }
        assert!(attempt < 600, "the new schema never counts");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Sends the text, then `filler` bytes more, and reads until the peer ends or has nothing more to say.
async fn exchange(api: &Harness, text: &str, filler: usize) -> String {
    let mut stream = api.connect(true, b"http/1.1").await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let piece = vec![b' '; 64 * 1024];
    for at in (0..filler).step_by(piece.len()) {
        stream.write_all(&piece[..piece.len().min(filler - at)]).await.unwrap();
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The Status at the end of an HTTP/1.1 answer.
fn status_of(answer: &str) -> serde_json::Value {
    let body = answer.split_once("\r\n\r\n").expect(answer).1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Red when what is too large is not taken in: the connection is reset before the answer is read.
#[tokio::test]
async fn a_body_far_too_large_is_a_413_that_can_be_read() {
    let api = Harness::start().await;
    const SIZE: usize = 50_000_000;
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n"
    );
    let status = status_of(&exchange(&api, &head, SIZE).await);
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(413), &json!("RequestEntityTooLarge"))
    );
    assert_eq!(status["message"], "Request entity too large: limit is 3145728");
}

/// Red when the body is read before it is looked at: the client is told to go on.
#[tokio::test]
async fn a_client_that_asks_first_is_not_told_to_send_what_is_too_large() {
    let api = Harness::start().await;
    let head = format!(
        "POST {CONFIG_MAPS} HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 50000000\r\n\r\n"
    );
    let answer = exchange(&api, &head, 0).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

/// Red without the word: the connection ends, and the client does not know why.
#[tokio::test]
async fn an_answer_before_the_body_says_that_it_is_the_last() {
    let api = Harness::start().await;
    let head =
        "POST /apis/no.such/v1/things HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\n";
    let answer = exchange(&api, head, 500_000).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // A small body is read first, and the connection goes on.
    let small = "POST /apis/no.such/v1/things HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n{ }";
    let last = "GET /version HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let answers = exchange(&api, &format!("{small}{last}"), 0).await;
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 OK"), "{answers}");
}

/// Red when the answer comes first: over HTTP/2 the stream is then reset, and some clients see only that.
#[tokio::test]
async fn a_small_body_is_taken_in_before_an_early_answer() {
    let api = Harness::start().await;
    let (send, receive) =
        futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, std::io::Error>>();
    let request = Request::builder().method("POST").uri("/apis/no.such/v1/things");
    let mut call = Box::pin(api.admin().call(request.body(StreamBody::new(receive)).unwrap()));
    send.unbounded_send(Ok(Frame::data(Bytes::from_static(b"{")))).unwrap();
    assert!(futures::poll!(&mut call).is_pending());
    drop(send);
    assert_eq!(call.await.unwrap().status(), 404);
}

/// Header bomb. Red when the refusal is left to the connection, which has no Status.
#[tokio::test]
async fn a_head_too_large_is_431_with_a_status() {
    let api = Harness::start().await;
    let bomb = |size: usize| {
        format!(
            "GET /version HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-bomb: {}\r\n\r\n",
            "x".repeat(size)
        )
    };
    let status = status_of(&exchange(&api, &bomb(100_000), 0).await);
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(431)));
    assert!(exchange(&api, &bomb(1_000_000), 0).await.starts_with("HTTP/1.1 431 "));
    assert!(exchange(&api, &bomb(10_000), 0).await.starts_with("HTTP/1.1 200 "));
}

/// CVE-2023-44487 for those who are nobody. Red when the connection stays: the sender stays ready.
#[tokio::test]
async fn a_stranger_is_shown_the_door_over_http2() {
    let api = Harness::start().await;
    let io = TokioIo::new(api.connect(false, b"h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get("https://localhost/api/v1/pods").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 401);
    answer.into_body().collect().await.unwrap();
    let ended = async {
        while sender.ready().await.is_ok() && !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

type Sender = hyper::client::conn::http2::SendRequest<Empty<Bytes>>;

async fn http2(api: &Harness, window: Option<u32>) -> Sender {
    let io = TokioIo::new(api.connect(true, b"h2").await);
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) =
        builder.initial_stream_window_size(window).handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Opens so many requests for a path whose answers are not read, or until the connection is cut; and the most bytes that
/// waited meanwhile.
async fn unread(
    api: &Harness,
    sender: &mut Sender,
    path: &str,
    count: usize,
) -> (Vec<http::Response<hyper::body::Incoming>>, usize) {
    let (mut open, mut most) = (Vec::new(), 0);
    for _ in 0..count {
        let request = Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap();
        match (sender.ready().await, sender.send_request(request).await) {
            (Ok(()), Ok(answer)) => open.push(answer),
            _ => break,
        }
        most = most.max(api.server.buffered());
    }
    (open, most)
}

async fn closed(sender: &Sender) {
    let closed = async {
        while !sender.is_closed() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}

async fn maps(api: &Harness, count: usize, size: usize) {
    for n in 0..count {
        let mut map = config_map(&format!("m{n}"));
        map["data"]["k"] = "v".repeat(size).into();
        api.post(CONFIG_MAPS, &map).await.ok();
    }
}

/// A window of zero over many LISTs. Red when nobody is cut: the last LIST waits for room for ever; and when pieces are
/// not counted, nothing is buffered.
#[tokio::test]
async fn answers_that_nobody_reads_give_way_to_those_that_are_read() {
    const BUDGET: usize = 1024 * 1024;
    let api = Harness::with(|config| config.buffered_bytes = BUDGET).await;
    maps(&api, 100, 10_000).await;
    let mut slow = http2(&api, Some(0)).await;
    let (answers, most) = unread(&api, &mut slow, CONFIG_MAPS, 50).await;
    assert!((BUDGET / 4..=BUDGET).contains(&most), "{most}");
    let mut sender = http2(&api, None).await;
    let answer = unread(&api, &mut sender, CONFIG_MAPS, 1).await.0.remove(0);
    let read = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap();
    let list: serde_json::Value = serde_json::from_slice(&read.to_bytes()).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 100);
    closed(&slow).await;
    drop(answers);
}

/// Watches that are never read. Red when what they are told first is not counted: nothing is buffered.
#[tokio::test]
async fn watches_that_nobody_reads_hold_no_more_than_the_budget() {
    const BUDGET: usize = 1024 * 1024;
    let api = Harness::with(|config| config.buffered_bytes = BUDGET).await;
    maps(&api, 30, 10_000).await;
    let mut slow = http2(&api, Some(0)).await;
    let path = format!("{CONFIG_MAPS}?watch=true");
    let (watches, most) = unread(&api, &mut slow, &path, 50).await;
    assert!((BUDGET / 4..=BUDGET).contains(&most), "{most}");
    closed(&slow).await;
    drop(watches);
    let all_is_back = async {
        while api.server.buffered() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_is_back).await.unwrap();
}

/// Red when only their age counts: all of them stay.
#[tokio::test]
async fn events_are_bounded_in_number_and_the_newest_stay() {
    let limits = leme_server::EventLimits { in_all: 100, in_namespace: 50 };
    let api = Harness::with(|config| config.events = limits).await;
    let mut watch = api.watch(&format!("{EVENTS}?watch=true")).await;
    for n in 0..200 {
        let made = ask(&api, "POST", EVENTS, event(&format!("e{n}"))).await;
        assert_eq!(made.status(), 201);
    }
    let (mut added, mut deleted) = (0, 0);
    while added < 200 || added - deleted > 150 {
        match watch.named().await.0.as_str() {
            "ADDED" => added += 1,
            "DELETED" => deleted += 1,
            other => panic!("{other}"),
        }
    }
    let left = api.get(EVENTS).await.ok();
    let items = left["items"].as_array().unwrap();
    let named = |name: &str| items.iter().any(|event| event["metadata"]["name"] == name);
    assert!(named("e199") && !named("e0"));
}

/// CVE-2020-8552. Red when a count is kept for each path, method or client that was seen.
#[tokio::test]
async fn no_metric_grows_with_what_clients_send() {
    let api = Harness::start().await;
    let names = |text: &[u8]| -> Vec<String> {
        let lines = std::str::from_utf8(text).unwrap().lines();
        let samples = lines.filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let hostile = async |n: usize| {
        let agent = format!("agent-{n}");
        for path in [format!("/hostile-{n}"), format!("{CONFIG_MAPS}/hostile-{n}?hostile-{n}=x")] {
            for method in ["GET", "POST", "HOSTILE"] {
                api.raw(method, &path, &[("user-agent", &agent)], b"").await;
            }
        }
    };
    hostile(0).await;
    let before = names(&api.get("/metrics").await.body);
    assert!(before.contains(&"leme_buffered_bytes".to_owned()), "{before:?}");
    for n in 1..50 {
        hostile(n).await;
    }
    assert_eq!(names(&api.get("/metrics").await.body), before);
}
