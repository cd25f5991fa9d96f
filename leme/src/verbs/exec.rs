//! `leme exec`: a command in a container, with its streams and its exit code.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use http::Request;
use nix::sys::termios::{self, SetArg, Termios};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::api::{self, ApiError};
use crate::args::ExecArgs;
use crate::{connect, targets};

/// Channels of the remote command protocol (`v5.channel.k8s.io`): the first byte of every message.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Runs the command; the exit code is the remote command's.
pub async fn run(args: &ExecArgs) -> Result<ExitCode> {
    let api = connect::connect(&args.connect).await?;
    let pod = args.pod.strip_prefix("pod/").unwrap_or(&args.pod);
    let flag = |set: bool| Some(if set { "true" } else { "false" });
    let mut pairs = vec![
        ("container", args.container.as_deref()),
        ("stdin", flag(args.stdin)),
        ("stdout", flag(true)),
        ("stderr", flag(!args.tty)),
        ("tty", flag(args.tty)),
    ];
    pairs.extend(args.command.iter().map(|word| ("command", Some(word.as_str()))));
    let path = api::path(targets::kind("pods")?, Some(&api.namespace), Some(pod), Some("exec"));
    let request = Request::get(format!("{path}{}", api::query(&pairs))).body(Vec::new())?;
    let connection = api.client.connect(request).await.map_err(ApiError::from)?;
    let closes_stdin = connection.supports_stream_close();
    let (mut sink, mut source) = connection.into_stream().split();
    let _raw = args.tty.then(RawTerminal::enter).flatten();
    if args.tty {
        sink.send(size_message()).await.context("send the terminal's size")?;
    }
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 16 * 1024];
    let mut reading = args.stdin;
    let mut resized =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
    loop {
        tokio::select! {
            message = source.next() => match message {
                None => bail!("the connection ended before the command did"),
                Some(message) => if let Some(code) = output(message.context("read the streams")?).await? {
                    return Ok(code);
                },
            },
            _ = resized.recv(), if args.tty => sink.send(size_message()).await?,
            count = stdin.read(&mut buffer), if reading => match count.context("read standard input")? {
                0 => {
                    reading = false;
                    if closes_stdin {
                        sink.send(Message::Binary(vec![CLOSE, STDIN].into())).await?;
                    }
                }
                count => {
                    let data = [&[STDIN], &buffer[..count]].concat();
                    sink.send(Message::Binary(data.into())).await?;
                }
            },
        }
    }
}

/// Takes one message; the exit code if it was the last.
async fn output(message: Message) -> Result<Option<ExitCode>> {
    let Message::Binary(data) = message else { return Ok(None) };
    let Some((channel, data)) = data.split_first() else { return Ok(None) };
    match *channel {
        STDOUT => {
            let mut out = tokio::io::stdout();
            out.write_all(data).await?;
            out.flush().await?;
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
    let causes = status["details"]["causes"].as_array();
    let code =
        causes.into_iter().flatten().find(|cause| cause["reason"].as_str() == Some("ExitCode"));
    match code.and_then(|cause| cause["message"].as_str()?.parse::<u8>().ok()) {
        Some(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(ExitCode::from(code))
        }
        None => bail!("{}", status["message"].as_str().unwrap_or("the command failed")),
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
