//! The runtime against an API that answers by script: resuming, listing again, slow start, conflicts, events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use leme_client::Body;
use leme_controller_runtime::{Brake, Client, Executor, Informer, Recorder, Resource};
use leme_lister::Lister;
use leme_plan::{Action, Failure, ObjectRef, OutcomeEvents, Plan, Propagation, Report};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Method, path with query, body.
type Call = (String, String, Value);
type Calls = Arc<Mutex<Vec<Call>>>;

/// A client whose requests are answered by `answer` and written down.
fn client(answer: impl Fn(&Call) -> (u16, String) + Send + Sync + 'static) -> (Client, Calls) {
    let calls = Calls::default();
    let (kept, answer) = (calls.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (kept, answer) = (kept.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.map_err(std::io::Error::other)?;
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            let call = (parts.method.to_string(), parts.uri.to_string(), body);
            let (status, text) = answer(&call);
            kept.lock().unwrap().push(call);
            let response = Response::builder().status(status).body(Body::from(text.into_bytes()));
            Ok::<_, std::io::Error>(response.unwrap())
        }
    });
    (Client::over(service), calls)
}

fn maps() -> Resource {
    Resource {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
        namespaced: true,
    }
}

fn map(name: &str, version: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": name, "namespace": "n", "uid": name, "resourceVersion": version.to_string()}})
}

fn status(code: u16, reason: &str, message: &str) -> String {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message})
    .to_string()
}

fn list(version: u32, items: &[Value]) -> String {
    json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string()},
        "items": items})
    .to_string()
}

#[tokio::test(start_paused = true)]
async fn an_informer_resumes_and_lists_again_only_when_it_must() {
    let lists = Mutex::new(vec![
        list(20, &[map("b", 6), map("c", 15)]),
        list(
            5,
            &[map("a", 3), json!({"metadata": {"name": "odd", "resourceVersion": "4"}, "data": 7})],
        ),
    ]);
    let (client, calls) = client(move |(_, path, _)| {
        let event =
            |kind: &str, object: Value| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        if !path.contains("watch=true") {
            return (200, lists.lock().unwrap().pop().expect("a list too many"));
        }
        if path.ends_with("resourceVersion=5") {
            let bookmark = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"resourceVersion": "9", "creationTimestamp": null}});
            return (200, event("ADDED", map("b", 6)) + &event("BOOKMARK", bookmark));
        }
        if path.ends_with("resourceVersion=9") {
            return (410, status(410, "Expired", "too old resource version"));
        }
        (200, String::new())
    });
    let lister = Lister::<ConfigMap>::new(maps(), |json| serde_json::from_str(json), &[]);
    let informer = Informer::new(lister.clone());
    let (changed, seen) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let (log, done) = (changed.clone(), seen.clone());
    lister.on_change(Box::new(move |key, old, new| {
        let word = match (old, new) {
            (None, Some(_)) => "added",
            (Some(_), Some(_)) => "changed",
            _ => "deleted",
        };
        log.lock().unwrap().push(format!("{word} {}", key.1));
        if key.1 == "a" && new.is_none() {
            done.cancel();
        }
    }));
    let token = CancellationToken::new();
    let task = tokio::spawn(informer.clone().run(client, token.clone()));
    seen.cancelled().await;
    token.cancel();
    task.await.unwrap();
    let changed = changed.lock().unwrap().clone();
    assert_eq!(
        changed,
        ["added a", "added b", "added c", "deleted a"],
        "what cannot be read is left out"
    );
    let listed =
        calls.lock().unwrap().iter().filter(|(_, path, _)| !path.contains("watch")).count();
    assert_eq!(listed, 2);
    assert!(lister.get("n", "b").is_some() && lister.get("n", "a").is_none());
}

struct Bench {
    executor: Executor,
    calls: Calls,
    _token: tokio_util::sync::DropGuard,
}

fn bench(answer: impl Fn(&Call) -> (u16, String) + Send + Sync + 'static) -> Bench {
    let (client, calls) = client(answer);
    let token = CancellationToken::new();
    let (recorder, record) = Recorder::new(client.clone(), 16, token.clone());
    tokio::spawn(record);
    let resolve = Arc::new(|_: &str, kind: &str| (kind == "ConfigMap").then(maps));
    let executor = Executor::new(client, resolve, recorder, HashMap::new());
    Bench { executor, calls, _token: token.drop_guard() }
}

