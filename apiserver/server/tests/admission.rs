//! Admission through HTTP: what is made a moment before counts, and no quota is exceeded, however many ask at once.

mod common;

use std::time::{Duration, Instant};

use common::{Harness, MERGE, PATIENCE, config_map};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "nginx" }] },
    })
}

fn account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } })
}

fn quota(name: &str, hard: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": name }, "spec": { "hard": hard } })
}

/// Waits until a quota says that so much is used.
async fn used(harness: &Harness, name: &str, expected: &Value) {
    let began = Instant::now();
    loop {
        let quota = harness.get(&format!("{QUOTAS}/{name}")).await.ok();
        if quota["status"]["used"] == *expected {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{quota}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_account_of_a_new_namespace() {
    let harness = Harness::with(|config| config.admission.off.clear()).await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let (first, own_account) = (pod("a"), account("default"));
    let (made, ()) = tokio::join!(harness.post(PODS, &first), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        harness.post(accounts, &own_account).await.ok();
    });
    assert_eq!(made.ok()["spec"]["serviceAccountName"], "default");
    let mut own = pod("b");
    own["spec"]["serviceAccountName"] = "builder".into();
    assert_eq!(
        harness.post(PODS, &own).await.refused(),
        (
            403,
            "Forbidden".to_owned(),
            "pods \"b\" is forbidden: error looking up service account default/builder: serviceaccount \"builder\" not found"
                .to_owned()
        )
    );
    harness.post(accounts, &account("builder")).await.ok();
    assert_eq!(harness.post(PODS, &own).await.code, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_a_moment_before_counts() {
    let harness = Harness::start().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    for round in 0..20 {
        let name = format!("c{round}");
        let class = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": name }, "value": round,
        });
        harness.post(classes, &class).await.ok();
        let mut pod = pod(&name);
        pod["spec"]["priorityClassName"] = name.as_str().into();
        assert_eq!(harness.post(PODS, &pod).await.ok()["spec"]["priority"], round);
    }
    let system = harness.get(&format!("{classes}/system-node-critical")).await.ok();
    assert_eq!(system["value"], 2_000_001_000);
    let (code, _, message) =
        harness.delete(&format!("{classes}/system-node-critical")).await.refused();
    assert_eq!(code, 403);
    assert!(
        message.ends_with("this is a system priority class and cannot be deleted"),
        "{message}"
    );

    let ranges = "/api/v1/namespaces/default/limitranges";
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "l" },
        "spec": { "limits": [{ "type": "Container", "max": { "cpu": "1" } }] },
    });
    let made = harness.post(ranges, &range).await;
    assert_eq!(made.headers.get("warning"), None);
    let mut large = pod("large");
    large["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": "2" } });
    assert_eq!(
        harness.post(&format!("{PODS}?dryRun=All"), &large).await.refused().2,
        "pods \"large\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
    let bare = harness.post(PODS, &pod("bare")).await.ok();
    assert_eq!(bare["spec"]["containers"][0]["resources"]["limits"], json!({ "cpu": "1" }));
    assert_eq!(
        bare["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_or_bound_in_a_namespace_that_goes() {
    let harness = Harness::start().await;
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } });
    harness.post("/api/v1/namespaces", &namespace).await.ok();
    harness.post("/api/v1/namespaces/n/pods", &pod("p")).await.ok();
    harness.delete("/api/v1/namespaces/n").await.ok();
    let why = "unable to create new content in namespace n because it is being terminated";
    let map = harness.post("/api/v1/namespaces/n/configmaps", &config_map("m")).await.refused();
    assert_eq!(map.2, format!("configmaps \"m\" is forbidden: {why}"));
    let binding = json!({ "target": { "name": "node" } });
    let bound = harness.post("/api/v1/namespaces/n/pods/p/binding", &binding).await.refused();
    assert_eq!(bound.2, format!("pods \"p\" is forbidden: {why}"));
    let kept = harness.delete("/api/v1/namespaces/kube-system").await.refused();
    assert_eq!(
        kept.2,
        "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"
    );
}

