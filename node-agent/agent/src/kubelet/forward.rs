//! Port-forward: connections into a pod's network, carried over SPDY, over SPDY in a WebSocket, or over WebSocket channels.
//!
//! Knows: how clients pair streams and number channels, how errors are told. Refuses to know: how a pod is reached.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::extract::ws::{Message, WebSocket};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use leme_cri::{PortStream, Runtime};
use leme_streams::channel::{PORT_FORWARD, PORT_FORWARD_SPDY, Subprotocol, TUNNEL};
use leme_streams::spdy::{Frame, Headers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::spdy::{self, Session, Stream};
use super::upgrade::{self, Wanted};
use super::{Context, Pairs, Refusal, websocket};

/// How long a client gets to open the second stream of a pair.
const OPENING: Duration = Duration::from_secs(30);
/// Most ports over WebSocket channels: each takes two of the numbers up to 254.
const PORTS: usize = 127;
/// Bytes read from a port at once.
const PIECE: usize = 16 * 1024;

/// A pod to forward to.
#[derive(Clone)]
struct Target {
    runtime: Arc<dyn Runtime>,
    sandbox: String,
}

impl Target {
    async fn dial(&self, port: u16) -> Result<PortStream, String> {
        let dialled = self.runtime.port_forward(&self.sandbox, port).await;
        dialled.map_err(|error| {
            format!("error forwarding port {port} to pod {}, uid : {error}", self.sandbox)
        })
    }
}

/// Answers a port-forward request for the pod with that sandbox.
pub async fn answer(
    context: &Context,
    sandbox: Result<String, Refusal>,
    query: &Pairs,
    request: Request,
) -> Response {
    let sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(refusal) => return refusal.into_response(),
    };
    let wanted = match Wanted::of(request).await {
        Ok(wanted) => wanted,
        Err(answer) => return answer,
    };
    let target = Target { runtime: Arc::clone(&context.runtime), sandbox };
    match wanted {
        Wanted::WebSocket(upgrade, offered) => {
            let tunnel = format!("{TUNNEL}{PORT_FORWARD_SPDY}");
            if offered.contains(&tunnel) {
                let upgrade = upgrade::select(upgrade, &tunnel);
                return upgrade.on_upgrade(move |socket| async move {
                    over_spdy(spdy::start(websocket::tunnel(socket), acceptable), target).await;
                });
            }
            let ports = match ports(query) {
                Ok(ports) => ports,
                Err(refusal) => return refusal.into_response(),
            };
            match upgrade::choose(upgrade, &offered, &PORT_FORWARD) {
                Ok((upgrade, protocol)) => {
                    upgrade.on_upgrade(move |socket| over_channels(socket, protocol, ports, target))
                }
                Err(refusal) => refusal.into_response(),
            }
        }
        Wanted::Spdy(on, headers) => match upgrade::negotiate(&headers, &[PORT_FORWARD_SPDY]) {
            Ok((_, answer)) => {
                tokio::spawn(async move {
                    match on.await {
                        Ok(transport) => {
                            let session = spdy::start(TokioIo::new(transport), acceptable);
                            over_spdy(session, target).await;
                        }
                        Err(error) => tracing::debug!(%error, "SPDY: upgrade failed"),
                    }
                });
                answer
            }
            Err(refusal) => refusal.into_response(),
        },
    }
}

/// The ports of a WebSocket request.
fn ports(query: &Pairs) -> Result<Vec<u16>, Refusal> {
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let named = query.iter().filter(|(name, _)| name == "port" || name == "ports");
    let mut ports = Vec::new();
    for (_, value) in named {
        if value.is_empty() {
            return Err(bad("query parameter \"port\" cannot be empty".to_owned()));
        }
        for text in value.split(',') {
            match text.parse::<u16>() {
                Ok(0) => return Err(bad(format!("port {value:?} must be > 0"))),
                Ok(port) => ports.push(port),
                Err(error) => {
                    return Err(bad(format!("unable to parse {value:?} as a port: {error}")));
                }
            }
        }
    }
    match ports.len() {
        0 => Err(bad("query parameter \"port\" is required".to_owned())),
        1..=PORTS => Ok(ports),
        _ => Err(bad(format!("at most {PORTS} ports can be forwarded over one WebSocket"))),
    }
}

/// What a stream is for: its port, and whether it carries data or errors.
fn purpose(headers: &Headers) -> Option<(u16, bool)> {
    let port = headers.get("port")?.parse().ok().filter(|port| *port > 0)?;
    match headers.get("streamtype")? {
        "data" => Some((port, true)),
        "error" => Some((port, false)),
        _ => None,
    }
}

fn acceptable(headers: &Headers) -> bool {
    purpose(headers).is_some()
}

/// The key of a stream's pair. Old clients name none and open the error stream just before the data stream.
fn pair_of(stream: &Stream, data: bool) -> String {
    match stream.headers.get("requestid") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ if data => format!("#{}", stream.id.wrapping_sub(2)),
        _ => format!("#{}", stream.id),
    }
}

/// The first stream of a pair.
struct Half {
    stream: Stream,
    data: bool,
    until: Instant,
}

