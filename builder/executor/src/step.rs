//! Steps as the build sees them: a helper that is begun, whose output is passed on, and that is ended when its time is over.
//!
//! Knows: processes and pipes. Refuses to know: what a step does.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::helper::WORD;
use crate::helper::protocol::{Report, Request};

/// Bytes of a report at most.
const REPORT: u64 = 1 << 20;

/// How steps are carried out.
pub(crate) struct Steps<'a> {
    pub(crate) program: &'a Path,
    /// When they have to be done.
    pub(crate) deadline: Option<Instant>,
}

/// Why a step came to no end of its own.
pub(crate) enum Stopped {
    Late,
    Failed(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Failed(error)
    }
}

/// A helper that ends with this value.
struct Helper(Child);

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Steps<'_> {
    /// Carries a step out; what it prints goes to `output`.
    pub(crate) fn ask(&self, request: &Request, output: &mut dyn Write) -> Result<Report, Stopped> {
        let (ours, theirs) = UnixStream::pair()?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let program = crate::program::open(self.program);
        let mut command = match &program {
            // Nothing that is run can come by the program itself to write to it.
            Ok(program) => Command::new(format!("/proc/self/fd/{}", program.as_raw_fd())),
            Err(_) => Command::new(self.program),
        };
        command.arg(WORD).env_clear();
        for name in ["LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(OwnedFd::from(theirs)).stderr(writer.try_clone()?).stdout(writer);
        let helper = Helper(command.spawn()?);
        // Its ends of the streams are its alone now.
        drop(command);
        let text = serde_json::to_vec(request).map_err(io::Error::from)?;
        // Writing may block, as may whoever is to read: a report is short, and comes last.
        (&ours).write_all(&text)?;
        ours.shutdown(Shutdown::Write)?;
        self.pass(reader, output)?;
        let mut report = Vec::new();
        self.wait(ours.as_fd())?;
        ours.take(REPORT).read_to_end(&mut report)?;
        drop(helper);
        if report.is_empty() {
            return Err(io::Error::other("the helper has ended without a word").into());
        }
        Ok(serde_json::from_slice(&report).map_err(io::Error::from)?)
    }

    /// Passes output on until everybody who could print is gone.
    fn pass(&self, reader: OwnedFd, output: &mut dyn Write) -> Result<(), Stopped> {
        let mut reader = std::fs::File::from(reader);
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            self.wait(reader.as_fd())?;
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => output.write_all(&buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there is something to read, or it is too late.
    fn wait(&self, what: std::os::fd::BorrowedFd<'_>) -> Result<(), Stopped> {
        loop {
            let left =
                self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Stopped::Late);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut polled = [PollFd::from_borrowed_fd(what, PollFlags::IN)];
            match poll(&mut polled, left.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}

/// Output of which only so many bytes are passed on; the rest is left out, and that is said.
pub(crate) struct Bounded<'a> {
    pub(crate) inner: &'a mut (dyn Write + Send),
    pub(crate) left: u64,
    /// Whether the last line has its end.
    pub(crate) ended: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if here > 0 {
            self.inner.write_all(&bytes[..here])?;
            self.ended = bytes[here - 1] == b'\n';
            self.left -= here as u64;
            if self.left == 0 {
                self.inner.write_all(b"\n[output clipped: it is longer than it may be]\n")?;
                self.ended = true;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
