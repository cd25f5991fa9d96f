//! What clients may have answers in: whole objects, metadata, Tables; JSON, YAML, protobuf; of reads and of writes.

mod common;

use common::*;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    })
}

async fn send(
    api: &Harness,
    method: &str,
    path: &str,
    media: &str,
    accept: &str,
    body: &Value,
) -> Read {
    let headers = [("content-type", media), ("accept", accept)];
    api.raw(method, path, &headers, body.to_string().as_bytes()).await
}

async fn get(api: &Harness, path: &str, accept: &str) -> Read {
    api.raw("GET", path, &[("accept", accept)], b"").await
}

// Red when writes answer with the object whatever is asked for.
#[tokio::test]
async fn writes_are_answered_in_what_the_client_takes() {
    let api = Harness::start().await;
    let path = format!("{PODS}/p");
    let created = send(&api, "POST", PODS, JSON, METADATA, &pod("p")).await;
    assert_eq!((created.code, &created.json()["kind"]), (201, &json!("PartialObjectMetadata")));
    assert_eq!(created.json()["metadata"]["name"], "p");
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    let table = send(&api, "PATCH", &path, MERGE, TABLE, &labels).await.ok();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(table["rows"][0]["cells"][0], "p");
    assert_eq!(table["rows"][0]["object"]["metadata"]["labels"], json!({ "a": "b" }));
    let object = api.get(&path).await.ok();
    let put = send(&api, "PUT", &path, JSON, "application/yaml", &object).await;
    assert_eq!(put.headers["content-type"], "application/yaml");
    let text = String::from_utf8(put.body.to_vec()).unwrap();
    assert!(text.starts_with("apiVersion: v1\nkind: Pod\nmetadata:\n"), "{text}");
    let beta = TABLE.replace("v=v1", "v=v1beta1");
    let table = send(&api, "DELETE", &path, JSON, &beta, &json!({})).await.ok();
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(table["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
    // A Status stays one.
    api.post(CONFIG_MAPS, &config_map("m")).await.ok();
    let gone =
        send(&api, "DELETE", &format!("{CONFIG_MAPS}/m"), JSON, TABLE, &json!({})).await.ok();
    assert_eq!((&gone["kind"], &gone["status"]), (&json!("Status"), &json!("Success")));
    for name in ["a", "b"] {
        api.post(CONFIG_MAPS, &config_map(name)).await.ok();
    }
    let list = METADATA.replace("Metadata;", "MetadataList;");
    let gone = send(&api, "DELETE", CONFIG_MAPS, JSON, &list, &json!({})).await.ok();
    assert_eq!(
        (&gone["kind"], gone["items"].as_array().unwrap().len()),
        (&json!("PartialObjectMetadataList"), 2)
    );
}

// Red with the resourceVersion that a try does not have: `null` was sent.
#[tokio::test]
async fn the_table_of_a_try_has_no_resource_version() {
    let api = Harness::start().await;
    let path = format!("{CONFIG_MAPS}?dryRun=All");
    let table = send(&api, "POST", &path, JSON, TABLE, &config_map("m")).await.ok();
    assert_eq!((&table["metadata"], &table["rows"][0]["cells"][0]), (&json!({}), &json!("m")));
}

// Red when doubled keys are an error of the parser: 400 in every mode.
#[tokio::test]
async fn keys_doubled_in_yaml_are_met_as_the_client_wishes() {
    let api = Harness::start().await;
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  a: b\n  a: c\n  d: e\n  d: f\nx: 1\n";
    let post = async |mode: &str| {
        let path = format!("{CONFIG_MAPS}?dryRun=All&fieldValidation={mode}");
        api.raw("POST", &path, &[("content-type", "application/yaml")], text.as_bytes()).await
    };
    for mode in ["Ignore", "Warn", ""] {
        let made = post(mode).await;
        assert_eq!(made.ok()["data"], json!({ "a": "c", "d": "f" }));
        let told: Vec<&str> =
            made.headers.get_all("warning").iter().filter_map(|one| one.to_str().ok()).collect();
        let all = [
            r#"299 - "line 6: key \"a\" already set in map""#,
            r#"299 - "line 8: key \"d\" already set in map""#,
            r#"299 - "unknown field \"x\"""#,
        ];
        assert_eq!(told, if mode == "Ignore" { &all[..0] } else { &all[..] }, "{mode}");
    }
    let refused = post("Strict").await.refused();
    let why = "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n  line 6: key \"a\" already set in map\n  line 8: key \"d\" already set in map, unknown field \"x\"";
    assert_eq!((refused.0, refused.2.as_str()), (400, why));
}

// Red when a name is told to be taken as if the client had chosen it.
#[tokio::test]
async fn a_taken_name_with_a_beginning_is_to_be_tried_again() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("m")).await.ok();
    let mut again = config_map("m");
    again["metadata"]["generateName"] = json!("m");
    for path in [CONFIG_MAPS.to_owned(), format!("{CONFIG_MAPS}?dryRun=All")] {
        let refused = api.post(&path, &again).await;
        let why = "configmaps \"m\" already exists, the server was not able to generate a unique name for the object";
        assert_eq!(refused.refused(), (409, "AlreadyExists".to_owned(), why.to_owned()));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(refused.json()["details"]["retryAfterSeconds"], 1);
    }
    let plain = api.post(CONFIG_MAPS, &config_map("m")).await.refused();
    assert_eq!(plain.2, "configmaps \"m\" already exists");
}

