//! The router beside an API that is a map, with the objects that all rows have in common.

use super::asking::{Seen, ask, made, misses, start_app, start_http2_app, start_tls_app};
use super::rows::Row;
use super::support::api::Api;
use super::support::netns::Netns;
use super::writing::{GROUP, Put, at, from, gateway, http, https, with, within};
use base64::Engine;
use leme_network::router::{Authority, Secure};
use leme_network::{RouterConfig, router, run_router};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The applications: namespace, name and last number of the address.
const APPS: [(&str, &str, u8); 5] = [
    ("infra", "v1", 1),
    ("infra", "v2", 2),
    ("infra", "v3", 3),
    ("web", "v1", 11),
    ("web", "v2", 12),
];

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, 0, last)
}

fn app_name(namespace: &str, name: &'static str) -> &'static str {
    match (namespace, name) {
        ("web", "v1") => "web-v1",
        ("web", _) => "web-v2",
        (_, name) => name,
    }
}

/// Applications that speak HTTP/2 alone.
const GRPC: [&str; 3] = ["g1", "g2", "g3"];

/// How long a row may take to become so.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub api: Api,
    pub seen: Seen,
}

impl Bench {
    pub fn put(&self, object: Put) {
        let (plural, value) = object;
        self.api.put(plural, value);
    }

    pub fn delete(&self, object: &Put) {
        let text = |field: &str| object.1["metadata"][field].as_str().unwrap_or("").to_owned();
        self.api.delete(object.0, &text("namespace"), &text("name"));
    }

    /// Shows a row: puts its objects, waits for what they are told, asks, and takes them away.
    pub async fn show(&self, row: &Row) {
        row.put.iter().for_each(|object| self.put(object.clone()));
        for (plural, object) in &row.put {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or("");
            let (namespace, name) = (text("namespace"), text("name"));
            let name =
                if namespace == "infra" { name.to_owned() } else { format!("{namespace}/{name}") };
            let of_row = |told: &&(String, String)| told.0.split(' ').nth(1) == Some(&name);
            if plural.ends_with("routes") && !row.told.iter().any(|told| of_row(&told)) {
                self.told(row.id, &format!("{plural} {name}"), "Accepted").await;
            }
        }
        for (object, expected) in &row.told {
            self.told(row.id, object, expected).await;
        }
        for (request, expected) in &row.asked {
            self.asked(row.id, request, expected).await;
        }
        for (object, change, told) in &row.then {
            self.put((object.0, with(object.1.clone(), change.clone())));
            for (object, expected) in told {
                self.told(row.id, object, expected).await;
            }
        }
        row.put.iter().for_each(|object| self.delete(object));
    }

