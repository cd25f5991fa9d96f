//! What others were broken by, each by its number: the server refuses it within bounds.

mod common;

use common::*;
use serde_json::{Value, json};

const YAML: &str = "application/yaml";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Sends a body and gives the code; whoever needs longer than the tests are patient has failed.
async fn code(api: &Harness, media: &str, method: &str, path: &str, body: &[u8]) -> u16 {
    let headers = [("content-type", media)];
    tokio::time::timeout(PATIENCE, api.raw(method, path, &headers, body)).await.unwrap().code
}

#[tokio::test]
async fn cve_2019_11253_aliases_of_yaml_do_not_multiply() {
    let api = Harness::start().await;
    let mut bomb = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nl0: &l0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for level in 1..30 {
        let before = format!("*l{}", level - 1);
        bomb += &format!("l{level}: &l{level} [{}]\n", vec![before; 10].join(", "));
    }
    assert_eq!(code(&api, YAML, "POST", CONFIG_MAPS, bomb.as_bytes()).await, 400);
    // A megabyte of anchors on nothing, and one alias in another for ever.
    let anchors: String = (0..60_000).map(|n| format!("k{n}: &a{n} x\n")).collect();
    assert!(matches!(code(&api, YAML, "POST", CONFIG_MAPS, anchors.as_bytes()).await, 400 | 422));
    let circle = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d {k: *d}\n";
    assert_eq!(code(&api, YAML, "POST", CONFIG_MAPS, circle).await, 400);
    assert_eq!(api.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
}

#[tokio::test]
async fn cve_2019_11254_yaml_costs_what_it_weighs() {
    let api = Harness::start().await;
    for unit in ["- ", "{", "[", "? ", "a: ", "\"", "'", "|\n", "&a ", "!!str ", "--- ", "# "] {
        let body = unit.repeat(1_000_000 / unit.len());
        let got = code(&api, YAML, "POST", CONFIG_MAPS, body.as_bytes()).await;
        assert!((400..500).contains(&got), "{unit:?}: {got}");
    }
    let indented: String = (0..1_400).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let got = code(&api, YAML, "POST", CONFIG_MAPS, indented.as_bytes()).await;
    assert!((400..500).contains(&got), "{got}");
}

/// Bodies that are no text, no number, or deeper than any object, by what they are sent as.
fn crooked() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    const JSON: &str = "application/json";
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    let map = |data: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"a"}},"data":{data}}}"#
        )
    };
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let number = |value: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"a","generation":{value}}}}}"#
        )
    };
    let mut nested = vec![0x0a_u8];
    nested.extend([0x12, 0x7f].repeat(100_000));
    vec![
        (JSON, map(&deep("[", "]")).into(), &[400]),
        (JSON, map(&deep(r#"{"a":"#, "}")).into(), &[400]),
        (JSON, deep("[", "").into(), &[400]),
        (YAML, map(&deep("[", "]")).into(), &[400]),
        (YAML, "- ".repeat(100_000).into(), &[400]),
        (PROTOBUF, [b"k8s\0".as_slice(), &nested].concat(), &[400]),
        (PROTOBUF, [b"k8s\0".as_slice(), &[0xff; 100_000]].concat(), &[400]),
        (JSON, [b"\xef\xbb\xbf".as_slice(), map("{}").as_bytes()].concat(), &[400]),
        (
            YAML,
            b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: \xff}\n".into(),
            &[400],
        ),
        (YAML, number(".nan").into(), &[400]),
        (JSON, number("NaN").into(), &[400]),
        (JSON, number("1e999").into(), &[400]),
        (JSON, number("1180591620717411303424").into(), &[400]),
        (JSON, number("0.5").into(), &[400]),
        (JSON, map("{\"k\":\"\u{1}\"}").into(), &[400]),
    ]
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_400_and_nothing_comes_of_them() {
    let api = Harness::start().await;
    for (at, (media, body, allowed)) in crooked().into_iter().enumerate() {
        let path =
            if String::from_utf8_lossy(&body).contains("Service") { SERVICES } else { CONFIG_MAPS };
        let got = code(&api, media, "POST", path, &body).await;
        assert!(allowed.contains(&got), "{at} {media}: {got}");
    }
    for path in [CONFIG_MAPS, SERVICES] {
        assert_eq!(api.get(&format!("{path}/a")).await.code, 404);
    }
}

#[tokio::test]
async fn a_selector_as_long_as_a_path_may_be_is_read() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let labels: Vec<String> = (0..6_000).map(|n| format!("k{n}!=v")).collect();
    let fields = vec!["metadata.name!=b"; 3_000];
    let sets =
        format!("k+in+({})", (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    for (query, found) in [
        (format!("labelSelector={}", labels.join(",")), 1),
        (format!("fieldSelector={}", fields.join(",")), 1),
        (format!("labelSelector={sets}"), 0),
    ] {
        let path = format!("{CONFIG_MAPS}?{query}");
        let list = tokio::time::timeout(PATIENCE, api.get(&path)).await.unwrap();
        assert_eq!(list.ok()["items"].as_array().unwrap().len(), found, "{}", &query[..40]);
    }
    for query in ["labelSelector=((((", "labelSelector=a+in+(", "fieldSelector=a==b==c"] {
        assert_eq!(api.get(&format!("{CONFIG_MAPS}?{query}")).await.code, 400, "{query}");
    }
}

#[tokio::test]
async fn cve_2019_1002100_a_json_patch_has_bounds() {
    let api = Harness::start().await;
    let mut map = config_map("a");
    map["data"] = json!({ "k": "x".repeat(1000) });
    let before = api.post(CONFIG_MAPS, &map).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let many: Vec<Value> = (0..10_001)
        .map(|n| json!({ "op": "add", "path": format!("/data/k{n}"), "value": "" }))
        .collect();
    assert_eq!(api.send("PATCH", &path, JSON_PATCH, &json!(many)).await.refused().0, 413);
    // Each copies all that is there: 2^9,000 of it, were it done.
    let copies: Vec<Value> = (0..9_000)
        .map(|n| json!({ "op": "copy", "from": "/data", "path": format!("/data/c{n}") }))
        .collect();
    let refused = api.send("PATCH", &path, JSON_PATCH, &json!(copies)).await;
    assert!(matches!(refused.code, 413 | 422), "{}", refused.code);
    assert_eq!(api.get(&path).await.ok(), before);
}

#[tokio::test]
async fn cve_2019_11247_and_2022_3162_a_path_leads_to_its_own_kind_and_namespace_alone() {
    let api = Harness::start().await;
    for (method, path) in [
        ("GET", "/api/v1/namespaces/default/nodes"),
        ("DELETE", "/api/v1/namespaces/default/nodes/n"),
        ("GET", "/api/v1/namespaces/default/persistentvolumes"),
        ("GET", "/api/v1/pods/p"),
        ("GET", "/api/v1/secrets/s"),
    ] {
        assert_eq!(api.raw(method, path, &[], b"").await.code, 404, "{method} {path}");
    }
    for path in [
        "/api/v1/namespaces/default/configmaps/../secrets/s",
        "/api/v1/namespaces/default/configmaps/%2e%2e",
        "/api/v1/namespaces/default/configmaps/..%2fsecrets",
        "/api/v1/namespaces/..%2fsecrets/configmaps",
        "/api/v1/namespaces/./configmaps",
    ] {
        assert_eq!(api.get(path).await.code, 400, "{path}");
    }
    // A collection ends with its name: what begins like it is another.
    let space =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default2" } });
    api.post("/api/v1/namespaces", &space).await.ok();
    api.post("/api/v1/namespaces/default2/configmaps", &config_map("other")).await.ok();
    let list = api.get(CONFIG_MAPS).await.ok();
    assert_eq!(list["items"], json!([]));
    let token = r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"../default2/a"}"#;
    let token: String = {
        // URL-safe base64 by hand: the tests have no encoder.
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bits = |chunk: &[u8]| {
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - chunk.len()))
        };
        let digits = |chunk: &[u8]| -> String {
            let bits = bits(chunk);
            (0..=chunk.len())
                .map(|at| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]))
                .collect()
        };
        token.as_bytes().chunks(3).map(digits).collect()
    };
    assert_eq!(api.get(&format!("{CONFIG_MAPS}?limit=1&continue={token}")).await.refused().0, 400);
}

