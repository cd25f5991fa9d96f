//! Copies of a container's output for those who are attached to it.
//!
//! Knows: pipes that may be full, and that a full one holds the container up as a slow terminal would. Refuses to know:
//! who reads them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

/// The writing end of a pipe, and what did not fit into it.
pub(super) struct Mirror {
    pipe: OwnedFd,
    stream: &'static str,
    waiting: Vec<u8>,
}

impl Mirror {
    /// A mirror of a stream, and what its reader gets.
    pub(super) fn new(stream: &'static str) -> io::Result<(Mirror, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&write, true)?;
        Ok((Mirror { pipe: write, stream, waiting: Vec::new() }, read))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Whether something waits for room.
    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether this one copies a stream.
    pub(super) fn is_of(&self, stream: &str) -> bool {
        self.stream == stream
    }

    /// Adds bytes; false when nobody reads any more.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        self.waiting.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what waits, as far as there is room; false when nobody reads any more.
    pub(super) fn flush(&mut self) -> bool {
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.pipe, &self.waiting) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        self.waiting = Vec::new();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_holds_what_waits_and_a_closed_one_ends() {
        let (mut mirror, read) = Mirror::new("stdout").unwrap();
        let piece = vec![b'x'; 16 * 1024];
        while !mirror.is_full() {
            assert!(mirror.push(&piece));
        }
        let mut buffer = vec![0; 1 << 20];
        let taken = rustix::io::read(&read, &mut buffer).unwrap();
        assert!(taken > 0 && mirror.flush() && !mirror.is_full());
        // The standard library's tests run with SIGPIPE ignored, as the helper does.
        drop(read);
        assert!(!mirror.push(&piece));
    }
}