// Red when the older document is sent again and again: without a tag, and never compressed.
#[tokio::test]
async fn the_older_openapi_document_is_sent_once() {
    let api = Harness::start().await;
    let path = "/openapi/v2";
    for accept in [JSON, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"] {
        let whole = get(&api, path, accept).await;
        let tag = whole.headers["etag"].to_str().unwrap().to_owned();
        let again = [("accept", accept), ("if-none-match", tag.as_str())];
        let known = api.raw("GET", path, &again, b"").await;
        assert_eq!((known.code, known.body.len()), (304, 0), "{accept}");
        let packing = [("accept", accept), ("accept-encoding", "gzip")];
        let packed = api.raw("GET", path, &packing, b"").await;
        assert_eq!(packed.headers["content-encoding"], "gzip");
        assert_eq!(packed.headers["content-type"], whole.headers["content-type"]);
        assert!(packed.body.len() * 4 < whole.body.len());
    }
}

// Red when the answer is made after the write: the refusal came, and the object too.
#[tokio::test]
async fn what_cannot_be_shown_is_not_done() {
    let api = Harness::start().await;
    let path = format!("{PODS}/p");
    let refused = |read: Read| {
        assert_eq!(read.code, 406, "{:?}", read.body);
        read.refused().2
    };
    let html = "text/html";
    let served = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    assert_eq!(refused(send(&api, "POST", PODS, JSON, html, &pod("p")).await), served);
    assert_eq!(api.get(&path).await.code, 404);
    let before = api.post(PODS, &pod("p")).await.ok();
    let list = METADATA.replace("Metadata;", "MetadataList;");
    for (method, media, accept, body) in [
        ("PUT", JSON, html, before.clone()),
        ("PATCH", MERGE, list.as_str(), json!({ "metadata": { "labels": { "a": "b" } } })),
        ("DELETE", JSON, html, json!({})),
    ] {
        refused(send(&api, method, &path, media, accept, &body).await);
    }
    refused(send(&api, "DELETE", PODS, JSON, METADATA, &json!({})).await);
    let binding = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    refused(send(&api, "POST", &format!("{path}/binding"), JSON, TABLE, &binding).await);
    let review = json!({ "spec": { "nonResourceAttributes": { "verb": "get", "path": "/" } } });
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    refused(send(&api, "POST", reviews, JSON, TABLE, &review).await);
    let unknown =
        send(&api, "POST", &format!("{PODS}?includeObject=Half"), JSON, TABLE, &pod("q")).await;
    assert_eq!(unknown.refused().0, 400);
    assert_eq!(api.get(&format!("{PODS}/q")).await.code, 404);
    assert_eq!(api.get(&path).await.ok(), before);
    let route = json!({ "apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": { "name": "r" }, "spec": { "to": { "name": "s" } } });
    let routes = "/apis/route.openshift.io/v1/namespaces/default/routes";
    let served = "only the following media types are accepted: application/json, application/yaml";
    let refused = send(&api, "POST", routes, JSON, PROTOBUF, &route).await;
    assert_eq!(refused.code, 406);
    assert!(String::from_utf8_lossy(&refused.body).contains(served), "{:?}", refused.body);
    assert_eq!(api.get(&format!("{routes}/r")).await.code, 404);
}

