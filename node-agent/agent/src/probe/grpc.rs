//! gRPC probes: one call of `grpc.health.v1.Health/Check`.
//!
//! Knows: the two messages of that call and how gRPC frames them, upstream's words. Refuses to know: gRPC beyond it.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use leme_node_core::probe::Outcome;

use super::{authority, dial};

/// Longest answer: it has two bytes.
const ANSWER_BYTES: usize = 4096;
/// `HealthCheckResponse.ServingStatus`, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
/// Status codes of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
const UNKNOWN: usize = 2;
const DEADLINE_EXCEEDED: usize = 4;
const UNIMPLEMENTED: usize = 12;
const INTERNAL: usize = 13;
const UNAVAILABLE: usize = 14;

/// A call that failed: its code and what the server says about it.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    code: usize,
    text: String,
}

impl Fault {
    fn of(code: usize, text: impl ToString) -> Fault {
        Fault { code, text: text.to_string() }
    }
}

/// Asks once.
pub async fn check(host: &str, port: u16, service: &str, limit: Duration) -> Outcome {
    let address = authority(host, port);
    let late = tokio::time::Instant::now() + limit;
    let dialled = tokio::time::timeout_at(late, dial(host, port)).await;
    let Ok(Ok(stream)) = dialled else {
        // Upstream tries to connect until its time is over, so it has no other reason.
        return Outcome::Failure(format!(
            "timeout: failed to connect service {address:?} within {limit:?}: context deadline exceeded"
        ));
    };
    let called = tokio::time::timeout_at(late, call(stream, &address, service)).await;
    let fault = match called {
        Err(_) => Fault::of(DEADLINE_EXCEEDED, ""),
        Ok(Err(fault)) => fault,
        Ok(Ok(1)) => return Outcome::Success,
        Ok(Ok(status)) => {
            let name = usize::try_from(status).ok().and_then(|status| STATUSES.get(status));
            let name = name.map_or_else(|| status.to_string(), |name| (*name).to_owned());
            return Outcome::Failure(format!("service unhealthy (responded with {name:?})"));
        }
    };
    let Fault { code, text } = fault;
    Outcome::Failure(match code {
        UNIMPLEMENTED => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}"
        ),
        DEADLINE_EXCEEDED => format!("timeout: health rpc did not complete within {limit:?}"),
        code => {
            let name = CODES.get(code).map_or_else(|| format!("Code({code})"), |n| (*n).to_owned());
            format!("error: health rpc probe failed: rpc error: code = {name} desc = {text}")
        }
    })
}

/// Makes the call; the status that the service has.
async fn call(stream: tokio::net::TcpStream, address: &str, service: &str) -> Result<u64, Fault> {
    let broken = |error: hyper::Error| Fault::of(UNAVAILABLE, error);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(broken)?;
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", super::USER_AGENT)
        .body(Full::new(question(service)))
        .map_err(|error| Fault::of(INTERNAL, error))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (parts, mut body) = answer.into_parts();
    if parts.status != http::StatusCode::OK {
        let text = format!("unexpected HTTP status code received from server: {}", parts.status);
        return Err(Fault::of(UNKNOWN, text));
    }
    let mut message = BytesMut::new();
    let mut end = parts.headers.contains_key("grpc-status").then_some(parts.headers);
    while let Some(frame) = body.frame().await {
        match frame.map_err(broken)?.into_data() {
            Ok(data) if message.len() + data.len() > ANSWER_BYTES => {
                return Err(Fault::of(INTERNAL, "the answer is too long"));
            }
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => end = frame.into_trailers().ok().or(end),
        }
    }
    ended(end.as_ref())?;
    status(&message).ok_or_else(|| Fault::of(INTERNAL, "the answer is not a health status"))
}

/// A `HealthCheckRequest`: the service's name is field 1. Before it stand "not compressed" and the length.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(&message);
    framed.freeze()
}

fn ended(headers: Option<&HeaderMap>) -> Result<(), Fault> {
    let text = |name: &str| {
        let value = headers?.get(name)?;
        Some(percent_encoding::percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned())
    };
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(Fault::of(code, text("grpc-message").unwrap_or_default())),
        None => Err(Fault::of(INTERNAL, "server closed the stream without sending trailers")),
    }
}

/// The status in a framed `HealthCheckResponse`: field 1, a number; absent is 0. Fields that are not known are passed over.
fn status(framed: &[u8]) -> Option<u64> {
    let (head, message) = framed.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if head[0] != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => varint(&mut rest)?,
            1 => skip(&mut rest, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                skip(&mut rest, length)?
            }
            5 => skip(&mut rest, 4)?,
            _ => return None,
        };
        if key == 0x08 {
            status = value;
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn skip(bytes: &mut &[u8], length: usize) -> Option<u64> {
    *bytes = bytes.get(length..)?;
    Some(0)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::StreamBody;
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    /// A health server: it answers the service `n` with the nth status, and the service `-n` with the nth code.
    async fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(answer)));
            }
        });
        port
    }

    type Stream = stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

    async fn answer(
        request: http::Request<Incoming>,
    ) -> Result<http::Response<StreamBody<Stream>>, Infallible> {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let number: i32 = match asked.get(7..) {
            Some(name) => std::str::from_utf8(name).unwrap().parse().unwrap(),
            None => 1,
        };
        let mut trailers = HeaderMap::new();
        let mut frames = Vec::new();
        if number < 0 {
            trailers.insert("grpc-status", (-number).into());
            trailers.insert("grpc-message", "not%20here".parse().unwrap());
        } else {
            let status = u8::try_from(number).unwrap();
            frames.push(Ok(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))));
            trailers.insert("grpc-status", 0.into());
        }
        frames.push(Ok(Frame::trailers(trailers)));
        let answer = http::Response::builder().header("content-type", "application/grpc");
        Ok(answer.body(StreamBody::new(stream::iter(frames))).unwrap())
    }

    /// Red when gRPC probes are an error, as they were.
    #[tokio::test]
    async fn a_health_service_is_asked_and_its_answers_have_upstreams_words() {
        let port = server().await;
        let limit = Duration::from_secs(30);
        assert_eq!(check("127.0.0.1", port, "", limit).await, Outcome::Success);
        for (service, words) in [
            ("2", "service unhealthy (responded with \"NOT_SERVING\")"),
            ("3", "service unhealthy (responded with \"SERVICE_UNKNOWN\")"),
            ("9", "service unhealthy (responded with \"9\")"),
            ("-5", "error: health rpc probe failed: rpc error: code = NotFound desc = not here"),
            (
                "-12",
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): not here",
            ),
        ] {
            let outcome = check("127.0.0.1", port, service, limit).await;
            assert_eq!(outcome, Outcome::Failure(words.to_owned()), "{service}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let words = format!(
            "timeout: failed to connect service \"127.0.0.1:{closed}\" within 30s: context deadline exceeded"
        );
        assert_eq!(check("127.0.0.1", closed, "", limit).await, Outcome::Failure(words));
    }

    #[test]
    fn answers_are_read_with_care() {
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status(&[0, 0, 0, 0, 5, 0x12, 1, 7, 8, 2]), Some(2));
        for bad in [&[][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 8, 1], &[0, 0, 0, 0, 1, 8]] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
        assert_eq!(&question("a")[..], [0, 0, 0, 0, 3, 0x0a, 1, b'a']);
        assert_eq!(question(&"x".repeat(300))[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
    }
}
