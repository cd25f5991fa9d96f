//! The command line against a server of kinds that it never heard of, which speaks of them in the newer or the older
//! documents.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A server of one kind, and what it was asked for.
struct Sea {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

fn whale(name: &str, depth: u32) -> Value {
    json!({"apiVersion": "sea.io/v1", "kind": "Whale", "metadata": {"name": name, "namespace": "default",
        "resourceVersion": "7", "uid": name, "labels": {"pod": name}}, "spec": {"depth": depth, "selector": {"a": "b"}}})
}

fn aggregated() -> Value {
    let definitions = json!({"resource": "customresourcedefinitions", "scope": "Cluster",
        "responseKind": {"group": "apiextensions.k8s.io", "version": "v1", "kind": "CustomResourceDefinition"},
        "singularResource": "customresourcedefinition", "verbs": ["create", "get", "list", "watch"]});
    let resource = json!({"resource": "whales", "responseKind": {"group": "sea.io", "version": "v1", "kind": "Whale"},
        "scope": "Namespaced", "singularResource": "whale", "shortNames": ["wh"], "categories": ["sea"],
        "verbs": ["create", "delete", "get", "list", "patch", "watch"],
        "subresources": [{"subresource": "scale", "responseKind": {"kind": "Scale"}, "verbs": ["get", "patch"]}]});
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": [
        {"metadata": {"name": "sea.io"}, "versions": [{"version": "v1", "resources": [resource]}]},
        {"metadata": {"name": "apiextensions.k8s.io"}, "versions": [{"version": "v1", "resources": [definitions]}]}]})
}

fn older(path: &str) -> Value {
    let version = json!({"groupVersion": "sea.io/v1", "version": "v1"});
    match path {
        "/api" => json!({"kind": "APIVersions", "versions": []}),
        "/apis" => json!({"kind": "APIGroupList", "groups": [
            {"name": "sea.io", "versions": [version], "preferredVersion": version}]}),
        _ => json!({"kind": "APIResourceList", "groupVersion": "sea.io/v1", "resources": [
            {"name": "whales", "singularName": "whale", "kind": "Whale", "namespaced": true, "shortNames": ["wh"],
                "categories": ["sea"], "verbs": ["create", "delete", "get", "list", "patch", "watch"]},
            {"name": "whales/scale", "singularName": "", "kind": "Scale", "group": "autoscaling", "version": "v1",
                "namespaced": true, "verbs": ["get", "patch"]}]}),
    }
}

const DEFINITION: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crabs.land.io}
spec:
  group: land.io
  scope: Namespaced
  names: {kind: Crab, plural: crabs}
  versions: [{name: v1, served: true, storage: true}]
---
apiVersion: land.io/v1
kind: Crab
metadata: {name: sebastian}
";

/// A server that says that a definition is established to whoever watches it, and serves its kind from then on.
fn defining(method: &str, path: &str, was_watched: bool) -> Option<(u16, Value)> {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = |status: &str| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crabs.land.io", "uid": "crabs", "resourceVersion": "9"},
        "status": {"conditions": [{"type": "Established", "status": status}]}})
    };
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    match (method, bare) {
        ("GET", DEFINITIONS) if query.contains("watch=") => {
            Some((200, json!({"type": "MODIFIED", "object": definition("True")})))
        }
        ("GET", DEFINITIONS) => Some((
            200,
            json!({"kind": "List", "metadata": {"resourceVersion": "8"}, "items": [definition("False")]}),
        )),
        ("POST", DEFINITIONS) => Some((201, definition("False"))),
        ("GET", "/apis/land.io/v1") if was_watched => Some((
            200,
            json!({"kind": "APIResourceList", "groupVersion": "land.io/v1", "resources": [{"name": "crabs"}]}),
        )),
        ("POST", "/apis/land.io/v1/namespaces/default/crabs") if was_watched => {
            Some((201, json!({"metadata": {"name": "sebastian"}})))
        }
        _ => None,
    }
}

