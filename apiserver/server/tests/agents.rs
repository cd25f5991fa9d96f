//! What the agents of nodes may read: what leads to their node, from the moment that they can know of it.

mod common;

use bytes::Bytes;
use common::*;
use http::Request;
use http_body_util::{BodyExt, Full};
use leme_server::Identity;
use serde_json::{Value, json};
use tower_service::Service;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn secret(name: &str) -> String {
    format!("/api/v1/namespaces/default/secrets/{name}")
}

/// What the agent of a node is answered.
async fn agent(api: &Harness, node: &str, path: &str) -> (u16, String) {
    let who = Identity::of_certificate(&format!("system:node:{node}"), ["system:nodes".to_owned()]);
    let request = Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let answer = api.server.local_service(who).call(request).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let read: Value = serde_json::from_slice(&body).unwrap();
    (code, read["message"].as_str().unwrap_or("").to_owned())
}

fn pod(number: usize) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("p{number}") },
        "spec": { "nodeName": "a", "containers": [{ "name": "c", "image": "i" }],
            "imagePullSecrets": [{ "name": format!("s{number}") }] } })
}

/// Red when a pod counts for its node a little later than its agent can hear of it.
#[tokio::test]
async fn what_a_pod_names_is_read_at_once_and_until_it_is_gone() {
    let api = Harness::start().await;
    for number in 0..100 {
        let path = secret(&format!("s{number}"));
        assert_eq!(agent(&api, "a", &path).await.0, 403);
        api.post(PODS, &pod(number)).await.ok();
        assert_eq!(agent(&api, "a", &path).await.0, 404, "{number}");
        let (code, why) = agent(&api, "b", &path).await;
        assert_eq!(code, 403);
        assert_eq!(
            why,
            format!(
                "secrets \"s{number}\" is forbidden: User \"system:node:b\" cannot get resource \"secrets\" in API \
                 group \"\" in the namespace \"default\": no relationship found between node 'b' and this object"
            )
        );
        api.delete(&format!("{PODS}/p{number}?gracePeriodSeconds=0")).await.ok();
        assert_eq!(agent(&api, "a", &path).await.0, 403, "{number}");
    }
}

/// Red when a name in a selector is not the one that is asked for, or more than that is listed.
#[tokio::test]
async fn what_is_selected_is_what_is_judged() {
    let api = Harness::start().await;
    api.post(PODS, &pod(1)).await.ok();
    let secrets = "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name";
    for (path, code) in [
        (format!("{secrets}%3Ds1"), 200),
        (format!("{secrets}%3D%3Ds1"), 200),
        (format!("{secrets}!%3Ds1"), 403),
        (format!("{secrets}%3Ds2"), 403),
        (format!("{secrets}%3Ds1,metadata.name%3Ds2"), 200),
        ("/api/v1/secrets?fieldSelector=metadata.name%3Ds1".to_owned(), 403),
        ("/api/v1/namespaces/default/secrets".to_owned(), 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Da".to_owned(), 200),
        ("/api/v1/pods?fieldSelector=spec.nodeName!%3Da".to_owned(), 403),
        ("/api/v1/pods".to_owned(), 403),
        (format!("{PODS}/p1"), 200),
        ("/api/v1/nodes/b".to_owned(), 403),
        ("/api/v1/persistentvolumes?labelSelector=storage.leme.dev%2Fnode%3Da".to_owned(), 200),
        ("/api/v1/persistentvolumes?labelSelector=storage.leme.dev%2Fnode".to_owned(), 403),
    ] {
        assert_eq!(agent(&api, "a", &path).await.0, code, "{path}");
    }
}

/// Red when a container that is added to a pod is not looked at.
#[tokio::test]
async fn what_is_added_to_a_pod_counts() {
    let api = Harness::start().await;
    api.post(PODS, &pod(1)).await.ok();
    assert_eq!(agent(&api, "a", &secret("added")).await.0, 403);
    let added = json!({ "spec": { "ephemeralContainers": [{ "name": "e", "image": "i",
        "envFrom": [{ "secretRef": { "name": "added" } }] }] } });
    let path = format!("{PODS}/p1/ephemeralcontainers");
    api.send("PATCH", &path, STRATEGIC, &added).await.ok();
    assert_eq!(agent(&api, "a", &secret("added")).await.0, 404);
}
