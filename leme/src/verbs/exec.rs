//! `leme exec` and `leme attach`: a command in a container, or the container's own process, with its streams.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::{Sink, SinkExt, StreamExt};
use leme_client::Error;
use leme_streams::channel::{CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT};
use nix::sys::termios::{self, SetArg, Termios};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::api;
use crate::args::{AttachArgs, ConnectArgs, ExecArgs};
use crate::{connect, pods, say};

/// What to talk with.
struct Wanted<'a> {
    connect: &'a ConnectArgs,
    pod: &'a str,
    subresource: &'static str,
    container: Option<&'a str>,
    command: &'a [String],
    stdin: bool,
    tty: bool,
}

/// Runs a command; the exit code is the remote command's.
pub async fn run(args: &ExecArgs) -> Result<ExitCode> {
    let ExecArgs { connect, pod, container, stdin, tty, command } = args;
    let container = container.as_deref();
    let (subresource, stdin, tty) = ("exec", *stdin, *tty);
    converse(&Wanted { connect, pod, subresource, container, command, stdin, tty }).await
}

/// Joins a container's own process until it ends or the user leaves.
pub async fn attach(args: &AttachArgs) -> Result<ExitCode> {
    let AttachArgs { connect, pod, container, stdin, tty } = args;
    let container = container.as_deref();
    let (subresource, command, stdin, tty) = ("attach", &[][..], *stdin, *tty);
    converse(&Wanted { connect, pod, subresource, container, command, stdin, tty }).await
}

async fn converse(wanted: &Wanted<'_>) -> Result<ExitCode> {
    let api = connect::connect(wanted.connect).await?;
    let pod = pods::one(&api, wanted.pod).await?;
    let flag = |set: bool| Some(if set { "true" } else { "false" });
    let mut pairs = vec![
        ("container", wanted.container),
        ("stdin", flag(wanted.stdin)),
        ("stdout", flag(true)),
        ("stderr", flag(!wanted.tty)),
        ("tty", flag(wanted.tty)),
    ];
    pairs.extend(wanted.command.iter().map(|word| ("command", Some(word.as_str()))));
    let path = pods::kind(&api).await?.object(&api.namespace, &pod, wanted.subresource);
    let connection = api.client.connect(&format!("{path}{}", api::query(&pairs))).await?;
    let closes_stdin = connection.supports_stream_close();
    let (sink, mut source) = connection.into_stream().split();
    let _raw = wanted.tty.then(RawTerminal::enter).flatten();
    let receiving = async {
        while let Some(message) = source.next().await {
            if let Some(code) = output(message.context("read the streams")?).await? {
                return Ok(code);
            }
        }
        bail!("the connection ended before the command did")
    };
    // Side by side: a command that reads nothing until its output is taken would else stand still.
    tokio::select! {
        code = receiving => code,
        error = send(sink, wanted, closes_stdin) => Err(error),
    }
}

/// Sends what is typed and the terminal's size; ends only if that cannot be read. Why a connection takes no more, the other
/// direction tells.
async fn send(
    mut sink: impl Sink<Message> + Unpin,
    wanted: &Wanted<'_>,
    closes_stdin: bool,
) -> anyhow::Error {
    let sized = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change());
    let mut resized = match sized.context("watch the terminal's size") {
        Ok(resized) => resized,
        Err(error) => return error,
    };
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 16 * 1024];
    let (mut reading, mut message) = (wanted.stdin, wanted.tty.then(size_message));
    loop {
        if let Some(message) = message.take()
            && sink.send(message).await.is_err()
        {
            return std::future::pending().await;
        }
        message = tokio::select! {
            _ = resized.recv(), if wanted.tty => Some(size_message()),
            count = stdin.read(&mut buffer), if reading => match count {
                Err(error) => return anyhow::Error::new(error).context("read standard input"),
                Ok(0) => {
                    reading = false;
                    closes_stdin.then(|| Message::Binary(vec![CLOSE, STDIN].into()))
                }
                Ok(count) => {
                    Some(Message::Binary([&[STDIN], &buffer[..count]].concat().into()))
                }
            },
            else => return std::future::pending().await,
        };
    }
}

/// Takes one message; the exit code if it was the last.
async fn output(message: Message) -> Result<Option<ExitCode>> {
    let Message::Binary(data) = message else { return Ok(None) };
    let Some((channel, data)) = data.split_first() else { return Ok(None) };
    match *channel {
        STDOUT => {
            let mut out = tokio::io::stdout();
            say::written(out.write_all(data).await)?;
            say::written(out.flush().await)?;
        }
        STDERR => tokio::io::stderr().write_all(data).await?,
        ERROR => return ended(data).map(Some),
        _ => {}
    }
    Ok(None)
}

fn ended(status: &[u8]) -> Result<ExitCode> {
    let status: Value = serde_json::from_slice(status).context("read how the command ended")?;
    if status["status"].as_str() == Some("Success") {
        return Ok(ExitCode::SUCCESS);
    }
    let refused = Error::of_status(&status);
    let causes = match &refused {
        Some(Error::Status { causes, .. }) => causes.as_slice(),
        _ => &[],
    };
    let code = causes.iter().find(|cause| cause.reason == "ExitCode");
    match code.and_then(|cause| cause.message.parse::<u8>().ok()) {
        Some(code) => {
            say::note(format_args!("command terminated with exit code {code}"));
            Ok(ExitCode::from(code))
        }
        None => bail!("{}", refused.as_ref().map_or("the command failed", Error::message)),
    }
}

fn size_message() -> Message {
    let (columns, rows) = crate::terminal::size().unwrap_or((80, 24));
    let text = format!("{{\"Width\":{columns},\"Height\":{rows}}}");
    Message::Binary([&[RESIZE], text.as_bytes()].concat().into())
}

/// The terminal in raw mode for as long as this lives.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Option<RawTerminal> {
        let saved = termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = saved.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(RawTerminal(saved))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}