/// The answer to a request: what discovery says, a Table where one is asked for, the objects themselves.
fn answer(method: &str, path: &str, accept: &str, old: bool) -> (u16, Value) {
    const ALL: &str = "/apis/sea.io/v1/namespaces/default/whales";
    let table = |objects: &[Value]| {
        let row = |object: &Value| json!({"cells": [object["metadata"]["name"], object["spec"]["depth"]], "object": object});
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
            "columnDefinitions": [{"name": "Name"}, {"name": "Depth"}], "rows": objects.iter().map(row).collect::<Vec<_>>()})
    };
    let tabular = accept.contains("as=Table");
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let all = [whale("moby", 30), whale("willy", 4)];
    match (method, bare) {
        ("GET", "/api" | "/apis" | "/apis/sea.io/v1") if old => (200, older(bare)),
        ("GET", "/api") => (200, json!({"kind": "APIGroupDiscoveryList", "items": []})),
        ("GET", "/apis") => (200, aggregated()),
        ("GET", ALL) if query.contains("watch=") => (
            200,
            json!({"type": "ADDED", "object": if tabular { table(&all[..1]) } else { whale("moby", 31) }}),
        ),
        ("GET", ALL) if tabular => (200, table(&all)),
        ("GET", ALL) => (
            200,
            json!({"kind": "WhaleList", "apiVersion": "sea.io/v1", "metadata": {"resourceVersion": "7"}, "items": all}),
        ),
        ("POST", ALL) => (201, whale("moby", 30)),
        (_, path) if path.starts_with(ALL) && path.ends_with("/nemo") => (
            404,
            json!({"kind": "Status", "status": "Failure",
            "code": 404, "reason": "NotFound", "message": "whales.sea.io \"nemo\" not found"}),
        ),
        ("GET", path) if path.starts_with(ALL) && tabular => (200, table(&all[..1])),
        ("DELETE", path) if path.starts_with(ALL) => {
            (200, json!({"kind": "Status", "status": "Success", "details": {"uid": "moby"}}))
        }
        (_, path) if path.starts_with(ALL) => (200, whale("moby", 30)),
        _ => (
            404,
            json!({"kind": "Status", "code": 404, "reason": "NotFound", "message": "nothing here"}),
        ),
    }
}

fn serve(mut stream: TcpStream, old: bool, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let value = |name: &str| {
            let found = head.iter().find_map(|line| {
                line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name))
            });
            found.map_or("", |(_, value)| value)
        };
        let mut body = vec![0; value("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let mut words = head.first()?.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let kind = value("content-type");
        let was_watched = {
            let mut asked = asked.lock().unwrap();
            asked.push(format!("{method} {path} {kind} {}", String::from_utf8_lossy(&body)));
            asked.iter().any(|line| line.contains("definitions?") && line.contains("watch="))
        };
        let (status, answer) = defining(method, path, was_watched)
            .unwrap_or_else(|| answer(method, path, value("accept"), old));
        let text = format!("{answer}\n");
        let length = text.len();
        write!(stream, "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nWarning: 299 - \"mind the whale\"\r\nContent-Length: {length}\r\n\r\n{text}").ok()?;
    }
}

