//! Copies of requests, for those who are to see some of what others are asked. What they answer is thrown away, and one that is
//! slow gets no more of a request rather than holding it up.

use super::super::annotations::Balance;
use super::super::pools::{Manner, Pool};
use bytes::Bytes;
use http::{Extensions, Request, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// Copies under way; beyond them none is made.
const AT_ONCE: usize = 256;
/// Pieces of a body that may wait for who gets a copy.
const WAITING: usize = 16;
/// How long a copy may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Sends copies.
#[derive(Clone)]
pub(in crate::router) struct Copies {
    client: Client<HttpConnector, CopyBody>,
    places: Arc<Semaphore>,
}

/// Who gets what passes of a body.
#[derive(Clone, Default)]
pub(in crate::router) struct Followers(Vec<mpsc::Sender<Piece>>);

enum Piece {
    Data(Bytes),
    End,
}

impl Followers {
    /// Passes on to whoever keeps up what was read of a body, and whether that was its end.
    pub(in crate::router) fn saw<E>(
        &mut self,
        frame: Option<&Result<Frame<Bytes>, E>>,
        last: bool,
    ) {
        if self.0.is_empty() {
            return;
        }
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.0.retain(|one| one.try_send(Piece::Data(data.clone())).is_ok());
                }
                if last {
                    self.end();
                }
            }
            Some(Err(_)) => self.0.clear(),
            None => self.end(),
        }
    }

    fn end(&mut self) {
        self.0.drain(..).for_each(|one| drop(one.try_send(Piece::End)));
    }
}

/// The body of a copy: one that is not whole in the end is broken off.
pub(in crate::router) struct CopyBody(Option<mpsc::Receiver<Piece>>);

impl Body for CopyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some(pieces) = &mut self.0 else { return Poll::Ready(None) };
        match std::task::ready!(pieces.poll_recv(cx)) {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Piece::End) => {
                self.0 = None;
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Copies {
    pub(in crate::router) fn new() -> Copies {
        let client = Client::builder(TokioExecutor::new()).set_host(false).build_http();
        Copies { client, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Begins to send a copy to one of the endpoints. What its body is made of comes by way of `extensions`.
    pub(super) fn begin(
        &self,
        copy: Request<()>,
        pool: &Pool,
        empty: bool,
        extensions: &mut Extensions,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let Some(choice) = pool.take(Manner { balance: Balance::RoundRobin, limit: None }, 0)
        else {
            return;
        };
        let path = copy.uri().path_and_query().map_or("/", |path| path.as_str());
        let uri = Uri::builder().scheme("http").authority(choice.address.to_string());
        let Ok(uri) = uri.path_and_query(path).build() else { return };
        let body = if empty {
            CopyBody(None)
        } else {
            let (sender, pieces) = mpsc::channel(WAITING);
            extensions.get_or_insert_default::<Followers>().0.push(sender);
            CopyBody(Some(pieces))
        };
        let mut copy = copy.map(|()| body);
        *copy.uri_mut() = uri;
        let client = self.client.clone();
        tokio::spawn(async move {
            let _place = place;
            let talk = async {
                let mut answer = client.request(copy).await?.into_body();
                while let Some(frame) = answer.frame().await {
                    if frame.is_err() {
                        break;
                    }
                }
                Ok::<(), hyper_util::client::legacy::Error>(())
            };
            if let Ok(Err(error)) = tokio::time::timeout(LONGEST, talk).await {
                tracing::debug!(endpoint = %choice.address, %error, "no copy");
            }
        });
    }
}
