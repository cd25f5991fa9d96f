//! The headers of a request on its way through a proxy. Pure: which host it is for, what must not be passed on, what is told
//! about the client.

use super::annotations::Forwarded;
use super::forward::Ends;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri, Version};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Headers that concern one connection only, and `Proxy`, which some programs mistake for their environment.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const PROXY: HeaderName = HeaderName::from_static("proxy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The host with its port, as the client named it: of the request target, else of the one `Host` header.
pub(super) fn host<B>(request: &Request<B>) -> Option<String> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return None;
    }
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().rsplit('@').next()?.to_owned());
    }
    match first {
        Some(host) => Some(host.to_str().ok()?.trim().to_owned()),
        None if request.version() == Version::HTTP_10 => Some(String::new()),
        None => None,
    }
}

/// Whether a host is written as one: a name or an address, and perhaps a port.
pub(super) fn is_plain(host: &str) -> bool {
    let (name, port) = match host.rfind(']') {
        Some(bracket) => host.split_at(bracket + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = match inner {
        Some(address) => address.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)),
        None => name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || port.starts_with(':');
    is_name && is_port && digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A path as most applications read it: letters that need no escape without one, no empty segments, no dots. Paths are compared
/// so, that no other spelling leads past a restriction.
pub(super) fn normal_path(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains("//") && !path.contains("/.") && !path.contains('%');
    if is_plain || !path.starts_with('/') {
        return Cow::Borrowed(path);
    }
    let decoded = unescaped(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let ends = decoded.ends_with(['/']) || decoded.ends_with("/.") || decoded.ends_with("/..");
    let last = if ends && !segments.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{last}", segments.join("/")))
}

/// The text with the escapes of letters, digits and `-._~` undone.
fn unescaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|b| b.is_ascii_alphanumeric() || b"-._~".contains(b)) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                text.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

/// Host without port, in lower case, without a last dot.
pub(super) fn bare_name(host: &str) -> String {
    let end = match host.rfind(']') {
        Some(bracket) => host[bracket..].find(':').map_or(host.len(), |colon| bracket + colon),
        None => host.find(':').unwrap_or(host.len()),
    };
    host[..end].trim_end_matches('.').to_ascii_lowercase()
}

/// Whether two readers could disagree about where the request ends.
pub(super) fn ambiguous<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    headers.contains_key(header::TRANSFER_ENCODING)
        && (headers.contains_key(header::CONTENT_LENGTH) || request.version() == Version::HTTP_10)
}

/// The protocol a request asks to switch to. HTTP/2 is not passed on: behind it, requests would escape this router.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let tokens = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = tokens.flat_map(|value| value.split(','));
    let asked = tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    let protocol = headers.get(header::UPGRADE).filter(|_| asked)?;
    let h2c =
        protocol.to_str().ok()?.split(',').any(|p| p.trim().to_ascii_lowercase().starts_with("h2"));
    (!h2c).then(|| protocol.clone())
}

/// Whether a client says that it takes trailers: without that word, gRPC is none.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let words = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    words
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case("trailers"))
}

/// Removes what concerns only the connection it came on, also what `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Makes a client's request the router's own.
pub(super) fn prepare<B>(
    request: &mut Request<B>,
    host: &str,
    upgrade: Option<&HeaderValue>,
    ends: Ends,
    forwarded: Forwarded,
) {
    let path = request.uri().path_and_query().cloned();
    let headers = request.headers_mut();
    let trailers = takes_trailers(headers);
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(PROXY);
    // Answered by this router when the body is asked for.
    headers.remove(header::EXPECT);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    let asked = HeaderValue::from_str(host).ok();
    if forwarded != Forwarded::Never {
        tell(headers, host, asked.clone(), ends, forwarded);
    }
    if let Some(asked) = asked {
        headers.insert(header::HOST, asked);
    }
    let path = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.uri_mut() = path;
}

/// Tells the application about the client.
fn tell(
    headers: &mut HeaderMap,
    host: &str,
    asked: Option<HeaderValue>,
    ends: Ends,
    how: Forwarded,
) {
    let client = node(ends.client);
    let protocol = if ends.secure { "https" } else { "http" };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    let text = if asked.is_some() && host.chars().all(plain) {
        let quote = if host.contains(':') { "\"" } else { "" };
        format!("for={client};host={quote}{host}{quote};proto={protocol}")
    } else {
        format!("for={client};proto={protocol}")
    };
    let mut put = |name: HeaderName, value: Option<HeaderValue>| {
        let Some(value) = value else { return };
        match how {
            Forwarded::Append => drop(headers.append(name, value)),
            Forwarded::Replace => drop(headers.insert(name, value)),
            Forwarded::IfNone => drop(headers.entry(name).or_insert(value)),
            Forwarded::Never => {}
        }
    };
    let value = |text: &str| HeaderValue::from_str(text).ok();
    put(X_FORWARDED_HOST, asked);
    put(X_FORWARDED_FOR, value(&ends.client.ip().to_string()));
    put(X_FORWARDED_PORT, Some(ends.local.port().into()));
    put(X_FORWARDED_PROTO, Some(HeaderValue::from_static(protocol)));
    put(header::FORWARDED, value(&text));
}

