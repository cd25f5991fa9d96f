//! What clients read off an answer besides the object: codes, headers, details, documents.

mod common;

use common::*;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";

fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } })
}

fn pod(name: &str) -> Value {
    let mut pod = named("v1", "Pod", name);
    pod["spec"] = json!({ "containers": [{ "name": "c", "image": "i:1" }] });
    pod
}

// Red when `no_such_path` has no details: clients that read them without asking crash, `kubectl debug` among them.
#[tokio::test]
async fn a_path_that_is_not_served_has_empty_details() {
    let api = Harness::start().await;
    api.post(PODS, &pod("p")).await.ok();
    for (method, path) in [
        ("GET", "/api/v1/none".to_owned()),
        ("GET", "/apis/apps/none".to_owned()),
        ("GET", format!("{PODS}/p/nothing")),
        ("PATCH", format!("{PODS}/p/nothing")),
        ("POST", "/version".to_owned()),
    ] {
        let answer = api.send(method, &path, STRATEGIC, &json!({})).await;
        assert_eq!(answer.json()["details"], json!({}), "{method} {path}");
        let expected = if path == "/version" { 405 } else { 404 };
        assert_eq!(answer.refused().0, expected, "{method} {path}");
    }
    let missing = api.get(&format!("{PODS}/q")).await.json();
    assert_eq!(missing["details"], json!({ "name": "q", "kind": "pods" }));
}

