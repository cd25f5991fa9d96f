//! gRPC probes: one call of `grpc.health.v1.Health/Check`.
//!
//! Knows: the two messages of that call, upstream's words. Refuses to know: how gRPC carries them.

use std::time::Duration;

use leme_csi::grpc::{self, DEADLINE_EXCEEDED, Fault, INTERNAL, Target, UNIMPLEMENTED};
use leme_node_core::probe::Outcome;

use super::{authority, dial};

/// Longest answer: it has two bytes.
const ANSWER_BYTES: usize = 4096;
/// `HealthCheckResponse.ServingStatus`, by number.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

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
    Outcome::Failure(match fault.code {
        UNIMPLEMENTED => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            fault.text
        ),
        DEADLINE_EXCEEDED => format!("timeout: health rpc did not complete within {limit:?}"),
        _ => format!("error: health rpc probe failed: {fault}"),
    })
}

/// Makes the call; the status that the service has.
async fn call(stream: tokio::net::TcpStream, address: &str, service: &str) -> Result<u64, Fault> {
    let target = Target {
        authority: address,
        path: "/grpc.health.v1.Health/Check",
        user_agent: super::USER_AGENT,
        most: ANSWER_BYTES,
    };
    let message = grpc::call(stream, target, &question(service)).await?;
    status(&message).ok_or_else(|| Fault::of(INTERNAL, "the answer is not a health status"))
}

/// A `HealthCheckRequest`: the service's name is field 1.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    message
}

/// The status in a `HealthCheckResponse`: field 1, a number; absent is 0. Fields that are not known are passed over.
fn status(message: &[u8]) -> Option<u64> {
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

    use bytes::Bytes;
    use futures::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::{Frame, Incoming};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
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
        assert_eq!(status(&[]), Some(0));
        assert_eq!(status(&[0x12, 1, 7, 8, 2]), Some(2));
        for bad in [&[8][..], &[0x12, 9, 1], &[11, 1], &[0x80]] {
            assert_eq!(status(bad), None, "{bad:?}");
        }
        let framed = |message: &[u8]| grpc::unframe(Bytes::copy_from_slice(message));
        assert_eq!(framed(&grpc::frame(b"ab")).as_deref(), Some(&b"ab"[..]));
        for bad in [&[][..], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 9, 8, 1], &[0, 0, 0, 0, 1, 8, 8]] {
            assert_eq!(framed(bad), None, "{bad:?}");
        }
        assert_eq!(&question("a")[..], [0x0a, 1, b'a']);
        assert_eq!(question(&"x".repeat(300))[..3], [0x0a, 0xac, 2]);
    }
}