// Red when only JSON is served: 406.
#[tokio::test]
async fn reads_are_served_in_yaml_and_in_protobuf_alone() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let object = api.get(&path).await.ok();
    let yaml = get(&api, &path, "application/yaml").await;
    assert_eq!(
        (yaml.code, &yaml.headers["content-type"]),
        (200, &"application/yaml".parse().unwrap())
    );
    assert!(yaml.body.starts_with(b"apiVersion: v1\ndata:\n  k: v\nkind: ConfigMap\n"));
    let list = get(&api, CONFIG_MAPS, "application/yaml").await;
    assert!(String::from_utf8_lossy(&list.body).contains("kind: ConfigMapList"));
    // Protobuf goes out and, sent back, is the same object.
    let bytes = get(&api, &path, PROTOBUF).await;
    assert_eq!(bytes.headers["content-type"], PROTOBUF);
    assert!(bytes.body.starts_with(b"k8s\0"));
    let put = api.raw("PUT", &path, &[("content-type", PROTOBUF)], &bytes.body).await.ok();
    assert_eq!(put, object);
    assert!(get(&api, CONFIG_MAPS, PROTOBUF).await.body.starts_with(b"k8s\0"));
    let metadata =
        get(&api, &path, &format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1")).await;
    assert!(metadata.body.windows(21).any(|part| part == b"PartialObjectMetadata"));
    // Refusals come in the same clothes.
    let missing = get(&api, &format!("{CONFIG_MAPS}/none"), "application/yaml").await;
    assert_eq!(
        (missing.code, &missing.headers["content-type"]),
        (404, &"application/yaml".parse().unwrap())
    );
    let missing = get(&api, &format!("{CONFIG_MAPS}/none"), PROTOBUF).await;
    assert!(missing.code == 404 && missing.body.starts_with(b"k8s\0"));
}