// Red when every 404 is a Status: below no API it is Go's page.
#[tokio::test]
async fn what_is_not_there_is_told_as_whoever_answers_there_tells_it() {
    let api = Harness::start().await;
    for (method, path) in [
        ("GET", "/nope"),
        ("POST", "/nope"),
        ("GET", "/healthz/nope"),
        ("GET", "/openapi/nope"),
        ("GET", "/apis/nope"),
        ("GET", "/apis/nope/v1"),
        ("GET", "/apis/nope/v1/things"),
        ("DELETE", "/apis/nope/v1/namespaces/default/things/a"),
    ] {
        let answer = api.raw(method, path, &[], b"").await;
        assert_eq!((answer.code, &*answer.body), (404, &b"404 page not found\n"[..]), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
    for path in [
        "/api/v1/nope",
        "/api/nope",
        "/api/nope/pods",
        "/apis/apps/nope",
        "/apis/apps/v9/deployments",
        "/apis/apps/v1/nope",
        "/api/v1/pods/p",
        "/version/nope",
        "/api/v1/namespaces/default/pods/p/nope",
    ] {
        let refused = api.raw("GET", path, &[], b"").await.refused();
        let words = "the server could not find the requested resource";
        assert_eq!(refused, (404, "NotFound".into(), words.into()), "{path}");
    }
}

// Red when HEAD is no word of the parser: 405, and over HTTP/2 a body that no client takes.
#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    for path in [
        &format!("{CONFIG_MAPS}/a"),
        CONFIG_MAPS,
        &format!("{CONFIG_MAPS}/none"),
        &format!("{CONFIG_MAPS}?watch=true"),
        "/api",
        "/apis/none/v1",
        "/healthz",
        "/version",
    ] {
        let head = api.raw("HEAD", path, &[], b"").await;
        let got = api.open("GET", path, &[], b"").await;
        assert_eq!(head.code, got.status().as_u16(), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(head.headers["content-type"], got.headers()["content-type"], "{path}");
        if !path.contains("watch") {
            let body = got.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(head.headers["content-length"], body.len().to_string(), "{path}");
        }
    }
    let exec = api.raw("HEAD", &format!("{PODS}/p/exec"), &[], b"").await;
    assert_eq!(exec.code, 405);
}

// Red when `limit` is not read: all of them went.
#[tokio::test]
async fn a_collection_is_deleted_as_far_as_its_list_goes() {
    let api = Harness::start().await;
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    for name in ["m1", "m2", "m3", "m4", "other"] {
        let mut map = config_map(name);
        map["metadata"]["labels"] = json!({ "set": name.starts_with('m').to_string() });
        api.post(CONFIG_MAPS, &map).await.ok();
    }
    let path = format!("{CONFIG_MAPS}?labelSelector=set%3Dtrue&limit=2");
    let first = api.delete(&path).await.ok();
    assert_eq!(
        (names(&first), &first["kind"]),
        (vec!["m1".into(), "m2".into()], &json!("ConfigMapList"))
    );
    let token = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(names(&api.get(CONFIG_MAPS).await.ok()), ["m3", "m4", "other"]);
    let rest = api.delete(&format!("{path}&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["m3", "m4"]);
    assert!(rest["metadata"].get("continue").is_none());
    assert_eq!(names(&api.get(CONFIG_MAPS).await.ok()), ["other"]);
    api.delete(CONFIG_MAPS).await.ok();
    assert_eq!(names(&api.get(CONFIG_MAPS).await.ok()), Vec::<String>::new());
}

// Red when the name is taken from the path alone.
#[tokio::test]
async fn a_namespace_that_ends_names_what_it_refuses() {
    let api = Harness::start().await;
    let mut space = named("v1", "Namespace", "going");
    space["metadata"]["finalizers"] = json!(["test.example/hold"]);
    api.post("/api/v1/namespaces", &space).await.ok();
    api.delete("/api/v1/namespaces/going").await.ok();
    let why = "is forbidden: unable to create new content in namespace going because it is being terminated";
    let path = "/api/v1/namespaces/going/configmaps";
    let refused = api.post(path, &config_map("late")).await;
    assert_eq!(refused.json()["details"]["name"], "late");
    assert_eq!(refused.json()["details"]["causes"][0]["reason"], "NamespaceTerminating");
    assert_eq!(refused.refused().2, format!("configmaps \"late\" {why}"));
    let mut unnamed = config_map("x");
    unnamed["metadata"] = json!({ "generateName": "some-" });
    assert_eq!(api.post(path, &unnamed).await.refused().2, format!("configmaps \"some-\" {why}"));
    unnamed["metadata"] = json!({});
    assert_eq!(api.post(path, &unnamed).await.refused().2, format!("configmaps \"Unknown\" {why}"));
}

// Red when the strict decoder sees the text first: it refused line breaks, and stored them elsewhere.
#[tokio::test]
async fn bytes_may_be_broken_into_lines() {
    let api = Harness::start().await;
    let path = "/api/v1/namespaces/default/secrets";
    let mut secret = named("v1", "Secret", "wrapped");
    secret["data"] = json!({ "k": "AAECAwQF\r\nBgcICQ==\n" });
    assert_eq!(api.post(path, &secret).await.ok()["data"]["k"], "AAECAwQFBgcICQ==");
    let patch = json!({ "data": { "k": "AAEC\nAwQF" } });
    let patched = api.send("PATCH", &format!("{path}/wrapped"), MERGE, &patch).await.ok();
    assert_eq!(patched["data"]["k"], "AAECAwQF");
    secret["metadata"]["name"] = "bad".into();
    secret["data"]["k"] = "AA!CAwQF".into();
    let (code, _, message) = api.post(path, &secret).await.refused();
    let want = r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 2"#;
    assert_eq!((code, message.as_str()), (400, want));
}

// Red when the decoder's own reader sees them: 400.
#[tokio::test]
async fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let api = Harness::start().await;
    let body = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"half"},"data":{"k":"a\ud83dz"}}"#;
    let headers = [("content-type", "application/json")];
    let created = api.raw("POST", CONFIG_MAPS, &headers, body).await.ok();
    assert_eq!(created["data"]["k"], "a\u{fffd}z");
}