impl Sea {
    fn new(old: bool) -> Sea {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, old, &kept));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        Sea { folder, asked }
    }

    fn leme(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leme"));
        command
            .args(words.split_whitespace())
            .arg("--kubeconfig")
            .arg(self.folder.path().join("config"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, words: &str) -> String {
        let Output { status, stdout, stderr } = self.leme(words);
        assert!(status.success(), "{words}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    #[track_caller]
    fn fails(&self, words: &str) -> String {
        let Output { status, stderr, .. } = self.leme(words);
        assert_eq!(status.code(), Some(1), "{words}: {}", String::from_utf8_lossy(&stderr));
        let text = String::from_utf8_lossy(&stderr).into_owned();
        text.lines().filter(|line| !line.starts_with("Warning: ")).collect::<Vec<_>>().join("\n")
    }

    fn last(&self, method: &str) -> String {
        let asked = self.asked.lock().unwrap();
        asked.iter().rev().find(|line| line.starts_with(method)).cloned().unwrap_or_default()
    }
}

/// Red when words are looked up in this program's own table.
#[test]
fn kinds_are_learned_from_the_server() {
    for old in [false, true] {
        let sea = Sea::new(old);
        let table = "NAME    DEPTH\nmoby    30\nwilly   4\n";
        for word in ["whales", "whale", "Whale", "wh", "whales.sea.io", "whales.v1.sea.io", "sea"] {
            assert_eq!(sea.ok(&format!("get {word}")), table, "{word}");
        }
        assert_eq!(sea.ok("get wh/moby --no-headers"), "moby   30\n");
        assert_eq!(sea.ok("get wh -o name"), "whale.sea.io/moby\nwhale.sea.io/willy\n");
        assert_eq!(sea.ok("get wh --sort-by .spec.depth --no-headers"), "willy   4\nmoby    30\n");
        assert_eq!(
            sea.ok("get wh -o custom-columns=N:.metadata.name,D:spec.depth"),
            "N       D\nmoby    30\nwilly   4\n"
        );
        assert_eq!(sea.ok("get wh -o jsonpath={.items[*].spec.depth}"), "30 4");
        assert_eq!(
            sea.ok("get wh --show-labels -L pod --no-headers"),
            "moby    30    moby    pod=moby\nwilly   4     willy   pod=willy\n"
        );
        assert!(sea.ok("describe wh moby --show-events=false").contains("Depth:  30"));
        assert_eq!(sea.ok("why wh/moby"), "whale.sea.io/moby works\n");
        assert_eq!(
            // What is listed is told anew by the watch, and may be over before anybody looks.
            sea.ok("wait wh/moby --for jsonpath={.spec.depth}=31"),
            "whale.sea.io/moby condition met\n"
        );
    }
}

#[test]
fn objects_of_any_kind_are_changed() {
    let sea = Sea::new(false);
    let path = sea.folder.path().join("whale.yaml");
    std::fs::write(
        &path,
        "apiVersion: sea.io/v1\nkind: Whale\nmetadata: {name: moby}\nspec: {depth: 40}\n",
    )
    .unwrap();
    let path = path.display();
    assert_eq!(sea.ok(&format!("apply -f {path}")), "whale.sea.io/moby unchanged\n");
    assert!(sea.last("PATCH").contains("application/merge-patch+json"), "{}", sea.last("PATCH"));
    assert_eq!(sea.ok(&format!("create -f {path}")), "whale.sea.io/moby created\n");
    assert_eq!(sea.ok("scale wh/moby --replicas 3"), "whale.sea.io/moby scaled\n");
    assert!(
        sea.last("PATCH").contains("/whales/moby/scale")
            && sea.last("PATCH").ends_with("{\"spec\":{\"replicas\":3}}")
    );
    assert_eq!(sea.ok("label wh moby sea=north pod-"), "whale.sea.io/moby labeled\n");
    assert!(
        sea.last("PATCH").ends_with("{\"metadata\":{\"labels\":{\"pod\":null,\"sea\":\"north\"}}}")
    );
    assert_eq!(
        sea.ok("annotate wh --all note=x --dry-run=server"),
        "whale.sea.io/moby annotated (server dry run)\nwhale.sea.io/willy annotated (server dry run)\n"
    );
    assert!(sea.last("PATCH").contains("dryRun=All"));
    assert_eq!(sea.ok("delete wh moby --wait=false"), "whale.sea.io \"moby\" deleted\n");
    let told = sea.leme("get wh");
    assert!(String::from_utf8_lossy(&told.stderr).contains("Warning: mind the whale"));
}

/// Red when the server is asked again and again whether it serves the kind by now.
#[test]
fn a_definition_is_followed_until_its_kind_is_served() {
    let sea = Sea::new(false);
    let path = sea.folder.path().join("crab.yaml");
    std::fs::write(&path, DEFINITION).unwrap();
    let applied = sea.ok(&format!("apply -f {}", path.display()));
    let definition = "customresourcedefinition.apiextensions.k8s.io/crabs.land.io created\n";
    assert_eq!(applied, format!("{definition}crab.land.io/sebastian created\n"));
    let asked = sea.asked.lock().unwrap();
    let questions = asked.iter().filter(|line| line.starts_with("GET /apis/land.io/v1 "));
    assert_eq!(questions.count(), 1, "{asked:?}");
}

/// What is wrong is said as kubectl says it, and with its exit code.
#[test]
fn failures_are_told_in_the_servers_words() {
    let sea = Sea::new(false);
    assert_eq!(sea.fails("get cats"), "leme: the server doesn't have a resource type \"cats\"");
    let missing = "Error from server (NotFound): whales.sea.io \"nemo\" not found";
    assert_eq!(sea.fails("get wh nemo"), missing);
    assert_eq!(sea.fails("delete wh/nemo"), missing);
    assert_eq!(sea.fails("label wh nemo a=b"), missing);
    assert_eq!(sea.ok("get wh nemo --ignore-not-found"), "");
    assert_eq!(
        sea.fails("label wh moby pod=other"),
        "leme: 'pod' already has a value (moby), and --overwrite is false"
    );
    assert_eq!(
        sea.fails("rollout status wh/moby"),
        "leme: no status viewer has been implemented for whale.sea.io"
    );
    assert_eq!(
        sea.fails("rollout pause wh/moby"),
        "leme: whales.sea.io \"moby\" pausing is not supported"
    );
    let format = sea.fails("get wh -o xml");
    assert!(
        format
            .starts_with("leme: unable to match a printer suitable for the output format \"xml\""),
        "{format}"
    );
    assert_eq!(sea.leme("get").status.code(), Some(2));
}