#[tokio::test]
async fn a_watch_in_protobuf_is_a_row_of_lengths_and_events() {
    let api = Harness::start().await;
    let made = api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", version(&made));
    let answer = api.open("GET", &path, &[("accept", PROTOBUF)], b"").await;
    assert_eq!(answer.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
    let mut body = answer.into_body();
    api.post(CONFIG_MAPS, &config_map("b")).await.ok();
    let mut read = Vec::new();
    while read.len() < 4
        || read.len() < 4 + u32::from_be_bytes(read[..4].try_into().unwrap()) as usize
    {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        read.extend_from_slice(&frame.into_data().unwrap());
    }
    // Field 1 is the word; field 2 holds the object in an envelope of its own.
    assert_eq!(read[4..11], *b"\x0a\x05ADDED");
    assert!(read.windows(4).any(|part| part == b"k8s\0"));
    let yaml = get(&api, &format!("{CONFIG_MAPS}?watch=true"), "application/yaml").await;
    assert_eq!(yaml.code, 406);
}

// Red when objects are stored and written by the alphabet.
#[tokio::test]
async fn objects_are_written_in_the_order_of_go() {
    let api = Harness::start().await;
    let headers = [("content-type", JSON)];
    let created = api.raw("POST", PODS, &headers, pod("p").to_string().as_bytes()).await;
    let got = api.get(&format!("{PODS}/p")).await;
    assert_eq!(created.body, got.body);
    let text = String::from_utf8(got.body.to_vec()).unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(
        text.starts_with(
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"default","uid":"#
        ),
        "{text}"
    );
    assert!(
        at(r#""uid""#) < at(r#""resourceVersion""#)
            && at(r#""resourceVersion""#) < at(r#""creationTimestamp""#)
    );
    assert!(at(r#""spec""#) < at(r#""status""#));
    let missing = api.get(&format!("{PODS}/q")).await;
    assert!(missing.body.starts_with(
        br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"#
    ));
    let pretty = api.get(&format!("{PODS}/p?pretty=true")).await;
    assert!(pretty.body.starts_with(b"{\n  \"kind\": \"Pod\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \"name\": \"p\""));
    assert_eq!(pretty.ok(), got.ok());
    assert!(
        api.get("/api/v1")
            .await
            .body
            .starts_with(br#"{"kind":"APIResourceList","apiVersion":"v1""#)
    );
}

type Headers<'a> = &'a [(&'a str, &'a str)];

// Red when only `?pretty=true` is looked at.
#[tokio::test]
async fn people_get_indented_json() {
    let api = Harness::start().await;
    api.post(CONFIG_MAPS, &config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let curl = [("user-agent", "curl/8.5.0")];
    let plain = api.get(&path).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let cases: [(&str, Headers<'_>, bool); 8] = [
        (&path, &curl, true),
        (&path, &[("user-agent", "Mozilla/5.0 (X11)")], true),
        (&path, &[("accept", "application/json;pretty=1")], true),
        (&path, &[("user-agent", "kubectl/v1.33.0")], false),
        ("/api/v1", &curl, true),
        ("/apis", &curl, true),
        ("/api/v1/namespaces/default/secrets/none", &curl, true),
        (CONFIG_MAPS, &[("user-agent", "Wget/1"), ("accept", table)], true),
    ];
    for (path, headers, pretty) in cases {
        let answer = api.raw("GET", path, headers, b"").await;
        assert_eq!(answer.body.starts_with(b"{\n  \""), pretty, "{path} {headers:?}");
    }
    assert_eq!(api.raw("GET", &path, &curl, b"").await.ok(), plain.ok());
    let not = api.raw("GET", &format!("{path}?pretty=false"), &curl, b"").await;
    assert_eq!(not.body, plain.body);
    // Each event of a watch stays a line.
    let watch = api.open("GET", &format!("{CONFIG_MAPS}?watch=1"), &curl, b"").await;
    let frame = watch.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame.iter().filter(|byte| **byte == b'\n').count(), 1);
}

// Red when nobody names requests.
#[tokio::test]
async fn every_answer_names_its_request() {
    let api = Harness::start().await;
    for path in [CONFIG_MAPS, "/healthz", "/api", "/none", "/api/v1/namespaces/..%2f"] {
        let answer = api.get(path).await;
        assert_eq!(answer.headers["audit-id"].len(), 36, "{path}");
        let named = api.raw("GET", path, &[("Audit-ID", "mine")], b"").await;
        assert_eq!(named.headers["audit-id"], "mine", "{path}");
    }
}

// Red when nothing is compressed, or what is small, or a chunk is lost.
#[tokio::test]
async fn large_answers_are_compressed_for_who_takes_it() {
    use std::io::Read;
    let api = Harness::start().await;
    for name in 0..40 {
        let mut map = config_map(&format!("m{name}"));
        // Of some all goes by itself, of others many go together.
        map["data"]["k"] = (0..(name * 500)).map(|n| format!("{n:x} ")).collect::<String>().into();
        api.post(CONFIG_MAPS, &map).await.ok();
    }
    let gzip = [("accept-encoding", "deflate, gzip")];
    let yaml = [("accept-encoding", "gzip"), ("accept", "application/yaml")];
    for (headers, accept) in [(&gzip[..], &[][..]), (&yaml[..], &yaml[1..])] {
        let plain = api.raw("GET", CONFIG_MAPS, accept, b"").await;
        assert!(plain.body.len() > 512 * 1024 && !plain.headers.contains_key("content-encoding"));
        let packed = api.raw("GET", CONFIG_MAPS, headers, b"").await;
        assert_eq!(packed.headers["content-encoding"], "gzip");
        assert_eq!(packed.headers["vary"], "Accept-Encoding");
        assert!(packed.body.len() < plain.body.len() * 4 / 5);
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut body).unwrap();
        assert!(body == plain.body, "another text");
    }
    for path in [format!("{CONFIG_MAPS}/m1"), format!("{CONFIG_MAPS}?limit=2")] {
        let small = api.raw("GET", &path, &gzip, b"").await;
        assert!(!small.headers.contains_key("content-encoding"), "{path}");
        small.ok();
    }
}

/// As upstream's default is: CBOR is behind a gate that is closed.
#[tokio::test]
async fn cbor_is_refused() {
    let api = Harness::start().await;
    for accept in ["application/cbor", "application/cbor-seq"] {
        let refused = api.raw("GET", CONFIG_MAPS, &[("accept", accept)], b"").await;
        assert_eq!(refused.refused().0, 406, "{accept}");
        let both = format!("{accept},application/json;q=0.9");
        assert_eq!(api.raw("GET", CONFIG_MAPS, &[("accept", &both)], b"").await.code, 200);
    }
    let sent = api.raw("POST", CONFIG_MAPS, &[("content-type", "application/cbor")], b"\xa0").await;
    assert_eq!(sent.refused().0, 415);
}
