//! Discovery against servers that answer with documents, of the newer and the older forms.

use std::sync::Mutex as Lock;

use http::{Request, Response};
use serde_json::{Value, json};

use super::*;

/// A server that answers with documents, each with an entity tag or without, and what it was asked for.
#[derive(Default)]
struct Server {
    documents: BTreeMap<&'static str, (u16, &'static str, Value)>,
    asked: Vec<String>,
}

type Shared = Arc<Lock<Server>>;

fn answer(server: &Shared, request: &Request<Body>) -> Response<Body> {
    let mut server = server.lock().unwrap();
    let path = request.uri().path().to_owned();
    let (code, etag, document) =
        server.documents.get(path.as_str()).cloned().unwrap_or((404, "", Value::Null));
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known == etag);
    let code = if known && !etag.is_empty() { 304 } else { code };
    server.asked.push(format!("{path} {code}"));
    let answer = Response::builder().status(code);
    let answer = if etag.is_empty() { answer } else { answer.header(header::ETAG, etag) };
    let body = if code == 304 { String::new() } else { document.to_string() };
    answer.body(Body::from(body.into_bytes())).unwrap()
}

fn discovery(server: &Shared, keep: Keep) -> Discovery {
    let server = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer(&server, &request);
        async move { Ok::<_, std::io::Error>(answer) }
    });
    Discovery::new(Client::over(service), keep)
}

fn serving(documents: Vec<(&'static str, u16, &'static str, Value)>) -> Shared {
    let documents = documents.into_iter().map(|(path, code, etag, of)| (path, (code, etag, of)));
    Arc::new(Lock::new(Server { documents: documents.collect(), asked: Vec::new() }))
}

fn asked(server: &Shared) -> String {
    std::mem::take(&mut server.lock().unwrap().asked).join(", ")
}

fn shown(served: &Served) -> Vec<String> {
    let one = |kind: &Arc<ApiResource>| {
        let subs = kind.subresources.join("+");
        format!("{} {} {} [{subs}]", kind.api_version(), kind.plural, kind.singular)
    };
    served.kinds.iter().map(one).collect()
}

/// As a kube-apiserver of the time before aggregated discovery answers: lists without resources are `null`, core kinds have
/// no singular names, and what is behind another server may be away or gone.
fn old() -> Shared {
    let group = |name: &str, versions: &[&str]| {
        let of = |version: &str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
        let all: Vec<Value> = versions.iter().map(|version| of(version)).collect();
        json!({"name": name, "versions": all, "preferredVersion": of(versions.last().unwrap())})
    };
    let address = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}]);
    let hpa = |version: &str| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("autoscaling/{version}"),
            "resources": [
                {"name": "horizontalpodautoscalers", "singularName": "", "namespaced": true,
                    "kind": "HorizontalPodAutoscaler", "shortNames": ["hpa"], "categories": ["all"],
                    "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                    "storageVersionHash": "oQlkt7f5j/A="},
                {"name": "horizontalpodautoscalers/status", "singularName": "", "namespaced": true,
                    "kind": "HorizontalPodAutoscaler", "verbs": ["get", "patch", "update"]}]})
    };
    serving(vec![
        (
            "/api",
            200,
            "",
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}),
        ),
        (
            "/api/v1",
            200,
            "",
            json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "bindings", "singularName": "", "namespaced": true, "kind": "Binding", "verbs": ["create"]},
                {"name": "replicationcontrollers", "singularName": "", "namespaced": true, "kind": "ReplicationController",
                    "verbs": ["get", "list"], "shortNames": ["rc"]},
                {"name": "replicationcontrollers/scale", "singularName": "", "namespaced": true, "group": "autoscaling",
                    "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]}]}),
        ),
        (
            "/apis",
            200,
            "",
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                group("autoscaling", &["v2beta2", "v1"]), group("empty.io", &["v1"]), group("gone.io", &["v1"]),
                group("metrics.k8s.io", &["v1beta1"])]}),
        ),
        ("/apis/autoscaling/v1", 200, "", hpa("v1")),
        ("/apis/autoscaling/v2beta2", 200, "", hpa("v2beta2")),
        (
            "/apis/empty.io/v1",
            200,
            "",
            json!({"kind": "APIResourceList", "groupVersion": "empty.io/v1", "resources": null}),
        ),
        ("/apis/metrics.k8s.io/v1beta1", 503, "", json!("service unavailable")),
    ])
}