    /// Waits until a request is answered so. `100x REQUEST` asks so often, and `NAME*70` says how often an application answers,
    /// `copy:NAME*70` how often it gets a copy.
    pub async fn asked(&self, id: &str, request: &str, expected: &str) {
        if let Some((count, request)) = request.split_once("x http") {
            let request = format!("http{request}");
            return self.shared(id, count.parse().unwrap(), &request, expected).await;
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answered = ask(request).await;
            let missing = misses(&answered, expected);
            if missing.is_empty() {
                return;
            }
            if tokio::time::Instant::now() > deadline {
                panic!("{id}: {request}: not {missing:?} of {expected}: {answered:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn shared(&self, id: &str, count: usize, request: &str, expected: &str) {
        self.seen.lock().unwrap().clear();
        let mut answers = Vec::new();
        for _ in 0..count {
            let answered = ask(request).await;
            answers.push(answered.body.lines().next().unwrap_or("none").to_owned());
        }
        for word in expected.split(' ') {
            let (name, wanted) = word.split_once('*').unwrap();
            let wanted: usize = wanted.parse().unwrap();
            let deadline = tokio::time::Instant::now() + PATIENCE;
            loop {
                let found = match name.strip_prefix("copy:") {
                    None => answers.iter().filter(|answer| *answer == name).count(),
                    Some(name) => {
                        let begin = format!("{name} ");
                        let seen = self.seen.lock().unwrap();
                        seen.iter().filter(|line| line.starts_with(&begin)).count()
                    }
                };
                // Turns fill the whole evenly: what is off is what was asked before.
                if found.abs_diff(wanted) <= 3 {
                    break;
                }
                assert!(tokio::time::Instant::now() < deadline, "{id}: {word}, and not {found}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until an object, or a listener of it, is told so: `CONDITION`, `!CONDITION/REASON`, `FIELD=JSON`.
    pub async fn told(&self, id: &str, object: &str, expected: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let status = self.status(object);
            let missing: Vec<&str> =
                expected.split(' ').filter(|word| !is_told(&status, word)).collect();
            if missing.is_empty() {
                return;
            }
            if tokio::time::Instant::now() > deadline {
                panic!("{id}: {object}: not {missing:?}: {status:#}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn status(&self, object: &str) -> Value {
        let words: Vec<&str> = object.split(' ').collect();
        let (namespace, name) = words[1].split_once('/').unwrap_or(("infra", words[1]));
        let namespace = if words[0] == "gatewayclasses" { "" } else { namespace };
        let status = self.api.get(words[0], namespace, name)["status"].clone();
        match words.get(2) {
            Some(listener) => {
                let all = status["listeners"].as_array().cloned().unwrap_or_default();
                all.into_iter().find(|one| one["name"] == *listener).unwrap_or_default()
            }
            None if words[0].ends_with("routes") => status["parents"][0].clone(),
            None => status,
        }
    }
}

fn is_told(status: &Value, word: &str) -> bool {
    if let Some((field, value)) = word.split_once('=') {
        let found =
            status.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&Value::Null);
        return found.to_string().trim_matches('"') == value;
    }
    let (wanted, word) = word.strip_prefix('!').map_or(("True", word), |word| ("False", word));
    let (name, reason) = word.split_once('/').unwrap_or((word, ""));
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|one| {
        one["type"] == name
            && one["status"] == wanted
            && (reason.is_empty() || one["reason"] == reason)
    })
}

fn definition(plural: &str, version: &str) -> Value {
    json!({"metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {"versions": [{"name": version, "served": true}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]}})
}

fn secret(namespace: &str, name: &str, certificate: &str, key: &str) -> Value {
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    json!({"metadata": {"namespace": namespace, "name": name}, "type": "kubernetes.io/tls",
        "data": {"tls.crt": encoded(certificate), "tls.key": encoded(key)}})
}

fn put_base(api: &Api) {
    for (plural, version) in [
        ("gatewayclasses", "v1"),
        ("gateways", "v1"),
        ("httproutes", "v1"),
        ("grpcroutes", "v1"),
        ("tlsroutes", "v1"),
        ("referencegrants", "v1beta1"),
    ] {
        api.put("customresourcedefinitions", definition(plural, version));
    }
    api.put(
        "gatewayclasses",
        json!({"metadata": {"name": "leme", "generation": 1},
        "spec": {"controllerName": "leme.dev/gateway-controller"}}),
    );
    for namespace in ["infra", "web", "other"] {
        api.put(
            "namespaces",
            json!({"metadata": {"name": namespace, "labels": {"team": namespace}}}),
        );
    }
    for (namespace, name, last) in APPS {
        put_service(
            api,
            namespace,
            name,
            &[(8080, 8080, None), (8082, 8080, Some("kubernetes.io/ws"))],
        );
        put_slice(api, namespace, name, last);
    }
    put_service(api, "infra", "tls", &[(8080, 8080, None)]);
    put_slice(api, "infra", "tls", 20);
    put_service(api, "infra", "empty", &[(8080, 8080, None)]);
    for (at, name) in (21..).zip(GRPC) {
        put_service(api, "infra", name, &[(8080, 8080, None)]);
        put_slice(api, "infra", name, at);
    }
    // What speaks HTTP/2 whoever comes, by the word of its Service.
    put_service(api, "infra", "h2c", &[(8080, 8080, Some("kubernetes.io/h2c"))]);
    put_slice_of(api, "infra", "h2c", 21, Some("kubernetes.io/h2c"));
    let certificate = made(&["x.test", "*.x.test"]);
    for namespace in ["infra", "web"] {
        let secret = secret(namespace, "certificate", &certificate.leaf, &certificate.key);
        api.put("secrets", secret);
    }
    api.put("secrets", secret("infra", "malformed", "Hello world", "Hello world"));
}

pub fn put_service(api: &Api, namespace: &str, name: &str, ports: &[(u16, u16, Option<&str>)]) {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(port, target, speaks)| {
            json!({"name": format!("p{port}"), "protocol": "TCP", "port": port,
                "targetPort": target, "appProtocol": speaks})
        })
        .collect();
    let spec = json!({"clusterIP": "None", "ports": ports});
    api.put("services", json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}));
}

fn put_slice(api: &Api, namespace: &str, service: &str, last: u8) {
    put_slice_of(api, namespace, service, last, None);
}

fn put_slice_of(api: &Api, namespace: &str, service: &str, last: u8, speaks: Option<&str>) {
    let port =
        |name: &str| json!({"name": name, "protocol": "TCP", "port": 8080, "appProtocol": speaks});
    api.put(
        "endpointslices",
        json!({"metadata": {"namespace": namespace, "name": format!("{service}-1"),
            "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [port("p8080"), port("p8082")],
        "endpoints": [{"addresses": [address(last)], "conditions": {"ready": true}}]}),
    );
}

/// The Gateways that most rows use.
fn put_gateways(bench: &Bench) {
    bench.put(gateway("same", json!([http("http", "")])));
    bench.put(gateway("all", json!([with(http("http", ""), from("All"))])));
    let secret = json!({"name": "certificate"});
    bench.put(gateway(
        "secure",
        json!([
            https("https", "", secret.clone()),
            https("named", "second.test", secret.clone()),
            https("below", "*.wild.test", secret.clone()),
            https("within", "fourth.wild.test", secret),
        ]),
    ));
    bench.put(gateway("other-port", json!([at("http", 8080, "HTTP", "")])));
}

pub fn gatewayed<F: Future<Output = ()>>(test: impl FnOnce(Bench) -> F + Send) {
    Netns::new().host(|| async {
        let seen = Seen::default();
        for (namespace, name, last) in APPS {
            start_app(address(last), 8080, app_name(namespace, name), &seen).await;
        }
        for (at, name) in (21..).zip(GRPC) {
            start_http2_app(address(at), name, &seen).await;
        }
        start_tls_app(address(20), "tls", &made(&["tls.test"]), &seen).await;
        let api = Api::default();
        put_base(&api);
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open(folder.path()).unwrap());
        let bind = |port| router::bind(&[(Ipv4Addr::LOCALHOST, port).into()]).unwrap();
        let (listeners, mut secure) = (bind(80), bind(443));
        let config = RouterConfig {
            listeners,
            secure: Some(Secure { listener: secure.pop().unwrap(), authority }),
            router_name: "default".into(),
            canonical_hostname: None,
            domain: "apps.test".into(),
            cluster_domain: "cluster.local".into(),
            address: Some(Ipv4Addr::LOCALHOST.into()),
            allow_wildcards: true,
            ..RouterConfig::default()
        };
        let token = CancellationToken::new();
        let run = tokio::spawn(run_router(api.client(), config, token.clone()));
        let bench = Bench { api, seen };
        put_gateways(&bench);
        for gateway in ["same", "all", "secure", "other-port"] {
            bench.told("base", &format!("gateways {gateway}"), "Accepted Programmed").await;
        }
        test(bench).await;
        token.cancel();
        run.await.unwrap().unwrap();
    });
}

/// A Gateway of another namespace.
pub fn foreign(namespace: &str, name: &str, listeners: Value) -> Put {
    within(namespace, "gateways", name, json!({"gatewayClassName": "leme", "listeners": listeners}))
}
