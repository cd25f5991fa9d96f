//! One SPDY/3.1 connection: streams that the client opens, bytes both ways.
//!
//! Knows: which streams are open, what a connection may hold. Refuses to know: what streams are for, and HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use leme_streams::spdy::{Decoder, Encoder, Frame, Headers, PROTOCOL_ERROR, REFUSED_STREAM};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// How long a client that has been told the end of everything is still listened to.
const FAREWELL: Duration = Duration::from_secs(10);
/// Most streams of a connection at one time: a forwarded connection takes two.
const STREAMS: usize = 512;
/// Pieces of input that a stream holds while nobody takes them; then the whole connection waits.
const HELD: usize = 2;
/// Bytes read at once, so the largest piece.
const PIECE: usize = 16 * 1024;
/// Bytes written at once.
const BATCH: usize = 64 * 1024;

/// A stream that the client opened.
pub struct Stream {
    pub id: u32,
    pub headers: Headers,
    /// What comes on it, to its end.
    pub input: mpsc::Receiver<Bytes>,
    /// The client wants no more of it.
    pub reset: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// The handler's end of a connection.
pub struct Session {
    /// Streams as they are opened.
    pub opened: mpsc::Receiver<Stream>,
    /// Frames to the client. `GoAway` is the last one: after it the connection is closed in order.
    pub outbox: mpsc::Sender<Frame>,
    /// The client has left.
    pub gone: CancellationToken,
}

/// Ends a stream in the direction of the client.
pub fn fin(stream: u32) -> Frame {
    Frame::Data { stream, fin: true, bytes: Bytes::new() }
}

/// Serves a connection in a task of its own. `acceptable` says which streams are taken; the others are reset.
pub fn start<T>(transport: T, acceptable: fn(&Headers) -> bool) -> Session
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let (opened_end, opened) = mpsc::channel(1);
    let (outbox, queue) = mpsc::channel(16);
    let gone = CancellationToken::new();
    let router = Router {
        acceptable,
        opened: opened_end,
        outbox: outbox.clone(),
        inputs: HashMap::new(),
        places: Arc::new(Semaphore::new(STREAMS)),
        last: 0,
    };
    let guard = gone.clone().drop_guard();
    tokio::spawn(async move {
        let _guard = guard;
        let (reader, writer) = tokio::io::split(transport);
        let mut reading = std::pin::pin!(read(reader, router));
        let complete = tokio::select! {
            () = reading.as_mut() => false,
            complete = write(writer, queue) => complete,
        };
        // Taken in to the client's end: closing with bytes unread would reset what was written last.
        if complete && tokio::time::timeout(FAREWELL, reading).await.is_err() {
            tracing::debug!("a client did not close its SPDY connection");
        }
    });
    Session { opened, outbox, gone }
}

/// Writes frames; whether the last one was.
async fn write<T: AsyncWrite>(mut writer: WriteHalf<T>, mut queue: mpsc::Receiver<Frame>) -> bool {
    let mut encoder = Encoder::default();
    let mut bytes = BytesMut::new();
    while let Some(frame) = queue.recv().await {
        let mut next = Some(frame);
        let mut last = false;
        while let Some(frame) = next.take() {
            last = matches!(frame, Frame::GoAway { .. });
            if let Err(error) = encoder.put(&frame, &mut bytes) {
                tracing::debug!(%error, "SPDY: frame not sent");
                return false;
            }
            if !last && bytes.len() < BATCH {
                next = queue.try_recv().ok();
            }
        }
        if writer.write_all_buf(&mut bytes).await.is_err() || writer.flush().await.is_err() {
            return false;
        }
        if last {
            return writer.shutdown().await.is_ok();
        }
    }
    false
}

/// Reads until the client has left.
async fn read<T: AsyncRead>(mut reader: ReadHalf<T>, mut router: Router) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.read(&mut buffer).await {
            Ok(length) if length > 0 => decoder.push(&buffer[..length]),
            _ => return,
        }
        loop {
            match decoder.next() {
                Ok(Some(frame)) => router.take(frame).await,
                Ok(None) => break,
                Err(error) => return tracing::debug!(%error, "SPDY: connection broken"),
            }
        }
    }
}

/// Where the client's frames go.
struct Router {
    acceptable: fn(&Headers) -> bool,
    opened: mpsc::Sender<Stream>,
    outbox: mpsc::Sender<Frame>,
    inputs: HashMap<u32, (mpsc::Sender<Bytes>, CancellationToken)>,
    places: Arc<Semaphore>,
    last: u32,
}

impl Router {
    async fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Open { stream, fin, headers } => self.open(stream, fin, headers).await,
            Frame::Data { stream, fin, bytes } => {
                if let Some((input, _)) = self.inputs.get(&stream)
                    && !bytes.is_empty()
                {
                    // A stream whose handler is done takes no more; the rest of it is dropped.
                    let _ = input.send(bytes).await;
                }
                if fin {
                    self.inputs.remove(&stream);
                }
            }
            Frame::Headers { stream, fin: true, .. } => {
                self.inputs.remove(&stream);
            }
            Frame::Reset { stream, .. } => {
                if let Some((_, reset)) = self.inputs.remove(&stream) {
                    reset.cancel();
                }
            }
            // The client's own have odd numbers; an even one would be the answer to one of ours.
            Frame::Ping(id) if id % 2 == 1 => self.say(Frame::Ping(id)).await,
            _ => {}
        }
    }

    async fn say(&self, frame: Frame) {
        // After the last frame nothing more is said.
        let _ = self.outbox.send(frame).await;
    }

    async fn open(&mut self, stream: u32, fin: bool, headers: Headers) {
        if stream.is_multiple_of(2) || stream <= self.last {
            return self.say(Frame::Reset { stream, status: PROTOCOL_ERROR }).await;
        }
        self.last = stream;
        if self.inputs.len() >= STREAMS {
            self.inputs.retain(|_, (input, _)| !input.is_closed());
        }
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let (Ok(permit), true) = (permit, (self.acceptable)(&headers)) else {
            return self.say(Frame::Reset { stream, status: REFUSED_STREAM }).await;
        };
        self.say(Frame::Reply { stream, fin: false, headers: Headers::default() }).await;
        let (to, input) = mpsc::channel(HELD);
        let reset = CancellationToken::new();
        if !fin {
            self.inputs.insert(stream, (to, reset.clone()));
        }
        // A handler that is done takes no more streams.
        let _ =
            self.opened.send(Stream { id: stream, headers, input, reset, _permit: permit }).await;
    }
}
