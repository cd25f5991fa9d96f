//! Those who are attached to the container.
//!
//! Knows: which descriptors they get, and when their copies are dropped. Refuses to know: what they do with them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::super::mirror::Mirror;
use super::super::protocol::{self, Failure, Report};
use super::Shim;

impl Shim {
    /// Writes on where there is room again; copies that nobody reads are dropped.
    pub(super) fn flush_mirrors(&mut self, ready: &[usize]) {
        for index in ready.iter().rev() {
            let mirror = &mut self.mirrors[*index];
            // Woken without anything to write: the reader is gone.
            if !mirror.is_full() || !mirror.flush() {
                self.mirrors.remove(*index);
            }
        }
    }

    /// Hands the container's streams to a listener.
    pub(super) fn attach(&mut self, index: usize, stdin: bool, last: bool) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::failed("attach", &error);
        let (stdout, out) = Mirror::new("stdout").map_err(failed)?;
        let mut mirrors = vec![stdout];
        let mut fds = vec![out];
        let apart = self.terminal.is_none();
        if apart {
            let (stderr, err) = Mirror::new("stderr").map_err(failed)?;
            mirrors.push(stderr);
            fds.push(err);
        }
        let input = match (&self.stdin, stdin, last) {
            (Some(_), true, true) => self.stdin.take(),
            (Some(input), true, false) => Some(input.try_clone().map_err(failed)?),
            _ => None,
        };
        let terminal = self.terminal.as_ref().map(OwnedFd::try_clone);
        let terminal = terminal.transpose().map_err(failed)?;
        let report = Report::Attached {
            stderr: apart,
            stdin: input.is_some(),
            terminal: terminal.is_some(),
        };
        fds.extend(input);
        fds.extend(terminal);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let control = self.listeners[index].stream.as_fd();
        crate::sys::send_with_fds(control, &protocol::line(&report), &fds).map_err(failed)?;
        // Those of streams that have ended are dropped with their reader's end.
        let open = |mirror: &Mirror| self.outputs.iter().any(|output| mirror.is_of(output.name));
        mirrors.retain(open);
        self.mirrors.append(&mut mirrors);
        Ok(())
    }
}