#[tokio::test]
async fn warnings_come_as_headers_on_create_update_and_patch() {
    let api = Harness::start().await;
    let warnings = |read: &Read| -> Vec<String> {
        let all = read.headers.get_all("warning").iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let mut body = pod("frac");
    body["spec"]["containers"][0]["resources"] = json!({ "requests": { "memory": "1m" } });
    let created = api.post(PODS, &body).await;
    assert_eq!(
        warnings(&created),
        [
            r#"299 - "spec.containers[0].resources.requests[memory]: fractional byte value \"1m\" is invalid, must be an integer""#,
        ]
    );
    let path = format!("{PODS}/frac");
    let patched =
        api.send("PATCH", &path, MERGE, &json!({ "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!((patched.code, warnings(&patched)), (200, Vec::new()));
    let old =
        r#"299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice""#;
    assert_eq!(warnings(&api.get("/api/v1/endpoints").await), [old]);
}

// Red when the constants are empty, as they were.
#[tokio::test]
async fn the_version_names_a_commit_and_a_tool_chain() {
    let api = Harness::start().await;
    let version = api.get("/version").await.ok();
    for field in [
        "major",
        "minor",
        "emulationMajor",
        "emulationMinor",
        "minCompatibilityMajor",
        "minCompatibilityMinor",
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    ] {
        assert!(version[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
}

// Red when a kind's verbs are not its own: every namespace before `default` was deleted, then 403.
#[tokio::test]
async fn namespaces_are_not_deleted_together() {
    let api = Harness::start().await;
    api.post("/api/v1/namespaces", &named("v1", "Namespace", "a")).await.ok();
    let refused = api.delete("/api/v1/namespaces").await;
    assert_eq!(refused.json()["details"], json!({}));
    assert_eq!(refused.refused().0, 405);
    assert_eq!(api.get("/api/v1/namespaces/a").await.ok()["status"]["phase"], "Active");
    let core = api.get("/api/v1").await.ok();
    let verbs = |name: &str| -> Vec<String> {
        let resources = core["resources"].as_array().unwrap();
        let resource = resources.iter().find(|resource| resource["name"] == name).unwrap();
        serde_json::from_value(resource["verbs"].clone()).unwrap()
    };
    assert!(!verbs("namespaces").contains(&"deletecollection".to_owned()));
    for name in ["nodes", "persistentvolumes", "services"] {
        assert!(verbs(name).contains(&"deletecollection".to_owned()), "{name}");
    }
}

// Red when each refusal names the verb and the resource.
#[tokio::test]
async fn what_a_path_does_not_allow_is_told_in_the_same_words() {
    let api = Harness::start().await;
    for (method, path) in [
        ("PUT", CONFIG_MAPS),
        ("PATCH", CONFIG_MAPS),
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces/default/pods/p/log"),
        ("POST", "/version"),
    ] {
        let answer = api.send(method, path, "application/json", &json!({})).await;
        assert_eq!(answer.json()["details"], json!({}), "{method} {path}");
        let words = "the server does not allow this method on the requested resource";
        let expected = (405, "MethodNotAllowed".to_owned(), words.to_owned());
        assert_eq!(answer.refused(), expected, "{method} {path}");
    }
}

// Red when discovery leaves them out, as it did.
#[tokio::test]
async fn discovery_tells_storage_versions_and_the_servers_address() {
    let api = Harness::start().await;
    let core = api.get("/api/v1").await.ok();
    let resources = core["resources"].as_array().unwrap();
    let hash = |name: &str| {
        let resource = resources.iter().find(|resource| resource["name"] == name).unwrap();
        resource.get("storageVersionHash").cloned()
    };
    assert_eq!(hash("pods"), Some(json!("xPOwRZ+Yhw8=")));
    assert_eq!(hash("services"), Some(json!("0/CO1lhkEBI=")));
    assert_eq!(hash("pods/status"), None);
    let port = api.server.addresses()[0].port();
    let expected = json!([
        { "clientCIDR": "0.0.0.0/0", "serverAddress": format!("192.0.2.1:{port}") }
    ]);
    assert_eq!(api.get("/api").await.ok()["serverAddressByClientCIDRs"], expected);
}

// Red when parameters have words of their own, when less than nothing is no limit, and when a list takes what is a watch's.
#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_in_upstreams_words() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let bad = |text: &str| (400, "BadRequest".to_owned(), text.to_owned());
    let invalid = |text: &str| (422, "Invalid".to_owned(), text.to_owned());
    let number = r#"strconv.ParseInt: parsing "abc": invalid syntax"#;
    let version = r#"resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax"#;
    let list = r#"ListOptions.meta.k8s.io "" is invalid: "#;
    let cases = [
        ("?limit=abc", bad(number)),
        ("?timeoutSeconds=abc", bad(number)),
        ("?watch=1&timeoutSeconds=abc", bad(number)),
        ("?resourceVersion=abc", invalid(version)),
        ("?watch=1&resourceVersion=abc", invalid(version)),
        ("/a?resourceVersion=abc", invalid(version)),
        (
            "?sendInitialEvents=true",
            invalid(&format!(
                "{list}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
            )),
        ),
        (
            "?resourceVersionMatch=Exact&continue=x",
            invalid(&format!(
                "{list}[resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is \
                 provided, resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided]"
            )),
        ),
        (
            "?continue=@@",
            bad(
                "invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
            ),
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(api.get(&format!("{CONFIG_MAPS}{query}")).await.refused(), expected, "{query}");
    }
    let all = api.get(&format!("{CONFIG_MAPS}?limit=-1")).await.ok();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    let text = api.raw("POST", CONFIG_MAPS, &[("content-type", "text/plain")], b"{}").await;
    let words = "the body of the request was in an unknown format - accepted media types include: application/json, \
                 application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!(text.refused(), (415, "UnsupportedMediaType".into(), words.into()));
}

// Red when numbers go to the node unseen.
#[tokio::test]
async fn a_log_that_makes_no_sense_is_not_asked_for() {
    let api = Harness::start().await;
    let invalid = |text: &str| {
        (422, "Invalid".to_owned(), format!(r#"PodLogOptions "p" is invalid: {text}"#))
    };
    let bad = |text: &str| (400, "BadRequest".to_owned(), text.to_owned());
    let both = "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z";
    let cases = [
        (
            "tailLines=-1",
            invalid("tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ),
        ("limitBytes=-1", invalid("limitBytes: Invalid value: -1: must be greater than 0")),
        ("limitBytes=0", invalid("limitBytes: Invalid value: 0: must be greater than 0")),
        ("sinceSeconds=0", invalid("sinceSeconds: Invalid value: 0: must be greater than 0")),
        (
            both,
            invalid("[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
        ),
        ("tailLines=abc", bad(r#"strconv.ParseInt: parsing "abc": invalid syntax"#)),
    ];
    for (query, expected) in cases {
        assert_eq!(api.get(&format!("{PODS}/p/log?{query}")).await.refused(), expected, "{query}");
    }
    assert_eq!(api.get(&format!("{PODS}/p/log?tailLines=0")).await.refused().0, 404);
}

// Red when nobody looks after them: what was deleted stayed away until the next start, and its address was free.
#[tokio::test]
async fn what_every_cluster_has_is_made_again() {
    let api = Harness::start().await;
    let services = "/api/v1/namespaces/default/services";
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let paths = [services, "/api/v1/namespaces/default/endpoints", slices];
    for path in paths.map(|collection| format!("{collection}/kubernetes")) {
        let before = api.get(&path).await.ok();
        api.delete(&path).await.ok();
        let again = async {
            loop {
                let now = api.get(&path).await;
                if now.code == 200 && now.json()["metadata"]["uid"] != before["metadata"]["uid"] {
                    return now.json();
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let again = tokio::time::timeout(PATIENCE, again).await.expect("made again");
        for field in ["spec", "subsets", "endpoints", "ports"] {
            assert_eq!(again[field], before[field], "{path}");
        }
    }
    let mut service = named("v1", "Service", "thief");
    service["spec"] = json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }] });
    assert!(api.post(services, &service).await.refused().2.contains("already allocated"));
}

// Red when a Scale is shown in the columns of what it scales.
#[tokio::test]
async fn a_scale_has_columns_of_its_own() {
    let api = Harness::start().await;
    let path = "/api/v1/namespaces/default/replicationcontrollers";
    let mut controller = named("v1", "ReplicationController", "r");
    controller["spec"] = json!({ "replicas": 3, "selector": { "a": "b" }, "template": {
        "metadata": { "labels": { "a": "b" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    } });
    api.post(path, &controller).await.ok();
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = api.raw("GET", &format!("{path}/r/scale"), &accept, b"").await.ok();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let names: Vec<&str> = columns.map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Name", "Desired", "Available", "Age"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..3], [json!("r"), json!(3), json!(0)]);
}

// Red when what is given is stored: Go's encoder leaves empty maps out.
#[tokio::test]
async fn empty_maps_are_left_out() {
    let api = Harness::start().await;
    let mut map = named("v1", "ConfigMap", "empty");
    map["data"] = json!({});
    map["metadata"]["labels"] = json!({});
    let made = api.post(CONFIG_MAPS, &map).await.ok();
    assert_eq!((made.get("data"), made["metadata"].get("labels")), (None, None));
    let path = format!("{CONFIG_MAPS}/empty");
    api.send("PATCH", &path, MERGE, &json!({ "data": { "a": "" } })).await.ok();
    let patched = api.send("PATCH", &path, MERGE, &json!({ "data": { "a": null } })).await.ok();
    assert_eq!(patched.get("data"), None);
}
