//! Parts of a pod that have a path of their own: containers that are added to it.

mod common;

use common::*;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const PART: &str = "/api/v1/namespaces/default/pods/p/ephemeralcontainers";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn named(containers: &Value) -> Vec<&str> {
    let list = containers["spec"]["ephemeralContainers"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

// Red when the subresource is not served: `kubectl debug` finds no way to add a container.
#[tokio::test]
async fn containers_are_added_by_every_way_of_writing() {
    let api = Harness::start().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    });
    api.post(PODS, &pod).await.ok();
    // As kubectl does it: what it has read, changed, as a strategic patch.
    let patch = json!({ "spec": { "ephemeralContainers": [
        { "name": "a", "image": "i:1", "targetContainerName": "c", "stdin": true, "tty": true },
    ] } });
    let one = api.send("PATCH", PART, STRATEGIC, &patch).await.ok();
    assert_eq!((one["kind"].as_str(), named(&one)), (Some("Pod"), vec!["a"]));
    assert_eq!(one["metadata"]["generation"], 2);
    let more = json!({ "spec": { "ephemeralContainers": [{ "name": "b", "image": "i:1" }] } });
    let two = api.send("PATCH", PART, STRATEGIC, &more).await.ok();
    assert_eq!(named(&two).len(), 2);
    let mut whole = api.get(PART).await.ok();
    let list = whole["spec"]["ephemeralContainers"].as_array_mut().unwrap();
    list.push(json!({ "name": "d", "image": "i:1" }));
    let three = api.put(PART, &whole).await.ok();
    assert_eq!(named(&three).len(), 3);
    let config = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "ephemeralContainers": [{ "name": "e", "image": "i:1" }] },
    });
    let four = api.apply(PART, "applier", "", &config).await.ok();
    assert_eq!(named(&four).len(), 4);
    let key = "k:{\"name\":\"e\"}";
    let fields = owned(&four, "applier Apply ephemeralcontainers");
    assert!(fields["f:spec"]["f:ephemeralContainers"][key]["f:image"].is_object(), "{fields}");
    assert_eq!(api.get(&format!("{PODS}/p")).await.ok(), four);

    let (code, reason, message) = api
        .send(
            "PATCH",
            PART,
            STRATEGIC,
            &json!({
                "spec": { "ephemeralContainers": [{ "$patch": "delete", "name": "a" }] },
            }),
        )
        .await
        .refused();
    assert_eq!((code, &*reason), (422, "Invalid"));
    assert!(
        message.contains("existing ephemeral containers \"a\" may not be removed"),
        "{message}"
    );
}

#[tokio::test]
async fn discovery_and_the_description_of_the_api_name_it() {
    let api = Harness::start().await;
    let list = api.get("/api/v1").await.ok();
    let entry = list["resources"].as_array().unwrap().iter();
    let entry = entry.clone().find(|one| one["name"] == "pods/ephemeralcontainers").unwrap();
    assert_eq!(entry["kind"], "Pod");
    assert_eq!(entry["verbs"], json!(["get", "patch", "update"]));
    let document = api.get("/openapi/v3/api/v1").await.ok();
    let path = "/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers";
    let methods: Vec<&String> = document["paths"][path].as_object().unwrap().keys().collect();
    for method in ["get", "put", "patch"] {
        assert!(methods.iter().any(|one| *one == method), "{methods:?}");
    }
}

// Red when `resize` is not served, or when it is not charged: a quota would be exceeded by it.
#[tokio::test]
async fn a_pod_is_resized_within_its_quota_and_limits() {
    let api = Harness::start().await;
    let path = format!("{PODS}/p/resize");
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "q" },
        "spec": { "hard": { "requests.cpu": "1" } },
    });
    api.post("/api/v1/namespaces/default/resourcequotas", &quota).await.ok();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "i:1", "resources": { "requests": { "cpu": "100m" } } }] },
    });
    api.post(PODS, &pod).await.ok();
    let patch = |cpu: &str| {
        let resources = json!({ "requests": { "cpu": cpu } });
        json!({ "spec": { "containers": [{ "name": "c", "resources": resources }] } })
    };
    let larger = api.send("PATCH", &path, STRATEGIC, &patch("500m")).await.ok();
    assert_eq!(larger["spec"]["containers"][0]["resources"]["requests"]["cpu"], "500m");
    assert_eq!(larger["metadata"]["generation"], 2);
    let (code, _, message) = api.send("PATCH", &path, STRATEGIC, &patch("2")).await.refused();
    assert_eq!(code, 403);
    assert!(message.contains("exceeded quota: q"), "{message}");
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "l" },
        "spec": { "limits": [{ "type": "Container", "max": { "cpu": "600m" } }] },
    });
    api.post("/api/v1/namespaces/default/limitranges", &range).await.ok();
    let (code, _, message) = api.send("PATCH", &path, STRATEGIC, &patch("700m")).await.refused();
    assert_eq!(code, 403);
    assert!(message.contains("maximum cpu usage per Container is 600m"), "{message}");
    let main = api.send("PATCH", &format!("{PODS}/p"), STRATEGIC, &patch("300m")).await.refused();
    assert_eq!(main.0, 422);
}
