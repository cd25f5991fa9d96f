//! Headers of proxied requests and answers.
//!
//! Knows: which are for one connection only, which are credentials, which tell the backend of the proxy. Refuses to know:
//! bodies.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};
use leme_meta::Status;
use leme_meta::quote;

use crate::listen::Peer;

/// Of one connection, whatever its `Connection` header says.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What a client proves itself with to us: no backend's business.
const CREDENTIALS: [&str; 1] = ["authorization"];
/// Credentials by how their names begin.
const CREDENTIAL_PREFIXES: [&str; 2] = ["impersonate-", "x-remote-"];
/// A token may travel as a WebSocket subprotocol.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";
/// The server's own answer to these is for its own origin.
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// The protocol that a request wants to switch to, if it is one of those that are tunnelled.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("upgrade"));
    let to = headers.get(header::UPGRADE)?;
    let text = to.to_str().ok()?.to_ascii_lowercase();
    (wants && matches!(text.as_str(), "websocket" | "spdy/3.1")).then(|| to.clone())
}

/// The host that the client asked for.
pub(super) fn host(parts: &Parts) -> String {
    let named = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    named
        .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default()
        .to_owned()
}

/// The address at the backend.
pub(super) fn target(rest: &str, query: Option<&str>) -> Result<Uri, Status> {
    let path = if rest.is_empty() { "/" } else { rest };
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse().map_err(|error| {
        Status::bad_request(format!("invalid path {text}: {error}", text = quote(&text)))
    })
}

/// The client's headers without those of its connection and without its credentials.
pub(super) fn outgoing(
    parts: &Parts,
    upgrade: Option<HeaderValue>,
    prepend: &str,
    rest: &str,
) -> HeaderMap {
    let mut headers = parts.headers.clone();
    without_hops(&mut headers);
    let secret = |name: &HeaderName| {
        CREDENTIALS.contains(&name.as_str())
            || CREDENTIAL_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    let secrets: Vec<HeaderName> = headers.keys().filter(|name| secret(name)).cloned().collect();
    for name in secrets {
        headers.remove(name);
    }
    without_tokens(&mut headers);
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    if let Ok(host) = HeaderValue::from_str(&host(parts)) {
        headers.insert(header::HOST, host);
    }
    let forwarded = format!("{prepend}{rest}");
    if let Ok(value) = HeaderValue::from_str(&forwarded) {
        headers.insert("x-forwarded-uri", value);
    }
    forwarded_for(parts, &mut headers);
    headers
}

/// Adds the client's address to those of the proxies before us.
fn forwarded_for(parts: &Parts, headers: &mut HeaderMap) {
    let Some(Peer(peer)) = parts.extensions.get::<Peer>() else { return };
    let before = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<String> = before.map(str::to_owned).collect();
    all.push(peer.ip().to_canonical().to_string());
    if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert("x-forwarded-for", value);
    }
}

/// Takes tokens out of the WebSocket subprotocols.
fn without_tokens(headers: &mut HeaderMap) {
    let name = header::SEC_WEBSOCKET_PROTOCOL;
    let values = headers.get_all(&name).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().to_owned())
        .filter(|one| !one.is_empty())
        .collect();
    let kept: Vec<&str> =
        all.iter().map(String::as_str).filter(|one| !one.starts_with(TOKEN_PROTOCOL)).collect();
    if kept.len() == all.len() {
        return;
    }
    headers.remove(&name);
    if let Ok(value) = HeaderValue::from_str(&kept.join(", "))
        && !kept.is_empty()
    {
        headers.insert(name, value);
    }
}

/// Takes out of an answer what is not for the client.
pub(super) fn incoming(headers: &mut HeaderMap) {
    without_hops(headers);
    for name in CORS {
        headers.remove(name);
    }
}

fn without_hops(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        if let Ok(name) = HeaderName::try_from(name) {
            headers.remove(name);
        }
    }
}

/// Whether the body is a page with links.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|text| text.split(';').next().unwrap_or_default().trim() == "text/html")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::get("/api/v1/namespaces/n/pods/p/proxy/a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// CVE-2020-8559 and its kin: red when the credentials are passed on.
    #[test]
    fn credentials_stay_here() {
        let mut parts = parts(&[
            ("host", "api.example:6443"),
            ("authorization", "Bearer canary"),
            ("impersonate-user", "canary"),
            ("x-remote-group", "canary"),
            ("sec-websocket-protocol", "chat, base64url.bearer.authorization.k8s.io.canary"),
            ("cookie", "a=b"),
        ]);
        parts.extensions.insert(Peer("192.0.2.9:1234".parse().unwrap()));
        let out = outgoing(&parts, None, "/api/v1/namespaces/n/pods/p/proxy", "/a");
        assert!(!format!("{out:?}").contains("canary"), "{out:?}");
        assert_eq!(out["cookie"], "a=b");
        assert_eq!(out["sec-websocket-protocol"], "chat");
        assert_eq!(out["host"], "api.example:6443");
        assert_eq!(out["x-forwarded-uri"], "/api/v1/namespaces/n/pods/p/proxy/a");
        assert_eq!(out["x-forwarded-for"], "192.0.2.9");
    }

    #[test]
    fn headers_of_one_connection_end_with_it() {
        let parts = parts(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        assert_eq!(upgrade(&parts.headers), None);
        let out = outgoing(&parts, None, "", "/");
        let names: Vec<&str> = out.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "host", "x-forwarded-uri"]);
    }

    #[test]
    fn only_websocket_and_spdy_are_switched_to() {
        for (connection, to, fine) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, Upgrade", "WebSocket", true),
            ("upgrade", "SPDY/3.1", true),
            ("Upgrade", "h2c", false),
            ("Upgrade", "TLS/1.0", false),
            ("close", "websocket", false),
        ] {
            let parts = parts(&[("connection", connection), ("upgrade", to)]);
            assert_eq!(upgrade(&parts.headers).is_some(), fine, "{connection} {to}");
        }
    }
}