fn node(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("\"[{}]\"", v6.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn shown(headers: &HeaderMap) -> Vec<String> {
        let text =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut all: Vec<String> = text.collect();
        all.sort();
        all
    }

    #[test]
    fn what_is_told_of_the_client_is_as_the_route_asks() {
        let ends = Ends {
            client: "[2001:db8::1]:9".parse().unwrap(),
            local: "192.0.2.2:80".parse().unwrap(),
            secure: false,
        };
        for (how, expected) in [
            (
                Forwarded::Replace,
                &[
                    "forwarded: for=\"[2001:db8::1]\";host=x.test;proto=http",
                    "host: x.test",
                    "x-forwarded-for: 2001:db8::1",
                    "x-forwarded-host: x.test",
                    "x-forwarded-port: 80",
                    "x-forwarded-proto: http",
                ][..],
            ),
            (
                Forwarded::IfNone,
                &[
                    "forwarded: for=\"[2001:db8::1]\";host=x.test;proto=http",
                    "host: x.test",
                    "x-forwarded-for: 198.51.100.7",
                    "x-forwarded-host: x.test",
                    "x-forwarded-port: 80",
                    "x-forwarded-proto: https",
                ][..],
            ),
            (
                Forwarded::Never,
                &["host: x.test", "x-forwarded-for: 198.51.100.7", "x-forwarded-proto: https"][..],
            ),
        ] {
            let said = [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")];
            let mut request = request("/", &said);
            prepare(&mut request, "x.test", None, ends, how);
            assert_eq!(shown(request.headers()), expected, "{how:?}");
        }
    }

    #[test]
    fn hosts() {
        let host = |target: &str, headers: &[(&str, &str)]| host(&request(target, headers));
        assert_eq!(host("/", &[("host", "X.Test:80")]).as_deref(), Some("X.Test:80"));
        assert_eq!(host("/", &[]), None);
        assert_eq!(host("/", &[("host", "a"), ("host", "b")]), None);
        // The target of an absolute request wins over the header.
        assert_eq!(host("http://a.test/", &[("host", "b.test")]).as_deref(), Some("a.test"));
        for (host, bare) in [
            ("X.Test.:80", "x.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (":1", ""),
        ] {
            assert_eq!(bare_name(host), bare);
        }
    }

    /// Red when rubbish behind a host reaches applications, which make addresses of it.
    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["x.test", "X.test:80", "x.test.", "[::1]:80", "[::1]", "", "10.0.0.1:8080"] {
            assert!(is_plain(host), "{host}");
        }
        for host in
            ["x.test:@evil.com", "x?", "x/..", "[::1]x@evil.com", "x y", "x:123456", "x:8a", "[x]"]
        {
            assert!(!is_plain(host), "{host}");
        }
    }

    /// Red when another spelling of a path is another path.
    #[test]
    fn paths_are_compared_as_they_are_read() {
        for (path, expected) in [
            ("/admin", "/admin"),
            ("//admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/./admin", "/admin"),
            ("/x/../admin/", "/admin/"),
            ("/x/%2e%2e/admin", "/admin"),
            ("/../..", "/"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%", "/a%"),
            ("/a%é", "/a%é"),
            ("*", "*"),
        ] {
            assert_eq!(normal_path(path), expected, "{path}");
        }
    }

    #[test]
    fn hop_by_hop_and_forwarding() {
        let ends = Ends {
            client: "192.0.2.1:9".parse().unwrap(),
            local: "192.0.2.2:8080".parse().unwrap(),
            secure: false,
        };
        let mut request = request(
            "http://x.test/p?q=1",
            &[
                ("host", "x.test"),
                ("connection", "close, X-Secret, Host"),
                ("x-secret", "1"),
                ("proxy", "evil"),
                ("te", "gzip, trailers"),
                ("x-forwarded-for", "198.51.100.7"),
            ],
        );
        prepare(&mut request, "x.test", None, ends, Forwarded::Append);
        assert_eq!(
            shown(request.headers()),
            [
                "forwarded: for=192.0.2.1;host=x.test;proto=http",
                "host: x.test",
                "te: trailers",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-for: 198.51.100.7",
                "x-forwarded-host: x.test",
                "x-forwarded-port: 8080",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(request.uri(), "/p?q=1");
    }

    #[test]
    fn upgrades() {
        let upgrade = |headers: &[(&str, &str)]| upgrade(request("/", headers).headers());
        assert!(
            upgrade(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]).is_some()
        );
        assert!(upgrade(&[("connection", "keep-alive"), ("upgrade", "websocket")]).is_none());
        assert!(upgrade(&[("connection", "upgrade"), ("upgrade", "h2c")]).is_none());
        assert!(upgrade(&[("connection", "upgrade")]).is_none());
    }
}
