//! One unary call of gRPC over a connection of its own.
//!
//! Knows: how gRPC frames a message and says how a call went, its codes. Refuses to know: what the messages say.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

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
/// The call did not come to its end for the caller has given up.
pub const CANCELED: usize = 1;
/// What went wrong has no name.
pub const UNKNOWN: usize = 2;
/// What was asked for makes no sense.
pub const INVALID_ARGUMENT: usize = 3;
/// The time is over.
pub const DEADLINE_EXCEEDED: usize = 4;
/// There is none.
pub const NOT_FOUND: usize = 5;
/// For now there is no room.
pub const RESOURCE_EXHAUSTED: usize = 8;
/// Something else is under way for the same thing.
pub const ABORTED: usize = 10;
/// Nobody serves this call.
pub const UNIMPLEMENTED: usize = 12;
/// A rule of gRPC is broken, or the server itself.
pub const INTERNAL: usize = 13;
/// Nobody answers.
pub const UNAVAILABLE: usize = 14;

/// A call that failed: its code and what the server says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// By number.
    pub code: usize,
    /// In the server's words.
    pub text: String,
}

impl Fault {
    /// A fault.
    pub fn of(code: usize, text: impl ToString) -> Fault {
        Fault { code, text: text.to_string() }
    }

    /// Whether what was asked for is surely not under way any more, whatever has become of it.
    pub fn is_final(&self) -> bool {
        !matches!(
            self.code,
            CANCELED | DEADLINE_EXCEEDED | RESOURCE_EXHAUSTED | ABORTED | UNAVAILABLE
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match CODES.get(self.code) {
            Some(name) => write!(f, "rpc error: code = {name} desc = {}", self.text),
            None => write!(f, "rpc error: code = Code({}) desc = {}", self.code, self.text),
        }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Whom, as the first line of a request says it.
    pub authority: &'a str,
    /// As `/PACKAGE.SERVICE/METHOD`.
    pub path: &'a str,
    /// Who calls.
    pub user_agent: &'a str,
    /// Most bytes of an answer.
    pub most: usize,
}

/// Makes a call: the message of the answer.
///
/// # Errors
/// When the server says so, or when the connection or the framing breaks. How long it may take is the caller's.
pub async fn call(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    target: Target<'_>,
    message: &[u8],
) -> Result<Bytes, Fault> {
    let broken = |error: hyper::Error| Fault::of(UNAVAILABLE, error);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(broken)?;
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::post(format!("http://{}{}", target.authority, target.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", target.user_agent)
        .body(Full::new(frame(message)))
        .map_err(|error| Fault::of(INTERNAL, error))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (parts, mut body) = answer.into_parts();
    if parts.status != http::StatusCode::OK {
        let text = format!("unexpected HTTP status code received from server: {}", parts.status);
        return Err(Fault::of(UNKNOWN, text));
    }
    let mut framed = BytesMut::new();
    let mut end = parts.headers.contains_key("grpc-status").then_some(parts.headers);
    while let Some(part) = body.frame().await {
        match part.map_err(broken)?.into_data() {
            Ok(data) if framed.len() + data.len() > target.most => {
                return Err(Fault::of(INTERNAL, "the answer is too long"));
            }
            Ok(data) => framed.extend_from_slice(&data),
            Err(part) => end = part.into_trailers().ok().or(end),
        }
    }
    ended(end.as_ref())?;
    unframe(framed.freeze()).ok_or_else(|| Fault::of(INTERNAL, "the answer is not one message"))
}

/// A message with "not compressed" and its length before it.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The one message that is framed, if it is whole and not compressed.
pub fn unframe(framed: Bytes) -> Option<Bytes> {
    let head = framed.first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    (head[0] == 0 && usize::try_from(length).ok()? == framed.len() - 5).then(|| framed.slice(5..))
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