#[tokio::test]
async fn names_that_are_paths_are_refused_of_every_kind() {
    let api = Harness::start().await;
    for group in [
        "/api/v1",
        "/apis/route.openshift.io/v1",
        "/apis/image.openshift.io/v1",
        "/apis/coordination.k8s.io/v1",
        "/apis/rbac.authorization.k8s.io/v1",
        "/apis/user.openshift.io/v1",
    ] {
        let resources = api.get(group).await.ok();
        let api_version = resources["groupVersion"].as_str().unwrap();
        for resource in resources["resources"].as_array().unwrap() {
            let (plural, kind) = (resource["name"].as_str().unwrap(), &resource["kind"]);
            if plural.contains('/')
                || !resource["verbs"].as_array().unwrap().contains(&"create".into())
            {
                continue;
            }
            let path = match resource["namespaced"].as_bool() {
                Some(true) => format!("{group}/namespaces/default/{plural}"),
                _ => format!("{group}/{plural}"),
            };
            for name in ["..", ".", "a/b", "../x", "a%2fb", "a\\b", "a\u{0}b"] {
                let body = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } });
                let refused = api.post(&path, &body).await;
                if plural == "bindings" {
                    // It becomes no object: the name is that of a pod, which is not there.
                    assert_eq!(refused.code, 404, "{name:?} {:?}", refused.body);
                    continue;
                }
                assert_eq!(refused.code, 422, "{plural} {name:?} {:?}", refused.body);
                assert!(refused.refused().2.contains("metadata.name"), "{plural} {name:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_runs_a_command_is_never_mere_reading() {
    // CVE-class of nodes/proxy: a WebSocket opens with GET, and is authorised as what it does.
    let api = Harness::start().await;
    use tower_service::Service;
    let reader = leme_server::Identity::of_certificate("system:kube-scheduler", []);
    for (method, expected) in [("GET", 403), ("POST", 403)] {
        let request = http::Request::builder()
            .method(method)
            .uri("/api/v1/namespaces/default/pods/p/exec?command=true")
            .body(http_body_util::Full::new(bytes::Bytes::new()))
            .unwrap();
        let answer = api.server.local_service(reader.clone()).call(request).await.unwrap();
        assert_eq!(answer.status(), expected, "{method}");
    }
    let request = http::Request::builder()
        .uri("/api/v1/namespaces/default/pods")
        .body(http_body_util::Full::new(bytes::Bytes::new()))
        .unwrap();
    let mut service = api.server.local_service(reader);
    assert_eq!(service.call(request).await.unwrap().status(), 200);
}
