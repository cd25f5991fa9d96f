//! The audit log: what is told of requests, in upstream's words, and what never is.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::*;
use leme_server::{AuditConfig, AuditKept};
use serde_json::{Value, json};

/// A server that tells as these rules say, and the file it tells in.
async fn telling(rules: Value) -> (Harness, tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("audit.log");
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules});
    let kept = AuditKept { days: 0, files: 0, bytes: 1 << 20 };
    let config = AuditConfig { policy, log: log.clone(), kept };
    let api = Harness::with(|server| server.audit = Some(config)).await;
    (api, dir, log)
}

fn told(log: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn only(events: &[Value], stage: &str) -> Value {
    let of: Vec<&Value> = events.iter().filter(|event| event["stage"] == stage).collect();
    assert_eq!(of.len(), 1, "{events:?}");
    of[0].clone()
}

#[tokio::test]
async fn each_request_is_told_as_the_policy_says() {
    let rules = json!([
        {"level": "Request", "resources": [{"resources": ["services"]}], "verbs": ["create"]},
        {"level": "RequestResponse", "resources": [{"resources": ["pods"]}], "omitManagedFields": true},
        {"level": "Metadata", "resources": [{"resources": ["namespaces"]}], "omitStages": ["RequestReceived"]},
    ]);
    let (api, _dir, log) = telling(rules).await;
    let headers = [("audit-id", "one"), ("user-agent", "test/1")];
    api.raw("GET", "/api/v1/namespaces/missing?pretty=true", &headers, b"").await;
    let event = only(&told(&log), "ResponseComplete");
    assert_eq!(event["kind"], "Event");
    assert_eq!(event["apiVersion"], "audit.k8s.io/v1");
    assert_eq!((&event["level"], &event["auditID"]), (&json!("Metadata"), &json!("one")));
    assert_eq!(event["requestURI"], "/api/v1/namespaces/missing?pretty=true");
    assert_eq!((&event["verb"], &event["userAgent"]), (&json!("get"), &json!("test/1")));
    let groups = json!(["system:masters", "system:authenticated"]);
    assert_eq!(event["user"], json!({"username": "kubernetes-admin", "groups": groups}));
    let about = json!({"resource": "namespaces", "namespace": "missing", "name": "missing", "apiVersion": "v1"});
    assert_eq!(event["objectRef"], about);
    let status = &event["responseStatus"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(404), &json!("NotFound")));
    assert_eq!(status["message"], "namespaces \"missing\" not found");
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    let times =
        ["requestReceivedTimestamp", "stageTimestamp"].map(|time| event[time].as_str().unwrap());
    assert!(times[0] <= times[1] && times[0].len() == "2026-01-01T00:00:00.000000Z".len());

    std::fs::write(&log, "").unwrap();
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    api.post("/api/v1/namespaces/default/services", &service).await.ok();
    let events = told(&log);
    assert_eq!(only(&events, "RequestReceived").get("requestObject"), None);
    let event = only(&events, "ResponseComplete");
    assert_eq!(event["requestObject"], service);
    assert_eq!(
        (&event["responseStatus"]["code"], event.get("responseObject")),
        (&json!(201), None)
    );

    std::fs::write(&log, "").unwrap();
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post("/api/v1/namespaces/default/pods", &pod).await.ok();
    let event = only(&told(&log), "ResponseComplete");
    assert_eq!(event["responseObject"]["status"]["phase"], "Pending");
    assert_eq!(event["responseObject"]["metadata"].get("managedFields"), None);
    std::fs::write(&log, "").unwrap();
    api.get("/api/v1/namespaces/default/pods").await.ok();
    let event = only(&told(&log), "ResponseComplete");
    assert_eq!(event["responseObject"]["items"][0]["metadata"]["name"], "p");

    std::fs::write(&log, "").unwrap();
    api.post(CONFIG_MAPS, &config_map("nobody-asked")).await.ok();
    assert_eq!(told(&log), Vec::<Value>::new());
}

