//! Processes that only echo.
//!
//! Knows: what a test wants to hear. Refuses to know: processes.

use bytes::Bytes;
use leme_cri::{ExecChunk, ExecRequest, ExecSession, PortStream, RuntimeError};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot, watch};

/// Echoes stdin with the command before it, to both streams; the last word is the exit code. `deaf` ends without reading
/// stdin. What was echoed is told.
pub fn exec(request: ExecRequest, told: watch::Sender<Vec<String>>) -> ExecSession {
    let (stdin, mut input) = mpsc::channel::<Bytes>(4);
    let (to, output) = mpsc::channel(4);
    let (resize, mut sizes) = mpsc::channel(4);
    let (done, exit) = oneshot::channel();
    let wants_stdin = request.stdin;
    tokio::spawn(async move {
        let code = request.command.last().and_then(|c| c.parse().ok()).unwrap_or(0);
        let mut text = request.command.join(" ").into_bytes();
        let deaf = request.command.first().is_some_and(|word| word == "deaf");
        if request.stdin && !deaf {
            while let Some(data) = input.recv().await {
                text.extend_from_slice(&data);
            }
        }
        if let Ok((width, height)) = sizes.try_recv() {
            text.extend_from_slice(format!("[{width}x{height}]").as_bytes());
        }
        told.send_modify(|all| all.push(String::from_utf8_lossy(&text).into_owned()));
        let _ = to.send(ExecChunk::Stdout(text.clone().into())).await;
        let _ = to.send(ExecChunk::Stderr("err".into())).await;
        drop(to);
        let _ = done.send(Ok(code));
    });
    ExecSession { stdin: wants_stdin.then_some(stdin), output, resize, exit }
}

/// Echoes each piece of input, until the input ends.
pub fn attach(stdin: bool) -> ExecSession {
    let (stdin_end, mut input) = mpsc::channel::<Bytes>(4);
    let (to, output) = mpsc::channel(4);
    let (resize, _sizes) = mpsc::channel(4);
    let (done, exit) = oneshot::channel();
    tokio::spawn(async move {
        let _ = to.send(ExecChunk::Stdout("attached ".into())).await;
        while let Some(data) = input.recv().await {
            let _ = to.send(ExecChunk::Stdout(data)).await;
        }
        let _ = done.send(Ok(0));
    });
    ExecSession { stdin: stdin.then_some(stdin_end), output, resize, exit }
}

/// Port 1 is closed; every other echoes, and closes after the end of what it is sent.
pub fn port(port: u16) -> leme_cri::Result<PortStream> {
    if port == 1 {
        return Err(RuntimeError::Invalid("connect: connection refused".into()));
    }
    let (near, far) = tokio::io::duplex(1024);
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(far);
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    });
    Ok(Box::new(near))
}
