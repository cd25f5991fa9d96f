//! Bodies in both directions: a request's is read whole within a bound, an answer's is bytes, chunks or a live stream.
//!
//! Knows: sizes, frames, media types of objects people send. Refuses to know: what the objects are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use leme_meta::Status;

use crate::budget::{self, Payer, Room};
use crate::gzip::{self, Compressed};
use crate::inflight::Seat;
use crate::{protobuf, yaml};

/// Any error of a body, as hyper and tower pass it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, wherever it comes from.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// What a list is put together in: never a whole copy per client.
pub(crate) const CHUNK: usize = 128 * 1024;
/// Bodies that are worth counting.
pub(crate) const LARGE: usize = 32 * 1024;

/// A request's body without bytes.
pub(crate) fn nothing() -> RequestBody {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Upstream's limit for request bodies: 3 MiB.
pub(crate) const MAX_BODY: usize = 3 * 1024 * 1024;

/// An answer's body.
pub struct Body {
    kind: Kind,
    payer: Payer,
    /// The wait for room for the next chunk.
    waiting: Option<BoxFuture<'static, Option<Room>>>,
    /// Held until the last byte is taken.
    _seat: Seat,
}

enum Kind {
    Whole(Option<Bytes>),
    /// Chunks made one at a time as the client takes them, with what is left of the total where that is known.
    Chunks(Box<dyn Iterator<Item = Bytes> + Send>, Option<u64>),
    Live(BoxStream<'static, Result<Bytes, BoxError>>),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Body {
        Body::of(Kind::Whole(None))
    }

    fn of(kind: Kind) -> Body {
        Body { kind, payer: Payer::default(), waiting: None, _seat: Seat::default() }
    }

    /// The same body, whose chunks are made when the payer has room for them. A large one that is there already waits for
    /// room as a whole.
    pub(crate) async fn paid_by(mut self, payer: &Payer) -> Body {
        if let Kind::Whole(Some(bytes)) = &mut self.kind
            && bytes.len() > LARGE
        {
            let room = budget::room(payer, bytes.len()).await;
            *bytes = budget::filled(room, std::mem::take(bytes));
        }
        Body { payer: payer.clone(), ..self }
    }

    /// The same body, which holds the seat of its request as long as it lives.
    pub(crate) fn holding(self, seat: Seat) -> Body {
        Body { _seat: seat, ..self }
    }

    /// The same body, and its bytes, if they are at hand and no more than so many.
    pub(crate) fn told(self, most: u64) -> (Body, Option<Bytes>) {
        if self.size_hint().exact().is_none_or(|size| size > most) {
            return (self, None);
        }
        let bytes: Bytes = match self.kind {
            Kind::Whole(bytes) => bytes.unwrap_or_default(),
            Kind::Chunks(chunks, _) => chunks
                .fold(BytesMut::new(), |mut all, chunk| {
                    all.extend_from_slice(&chunk);
                    all
                })
                .freeze(),
            Kind::Live(_) => return (self, None),
        };
        let kind = Kind::Whole((!bytes.is_empty()).then(|| bytes.clone()));
        (Body { kind, ..self }, Some(bytes))
    }

    /// All bytes at hand.
    pub fn whole(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        Body::of(Kind::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// Chunks of exactly `total` bytes together.
    pub fn chunks(total: u64, chunks: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
        Body::of(Kind::Chunks(Box::new(chunks), Some(total)))
    }

    /// The same body compressed; as it was where that is not worth it, or nobody knows how long it is.
    pub(crate) fn compressed(self) -> Result<Body, Body> {
        let large = self.size_hint().exact().is_some_and(|size| size > gzip::SMALL);
        let chunks: Box<dyn Iterator<Item = Bytes> + Send> = match self.kind {
            Kind::Chunks(chunks, Some(_)) if large => chunks,
            Kind::Whole(Some(mut bytes)) if large => {
                let next = move || {
                    let size = bytes.len().min(CHUNK);
                    (size > 0).then(|| bytes.split_to(size))
                };
                Box::new(std::iter::from_fn(next))
            }
            kind => return Err(Body { kind, ..self }),
        };
        Ok(Body { kind: Kind::Chunks(Box::new(Compressed::new(chunks)), None), ..self })
    }

    /// Chunks until the stream ends.
    pub fn live(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
        Body::of(Kind::Live(Box::pin(stream)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match &mut this.kind {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Chunks(_, Some(0)) => Poll::Ready(None),
            Kind::Chunks(chunks, left) => {
                let size = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(CHUNK);
                let size = size.min(CHUNK);
                let payer = &this.payer;
                let waiting = this.waiting.get_or_insert_with(|| {
                    let payer = payer.clone();
                    Box::pin(async move { budget::room(&payer, size).await })
                });
                let room = ready!(waiting.as_mut().poll(context));
                this.waiting = None;
                Poll::Ready(chunks.next().map(|bytes| {
                    *left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                    Ok(Frame::data(budget::filled(room, bytes)))
                }))
            }
            Kind::Live(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|item| item.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.kind, Kind::Whole(None) | Kind::Chunks(_, Some(0)))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Chunks(_, Some(left)) => SizeHint::with_exact(*left),
            Kind::Chunks(_, None) | Kind::Live(_) => SizeHint::default(),
        }
    }
}

/// A client that needs longer than this for its body is not sending one.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a body that is too large is still taken in before the answer, and for how long.
const DRAIN_TOO_LARGE: (u64, Duration) = (64 * 1024 * 1024, Duration::from_secs(10));
/// How much of a body that nobody has looked at, as Go's server does.
const DRAIN_UNREAD: (u64, Duration) = (256 * 1024, Duration::from_secs(2));

/// Reads a whole request body, never holding more than the limit.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut RequestBody,
    payer: &Payer,
) -> Result<Bytes, Status> {
    let most = body.size_hint().upper().map_or(MAX_BODY, |most| most.min(MAX_BODY as u64) as usize);
    let room = if most > LARGE { budget::room(payer, most).await } else { None };
    match tokio::time::timeout(PATIENCE, read_bounded(headers, body)).await {
        Ok(Ok(read)) => Ok(budget::filled(room, read)),
        Ok(Err(refused)) => Err(refused),
        Err(_) => {
            Err(Status::new(408, "RequestTimeout", "the request body did not arrive in time"))
        }
    }
}

async fn read_bounded(headers: &HeaderMap, body: &mut RequestBody) -> Result<Bytes, Status> {
    let too_large = || Status::too_large(format!("Request entity too large: limit is {MAX_BODY}"));
    if body.size_hint().lower() > MAX_BODY as u64 {
        // A client that asks before it sends is not told to go on: to read would be to say so.
        if !headers.contains_key(http::header::EXPECT) {
            drain(body, DRAIN_TOO_LARGE).await;
        }
        return Err(too_large());
    }
    let broken = |error: BoxError| {
        Status::bad_request(format!("the request body could not be read: {error}"))
    };
    // Most bodies are one frame, which is passed on as it is.
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > MAX_BODY {
            drain(body, DRAIN_TOO_LARGE).await;
            return Err(too_large());
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

/// Whether all of a request's body has come. A small rest is taken in before the answer for that.
pub(crate) async fn finished(body: &mut RequestBody) -> bool {
    body.is_end_stream()
        || (body.size_hint().lower() <= DRAIN_UNREAD.0 && drain(body, DRAIN_UNREAD).await)
}

/// Takes in and drops what a client still sends, within limits: many clients read the answer only after they have sent
/// everything, and would see a broken connection in its place. Tells whether the end was reached.
async fn drain(body: &mut RequestBody, (most, patience): (u64, Duration)) -> bool {
    let dropping = async {
        let mut dropped = 0;
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => dropped += frame.data_ref().map_or(0, |data| data.len() as u64),
            }
            if dropped > most {
                return false;
            }
        }
    };
    tokio::time::timeout(patience, dropping).await.unwrap_or(false)
}

/// The media type of a request body, without parameters; JSON if the client did not say.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text =
        headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let text = text.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if text.is_empty() { "application/json".to_owned() } else { text }
}

/// The media type of YAML.
pub(crate) const YAML: &str = "application/yaml";

/// Refuses a body in protobuf: kinds that definitions define have none.
pub(crate) fn without_protobuf(headers: &HeaderMap) -> Result<(), Status> {
    if media_type(headers) != protobuf::MEDIA_TYPE {
        return Ok(());
    }
    Err(Status::unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: \
         application/json, application/yaml",
    ))
}

/// The body of an object as JSON text: YAML and protobuf are converted, every other media type refused.
pub(crate) fn to_json(media_type: &str, bytes: Bytes) -> Result<Bytes, Status> {
    match media_type {
        "application/json" => Ok(bytes),
        YAML => yaml_to_json(&bytes).map(Bytes::from),
        protobuf::MEDIA_TYPE => {
            protobuf::decode(&bytes).map(|value| Bytes::from(value.to_string()))
        }
        _ => Err(Status::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json, application/yaml, {}",
            protobuf::MEDIA_TYPE
        ))),
    }
}

fn yaml_to_json(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let value = yaml::value(bytes).map_err(Status::bad_request)?;
    serde_json::to_vec(&value).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(bytes: Vec<u8>) -> RequestBody {
        http_body_util::Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync()
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit() {
        let read = async |length: usize| {
            super::read(&HeaderMap::new(), &mut request(vec![b' '; length]), &Payer::default())
                .await
        };
        assert_eq!(read(MAX_BODY).await.unwrap().len(), MAX_BODY);
        assert_eq!(read(MAX_BODY + 1).await.unwrap_err().code, 413);
    }

    #[test]
    fn yaml_becomes_json_and_other_types_are_415() {
        let json =
            to_json("application/yaml", Bytes::from_static(b"a: [1, x]\nmode: 0644\nb: 'yes'\n"))
                .unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value, serde_json::json!({ "a": [1, "x"], "mode": 420, "b": "yes" }));
        assert_eq!(to_json("text/plain", Bytes::new()).unwrap_err().code, 415);
        assert_eq!(to_json("application/yaml", Bytes::from_static(b"a: [")).unwrap_err().code, 400);
    }
}