/// Red when a group that is away counts as one without kinds: what is its would be taken for gone.
#[tokio::test]
async fn an_older_server_is_read_group_by_group() {
    let server = old();
    let discovery = discovery(&server, |_| true);
    let served = discovery.ask().await.unwrap();
    let hpa = "horizontalpodautoscalers horizontalpodautoscaler [status]";
    assert_eq!(
        shown(&served),
        [
            "v1 bindings binding []".to_owned(),
            "v1 replicationcontrollers replicationcontroller [scale]".to_owned(),
            format!("autoscaling/v1 {hpa}"),
            format!("autoscaling/v2beta2 {hpa}"),
        ]
    );
    let unread: Vec<_> = served.unread.keys().collect();
    assert_eq!(unread, ["metrics.k8s.io/v1beta1"]);
    asked(&server);
    assert_eq!(discovery.ask().await, Ok(served), "nothing is remembered of what has no tags");
    assert_eq!(asked(&server).split(", ").count(), 8);
    server.lock().unwrap().documents.remove("/apis");
    assert!(discovery.ask().await.is_err());
}

fn aggregated(whales: &[&str], freshness: &str) -> Value {
    let whale = json!({"resource": "whales", "responseKind": {"group": "", "version": "", "kind": "Whale"},
        "scope": "Namespaced", "singularResource": "whale", "shortNames": ["wh"], "verbs": ["get", "list"],
        "subresources": [{"subresource": "scale", "responseKind": {"kind": "Scale"}, "verbs": ["get"]}]});
    // A parent of which only subresources are served has no kind.
    let parent = json!({"resource": "seas", "responseKind": null, "subresources": null});
    let version = |name: &&str| json!({"version": name, "freshness": freshness, "resources": [parent, whale]});
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [
        {"metadata": {"name": "sea.io", "creationTimestamp": null}, "versions": whales.iter().map(version).collect::<Vec<_>>()},
        {"metadata": {"name": "empty.io"}, "versions": null}]})
}

fn newer(etag: &'static str, whales: &[&str], freshness: &str) -> Shared {
    let core = json!({"kind": "APIGroupDiscoveryList", "items": []});
    serving(vec![
        ("/api", 200, "\"core\"", core),
        ("/apis", 200, etag, aggregated(whales, freshness)),
    ])
}

/// Red when tags are not sent, when what they stand for is not kept, and when it is kept for good.
#[tokio::test]
async fn what_has_not_changed_is_not_read_again() {
    let server = newer("\"1\"", &["v2", "v1"], "Current");
    let discovery = discovery(&server, |kind| kind.version != "v1");
    let served = discovery.ask().await.unwrap();
    assert_eq!(shown(&served), ["sea.io/v2 whales whale [scale]"]);
    assert_eq!(asked(&server), "/api 200, /apis 200");
    assert_eq!(discovery.ask().await, Ok(served));
    assert_eq!(asked(&server), "/api 304, /apis 304");
    let changed = (200, "\"2\"", aggregated(&["v3", "v2"], "Current"));
    server.lock().unwrap().documents.insert("/apis", changed);
    assert_eq!(discovery.ask().await.map(|served| served.kinds.len()), Ok(2));
    assert_eq!(asked(&server), "/api 304, /apis 200");
}

#[tokio::test]
async fn what_is_stale_is_not_taken_for_gone() {
    let served = discovery(&newer("", &["v1"], "Stale"), |_| true).ask().await.unwrap();
    assert!(served.kinds.is_empty() && served.unread.contains_key("sea.io/v1"));
}

/// Red when the two forms are read by other names.
#[tokio::test]
async fn both_forms_say_the_same() {
    let new = discovery(&newer("", &["v1"], "Current"), |_| true).ask().await.unwrap();
    let version = json!({"groupVersion": "sea.io/v1", "version": "v1"});
    let server = serving(vec![
        ("/api", 200, "", json!({"kind": "APIVersions", "versions": null})),
        (
            "/apis",
            200,
            "",
            json!({"kind": "APIGroupList", "groups": [{"name": "sea.io", "versions": [version],
                "preferredVersion": version}]}),
        ),
        (
            "/apis/sea.io/v1",
            200,
            "",
            json!({"groupVersion": "sea.io/v1", "resources": [
                {"name": "whales", "singularName": "whale", "kind": "Whale", "namespaced": true, "shortNames": ["wh"],
                    "verbs": ["get", "list"]},
                {"name": "whales/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]}]}),
        ),
    ]);
    assert_eq!(discovery(&server, |_| true).ask().await.unwrap(), new);
}

#[tokio::test]
async fn what_is_no_discovery_document_is_said() {
    for bad in [
        json!([]),
        json!({}),
        json!({"kind": "Status"}),
        json!({"kind": "APIGroupDiscoveryList", "items": [7]}),
    ] {
        let server = serving(vec![("/api", 200, "", bad.clone()), ("/apis", 200, "", bad)]);
        let error = discovery(&server, |_| true).ask().await.unwrap_err();
        assert!(error.message().starts_with("bad discovery document"), "{error}");
    }
}
