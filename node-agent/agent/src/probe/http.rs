//! HTTP probes.
//!
//! Knows: what counts as healthy, which redirects are followed, upstream's words. Refuses to know: thresholds.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use leme_node_core::probe::Outcome;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{SHOWN, authority, dial, tls};

/// Most redirects in a row.
const REDIRECTS: usize = 10;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    https: bool,
    host: String,
    port: u16,
    /// With the query.
    path: String,
}

impl Target {
    fn url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(&self.host, self.port), self.path)
    }

    /// Where a `Location` leads from here; `None` if it makes no sense.
    fn follow(&self, location: &str) -> Option<Target> {
        let location = location.split('#').next().unwrap_or_default();
        let absolute = if location.starts_with("//") {
            let scheme = if self.https { "https:" } else { "http:" };
            Some(format!("{scheme}{location}"))
        } else {
            let scheme_end = location.find(':').unwrap_or(location.len());
            let first_mark = location.find(['/', '?']).unwrap_or(location.len());
            (scheme_end < first_mark).then(|| location.to_owned())
        };
        if let Some(absolute) = absolute {
            let uri: http::Uri = absolute.parse().ok()?;
            let https = match uri.scheme_str()? {
                "http" => false,
                "https" => true,
                _ => return None,
            };
            let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            return Some(Target { https, host, port, path });
        }
        let here = self.path.split('?').next().unwrap_or("/");
        let path = match location.chars().next() {
            Some('/') => location.to_owned(),
            None | Some('?') => format!("{here}{location}"),
            _ => {
                let folder = &here[..here.rfind('/').map_or(0, |at| at + 1)];
                format!("{folder}{location}")
            }
        };
        Some(Target { path: plain(&path), ..self.clone() })
    }
}

