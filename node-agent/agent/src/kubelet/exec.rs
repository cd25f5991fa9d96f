//! Commands in containers, over WebSocket.
//!
//! Knows: the channels of `v4.channel.k8s.io` and `v5.channel.k8s.io`. Refuses to know: how the command runs.

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use leme_cri::{ExecChunk, ExecRequest, ExecSession};
use tokio::sync::{Notify, mpsc};

use super::{Context, Pairs};
use crate::view::ContainerView;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// v5: the channel named by the next byte ends.
const CLOSE: u8 = 255;
/// How long a terminal's first size is waited for before the connection is closed: kubectl complains if it cannot send it.
const FIRST_SIZE: std::time::Duration = std::time::Duration::from_millis(100);
/// How long a close may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(5);

/// Which streams are wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
}

fn parse(query: &Pairs) -> Result<(Vec<String>, Streams), String> {
    let mut command = Vec::new();
    let mut streams = Streams::default();
    for (name, value) in query {
        let on = matches!(value.as_str(), "1" | "true" | "True" | "TRUE" | "t" | "T");
        match name.as_str() {
            "command" => command.push(value.clone()),
            "stdin" | "input" => streams.stdin = on,
            "stdout" | "output" => streams.stdout = on,
            "stderr" | "error" => streams.stderr = on,
            "tty" => streams.tty = on,
            _ => {}
        }
    }
    // A terminal has one output.
    streams.stderr &= !streams.tty;
    if command.is_empty() {
        return Err("you must specify a command".to_owned());
    }
    if !(streams.stdin || streams.stdout || streams.stderr) {
        return Err("you must specify at least 1 of stdin, stdout, stderr".to_owned());
    }
    Ok((command, streams))
}

/// Answers an exec request.
pub fn answer(
    context: &Context,
    container: &ContainerView,
    query: &Pairs,
    upgrade: WebSocketUpgrade,
) -> Response {
    let (command, streams) = match parse(query) {
        Ok(parsed) => parsed,
        Err(message) => return (StatusCode::BAD_REQUEST, message).into_response(),
    };
    let Some(id) = container.running.clone() else {
        let text = format!("container not found (\"{}\")", container.name);
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    let runtime = context.runtime.clone();
    let upgrade = upgrade.protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]);
    if upgrade.selected_protocol().is_none() {
        let text = "no common subprotocol: use v5.channel.k8s.io or v4.channel.k8s.io";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        let request =
            ExecRequest { command: command.clone(), tty: streams.tty, stdin: streams.stdin };
        let (mut out, input) = socket.split();
        match runtime.exec(&id, request).await {
            Ok(session) => talk(session, out, input, streams, &command).await,
            Err(error) => {
                let status = internal_error(&error.to_string());
                finish(&mut out, status).await;
            }
        }
    })
}

fn frame(channel: u8, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

fn internal_error(message: &str) -> serde_json::Value {
    serde_json::json!({"metadata": {}, "status": "Failure", "message": message,
        "reason": "InternalError", "details": {"causes": [{"message": message}]}, "code": 500})
}

/// The Status that tells how the command ended.
fn exit_status(code: Result<i32, String>, command: &[String]) -> serde_json::Value {
    match code {
        Ok(0) => serde_json::json!({"metadata": {}, "status": "Success"}),
        Ok(code) => serde_json::json!({"metadata": {}, "status": "Failure",
            "message": format!("command terminated with non-zero exit code: error executing command {command:?}, exit code {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
        Err(message) => internal_error(&message),
    }
}

async fn finish(out: &mut SplitSink<WebSocket, Message>, status: serde_json::Value) {
    let farewell = async {
        out.send(frame(ERROR, status.to_string().as_bytes())).await?;
        let reason = axum::extract::ws::Utf8Bytes::from_static("");
        out.send(Message::Close(Some(CloseFrame { code: 1000, reason }))).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(FAREWELL, farewell).await {
        tracing::debug!(%error, "exec: client left before the end");
    }
}

/// Carries bytes both ways until the command ends or the client leaves, which ends the command.
async fn talk(
    session: ExecSession,
    mut out: SplitSink<WebSocket, Message>,
    input: SplitStream<WebSocket>,
    streams: Streams,
    command: &[String],
) {
    let ExecSession { stdin, mut output, resize, exit } = session;
    let sized = Notify::new();
    let hear = hear(input, stdin, resize, &sized);
    let speak = async {
        while let Some(chunk) = output.recv().await {
            let message = match chunk {
                ExecChunk::Stdout(data) if streams.stdout => frame(STDOUT, &data),
                ExecChunk::Stderr(data) if streams.stderr => frame(STDERR, &data),
                _ => continue,
            };
            if out.send(message).await.is_err() {
                return None;
            }
        }
        let code = match exit.await {
            Ok(code) => code.map_err(|e| e.to_string()),
            Err(_) => Err("the command's exit code was lost".to_owned()),
        };
        if streams.tty {
            let _ = tokio::time::timeout(FIRST_SIZE, sized.notified()).await;
        }
        Some(code)
    };
    tokio::select! {
        () = hear => tracing::debug!("exec: client left"),
        code = speak => {
            if let Some(code) = code {
                finish(&mut out, exit_status(code, command)).await;
            }
        }
    }
}

/// Takes what the client sends; returns when it leaves.
async fn hear(
    mut input: SplitStream<WebSocket>,
    mut stdin: Option<mpsc::Sender<Bytes>>,
    resize: mpsc::Sender<(u16, u16)>,
    sized: &Notify,
) {
    while let Some(Ok(message)) = input.next().await {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let Some(channel) = data.first().copied() else { continue };
        let rest = data.slice(1..);
        match channel {
            STDIN => {
                if let Some(to) = &stdin
                    && !rest.is_empty()
                    && to.send(rest).await.is_err()
                {
                    // The command closed its input: what follows is dropped.
                    stdin = None;
                }
            }
            RESIZE => {
                if let Some(size) = terminal_size(&rest) {
                    // Only the newest size matters and the next one comes soon.
                    let _ = resize.try_send(size);
                    sized.notify_one();
                }
            }
            CLOSE if rest.first() == Some(&STDIN) => stdin = None,
            _ => {}
        }
    }
}

fn terminal_size(data: &[u8]) -> Option<(u16, u16)> {
    #[derive(serde::Deserialize)]
    struct Size {
        #[serde(rename = "Width")]
        width: u16,
        #[serde(rename = "Height")]
        height: u16,
    }
    let size: Size = serde_json::from_slice(data).ok()?;
    Some((size.width, size.height))
}
