//! Bodies of requests, through a whole server in this process: JSON, YAML and protobuf objects, and the kinds of patches.
//!
//! A server may refuse what it is sent, in a Status; it may not fail. What it accepts it has to accept again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use leme_fuzz::{Feed, run, word};
use leme_server::{Identity, LocalService, Server, ServerConfig};
use leme_store::memory::MemoryStore;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower_service::Service;

/// A server over the memory store, and a runtime to ask it with.
struct Asked {
    runtime: Runtime,
    service: LocalService,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Asked {
    fn new() -> Asked {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let store = Arc::new(MemoryStore::new());
        let mut config = ServerConfig::new(listen, folder.path().join("pki"), store);
        // Nothing makes the accounts that pods would wait for.
        config.admission.off = vec!["ServiceAccount"];
        let server = runtime.block_on(Server::start(config)).unwrap();
        let masters = vec!["system:masters".to_owned()];
        let service = server.local_service(Identity::of_certificate("fuzz", masters));
        Asked { runtime, service, _server: server, _folder: folder }
    }

    /// Code and document of an answer. A refusal is a Status with that code, and never a fault of the server.
    fn ask(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(Full::new(Bytes::copy_from_slice(body)))
            .unwrap();
        let mut service = self.service.clone();
        let (code, body) = self.runtime.block_on(async {
            let answer = service.call(request).await.unwrap();
            (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
        });
        let document: Value = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{code} with no JSON: {error}: {body:?}"));
        // As upstream has it: some wrong strategic patches are answered with 500 and no reason.
        let upstreams = method == "PATCH" && code == 500 && document.get("reason").is_none();
        assert!(code < 500 || upstreams, "{code}: {document}");
        if code >= 400 {
            assert_eq!(document["kind"], "Status", "{document}");
            assert_eq!(document["code"], code, "{document}");
        }
        (code, document)
    }

    /// Sends an object for nothing to be kept; what is accepted is accepted again as it was answered, and comes out the
    /// same. In a word, how it was taken.
    fn create(&self, collection: &str, content_type: &str, body: &[u8]) -> String {
        let path = format!("{collection}?dryRun=All&fieldValidation=Strict");
        let (code, first) = self.ask("POST", &path, content_type, body);
        if code >= 400 {
            return refusal(code, &first);
        }
        let mut object = first.clone();
        let metadata = object["metadata"].as_object_mut().unwrap();
        for made in ["uid", "creationTimestamp", "managedFields", "generation", "resourceVersion"] {
            metadata.remove(made);
        }
        let text = serde_json::to_vec(&object).unwrap();
        let (code, second) = self.ask("POST", &path, "application/json", &text);
        assert_eq!(code, 201, "{object} was answered, and is then refused: {second}");
        assert_eq!(second["spec"], first["spec"], "the answer is not what it would itself become");
        assert_eq!(second["data"], first["data"]);
        "created".to_owned()
    }
}

fn refusal(code: u16, status: &Value) -> String {
    let field = status["details"]["causes"][0]["field"].as_str().unwrap_or("");
    let field: String = field.chars().filter(|c| !c.is_ascii_digit()).take(40).collect();
    format!("{code} {field} {}", word(status["message"].as_str().unwrap_or("")))
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"app":"a"}},"spec":{
"containers":[{"name":"c","image":"i:v1","ports":[{"containerPort":80}],"env":[{"name":"A","value":"b"}],
"resources":{"limits":{"memory":"64Mi","cpu":"0.1"}},"readinessProbe":{"httpGet":{"path":"/","port":80}},
"volumeMounts":[{"name":"v","mountPath":"/v","subPath":"x"}]}],"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}],
"tolerations":[{"key":"k","operator":"Exists"}],"nodeSelector":{"a":"b"}}}"#;
const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"selector":{"app":"a"},
"type":"NodePort","ports":[{"name":"http","port":80,"targetPort":"web","nodePort":30080,"protocol":"TCP"}]}}"#;
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const WORDS: &[&str] = &[
    "null",
    "{}",
    "[]",
    "\"\"",
    "-1",
    "0",
    "true",
    "metadata",
    "spec",
    "containers",
    "name",
    "ports",
    "\"a\":",
    ",",
    "resourceVersion",
    "ownerReferences",
    "finalizers",
    "generateName",
    "1e3",
    "10Ei",
    "0.5",
    "\\u0000",
    "hostPath",
    "securityContext",
    "initContainers",
    "clusterIP",
    "externalName",
    "None",
    "255.255.255.255",
];

#[test]
fn json_objects() {
    let asked = Asked::new();
    let seeds = vec![POD.into(), SERVICE.into()];
    let seen = run(Feed { name: "JSON objects", seeds, words: WORDS, cases: 4_000 }, |input| {
        let service = input.windows(7).any(|window| window == b"Service");
        asked.create(if service { SERVICES } else { PODS }, "application/json", input)
    });
    assert!(seen.contains("created") && seen.len() > 20, "{seen:?}");
}

