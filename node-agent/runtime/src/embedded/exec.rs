//! Commands in running containers: their streams, terminal, size and exit code.
//!
//! Knows: descriptors and channels. Refuses to know: how a command gets into the container (the helper's matter).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use leme_host::helper::protocol::{self, Phase, Report, Request};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{EmbeddedRuntime, failed, from_failure};
use crate::{ExecChunk, ExecOutput, ExecRequest, ExecSession, Result, RuntimeError};

const START_LIMIT: Duration = Duration::from_secs(60);
/// How long output is awaited that a process left behind by the command may still hold open.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
const MAX_OUTPUT: usize = 1 << 20;
const PIECE: usize = 32 * 1024;

/// The engine's ends of a process's streams.
pub(super) struct Streams {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
}

impl EmbeddedRuntime {
    pub(super) async fn run_command(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput> {
        let request = ExecRequest { command: command.to_vec(), tty: false, stdin: false };
        let run = async {
            let mut session = self.open_command(id, request).await?;
            let mut output = ExecOutput::default();
            while let Some(chunk) = session.output.recv().await {
                let (target, bytes) = match &chunk {
                    ExecChunk::Stdout(bytes) => (&mut output.stdout, bytes),
                    ExecChunk::Stderr(bytes) => (&mut output.stderr, bytes),
                };
                let room = MAX_OUTPUT - target.len();
                target.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            output.exit_code = exit_of(session.exit).await?;
            Ok(output)
        };
        // A zero timeout is the CRI's word for none.
        if timeout.is_zero() {
            return run.await;
        }
        match tokio::time::timeout(timeout, run).await {
            Ok(output) => output,
            Err(_) => Err(RuntimeError::Timeout(format!(
                "command {:?}",
                command.first().map_or("", String::as_str)
            ))),
        }
    }

    pub(super) async fn open_command(&self, id: &str, request: ExecRequest) -> Result<ExecSession> {
        let entry = self.entry(id)?;
        if !matches!(entry.phase(), Phase::Running { .. }) {
            return Err(RuntimeError::Invalid(format!("container {id} is not running")));
        }
        if request.command.is_empty() {
            return Err(RuntimeError::Invalid("no command specified".into()));
        }
        let container = &entry.record.request;
        let helper_request = Request::Exec(protocol::ExecRequest {
            id: container.id.clone(),
            directory: container.directory.clone(),
            run_directory: container.run_directory.clone(),
            args: request.command.clone(),
            tty: request.tty,
            oom_score_adj: container.oom_score_adj,
        });
        let (mut streams, theirs) = make_streams(&request).map_err(failed("make streams"))?;
        let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let control =
            self.helper.call(&helper_request, &fds).await.map_err(failed("run command"))?;
        drop(theirs);
        let started = tokio::time::timeout(START_LIMIT, first_report(&control)).await;
        let started = started.map_err(|_| RuntimeError::Timeout("start command".into()))?;
        let (report, terminal, rest) = started.map_err(failed("run command"))?;
        match report {
            Report::ExecStarted { .. } => {}
            Report::Failed(failure) => return Err(from_failure("run command", failure)),
            _ => return Err(failed("run command")("an unexpected answer from the helper")),
        }
        streams.terminal = terminal;
        connect(control, rest, streams, request.stdin).map_err(failed("connect streams"))
    }
}

async fn exit_of(exit: oneshot::Receiver<Result<i32>>) -> Result<i32> {
    exit.await.unwrap_or_else(|_| Err(failed("run command")("the command's watcher is gone")))
}

fn make_streams(request: &ExecRequest) -> io::Result<(Streams, Vec<OwnedFd>)> {
    let mut streams = Streams { stdin: None, stdout: None, stderr: None, terminal: None };
    if request.tty {
        return Ok((streams, Vec::new()));
    }
    let stdin = if request.stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        streams.stdin = Some(write);
        read
    } else {
        File::open("/dev/null")?.into()
    };
    let (stdout, theirs_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, theirs_err) = pipe_with(PipeFlags::CLOEXEC)?;
    (streams.stdout, streams.stderr) = (Some(stdout), Some(stderr));
    Ok((streams, vec![stdin, theirs_out, theirs_err]))
}

/// The first report, with a terminal if one came along, and what was read past it.
async fn first_report(control: &UnixStream) -> io::Result<(Report, Option<OwnedFd>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut terminal = None;
    loop {
        let mut buffer = [0u8; 4096];
        let received = control
            .async_io(Interest::READABLE, || {
                leme_host::sys::recv_with_fds(control.as_fd(), &mut buffer)
            })
            .await;
        let (length, fds) = received?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the helper process died"));
        }
        terminal = fds.into_iter().next().or(terminal);
        bytes.extend_from_slice(&buffer[..length]);
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let rest = bytes.split_off(end + 1);
            return Ok((serde_json::from_slice(&bytes)?, terminal, rest));
        }
    }
}