/// Forwards a connection per pair of streams until the client has left.
async fn over_spdy(mut session: Session, target: Target) {
    let mut halves: HashMap<String, Half> = HashMap::new();
    // Dropped at the end, and with it what is still being forwarded.
    let mut forwards = JoinSet::new();
    loop {
        let oldest = halves.values().map(|half| half.until).min();
        let expired = async {
            match oldest {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let stream = tokio::select! {
            stream = session.opened.recv() => stream,
            () = session.gone.cancelled() => return,
            () = expired => {
                let now = Instant::now();
                for (id, half) in halves.extract_if(|_, half| half.until <= now) {
                    tracing::debug!(request = id, "timed out waiting for streams");
                    let _ = session.outbox.send(spdy::fin(half.stream.id)).await;
                }
                continue;
            }
            Some(_) = forwards.join_next() => continue,
        };
        let Some(stream) = stream else { return };
        let Some((port, data)) = purpose(&stream.headers) else { continue };
        let id = pair_of(&stream, data);
        match halves.remove(&id) {
            Some(half) if half.data != data => {
                let (of_data, of_errors) =
                    if data { (stream, half.stream) } else { (half.stream, stream) };
                let (target, outbox) = (target.clone(), session.outbox.clone());
                forwards.spawn(pair(target, port, of_data, of_errors, outbox));
            }
            // A second stream of the same kind takes the place of the first.
            _ => {
                let until = Instant::now() + OPENING;
                halves.insert(id, Half { stream, data, until });
            }
        }
    }
}

async fn pair(
    target: Target,
    port: u16,
    mut data: Stream,
    errors: Stream,
    outbox: mpsc::Sender<Frame>,
) {
    let text = match target.dial(port).await {
        Ok(connection) => {
            let (id, reset) = (data.id, data.reset.clone());
            let frame = move |bytes| Frame::Data { stream: id, fin: false, bytes };
            tokio::select! {
                () = copy(connection, &mut data.input, &outbox, frame) => {}
                () = reset.cancelled() => {}
            }
            String::new()
        }
        Err(text) => text,
    };
    let _ = outbox.send(spdy::fin(data.id)).await;
    let error = Frame::Data { stream: errors.id, fin: true, bytes: text.into() };
    let _ = outbox.send(error).await;
}

/// Copies both ways until the port has closed the connection. The client's end of input is passed on as such.
async fn copy<M>(
    connection: PortStream,
    input: &mut mpsc::Receiver<Bytes>,
    outbox: &mpsc::Sender<M>,
    message: impl Fn(Bytes) -> M,
) {
    let (mut from, mut to) = tokio::io::split(connection);
    let inward = async {
        while let Some(bytes) = input.recv().await {
            if to.write_all(&bytes).await.is_err() {
                // The port reads no more. What it has still to say is heard; the rest of the input is dropped.
                while input.recv().await.is_some() {}
                break;
            }
        }
        let _ = to.shutdown().await;
        std::future::pending::<()>().await;
    };
    let outward = async {
        let mut buffer = BytesMut::with_capacity(PIECE);
        while from.read_buf(&mut buffer).await.is_ok_and(|length| length > 0) {
            if outbox.send(message(buffer.split().freeze())).await.is_err() {
                return;
            }
            buffer.reserve(PIECE);
        }
    };
    tokio::select! {
        () = outward => {}
        () = inward => {}
    }
}

/// Forwards one connection per port; channel 2n carries data and 2n + 1 errors of port n. Each begins with the port's
/// number.
async fn over_channels(
    socket: WebSocket,
    protocol: &'static Subprotocol,
    ports: Vec<u16>,
    target: Target,
) {
    let (mut out, mut source) = socket.split();
    let (outbox, mut queue) = mpsc::channel::<Message>(4);
    let mut forwards = JoinSet::new();
    let mut inputs = Vec::new();
    for (index, port) in ports.into_iter().enumerate() {
        let Ok(data) = u8::try_from(2 * index) else { return };
        for channel in [data, data + 1] {
            let message = websocket::framed(protocol.encode(channel, &port.to_le_bytes()));
            if out.send(message).await.is_err() {
                return;
            }
        }
        let (input, input_end) = mpsc::channel(2);
        inputs.push(input);
        forwards.spawn(channel(target.clone(), port, data, protocol, input_end, outbox.clone()));
    }
    drop(outbox);
    let complete = {
        let hearing = async {
            while let Some(message) = websocket::next(&mut source).await {
                let Some((channel, bytes)) = protocol.decode(&message) else { continue };
                let input = inputs.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
                if let Some(input) = input {
                    // A connection that has ended takes no more.
                    let _ = input.send(bytes).await;
                }
            }
        };
        let telling = async {
            while let Some(message) = queue.recv().await {
                if out.send(message).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::select! {
            () = hearing => false,
            complete = telling => complete,
        }
    };
    if complete {
        websocket::part(out).await;
    }
}

async fn channel(
    target: Target,
    port: u16,
    data: u8,
    protocol: &'static Subprotocol,
    mut input: mpsc::Receiver<Bytes>,
    outbox: mpsc::Sender<Message>,
) {
    match target.dial(port).await {
        Ok(connection) => {
            let message = |bytes: Bytes| websocket::framed(protocol.encode(data, &bytes));
            copy(connection, &mut input, &outbox, message).await;
        }
        Err(text) => {
            let message = websocket::framed(protocol.encode(data + 1, text.as_bytes()));
            let _ = outbox.send(message).await;
        }
    }
}
