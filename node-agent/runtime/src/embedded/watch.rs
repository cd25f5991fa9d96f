//! One task per running container: the connection to its shim.
//!
//! Knows: commands and reports. Refuses to know: what they are for.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use leme_host::files;
use leme_host::helper::protocol::{self, Command, Failure, Phase, Report};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// A command and where its answer goes.
pub(super) type Order = (Command, oneshot::Sender<Result<(), Failure>>);

/// An open connection to a shim.
pub(super) struct Connection {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Connection {
        let (reader, writer) = stream.into_split();
        Connection { lines: BufReader::new(reader).lines(), writer }
    }

    /// Connects to a shim by its socket.
    pub(super) async fn open(socket: &Path) -> io::Result<Connection> {
        let (_directory, short) = files::socket_address(socket)?;
        Ok(Connection::new(UnixStream::connect(short).await?))
    }

    /// The next report; `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Report>> {
        match self.lines.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }

    /// Passes orders on and reports back until the shim ends or nobody is left to order.
    pub(super) async fn serve(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        phase: &watch::Sender<Phase>,
    ) {
        let mut waiting: VecDeque<oneshot::Sender<Result<(), Failure>>> = VecDeque::new();
        loop {
            tokio::select! {
                report = self.lines.next_line() => {
                    let Ok(Some(line)) = report else { return };
                    match serde_json::from_str(&line) {
                        Ok(Report::Phase(new)) => {
                            phase.send_replace(new);
                        }
                        Ok(Report::Done) => answer(&mut waiting, Ok(())),
                        Ok(Report::Failed(failure)) => answer(&mut waiting, Err(failure)),
                        Ok(_) | Err(_) => {}
                    }
                }
                order = orders.recv() => {
                    let Some((command, reply)) = order else { return };
                    waiting.push_back(reply);
                    if self.writer.write_all(&protocol::line(&command)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn answer(
    waiting: &mut VecDeque<oneshot::Sender<Result<(), Failure>>>,
    result: Result<(), Failure>,
) {
    if let Some(reply) = waiting.pop_front() {
        let _ = reply.send(result);
    }
}
