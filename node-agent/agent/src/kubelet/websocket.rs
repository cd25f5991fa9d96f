//! WebSockets as carriers: of a process's channels, of a byte stream, of a log.
//!
//! Knows: WebSocket messages, and how to part without losing what was said last. Refuses to know: what is carried.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, Stream, StreamExt};
use leme_streams::channel::{self, CLOSE, ERROR, RESIZE, STDIN, Subprotocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::remote::{FromClient, Peer, Size, Streams, ToClient};

/// How long the last thing that is told may take to go out.
const FAREWELL: Duration = Duration::from_secs(10);
/// Largest message, as upstream has it.
pub const MAX_MESSAGE: usize = 32 << 20;

/// The sending half.
pub type Sink = SplitSink<WebSocket, Message>;
/// The receiving half.
pub type Source = SplitStream<WebSocket>;

/// A message as axum wants it.
pub fn framed(message: channel::Message) -> Message {
    match message {
        channel::Message::Text(text) => Message::Text(text.into()),
        channel::Message::Binary(bytes) => Message::Binary(bytes),
    }
}

/// The bytes of the next message; `None` when the client has left.
pub async fn next(input: &mut Source) -> Option<Bytes> {
    loop {
        match input.next().await?.ok()? {
            Message::Binary(data) => return Some(data),
            Message::Text(text) => return Some(Bytes::from(text)),
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

/// Says goodbye and is gone: some clients wait for the end of the connection and say nothing more themselves. What others
/// still send is taken in by the connection, so that no reset takes what was told before.
pub async fn part(mut out: Sink) {
    let frame = CloseFrame { code: 1000, reason: Utf8Bytes::from_static("") };
    let farewell = out.send(Message::Close(Some(frame)));
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::debug!("a client did not take the end of its WebSocket");
    }
}

/// Carries a conversation with a process.
pub async fn converse(
    socket: WebSocket,
    protocol: &'static Subprotocol,
    streams: Streams,
    peer: Peer,
) {
    let (mut out, mut input) = socket.split();
    let Peer { heard, mut told } = peer;
    if out.send(framed(protocol.encode(streams.first_channel(), &[]))).await.is_err() {
        return;
    }
    let ended = {
        let mut hearing = std::pin::pin!(hear(&mut input, protocol, heard));
        let mut telling = std::pin::pin!(tell(&mut out, protocol, &mut told));
        tokio::select! {
            // The client has left: nobody is there to be told anything.
            () = hearing.as_mut() => false,
            ended = telling.as_mut() => ended,
        }
    };
    if ended {
        part(out).await;
    }
}

/// Takes what the client says; returns when it has left.
async fn hear(input: &mut Source, protocol: &'static Subprotocol, heard: mpsc::Sender<FromClient>) {
    let heard = heard;
    while let Some(message) = next(input).await {
        if let Some(word) = word(protocol, &message) {
            // A process that has ended hears no more; the client is still to be listened to.
            let _ = heard.send(word).await;
        }
    }
}

fn word(protocol: &Subprotocol, message: &Bytes) -> Option<FromClient> {
    let (channel, data) = protocol.decode(message)?;
    match channel {
        STDIN => Some(FromClient::Stdin(data)),
        RESIZE => {
            let size: Size = serde_json::from_slice(&data).ok()?;
            Some(FromClient::Resize(size.width, size.height))
        }
        CLOSE if protocol.closes && data.first() == Some(&STDIN) => Some(FromClient::StdinEnd),
        _ => None,
    }
}

/// Tells all there is to tell; whether the client has got it.
async fn tell(
    out: &mut Sink,
    protocol: &'static Subprotocol,
    told: &mut mpsc::Receiver<ToClient>,
) -> bool {
    while let Some(word) = told.recv().await {
        let (channel, data, last) = match word {
            ToClient::Output(channel, data) => (channel, data, false),
            ToClient::Ended(ending) if protocol.status => {
                (ERROR, ending.status().to_string().into(), true)
            }
            ToClient::Ended(ending) => (ERROR, ending.text().into(), true),
        };
        let silent = last && data.is_empty();
        if !silent && out.send(framed(protocol.encode(channel, &data))).await.is_err() {
            return false;
        }
        if last {
            return true;
        }
    }
    // A process that was hung up on has no end to tell.
    true
}

/// The socket as a byte stream: each message is a piece of it.
pub fn tunnel(socket: WebSocket) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (mut out, mut input) = socket.split();
        let (mut from, mut to) = tokio::io::split(far);
        let mut inward = Box::pin(async {
            while let Some(data) = next(&mut input).await {
                if to.write_all(&data).await.is_err() {
                    break;
                }
            }
            let _ = to.shutdown().await;
        });
        let outward = async {
            let mut buffer = BytesMut::new();
            while from.read_buf(&mut buffer).await.is_ok_and(|length| length > 0) {
                if out.send(Message::Binary(buffer.split().freeze())).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = inward.as_mut() => return,
            () = outward => {}
        }
        drop(inward);
        part(out).await;
    });
    near
}

/// Sends a log to its end.
pub async fn send_log<E>(
    socket: WebSocket,
    protocol: &'static Subprotocol,
    log: impl Stream<Item = Result<Bytes, E>>,
) {
    let (mut out, mut input) = socket.split();
    let sent = {
        let mut log = std::pin::pin!(log);
        let sending = async {
            while let Some(Ok(piece)) = log.next().await {
                if out.send(framed(protocol.whole(&piece))).await.is_err() {
                    return false;
                }
            }
            true
        };
        let left = async { while next(&mut input).await.is_some() {} };
        tokio::select! {
            () = left => false,
            sent = sending => sent,
        }
    };
    if sent {
        part(out).await;
    }
}
