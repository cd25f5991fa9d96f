//! Two upgraded connections joined into one.
//!
//! Knows: that each direction ends by itself, and that what was said last must arrive. Refuses to know: what is said.

use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use leme_meta::Status;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::answer::Answer;
use crate::api::Api;
use crate::body::Body;
use crate::inflight::Seat;

/// How long one direction goes on after the other has ended. A socket that is closed with bytes unread is reset, and
/// what was written before is lost with it: so what a client still sends after the backend has ended is taken in.
const FAREWELL: Duration = Duration::from_secs(10);
const PIECE: usize = 16 * 1024;

impl Api {
    /// The answer to a client whose upgrade the backend has agreed to, and from then on bytes both ways. Nothing is
    /// tunnelled unless the backend said 101.
    pub(crate) fn tunnel(
        &self,
        client: &mut http::Extensions,
        mut backend: http::Response<Incoming>,
        headers: http::HeaderMap,
    ) -> Result<Answer, Status> {
        if backend.status() != StatusCode::SWITCHING_PROTOCOLS {
            let code = backend.status().as_u16();
            return Err(invalid(code));
        }
        let mut answer = Answer::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        let of_backend = hyper::upgrade::on(&mut backend);
        match client.remove::<OnUpgrade>() {
            Some(of_client) => {
                let seat = client.remove::<Seat>();
                self.lifetime.spawn(async move {
                    joined(of_client, of_backend).await;
                    drop(seat);
                });
            }
            // A client in this process takes the backend's stream as its own.
            None => {
                answer.extensions_mut().insert(of_backend);
            }
        }
        Ok(answer)
    }
}

/// The error for an answer to an upgrade that is neither a success nor an error.
pub(crate) fn invalid(code: u16) -> Status {
    Status::new(500, "", format!("invalid upgrade response: status code {code}"))
}

async fn joined(client: OnUpgrade, backend: OnUpgrade) {
    match futures::try_join!(client, backend) {
        Ok((client, backend)) => join(TokioIo::new(client), TokioIo::new(backend)).await,
        Err(error) => tracing::debug!(%error, "upgrade failed"),
    }
}

/// Copies both ways. When one direction has ended, the other has [`FAREWELL`] to do so too.
async fn join<C, B>(client: C, backend: B)
where
    C: AsyncRead + AsyncWrite + Send,
    B: AsyncRead + AsyncWrite + Send,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_backend, to_backend) = tokio::io::split(backend);
    let mut inward = std::pin::pin!(pass(from_client, to_backend));
    let mut outward = std::pin::pin!(pass(from_backend, to_client));
    let left = tokio::select! {
        () = inward.as_mut() => tokio::time::timeout(FAREWELL, outward).await,
        () = outward.as_mut() => tokio::time::timeout(FAREWELL, inward).await,
    };
    if left.is_err() {
        tracing::debug!("one end of a tunnel did not close in time");
    }
}

/// Copies one direction to its end. What a writer that is gone does not take is still read, and dropped.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; PIECE];
    let mut open = true;
    // An error on reading is the end as well: nothing more can come.
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if open {
            open = to.write_all(&buffer[..length]).await.is_ok() && to.flush().await.is_ok();
        }
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    /// Red when the tunnel stops as soon as the backend has ended: the client's bytes are unread then, the kernel resets
    /// its connection, and the last words are lost.
    #[tokio::test]
    async fn the_last_words_arrive_while_the_client_still_sends() {
        let ((mut client, near), (far, mut backend)) = (pair().await, pair().await);
        let joined = tokio::spawn(join(near, far));
        let talking = tokio::spawn(async move {
            let (mut from, mut to) = client.split();
            let mut heard = String::new();
            let send = async {
                let piece = vec![b'x'; 64 * 1024];
                for _ in 0..64 {
                    to.write_all(&piece).await.unwrap();
                }
            };
            let (read, ()) = tokio::join!(from.read_to_string(&mut heard), send);
            read.unwrap();
            heard
        });
        let mut first = [0; 5];
        backend.read_exact(&mut first).await.unwrap();
        backend.write_all(b"that was it").await.unwrap();
        backend.shutdown().await.unwrap();
        drop(backend);
        assert_eq!(talking.await.unwrap(), "that was it");
        joined.await.unwrap();
    }

    /// Red when the backend's end is closed with the client's: what the client sent last is lost.
    #[tokio::test]
    async fn what_a_client_sent_before_it_left_arrives() {
        let ((mut client, near), (far, mut backend)) = (pair().await, pair().await);
        tokio::spawn(join(near, far));
        client.write_all(&vec![b'y'; 500_000]).await.unwrap();
        drop(client);
        let mut all = Vec::new();
        backend.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 500_000);
    }
}