// Red when a quota is read and written apart, and when a count takes back a charge whose object is not stored yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_make_no_more_than_the_quota_allows() {
    let harness = Harness::start().await;
    let made =
        harness.post(QUOTAS, &quota("q", json!({ "pods": "10", "count/configmaps": "3" }))).await;
    assert_eq!(made.headers.get("warning"), None);
    used(&harness, "q", &json!({ "pods": "0", "count/configmaps": "0" })).await;
    for round in 0..3 {
        let names: Vec<String> = (0..100).map(|index| format!("p{round}-{index}")).collect();
        let bodies: Vec<Value> = names.iter().map(|name| pod(name)).collect();
        let all =
            futures::future::join_all(bodies.iter().map(|body| harness.post(PODS, body))).await;
        let (made, refused): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer.code == 201);
        assert_eq!(made.len(), 10, "round {round}");
        let (code, reason, message) = refused[0].refused();
        assert_eq!((code, reason.as_str()), (403, "Forbidden"));
        assert!(
            message.ends_with("is forbidden: exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10"),
            "{message}"
        );
        used(&harness, "q", &json!({ "pods": "10", "count/configmaps": "0" })).await;
        // What is gone is free again.
        let gone = made.iter().map(|answer| {
            let name = answer.json()["metadata"]["name"].as_str().unwrap_or("").to_owned();
            let harness = &harness;
            async move { harness.delete(&format!("{PODS}/{name}")).await.ok() }
        });
        futures::future::join_all(gone).await;
        used(&harness, "q", &json!({ "pods": "0", "count/configmaps": "0" })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_counted_when_it_changes_and_when_a_charge_came_to_nothing() {
    let harness = Harness::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    harness.post(maps, &config_map("a")).await.ok();
    harness.post(QUOTAS, &quota("q", json!({ "configmaps": "3" }))).await.ok();
    used(&harness, "q", &json!({ "configmaps": "1" })).await;
    harness.post(maps, &config_map("b")).await.ok();
    assert_eq!(
        harness.get(&format!("{QUOTAS}/q")).await.ok()["status"]["used"],
        json!({ "configmaps": "2" })
    );
    // A dry run uses nothing, nor does what is there already.
    harness.post(&format!("{maps}?dryRun=All"), &config_map("c")).await.ok();
    assert_eq!(harness.post(maps, &config_map("b")).await.code, 409);
    used(&harness, "q", &json!({ "configmaps": "2" })).await;
    let wider = json!({ "spec": { "hard": { "services.nodeports": "1", "services": "5" } } });
    harness.send("PATCH", &format!("{QUOTAS}/q"), MERGE, &wider).await.ok();
    used(&harness, "q", &json!({ "configmaps": "2", "services": "1", "services.nodeports": "0" }))
        .await;

    // What an update uses more is charged as well.
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "ports": [{ "name": "a", "port": 1 }, { "name": "b", "port": 2 }] },
    });
    harness.post(services, &service).await.ok();
    let node_port = json!({ "spec": { "type": "NodePort" } });
    let patched = harness.send("PATCH", &format!("{services}/s"), MERGE, &node_port).await;
    assert_eq!(
        patched.refused().2,
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
    );
    let one = json!({ "spec": { "type": "NodePort", "ports": [{ "name": "a", "port": 1 }] } });
    harness.send("PATCH", &format!("{services}/s"), MERGE, &one).await.ok();
    let expected = json!({ "configmaps": "2", "services": "2", "services.nodeports": "1" });
    assert_eq!(harness.get(&format!("{QUOTAS}/q")).await.ok()["status"]["used"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_held_against_the_labels_of_their_namespace() {
    let harness = Harness::start().await;
    let told = |answer: &common::Read| -> Vec<String> {
        let texts = answer.headers.get_all("warning").iter();
        texts.map(|text| text.to_str().expect("text").to_owned()).collect()
    };
    let mut host = pod("host");
    host["spec"]["hostPID"] = true.into();
    harness.post(PODS, &host).await.ok();
    let space = "/api/v1/namespaces/default";
    let asks = |level: &str| json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": level } } });
    let wrong = harness.send("PATCH", space, MERGE, &asks("strict")).await.refused();
    assert_eq!((wrong.0, wrong.1.as_str()), (422, "Invalid"));
    let changed = harness.send("PATCH", space, MERGE, &asks("baseline")).await;
    assert_eq!(
        told(&changed),
        [
            "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
            "299 - \"host: host namespaces\"",
        ]
    );
    // From the next write on.
    host["metadata"]["name"] = "other".into();
    assert_eq!(
        harness.post(PODS, &host).await.refused(),
        (
            403,
            "Forbidden".to_owned(),
            "pods \"other\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)"
                .to_owned()
        )
    );
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "r" },
        "spec": { "replicas": 0, "template": { "metadata": { "labels": { "a": "b" } }, "spec": host["spec"] } },
    });
    let controllers = "/api/v1/namespaces/default/replicationcontrollers";
    let made = harness.post(controllers, &controller).await;
    let words = "299 - \"would violate PodSecurity \\\"baseline:latest\\\": host namespaces (hostPID=true)\"";
    assert_eq!((made.code, told(&made)), (201, vec![words.to_owned()]));
}
