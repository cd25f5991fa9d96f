//! The engine's side of the helper process: starts it, and hands it requests with their descriptors.
//!
//! Knows: the socket to the helper. Refuses to know: what requests mean.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use leme_host::helper::protocol::{self, Report, Request};
use leme_host::{helper, sys};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// What the allocator of a process is told that has one thread and should stay small, and whose children as well.
const SMALL: &str = "narenas:1,tcache:false,dirty_decay_ms:0";

/// The helper of one engine, started on first need and again if it is gone.
pub(super) struct Helper {
    /// The program, reached through a read-only mount of its own: a container that gets hold of its first process's
    /// executable cannot write to it.
    program: OwnedFd,
    socket: Mutex<Option<OwnedFd>>,
}

impl Helper {
    pub(super) fn new(program: &Path) -> io::Result<Helper> {
        Ok(Helper { program: sys::open_readonly_program(program)?, socket: Mutex::default() })
    }

    /// Has a child forked for `request`; returns the stream to it.
    pub(super) async fn call(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<UnixStream> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        {
            let mut all = vec![theirs.as_fd()];
            all.extend_from_slice(fds);
            let mut socket = self.socket.lock().await;
            let sent = match socket.as_ref() {
                Some(socket) => sys::send_with_fds(socket.as_fd(), b"!", &all),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            if sent.is_err() {
                let fresh = self.spawn()?;
                sys::send_with_fds(fresh.as_fd(), b"!", &all)?;
                *socket = Some(fresh);
            }
        }
        drop(theirs);
        let mut stream = UnixStream::from_std(ours)?;
        stream.write_all(&protocol::line(request)).await?;
        Ok(stream)
    }

    /// Has a request done that ends with its answer.
    pub(super) async fn finish(&self, request: &Request, limit: Duration) -> io::Result<Report> {
        let stream = self.call(request, &[]).await?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        let read = tokio::time::timeout(limit, reader.read_line(&mut line)).await;
        match read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the helper process died")),
            _ => Ok(serde_json::from_str(&line)?),
        }
    }

    fn spawn(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command =
            tokio::process::Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.arg0("leme").arg(helper::WORD).env_clear().current_dir("/");
        command.env("_RJEM_MALLOC_CONF", SMALL);
        command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        // It ends when `ours` is closed; tokio takes in what is left of it.
        drop(command.spawn()?);
        Ok(ours)
    }
}