/// A path without dotted segments.
fn plain(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (path, String::new()),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

/// What a server answered.
struct Answered {
    status: u16,
    location: Option<String>,
    body: String,
}

/// Asks once, redirects to the same host included.
pub async fn get(action: &HTTPGetAction, host: &str, port: u16, limit: Duration) -> Outcome {
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let https = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let mut target = Target { https, host: host.to_owned(), port, path };
    let asking = ask(action, &mut target);
    let asked = tokio::time::timeout(limit, asking).await;
    asked.unwrap_or_else(|_| {
        Outcome::Failure(format!(
            "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            target.url()
        ))
    })
}

async fn ask(action: &HTTPGetAction, target: &mut Target) -> Outcome {
    let first = target.clone();
    // A relative redirect keeps the host that the probe names in its headers.
    let mut named = true;
    for redirects in 0.. {
        let url = target.url();
        let answered = match exchange(action, target, named).await {
            Ok(answered) => answered,
            Err(message) => return Outcome::Failure(format!("Get \"{url}\": {message}")),
        };
        let redirect = matches!(answered.status, 301 | 302 | 303 | 307 | 308);
        let location = answered.location.as_deref().filter(|to| redirect && !to.is_empty());
        let Some(location) = location else { return judged(&answered) };
        let Some(next) = target.follow(location) else {
            let text = format!("Get \"{url}\": failed to parse Location header {location:?}");
            return Outcome::Failure(text);
        };
        if next.host != first.host {
            return judged(&answered);
        }
        if redirects >= REDIRECTS - 1 {
            let text = format!("Get \"{location}\": stopped after {REDIRECTS} redirects");
            return Outcome::Failure(text);
        }
        named &= (next.https, next.port) == (target.https, target.port) && !location.contains("//");
        *target = next;
    }
    Outcome::Error("too many redirects".to_owned())
}

fn judged(answered: &Answered) -> Outcome {
    match answered.status {
        200..300 => Outcome::Success,
        300..400 => Outcome::Warning(format!(
            "Probe terminated redirects, Response body: {}",
            answered.body
        )),
        status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

async fn exchange(
    action: &HTTPGetAction,
    target: &Target,
    named: bool,
) -> Result<Answered, String> {
    let stream = dial(&target.host, target.port).await?;
    let request = request(action, target, named).map_err(|error| error.to_string())?;
    let answered = if target.https {
        let stream = tls::connect(stream, &target.host).await;
        send(stream.map_err(|error| format!("{error:#}"))?, request).await
    } else {
        send(stream, request).await
    };
    answered.map_err(|error| format!("{error:#}"))
}

fn request(
    action: &HTTPGetAction,
    target: &Target,
    named: bool,
) -> http::Result<http::Request<Empty<bytes::Bytes>>> {
    let mut builder = http::Request::get(&target.path);
    let given = action.http_headers.as_deref().unwrap_or_default();
    let given = || given.iter().filter(|h| named || !h.name.eq_ignore_ascii_case("host"));
    let has = |name: &str| given().any(|h| h.name.eq_ignore_ascii_case(name));
    let host = authority(&target.host, target.port);
    for (name, value) in
        [("host", host.as_str()), ("user-agent", super::USER_AGENT), ("accept", "*/*")]
    {
        if !has(name) {
            builder = builder.header(name, value);
        }
    }
    for header in given().filter(|h| !h.name.is_empty()) {
        builder = builder.header(header.name.as_str(), header.value.as_str());
    }
    builder.header("connection", "close").body(Empty::new())
}

async fn send<S>(stream: S, request: http::Request<Empty<bytes::Bytes>>) -> anyhow::Result<Answered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").and_then(|to| to.to_str().ok());
    let location = location.map(str::to_owned);
    // Read a little so that the server sees an orderly end, and for what is shown of it.
    let (mut text, mut body) = (Vec::new(), answer.into_body());
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
        if text.len() >= SHOWN {
            break;
        }
    }
    text.truncate(SHOWN);
    drop(connection);
    Ok(Answered { status, location, body: String::from_utf8_lossy(&text).into_owned() })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each path with what `answer` makes of it: status line and headers, without the last empty
    /// line, and a body.
    async fn server(answer: fn(&str) -> (String, &'static str)) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let byte = stream.read_u8().await.unwrap();
                        request.push(byte);
                    }
                    let request = String::from_utf8(request).unwrap();
                    let (head, body) = answer(request.split(' ').nth(1).unwrap());
                    let text = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(text.as_bytes()).await.unwrap();
                });
            }
        });
        port
    }

    fn moved(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\n")
    }

    async fn probe(port: u16, path: &str) -> Outcome {
        let action = HTTPGetAction { path: Some(path.to_owned()), ..HTTPGetAction::default() };
        get(&action, "127.0.0.1", port, Duration::from_secs(30)).await
    }

    /// Red when redirects are not followed: `/old` would count as healthy though `/new` is not.
    #[tokio::test]
    async fn redirects_to_the_same_host_are_followed() {
        let port = server(|path| match path {
            "/old" => (moved("/new"), ""),
            "/a/rel" => (moved("up"), ""),
            "/a/up" => ("HTTP/1.1 200 OK\r\n".into(), ""),
            "/loop" => (moved("/loop"), ""),
            "/none" => ("HTTP/1.1 302 Found\r\n".into(), "no way"),
            _ => ("HTTP/1.1 503 No\r\n".into(), ""),
        })
        .await;
        let failed = |text: &str| Outcome::Failure(text.to_owned());
        assert_eq!(probe(port, "/old").await, failed("HTTP probe failed with statuscode: 503"));
        assert_eq!(probe(port, "/a/rel").await, Outcome::Success);
        assert_eq!(probe(port, "/loop").await, failed("Get \"/loop\": stopped after 10 redirects"));
        let words = "Probe terminated redirects, Response body: no way";
        assert_eq!(probe(port, "/none").await, Outcome::Warning(words.to_owned()));
    }

    /// Red when a redirect to another host is followed, or counts as a plain success.
    #[tokio::test]
    async fn a_redirect_elsewhere_is_a_success_with_a_warning() {
        let port =
            server(|_| (moved("http://192.0.2.1/"), "<a href=\"http://192.0.2.1/\">Found</a>."));
        let words =
            "Probe terminated redirects, Response body: <a href=\"http://192.0.2.1/\">Found</a>.";
        assert_eq!(probe(port.await, "/").await, Outcome::Warning(words.to_owned()));
    }

    #[test]
    fn locations_are_read_as_urls() {
        let here =
            Target { https: false, host: "10.0.0.1".into(), port: 8080, path: "/a/b?c".into() };
        for (location, url) in [
            ("/x", Some("http://10.0.0.1:8080/x")),
            ("x?y", Some("http://10.0.0.1:8080/a/x?y")),
            ("../x/./", Some("http://10.0.0.1:8080/x/")),
            ("?q#f", Some("http://10.0.0.1:8080/a/b?q")),
            ("https://10.0.0.1/x", Some("https://10.0.0.1:443/x")),
            ("//other/x", Some("http://other:80/x")),
            ("http://[fd00::1]:9/", Some("http://[fd00::1]:9/")),
            ("ftp://10.0.0.1/", None),
            ("http://", None),
        ] {
            let followed = here.follow(location).map(|target| target.url());
            assert_eq!(followed.as_deref(), url, "{location}");
        }
    }
}