/// Starts the tasks that move bytes, and the one that waits for the end.
fn connect(
    control: UnixStream,
    rest: Vec<u8>,
    streams: Streams,
    wants_stdin: bool,
) -> io::Result<ExecSession> {
    let (output, output_end) = mpsc::channel(16);
    let (resize, resize_end) = mpsc::channel(4);
    let (exit, exit_end) = oneshot::channel();
    let (stdin, stdin_end) = mpsc::channel(16);
    let mut readers: Readers = Vec::new();
    if let Some(master) = streams.terminal {
        rustix::io::ioctl_fionbio(&master, true)?;
        let reader = pipe::Receiver::from_file_unchecked(File::from(master.try_clone()?))?;
        let writer = pipe::Sender::from_file_unchecked(File::from(master.try_clone()?))?;
        // The terminal's other end being closed is an error on this one, which ends the reader as well.
        readers.push(tokio::spawn(read_pipe(reader, output.clone(), ExecChunk::Stdout)));
        tokio::spawn(write_terminal(master, writer, stdin_end, resize_end, true));
    } else {
        if let Some(fd) = streams.stdin {
            tokio::spawn(write_pipe(pipe::Sender::from_owned_fd(fd)?, stdin_end));
        }
        readers = read_pipes(streams.stdout, streams.stderr, &output)?;
    }
    tokio::spawn(watch_end(control, rest, readers, output, exit));
    Ok(ExecSession {
        stdin: wants_stdin.then_some(stdin),
        output: output_end,
        resize,
        exit: exit_end,
    })
}

type Readers = Vec<JoinHandle<()>>;

fn read_pipes(
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    output: &mpsc::Sender<ExecChunk>,
) -> io::Result<Readers> {
    let mut readers = Vec::new();
    for (fd, make) in [
        (stdout, ExecChunk::Stdout as fn(Bytes) -> ExecChunk),
        (stderr, ExecChunk::Stderr as fn(Bytes) -> ExecChunk),
    ] {
        if let Some(fd) = fd {
            let pipe = pipe::Receiver::from_owned_fd(fd)?;
            readers.push(tokio::spawn(read_pipe(pipe, output.clone(), make)));
        }
    }
    Ok(readers)
}

/// Joins the streams of a process that is not ours to end: output ends when it does.
pub(super) fn join(streams: Streams, wants_stdin: bool) -> io::Result<ExecSession> {
    let (output, output_end) = mpsc::channel(16);
    let (resize, resize_end) = mpsc::channel(4);
    let (exit, exit_end) = oneshot::channel();
    let (stdin, stdin_end) = mpsc::channel(16);
    let readers = read_pipes(streams.stdout, streams.stderr, &output)?;
    if let Some(master) = streams.terminal {
        let writer = pipe::Sender::from_file_unchecked(File::from(master.try_clone()?))?;
        tokio::spawn(write_terminal(master, writer, stdin_end, resize_end, false));
    } else if let Some(fd) = streams.stdin {
        tokio::spawn(write_pipe(pipe::Sender::from_owned_fd(fd)?, stdin_end));
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = futures::future::join_all(readers) => {}
            () = output.closed() => {}
        }
        let _ = exit.send(Ok(0));
    });
    let stdin = wants_stdin.then_some(stdin);
    Ok(ExecSession { stdin, output: output_end, resize, exit: exit_end })
}

async fn read_pipe(
    mut pipe: pipe::Receiver,
    output: mpsc::Sender<ExecChunk>,
    make: fn(Bytes) -> ExecChunk,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(PIECE);
        match pipe.read_buf(&mut buffer).await {
            Ok(length) if length > 0 => {}
            _ => return,
        }
        if output.send(make(buffer.split().freeze())).await.is_err() {
            return;
        }
    }
}

async fn write_pipe(mut pipe: pipe::Sender, mut stdin: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = stdin.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn write_terminal(
    master: OwnedFd,
    mut writer: pipe::Sender,
    mut stdin: mpsc::Receiver<Bytes>,
    mut resize: mpsc::Receiver<(u16, u16)>,
    ends: bool,
) {
    let (mut typing, mut resizing) = (true, true);
    while typing || resizing {
        tokio::select! {
            bytes = stdin.recv(), if typing => match bytes {
                Some(bytes) => typing = writer.write_all(&bytes).await.is_ok(),
                None => {
                    typing = false;
                    if ends {
                        // The end of input, as a terminal says it.
                        let _ = writer.write_all(&[4]).await;
                    }
                }
            },
            size = resize.recv(), if resizing => match size {
                Some((columns, rows)) => {
                    let _ = leme_host::terminal::resize(master.as_fd(), columns, rows);
                }
                None => resizing = false,
            },
        }
    }
}

/// Waits for the command's end, lets the last output through, and says the exit code. When nobody listens any more the
/// control stream is dropped, which makes the helper kill the command.
async fn watch_end(
    mut control: UnixStream,
    mut bytes: Vec<u8>,
    readers: Vec<JoinHandle<()>>,
    output: mpsc::Sender<ExecChunk>,
    mut exit: oneshot::Sender<Result<i32>>,
) {
    let result = tokio::select! {
        result = exit_code(&mut control, &mut bytes) => result,
        () = async { exit.closed().await; output.closed().await } => return readers.iter().for_each(JoinHandle::abort),
    };
    drop(output);
    let aborts: Vec<_> = readers.iter().map(JoinHandle::abort_handle).collect();
    let drained = tokio::time::timeout(DRAIN_LIMIT, futures::future::join_all(readers)).await;
    if drained.is_err() {
        aborts.iter().for_each(|reader| reader.abort());
    }
    let _ = exit.send(result);
}

async fn exit_code(control: &mut UnixStream, bytes: &mut Vec<u8>) -> Result<i32> {
    loop {
        if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Report::ExecExited { exit_code }) => return Ok(exit_code),
                Ok(Report::Failed(failure)) => return Err(from_failure("run command", failure)),
                Ok(_) => continue,
                Err(error) => return Err(failed("run command")(error)),
            }
        }
        match control.read_buf(bytes).await {
            Ok(0) => return Err(failed("run command")("the helper process died")),
            Ok(_) => {}
            Err(error) => return Err(failed("run command")(error)),
        }
    }
}