fn create(name: &str) -> Action {
    let told = OutcomeEvents {
        about: ObjectRef { name: "owner".to_owned(), ..ObjectRef::default() },
        done: ("Made", "made {name}".into()),
        failed: ("Failed", "not made: {error}".into()),
    };
    Action::Create { object: leme_plan::action::to_object(&map(name, 0)), told: Some(told) }
}

fn paths(calls: &Calls, method: &str) -> usize {
    let calls = calls.lock().unwrap();
    calls.iter().filter(|(one, path, _)| one == method && !path.contains("/events")).count()
}

#[tokio::test]
async fn creates_start_slowly_and_stop_at_a_failure() {
    let bench = bench(|(_, path, body)| match body["metadata"]["name"].as_str() {
        Some("m2") if !path.contains("/events") => {
            (403, status(403, "Forbidden", "exceeded quota"))
        }
        _ => (201, body.to_string()),
    });
    let actions = (0..50).map(|number| create(&format!("m{number}"))).collect();
    let plan = Plan { actions, ..Plan::default() };
    let outcome = bench.executor.execute("test", &plan, None).await;
    let failure = Failure { reason: "Failed".to_owned(), message: "exceeded quota".to_owned() };
    assert_eq!(outcome.failure, Some(failure));
    assert_eq!(paths(&bench.calls, "POST"), 3, "one, then two, of which the second fails");
}

#[tokio::test]
async fn conflicts_drop_the_rest_and_what_is_gone_is_done() {
    let bench = bench(|(method, path, body)| match (method.as_str(), path.rsplit('/').next()) {
        ("PATCH", Some("gone")) => (404, status(404, "NotFound", "not found")),
        ("PATCH", Some("moved")) => (409, status(409, "Conflict", "modified")),
        _ => (200, body.to_string()),
    });
    let patch = |name: &str| {
        let target = ObjectRef::of_meta("v1", "ConfigMap", &meta(name));
        Action::patch(target, json!({"data": {"a": "b"}}))
    };
    let plan =
        Plan { actions: vec![patch("gone"), patch("moved"), patch("never")], ..Plan::default() };
    let outcome = bench.executor.execute("test", &plan, None).await;
    assert!(outcome.stale && outcome.failure.is_none());
    let calls = bench.calls.lock().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].2["metadata"]["uid"], "gone", "preconditions are sent");
}

fn meta(name: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
    serde_json::from_value(map(name, 3)["metadata"].clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_brake_holds_a_mass_delete() {
    let bench = bench(|_| (200, map("x", 1).to_string()));
    let delete = |number: u32| Action::Delete {
        target: ObjectRef::of_meta("v1", "ConfigMap", &meta(&format!("m{number}"))),
        grace: None,
        propagation: Propagation::Background,
        told: None,
    };
    let brake = Brake::new(20, 1);
    let mut left = 30;
    let start = tokio::time::Instant::now();
    for _ in 0..100 {
        let plan = Plan { actions: (0..left).map(delete).collect(), ..Plan::default() };
        let before = paths(&bench.calls, "DELETE");
        let outcome = bench.executor.execute("test", &plan, Some(&brake)).await;
        let done = u32::try_from(paths(&bench.calls, "DELETE") - before).unwrap();
        left -= done;
        let Some(wait) = outcome.braked else { break };
        assert!(done <= 20);
        tokio::time::sleep(wait).await;
    }
    assert_eq!(left, 0, "slowly, but all");
    assert!(start.elapsed().as_secs() >= 9);
}

/// Red when a refusal of which no action tells is in the log alone, and when it is told at each round.
#[tokio::test]
async fn a_refused_write_is_told_of() {
    let bench = bench(|(method, _, body)| match method.as_str() {
        "PATCH" => (422, status(422, "Invalid", "data: too long")),
        _ => (201, body.to_string()),
    });
    let target = ObjectRef::of_meta("v1", "ConfigMap", &meta("m"));
    let mut plan = Plan { report: Report::about(target.clone()), ..Plan::default() };
    plan.act(Action::patch(target, json!({"data": {"a": "b"}})));
    for _ in 0..2 {
        bench.executor.execute("test", &plan, None).await;
        while !bench.calls.lock().unwrap().iter().any(|(_, path, _)| path.contains("/events")) {
            tokio::task::yield_now().await;
        }
    }
    let calls = bench.calls.lock().unwrap();
    let events: Vec<&Value> =
        calls.iter().filter(|call| call.1.contains("/events")).map(|call| &call.2).collect();
    assert_eq!(events.len(), 1);
    let told = ["type", "reason", "message"].map(|field| events[0][field].as_str().unwrap_or(""));
    assert_eq!(told, ["Warning", "ReconcileError", "data: too long"]);
}
