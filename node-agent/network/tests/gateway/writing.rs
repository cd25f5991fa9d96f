//! Objects of the rows, in few words.

use serde_json::{Map, Value, json};

pub const GROUP: &str = "gateway.networking.k8s.io";

/// An object of a kind's plural.
pub type Put = (&'static str, Value);

/// An object in the namespace `infra`.
pub fn object(plural: &'static str, name: &str, spec: Value) -> Put {
    within("infra", plural, name, spec)
}

pub fn within(namespace: &str, plural: &'static str, name: &str, spec: Value) -> Put {
    (
        plural,
        json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("{plural}-{name}"),
        "generation": 1, "creationTimestamp": "2026-01-02T00:00:00Z"}, "spec": spec}),
    )
}

/// A Gateway of the class `leme`.
pub fn gateway(name: &str, listeners: Value) -> Put {
    object("gateways", name, json!({"gatewayClassName": "leme", "listeners": listeners}))
}

/// An HTTP listener at port 80.
pub fn http(name: &str, host: &str) -> Value {
    at(name, 80, "HTTP", host)
}

pub fn at(name: &str, port: u16, protocol: &str, host: &str) -> Value {
    let mut listener = json!({"name": name, "port": port, "protocol": protocol});
    if !host.is_empty() {
        listener["hostname"] = host.into();
    }
    listener
}

/// An HTTPS listener at port 443 with a Secret.
pub fn https(name: &str, host: &str, secret: Value) -> Value {
    with(at(name, 443, "HTTPS", host), json!({"tls": {"certificateRefs": [secret]}}))
}

/// A listener at port 443 whose connections are passed through.
pub fn through(name: &str, host: &str) -> Value {
    with(at(name, 443, "TLS", host), json!({"tls": {"mode": "Passthrough"}}))
}

/// The fields of both.
pub fn with(mut one: Value, other: Value) -> Value {
    let (Some(fields), Value::Object(more)) = (one.as_object_mut(), other) else {
        panic!("objects")
    };
    fields.extend(more);
    one
}

pub fn from(namespaces: &str) -> Value {
    json!({"allowedRoutes": {"namespaces": {"from": namespaces}}})
}

pub fn only(kinds: &[&str]) -> Value {
    let kinds: Vec<Value> = kinds.iter().map(|kind| json!({ "kind": kind })).collect();
    json!({"allowedRoutes": {"kinds": kinds}})
}

/// An HTTPRoute of the Gateway `same`.
pub fn route(name: &str, rules: Value) -> Put {
    to("same", name, &[], rules)
}

/// An HTTPRoute of a Gateway, which may be written as `GATEWAY/LISTENER`.
pub fn to(parent: &str, name: &str, hosts: &[&str], rules: Value) -> Put {
    object(
        "httproutes",
        name,
        json!({"parentRefs": [parent_ref(parent)], "hostnames": hosts, "rules": rules}),
    )
}

/// A TLSRoute.
pub fn tls(parent: &str, name: &str, hosts: &[&str], backend: &str) -> Put {
    object(
        "tlsroutes",
        name,
        json!({"parentRefs": [parent_ref(parent)], "hostnames": hosts,
        "rules": [{"backendRefs": backends(backend)}]}),
    )
}

fn parent_ref(parent: &str) -> Value {
    match parent.split_once('/') {
        Some((gateway, section)) => json!({"name": gateway, "sectionName": section}),
        None => json!({ "name": parent }),
    }
}

/// A rule: matches such as `/prefix`, `=/exact`, `@header=value`, `?parameter=value`, `POST`; backends such as `v1*70 v2*30`.
pub fn rule(matches: &[&str], to: &str) -> Value {
    let matches: Vec<Value> = matches.iter().map(|one| matching(one)).collect();
    let mut rule = json!({});
    if !matches.is_empty() {
        rule["matches"] = matches.into();
    }
    if !to.is_empty() {
        rule["backendRefs"] = backends(to);
    }
    rule
}

/// A rule with filters.
pub fn filtered(matches: &[&str], filters: Value, to: &str) -> Value {
    with(rule(matches, to), json!({ "filters": filters }))
}

fn matching(text: &str) -> Value {
    let mut one = Map::new();
    for word in text.split(' ') {
        let pair = |text: &str| {
            text.split_once('=').map(|(name, value)| json!({"name": name, "value": value}))
        };
        let (field, value) = match word.split_at(1) {
            ("/", _) => ("path", json!({"type": "PathPrefix", "value": word})),
            ("=", path) => ("path", json!({"type": "Exact", "value": path})),
            ("@", header) => ("headers", pair(header).unwrap()),
            ("?", parameter) => ("queryParams", pair(parameter).unwrap()),
            _ => ("method", word.into()),
        };
        match field {
            "headers" | "queryParams" => {
                let list = one.entry(field).or_insert_with(|| json!([]));
                list.as_array_mut().unwrap().push(value);
            }
            _ => drop(one.insert(field.to_owned(), value)),
        }
    }
    one.into()
}

/// Backends such as `v1*70`, `web/v1:8081`.
pub fn backends(text: &str) -> Value {
    let one = |word: &str| {
        let (word, weight) = word.split_once('*').unwrap_or((word, "1"));
        let (word, port) = word.split_once(':').unwrap_or((word, "8080"));
        let (port, weight): (u16, u32) = (port.parse().unwrap(), weight.parse().unwrap());
        match word.split_once('/') {
            Some((namespace, name)) => {
                json!({"namespace": namespace, "name": name, "port": port, "weight": weight})
            }
            None => json!({"name": word, "port": port, "weight": weight}),
        }
    };
    text.split(' ').map(one).collect()
}

/// What lets objects of a kind in `infra` refer to a Service or Secret of `web`.
pub fn grant(name: &str, from: Value, to: Value) -> Put {
    within("web", "referencegrants", name, json!({"from": [from], "to": [to]}))
}

pub fn of(kind: &str, namespace: &str) -> Value {
    json!({"group": GROUP, "kind": kind, "namespace": namespace})
}

pub fn set(name: &str, value: &str) -> Value {
    json!({"set": [{"name": name, "value": value}]})
}

/// A filter.
pub fn filter(kind: &str, field: &str, value: Value) -> Value {
    json!({"type": kind, field: value})
}

pub fn request(modifier: Value) -> Value {
    filter("RequestHeaderModifier", "requestHeaderModifier", modifier)
}

pub fn redirect(to: Value) -> Value {
    json!([filter("RequestRedirect", "requestRedirect", to)])
}

pub fn rewrite(to: Value) -> Value {
    filter("URLRewrite", "urlRewrite", to)
}

pub fn full(path: &str) -> Value {
    json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": path}})
}

pub fn prefix(path: &str) -> Value {
    json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}})
}

pub fn mirror(to: &str, more: Value) -> Value {
    let backend = backends(to)[0].clone();
    let backend = json!({"name": backend["name"], "port": backend["port"]});
    filter("RequestMirror", "requestMirror", with(json!({ "backendRef": backend }), more))
}
