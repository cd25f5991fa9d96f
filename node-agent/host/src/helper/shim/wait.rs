//! What the shim waits for.
//!
//! Knows: which descriptors are looked at, and for what. Refuses to know: what is done about them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Output, Shim};

/// What woke the shim.
#[derive(Default)]
pub(super) struct Wake {
    pub(super) signal: bool,
    pub(super) connection: bool,
    pub(super) outputs: Vec<usize>,
    pub(super) mirrors: Vec<usize>,
    pub(super) listeners: Vec<usize>,
}

impl Shim {
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Wake> {
        // An output whose copy has no room is not read: whoever is attached sets the pace.
        let held = |output: &Output| {
            self.mirrors.iter().any(|mirror| mirror.is_full() && mirror.is_of(output.name))
        };
        let mut watched: Vec<(BorrowedFd<'_>, PollFlags)> =
            vec![(self.signals.as_fd(), PollFlags::IN), (self.socket.as_fd(), PollFlags::IN)];
        watched.extend(self.outputs.iter().map(|output| {
            (output.fd.as_fd(), if held(output) { PollFlags::empty() } else { PollFlags::IN })
        }));
        watched.extend(self.mirrors.iter().map(|mirror| {
            (mirror.fd(), if mirror.is_full() { PollFlags::OUT } else { PollFlags::empty() })
        }));
        watched
            .extend(self.listeners.iter().map(|listener| (listener.stream.as_fd(), PollFlags::IN)));
        let mut entries: Vec<PollFd<'_>> =
            watched.iter().map(|(fd, flags)| PollFd::new(fd, *flags)).collect();
        let timeout = timeout
            .map(|t| Timespec { tv_sec: t.as_secs() as i64, tv_nsec: t.subsec_nanos().into() });
        match poll(&mut entries, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Wake::default()),
            polled => polled?,
        };
        let ready = |index: usize| !entries[index].revents().is_empty();
        let among = |first: usize, count: usize| {
            (0..count).filter(|index| ready(first + index)).collect::<Vec<usize>>()
        };
        let (outputs, mirrors) = (self.outputs.len(), self.mirrors.len());
        Ok(Wake {
            signal: ready(0),
            connection: ready(1),
            outputs: among(2, outputs),
            mirrors: among(2 + outputs, mirrors),
            listeners: among(2 + outputs + mirrors, self.listeners.len()),
        })
    }
}
