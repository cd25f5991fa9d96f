//! Everything that is not an object: health, version, discovery, OpenAPI, the list of paths.
//!
//! Knows: those paths, and which of them strangers may read. Refuses to know: objects.

use http::Method;
use http::request::Parts;
use leme_access::Identity;
use leme_meta::Status;
use leme_meta::version::{COMPATIBLE_MINOR, KUBERNETES, MAJOR, MINOR};
use leme_store::cache::Unreadable;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::body::Body;
use crate::query::Query;
use crate::{Build, ordered};

/// Documents that tell nothing about the cluster: strangers may read them, as probes do.
const PUBLIC: [&str; 4] = ["healthz", "livez", "readyz", "version"];

/// The check of the store, whichever it is.
const STORE: &str = "etcd";

/// Answers a request for a path that is no resource's.
pub(crate) async fn answer(
    api: &Api,
    identity: &Identity,
    parts: &Parts,
    segments: &[String],
    query: &Query,
) -> Result<Answer, Status> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let public = segments.first().is_some_and(|first| PUBLIC.contains(first));
    if !public {
        crate::admit::authorize_path(identity, &parts.method, parts.uri.path())?;
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Status::method_not_allowed());
    }
    let headers = &parts.headers;
    match segments.as_slice() {
        ["healthz" | "livez" | "readyz", rest @ ..] => {
            health(api, identity, segments[0], rest, query).await
        }
        ["metrics"] => Ok(metrics(api)),
        ["version"] => Ok(version(&api.build)),
        ["openapi", rest @ ..] => api.served.load().openapi(rest, headers, query),
        [] => Ok(for_people(&json!({ "paths": paths(api) }))),
        other => {
            let found = api.served.load().discovery.at(other, headers, query);
            found.unwrap_or_else(|| Err(Status::no_such_path()))
        }
    }
}

/// Documents that are always indented.
fn for_people(value: &Value) -> Answer {
    answer::json(200, ordered::pretty(value))
}

fn paths(api: &Api) -> Vec<String> {
    let mut paths = api.served.load().discovery.paths();
    let fixed =
        ["/healthz", "/livez", "/metrics", "/readyz", "/openapi/v2", "/openapi/v3", "/version"];
    paths.extend(fixed.iter().map(ToString::to_string));
    paths
}

fn version(build: &Build) -> Answer {
    for_people(&json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": COMPATIBLE_MINOR,
        "gitVersion": format!("{KUBERNETES}+leme-{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": build.commit,
        "gitTreeState": build.tree,
        "buildDate": build.date,
        "goVersion": concat!("rust", env!("CARGO_PKG_RUST_VERSION")),
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_arch()),
    }))
}

/// The architecture as Go, and so every Kubernetes client, names it.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `livez` asks whether the process serves, the others also whether the store can be read. By its name each check is told
/// below all three; the store has the name that clients know.
async fn health(
    api: &Api,
    identity: &Identity,
    which: &str,
    rest: &[&str],
    query: &Query,
) -> Result<Answer, Status> {
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut checks: Vec<(&str, Result<(), String>)> = vec![("ping", Ok(())), ("log", Ok(()))];
    if which != "livez" || rest == [STORE] {
        let store = api.store.revision().await;
        checks.push((STORE, store.map(drop).map_err(|error| error.to_string())));
    }
    if which == "readyz" {
        let stopping = api.lifetime.is_stopping();
        checks.push((
            "shutdown",
            if stopping { Err("process is shutting down".into()) } else { Ok(()) },
        ));
    }
    match rest {
        [] => checks.retain(|(name, _)| !excluded.contains(name)),
        [one] if checks.iter().any(|(name, _)| name == one) => {
            checks.retain(|(name, _)| name == one)
        }
        _ => return Err(Status::no_such_path()),
    }
    let healthy = checks.iter().all(|(_, result)| result.is_ok());
    let mut text = String::new();
    if query.has("verbose") || !healthy {
        for (name, result) in &checks {
            match result {
                Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
                // Strangers read this: the reason goes to the log.
                Err(why) => {
                    tracing::warn!(check = name, %why, "health check failed");
                    text.push_str(&format!("[-]{name} failed: reason withheld\n"));
                }
            }
        }
        if which == "readyz" && rest.is_empty() {
            text.push_str(&unreadable(api, identity));
        }
        text.push_str(&format!("{which} check {}\n", if healthy { "passed" } else { "failed" }));
    } else {
        text.push_str("ok");
    }
    let code = if healthy { 200 } else { 500 };
    Ok(answer::with_body(code, "text/plain; charset=utf-8", Body::whole(text)))
}

/// Objects that cannot be read, a line each. They make nobody unready: everything else is served. Strangers learn how
/// many, not which.
fn unreadable(api: &Api, identity: &Identity) -> String {
    let all = api.cache.unreadable();
    if all.is_empty() {
        return "[+]objects ok\n".to_owned();
    }
    if crate::admit::is_stranger(identity) {
        return format!("[!]objects {} unreadable: names withheld\n", all.len());
    }
    let line = |one: &Unreadable| {
        format!("[!]objects unreadable: {} (revision {}): {}\n", one.key, one.revision, one.why)
    };
    all.iter().map(line).collect()
}

/// What can be counted, in the text format of Prometheus. No name and no label comes from a request: clients could
/// otherwise make as many as they like.
fn metrics(api: &Api) -> Answer {
    let gauges = [
        (
            "leme_store_revision",
            "The revision that the watch cache has reached.",
            api.cache.revision(),
        ),
        (
            "leme_store_unreadable_objects",
            "Objects in the store that cannot be read; /readyz?verbose names them.",
            api.cache.unreadable().len() as u64,
        ),
        (
            "leme_buffered_bytes",
            "Bytes of answers and of request bodies that wait for clients.",
            api.budget.held() as u64,
        ),
    ];
    let gauge = |(name, help, value): &(&str, &str, u64)| {
        format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n")
    };
    let text: String = gauges.iter().map(gauge).collect();
    answer::with_body(200, "text/plain; version=0.0.4; charset=utf-8", Body::whole(text))
}
