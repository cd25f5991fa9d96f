//! Questions over TCP: accepts connections, bounds them, reads questions and writes answers one after another. Refuses to know
//! what is answered.
//!
//! Whoever opens more connections than others need is not served: the descriptors are those of the whole program.

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use hickory_server::net::BufDnsStreamHandle;
use hickory_server::net::runtime::TokioTime;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandle};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a question may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once, in all and of one address.
const CONNECTIONS: (usize, usize) = (512, 32);
/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who is connected how often.
#[derive(Default)]
pub(super) struct Peers(Mutex<HashMap<IpAddr, usize>>);

/// A connection that counts until this is dropped.
struct Place(Arc<Peers>, IpAddr);

impl Peers {
    fn place(self: &Arc<Peers>, peer: IpAddr) -> Option<Place> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (peers.values().sum::<usize>(), peers.get(&peer).copied().unwrap_or(0));
        if all >= CONNECTIONS.0 || own >= CONNECTIONS.1 {
            return None;
        }
        peers.insert(peer, own + 1);
        Some(Place(self.clone(), peer))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.1);
            }
        }
    }
}

/// Answers on `listener` until `token` is cancelled.
pub(super) async fn serve<H: RequestHandler>(
    listener: TcpListener,
    handler: Arc<H>,
    peers: Arc<Peers>,
    token: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = peers.place(peer.ip()) else { continue };
                let (handler, token) = (handler.clone(), token.clone());
                connections.spawn(async move {
                    let talk = connection(stream, peer, &*handler);
                    if let Some(Err(error)) = token.run_until_cancelled(talk).await {
                        tracing::debug!(%peer, "DNS over TCP: {error:#}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "DNS cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

/// Answers until the peer ends, is silent for too long or says what cannot be read.
async fn connection<H: RequestHandler>(
    mut stream: TcpStream,
    peer: SocketAddr,
    handler: &H,
) -> Result<()> {
    let _ = stream.set_nodelay(true);
    loop {
        let question = tokio::time::timeout(PATIENCE, read(&mut stream)).await;
        let Some(question) = question.context("silent for too long")?? else { return Ok(()) };
        let request = Request::from_bytes(question, peer, Protocol::Tcp)?;
        let (handle, mut answers) = BufDnsStreamHandle::new(peer);
        let response = ResponseHandle::new(peer, handle, Protocol::Tcp);
        handler.handle_request::<_, TokioTime>(&request, response).await;
        while let Some(answer) = answers.next().await {
            let bytes = answer.bytes();
            let Ok(length) = u16::try_from(bytes.len()) else { bail!("the answer is too long") };
            let message = [&length.to_be_bytes()[..], bytes].concat();
            let written = tokio::time::timeout(PATIENCE, stream.write_all(&message)).await;
            written.context("does not take the answer")??;
        }
    }
}

/// The next question; `None` at the end between two.
async fn read(stream: &mut TcpStream) -> Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}