#[test]
fn yaml_objects() {
    let asked = Asked::new();
    let seeds: Vec<Vec<u8>> = vec![
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: c\n    image: i:v1\n    args: [yes, 0644, ~]\n".into(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d\n  a: |\n    text\n  b: \"\\x41\"\nbinaryData: {}\n".into(),
        "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n".into(),
        "base: &base {name: a}\nmetadata:\n  <<: *base\n".into(),
        POD.into(),
    ];
    let words = &[
        "\n",
        "  ",
        "- ",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "|\n",
        ">-\n",
        "---\n",
        "...",
        "!!binary ",
        "? ",
        "'",
        "\"",
        "\t",
        "0x1f",
        "012",
        "~",
        "{",
        "}",
        "#",
    ];
    let seen = run(Feed { name: "YAML objects", seeds, words, cases: 4_000 }, |input| {
        let map = input.windows(9).any(|window| window == b"ConfigMap");
        let path = if map { "/api/v1/namespaces/default/configmaps" } else { PODS };
        asked.create(path, "application/yaml", input)
    });
    assert!(seen.contains("created") && seen.len() > 15, "{seen:?}");
}

/// A protobuf field of bytes: its number, its length, them.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
    out
}

/// The envelope of the Kubernetes encoding.
fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
}

#[test]
fn protobuf_objects() {
    let asked = Asked::new();
    let name = field(1, &field(1, b"a"));
    let label = field(11, &[field(1, b"app"), field(2, b"a")].concat());
    let metadata = field(1, &[field(1, b"a"), label].concat());
    let port = field(6, &[0x18, 0x50]);
    let container = field(2, &[field(1, b"c"), field(2, b"i:v1"), port].concat());
    let seeds = vec![
        envelope("Namespace", &name),
        envelope("Pod", &[metadata.clone(), field(2, &container)].concat()),
        envelope(
            "ConfigMap",
            &[metadata, field(2, &[field(1, b"k"), field(2, b"v")].concat())].concat(),
        ),
    ];
    let words =
        &["k8s\0", "\n", "\x12", "\x1a", "\x08", "\x18", "\x7f", "\x0b", "\x0c", "Pod", "v1"];
    let seen = run(Feed { name: "protobuf objects", seeds, words, cases: 4_000 }, |input| {
        let holds = |word: &[u8]| input.windows(word.len()).any(|window| window == word);
        let path = match () {
            () if holds(b"Namespace") => "/api/v1/namespaces",
            () if holds(b"ConfigMap") => "/api/v1/namespaces/default/configmaps",
            () => PODS,
        };
        asked.create(path, "application/vnd.kubernetes.protobuf", input)
    });
    assert!(seen.contains("created") && seen.len() > 8, "{seen:?}");
}

/// The first byte of an input chooses the kind of patch.
#[test]
fn patches() {
    let asked = Asked::new();
    assert_eq!(asked.ask("POST", SERVICES, "application/json", SERVICE.as_bytes()).0, 201);
    assert_eq!(asked.ask("POST", PODS, "application/json", POD.as_bytes()).0, 201);
    let kinds = [
        ("m", "application/merge-patch+json"),
        ("s", "application/strategic-merge-patch+json"),
        ("j", "application/json-patch+json"),
    ];
    let seeds: Vec<Vec<u8>> = [
        r#"m{"metadata":{"labels":{"a":"b","app":null}},"spec":{"tolerations":[]}}"#,
        r#"s{"spec":{"ports":[{"port":80,"name":"web"},{"port":81,"name":"b","$patch":"delete"}],"$setElementOrder/ports":[{"port":80}]}}"#,
        r#"s{"spec":{"containers":[{"name":"c","image":"i:v2","env":[{"name":"A","$patch":"delete"}]}]}}"#,
        r#"s{"metadata":{"$deleteFromPrimitiveList/finalizers":["a/b"],"finalizers":["a/c"]},"$retainKeys":["spec"]}"#,
        r#"j[{"op":"test","path":"/metadata/name","value":"a"},{"op":"replace","path":"/metadata/labels/app","value":"b"}]"#,
        r#"j[{"op":"copy","from":"/spec","path":"/spec/ports/0"},{"op":"move","from":"/metadata/labels","path":"/metadata/annotations"},{"op":"remove","path":"/spec/ports/-"},{"op":"add","path":"/spec/~01","value":{}}]"#,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let words = &[
        "$patch",
        "\"replace\"",
        "\"delete\"",
        "\"merge\"",
        "$setElementOrder/",
        "$retainKeys",
        "$deleteFromPrimitiveList/",
        "null",
        "{}",
        "[]",
        "\"op\":\"copy\"",
        "\"path\":\"\"",
        "/-",
        "~1",
        "~0",
        "/spec",
        "/metadata",
        "ports",
        "containers",
        "name",
    ];
    let seen = run(Feed { name: "patches", seeds, words, cases: 5_000 }, |input| {
        let (kind, body) = input.split_at(1.min(input.len()));
        let (_, content_type) =
            kinds.iter().find(|(name, _)| name.as_bytes() == kind).unwrap_or(&kinds[0]);
        let mut words = Vec::new();
        for path in [format!("{SERVICES}/s"), format!("{PODS}/a")] {
            let (code, answer) =
                asked.ask("PATCH", &format!("{path}?dryRun=All"), content_type, body);
            words.push(if code < 300 { "patched".to_owned() } else { refusal(code, &answer) });
        }
        words.join("; ")
    });
    assert!(seen.iter().any(|word| word.contains("patched")) && seen.len() > 10, "{seen:?}");
}
