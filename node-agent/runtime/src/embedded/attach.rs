//! The streams of a container's own process, which its shim holds.
//!
//! Knows: what the shim hands over. Refuses to know: how it copies.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use leme_host::files;
use leme_host::helper::protocol::{self, Command, Phase, Report};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use super::exec::{self, Streams};
use super::{EmbeddedRuntime, failed, from_failure};
use crate::{ExecSession, Result, RuntimeError};

const LIMIT: Duration = Duration::from_secs(10);
/// Longest report of a shim.
const REPORT_BYTES: usize = 64 * 1024;

impl EmbeddedRuntime {
    pub(super) async fn open_streams(&self, id: &str, stdin: bool) -> Result<ExecSession> {
        let entry = self.entry(id)?;
        if !matches!(entry.phase(), Phase::Running { .. }) {
            return Err(RuntimeError::Invalid(format!("container {id} is not running")));
        }
        let config = &entry.record.config;
        let stdin = stdin && config.stdin;
        // A terminal's input does not end with the one who types.
        let last = config.stdin_once && !config.tty;
        let command = Command::Attach { stdin, last };
        let socket = entry.record.request.socket();
        let asking = async {
            let (_directory, short) = files::socket_address(&socket)?;
            let mut control = UnixStream::connect(short).await?;
            control.write_all(&protocol::line(&command)).await?;
            attached(&control).await
        };
        let answer = tokio::time::timeout(LIMIT, asking).await;
        let answer = answer.map_err(|_| RuntimeError::Timeout("attach".into()))?;
        let streams = match answer.map_err(failed("attach"))? {
            Ok(streams) => streams,
            Err(failure) => return Err(from_failure("attach", failure)),
        };
        exec::join(streams, stdin).map_err(failed("connect streams"))
    }
}

/// The shim's answer, after the phase that it greets with.
async fn attached(
    control: &UnixStream,
) -> io::Result<std::result::Result<Streams, protocol::Failure>> {
    let (mut bytes, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0u8; 4096];
        let received = control
            .async_io(Interest::READABLE, || {
                leme_host::sys::recv_with_fds(control.as_fd(), &mut buffer)
            })
            .await;
        let (length, more) = received?;
        fds.extend(more);
        if length == 0 || bytes.len() > REPORT_BYTES {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the container has ended"));
        }
        bytes.extend_from_slice(&buffer[..length]);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Report::Attached { stdin, terminal, stderr } => {
                    return streams(fds, stdin, terminal, stderr).map(Ok);
                }
                Report::Failed(failure) => return Ok(Err(failure)),
                _ => {}
            }
        }
    }
}

/// The descriptors come in this order: output, errors, input, terminal; those that are not told of are left out.
fn streams(fds: Vec<OwnedFd>, stdin: bool, terminal: bool, stderr: bool) -> io::Result<Streams> {
    let mut fds = fds.into_iter();
    let mut next = |wanted: bool| match wanted {
        true => fds.next().map(Some).ok_or_else(|| io::Error::other("a stream is missing")),
        false => Ok(None),
    };
    Ok(Streams {
        stdout: next(true)?,
        stderr: next(stderr)?,
        stdin: next(stdin)?,
        terminal: next(terminal)?,
    })
}