#[tokio::test]
async fn a_watch_is_told_when_it_begins_and_when_it_ends() {
    let (api, _dir, log) = telling(json!([{"level": "Metadata", "verbs": ["watch"]}])).await;
    let watch = api.watch("/api/v1/namespaces/default/pods?watch=true").await;
    assert_eq!(only(&told(&log), "ResponseStarted")["responseStatus"]["code"], 200);
    assert!(!told(&log).iter().any(|event| event["stage"] == "ResponseComplete"));
    drop(watch);
    for _ in 0..600 {
        if told(&log).iter().any(|event| event["stage"] == "ResponseComplete") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("its end is not told");
}

#[tokio::test]
async fn who_acts_for_whom_is_told_and_who_is_nobody() {
    let (api, _dir, log) =
        telling(json!([{"level": "Metadata", "omitStages": ["RequestReceived"]}])).await;
    std::fs::write(&log, "").unwrap();
    let pods = "/api/v1/namespaces/default/pods";
    api.raw("GET", pods, &[("impersonate-user", "jo")], b"").await.refused();
    let events = told(&log);
    let of_pods = |event: &&Value| event["objectRef"]["resource"] == "pods";
    let event = events.iter().find(of_pods).unwrap();
    assert_eq!(event["user"]["username"], "kubernetes-admin");
    assert_eq!(event["impersonatedUser"]["username"], "jo");
    assert_eq!(event["responseStatus"]["code"], 403);
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");

    std::fs::write(&log, "").unwrap();
    let mut stranger = api.server.local_service(leme_server::Identity::anonymous());
    let request = http::Request::builder().uri(pods).header("authorization", "Bearer s3cr3t-token");
    let request = request.body(http_body_util::Full::new(bytes::Bytes::new())).unwrap();
    let answer = tower_service::Service::call(&mut stranger, request).await.unwrap();
    assert_eq!(answer.status(), 401);
    let event = only(&told(&log), "ResponseStarted");
    assert_eq!(event["responseStatus"]["message"], "Authentication failed, attempted: bearer");
    assert_eq!(event["user"], json!({}));
}

/// Red when a policy decides that alone.
#[tokio::test]
async fn no_secret_is_ever_told() {
    const CANARY: &str = "canary-7f3a";
    let (api, _dir, log) = telling(json!([{"level": "RequestResponse"}])).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"pin": CANARY}});
    let secrets = "/api/v1/namespaces/default/secrets";
    api.post(secrets, &secret).await.ok();
    api.get(secrets).await.ok();
    let patch = json!({"data": {"pin": CANARY}});
    api.send("PATCH", &format!("{secrets}/s"), MERGE, &patch).await.refused();
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "c"}, "data": {"pin": CANARY}})).await.ok();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    api.post(accounts, &json!({"metadata": {"name": "bot"}})).await.ok();
    let made = api.post(&format!("{accounts}/bot/token"), &json!({"spec": {}})).await.ok();
    let token = made["status"]["token"].as_str().unwrap();
    let review = json!({"spec": {"token": token}});
    api.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await.ok();
    let mut lost = secret.clone();
    lost["kind"] = "Secret".into();
    api.post("/api/v1/namespaces/default/pods", &lost).await.refused();
    let route = json!({"metadata": {"name": "r"}, "spec": {"to": {"kind": "Service", "name": "s"},
        "tls": {"termination": "edge", "key": CANARY, "certificate": CANARY}}});
    api.post("/apis/route.openshift.io/v1/namespaces/default/routes", &route).await;
    for query in ["access_token", "client_secret", "%63ode", "Token"] {
        api.get(&format!("/api/v1/pods?{query}={CANARY}&limit=1")).await;
        api.get(&format!("//oauth/token?{query}={CANARY}")).await;
    }
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("/api/v1/namespaces/default/secrets"), "requests are told");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, CANARY);
    for secret in [CANARY, &encoded, token] {
        assert!(!text.contains(secret), "{secret}");
    }
}
