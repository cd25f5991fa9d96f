//! A conversation with a process of a container: what the client says and is told, whatever carries it.
//!
//! Knows: streams, what becomes of a process whose client leaves, the words for its end. Refuses to know: WebSockets,
//! SPDY, how the process runs.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use leme_cri::{ExecChunk, ExecSession};
use leme_meta::query;
use leme_streams::channel::{ERROR, STDERR, STDOUT};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::{Pairs, Refusal};

/// How long a terminal's first size is waited for before the connection is closed: kubectl complains if it cannot send it.
const FIRST_SIZE: Duration = Duration::from_millis(100);

/// Which streams are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Streams {
    /// From a query string.
    pub fn parse(pairs: &Pairs) -> Result<Streams, Refusal> {
        let mut streams = Streams::default();
        for (name, value) in pairs {
            let on = query::flag(value);
            match name.as_str() {
                "stdin" | "input" => streams.stdin = on,
                "stdout" | "output" => streams.stdout = on,
                "stderr" | "error" => streams.stderr = on,
                "tty" => streams.tty = on,
                _ => {}
            }
        }
        // A terminal has one output.
        streams.stderr &= !streams.tty;
        if streams.stdin || streams.stdout || streams.stderr {
            Ok(streams)
        } else {
            let text = "you must specify at least 1 of stdin, stdout, stderr";
            Err(Refusal::new(StatusCode::BAD_REQUEST, text))
        }
    }

    /// The channel of the empty message that tells a WebSocket client that all is set up.
    pub fn first_channel(self) -> u8 {
        match (self.stdout, self.stderr) {
            (true, _) => STDOUT,
            (false, true) => STDERR,
            (false, false) => ERROR,
        }
    }
}

/// What a client says.
#[derive(Debug)]
pub enum FromClient {
    /// Standard input.
    Stdin(Bytes),
    /// The end of standard input.
    StdinEnd,
    /// Columns and rows.
    Resize(u16, u16),
}

/// What a client is told.
#[derive(Debug)]
pub enum ToClient {
    /// Output, on a channel.
    Output(u8, Bytes),
    /// The end, after all output.
    Ended(Ending),
}

/// The process's end of the conversation. The client has left when nothing more is heard.
pub struct Line {
    pub heard: mpsc::Receiver<FromClient>,
    pub told: mpsc::Sender<ToClient>,
}

/// The client's end of the conversation.
pub struct Peer {
    pub heard: mpsc::Sender<FromClient>,
    pub told: mpsc::Receiver<ToClient>,
}

/// Both ends.
pub fn line() -> (Line, Peer) {
    let ((say, heard), (told, hear)) = (mpsc::channel(4), mpsc::channel(4));
    (Line { heard, told }, Peer { heard: say, told: hear })
}

/// How it ended.
#[derive(Debug)]
pub enum Ending {
    /// Well.
    Success,
    /// With another exit code than 0.
    Exit { code: i32, command: Vec<String> },
    /// It could not be run or watched.
    Failed(String),
}

impl Ending {
    /// As the protocols with a `Status` tell it.
    pub fn status(&self) -> Value {
        match self {
            Ending::Success => json!({"metadata": {}, "status": "Success"}),
            Ending::Exit { code, .. } => json!({"metadata": {}, "status": "Failure",
                "message": self.text(), "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
            Ending::Failed(cause) => json!({"metadata": {}, "status": "Failure",
                "message": self.text(), "reason": "InternalError",
                "details": {"causes": [{"message": cause}]}, "code": 500}),
        }
    }

    /// As the older ones do; success is silent.
    pub fn text(&self) -> String {
        match self {
            Ending::Success => String::new(),
            Ending::Exit { code, command } => format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            Ending::Failed(cause) => format!("Internal error occurred: {cause}"),
        }
    }
}

/// What becomes of the process when its client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It goes on to its end, with what was sent and the end of its input.
    RunOn,
    /// The conversation ends. A command that was run for it ends with it: its terminal is gone.
    HangUp,
}

/// Carries bytes both ways until the process ends, and tells how.
pub async fn talk(
    session: ExecSession,
    line: Line,
    streams: Streams,
    leaving: Leaving,
    command: Vec<String>,
) {
    let ExecSession { stdin, output, resize, exit } = session;
    let Line { heard, told } = line;
    let sized = Notify::new();
    let listening = std::pin::pin!(listen(heard, stdin, resize, &sized));
    let mut telling = std::pin::pin!(async {
        tell(output, &told, streams).await;
        match exit.await {
            Ok(Ok(0)) => Ending::Success,
            Ok(Ok(code)) => Ending::Exit { code, command },
            Ok(Err(error)) => {
                Ending::Failed(format!("error executing command in container: {error}"))
            }
            Err(_) => Ending::Failed("the exit code was lost".to_owned()),
        }
    });
    let ending = tokio::select! {
        ending = telling.as_mut() => ending,
        () = listening => match leaving {
            Leaving::RunOn => telling.await,
            Leaving::HangUp => return,
        },
    };
    if streams.tty {
        let _ = tokio::time::timeout(FIRST_SIZE, sized.notified()).await;
    }
    // Whoever has left need not know.
    let _ = told.send(ToClient::Ended(ending)).await;
}

/// Passes output on; without a client it is still read, or the process would stand still.
async fn tell(
    mut output: mpsc::Receiver<ExecChunk>,
    told: &mpsc::Sender<ToClient>,
    streams: Streams,
) {
    while let Some(chunk) = output.recv().await {
        let (channel, data) = match chunk {
            ExecChunk::Stdout(data) if streams.stdout => (STDOUT, data),
            ExecChunk::Stderr(data) if streams.stderr => (STDERR, data),
            _ => continue,
        };
        let _ = told.send(ToClient::Output(channel, data)).await;
    }
}

/// Takes what the client says; returns when it has left and the process has got all of it.
async fn listen(
    mut heard: mpsc::Receiver<FromClient>,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<(u16, u16)>,
    sized: &Notify,
) {
    while let Some(heard) = heard.recv().await {
        match heard {
            FromClient::Stdin(data) => {
                if let Some(to) = &stdin
                    && !data.is_empty()
                    && to.send(data).await.is_err()
                {
                    // The process closed its input: what follows is dropped.
                    stdin = None;
                }
            }
            FromClient::StdinEnd => stdin = None,
            FromClient::Resize(columns, rows) => {
                // Only the newest size matters and the next one comes soon.
                let _ = resize.try_send((columns, rows));
                sized.notify_one();
            }
        }
    }
}

/// A terminal's size as clients write it.
#[derive(serde::Deserialize)]
pub struct Size {
    #[serde(rename = "Width")]
    pub width: u16,
    #[serde(rename = "Height")]
    pub height: u16,
}
