//! The other side of a call: what a driver is made of.
//!
//! Knows: how a call is taken and answered. Refuses to know: which calls there are.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;

use crate::grpc::{self, Fault, INTERNAL, INVALID_ARGUMENT};

/// Most bytes of a question.
const QUESTION: usize = 4 << 20;

/// Serves calls on a socket: `answer` gets the path and the message of each, and gives the message of its answer.
pub async fn serve<F>(
    listener: UnixListener,
    answer: impl Fn(String, Bytes) -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<Vec<u8>, Fault>> + Send + 'static,
{
    let answer = Arc::new(answer);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection is not taken");
                return;
            }
        };
        let answer = answer.clone();
        let service = service_fn(move |request| take(request, answer.clone()));
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

async fn take<F>(
    request: Request<Incoming>,
    answer: Arc<impl Fn(String, Bytes) -> F>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible>
where
    F: Future<Output = Result<Vec<u8>, Fault>>,
{
    let path = request.uri().path().to_owned();
    let body = Limited::new(request.into_body(), QUESTION).collect().await;
    let message = body.ok().and_then(|body| grpc::unframe(body.to_bytes()));
    let answered = match message {
        Some(message) => answer(path, message).await,
        None => Err(Fault::of(INVALID_ARGUMENT, "the question is not one message")),
    };
    let (body, fault) = match answered {
        Ok(message) => (grpc::frame(&message), Fault::of(0, "")),
        Err(fault) => (Bytes::new(), fault),
    };
    let text = percent_encoding::utf8_percent_encode(&fault.text, percent_encoding::CONTROLS);
    let mut end = HeaderMap::new();
    end.insert("grpc-status", fault.code.into());
    let text = HeaderValue::try_from(text.to_string());
    end.insert("grpc-message", text.unwrap_or_else(|_| INTERNAL.into()));
    let body = Full::new(body).with_trailers(async { Some(Ok(end)) });
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert("content-type", kind);
    Ok(answer)
}
