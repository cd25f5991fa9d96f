//! Everything that is not an object: version, discovery, OpenAPI, the list of paths; health and numbers have rooms of their
//! own.
//!
//! Knows: those paths, and which of them strangers may read. Refuses to know: objects.

use http::request::Parts;
use http::{HeaderValue, Method, header};
use leme_access::Identity;
use leme_kinds::Kinds;
use leme_meta::Status;
use leme_meta::version::{COMPATIBLE_MINOR, KUBERNETES, MAJOR, MINOR};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::api::Api;
use crate::audit::Trail;
use crate::query::Query;
use crate::{Build, gzip, health, metrics, ordered, tokens};

/// Documents that tell nothing about the cluster: strangers may read them, as probes do.
const PUBLIC: [&str; 4] = ["healthz", "livez", "readyz", "version"];

/// Answers a request for a path that is no resource's.
pub(crate) async fn answer(
    api: &Api,
    identity: &Identity,
    parts: &Parts,
    (segments, query): (&[String], &Query),
    trail: &mut Trail,
) -> Result<Answer, Status> {
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    // Check by check it is for those who look after the cluster.
    let public = matches!(segments.as_slice(), [one] if PUBLIC.contains(one))
        && !(query.has("verbose") && crate::admit::is_stranger(identity));
    if !public {
        let (policy, path) = (api.policies.load(), parts.uri.path());
        let decided = crate::admit::authorize_path(&policy, identity, &parts.method, path);
        trail.decided(decided.as_ref().map(Option::as_ref));
        decided?;
    }
    let headers = &parts.headers;
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let is_there = match segments.as_slice() {
            [] | ["healthz" | "livez" | "readyz" | "openapi", ..] | ["metrics" | "version"] => true,
            other => api.served.load().discovery().at(other, headers, query).is_some(),
        };
        return if is_there { Err(Status::method_not_allowed()) } else { missing(&segments) };
    }
    match segments.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => {
            health::answer(api, identity, &segments, query).await
        }
        ["metrics"] => {
            let page = metrics::page(api, headers);
            Ok(if gzip::accepted(headers) { gzip::answer(page) } else { page })
        }
        ["version"] => Ok(version(&api.build)),
        [".well-known", "openid-configuration"] => {
            Ok(answer::json(200, tokens::configuration().to_string()))
        }
        ["openid", "v1", "jwks"] => {
            let mut keys = answer::json(200, api.tokens.public_keys().to_string());
            let type_ = HeaderValue::from_static("application/jwk-set+json");
            keys.headers_mut().insert(header::CONTENT_TYPE, type_);
            Ok(keys)
        }
        ["openapi", rest @ ..] => api.served.load().openapi(rest, headers, query),
        [] => Ok(for_people(&json!({ "paths": paths(api) }))),
        other => {
            let found = api.served.load().discovery().at(other, headers, query);
            found.unwrap_or_else(|| missing(other))
        }
    }
}

/// What is said of a path that nothing is at: below a group that the program brings along, as of its resources.
fn missing(segments: &[&str]) -> Result<Answer, Status> {
    let of_api = match segments {
        ["api" | "version", ..] => true,
        ["apis", group, ..] => Kinds::builtin().has_group(group),
        _ => false,
    };
    if of_api { Err(Status::no_such_path()) } else { Ok(answer::page_not_found()) }
}

/// Documents that are always indented.
fn for_people(value: &Value) -> Answer {
    answer::json(200, ordered::pretty(value))
}

fn paths(api: &Api) -> Vec<String> {
    let mut paths = api.served.load().discovery().paths();
    let fixed = [
        "/.well-known/openid-configuration",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/version",
    ];
    paths.extend(fixed.iter().map(ToString::to_string));
    paths.extend(health::paths());
    paths.sort();
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
