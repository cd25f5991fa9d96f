//! The sockets of a directory as they come and go, told by the kernel.
//!
//! Knows: which names are sockets, and that one which was made anew is another. Refuses to know: who listens.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// What became of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there, perhaps anew.
    Come(PathBuf),
    /// It is not there any more.
    Gone(PathBuf),
}

/// The sockets of a directory.
#[derive(Debug)]
pub struct Sockets {
    directory: PathBuf,
    /// What the kernel tells is read as from a pipe.
    kernel: Receiver,
    known: BTreeSet<OsString>,
    /// Whether everything is to be looked at: at first, and when the kernel has lost something.
    all: bool,
}

impl Sockets {
    /// Watches a directory. Within a runtime of tokio's.
    ///
    /// # Errors
    /// When the directory is not there, or the kernel has no room for one more watch.
    pub fn of(directory: &Path) -> io::Result<Sockets> {
        let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&kernel, directory, flags)?;
        Ok(Sockets {
            directory: directory.to_owned(),
            kernel: Receiver::from_file_unchecked(kernel.into())?,
            known: BTreeSet::new(),
            all: true,
        })
    }

    /// What has happened since the last time: at first all that is there. Waits until something has. Not lost when it is
    /// cancelled.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn next(&mut self) -> io::Result<Vec<Seen>> {
        loop {
            let mut touched = BTreeSet::new();
            if !self.all {
                self.kernel.readable().await?;
                read(&self.kernel, &mut touched)?;
            }
            // What the kernel has lost shows in what is there now; so does what is there at first.
            let all = std::mem::take(&mut self.all) || touched.contains(&OsString::new());
            let there = self.list()?;
            if all {
                touched.extend(there.iter().cloned());
                touched.extend(self.known.iter().cloned());
            }
            let seen = touched.iter().filter_map(|name| {
                let path = self.directory.join(name);
                let comes = there.contains(name);
                let goes = self.known.contains(name).then(|| Seen::Gone(path.clone()));
                if comes { Some(Seen::Come(path)) } else { goes }
            });
            let seen: Vec<Seen> = seen.collect();
            let first = all && self.known.is_empty();
            self.known = there;
            if first || !seen.is_empty() {
                return Ok(seen);
            }
        }
    }

    fn list(&self) -> io::Result<BTreeSet<OsString>> {
        let mut there = BTreeSet::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            // It may have gone meanwhile; then that is told next.
            let socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
            if socket && !entry.file_name().as_encoded_bytes().starts_with(b".") {
                there.insert(entry.file_name());
            }
        }
        Ok(there)
    }
}

/// Reads all that the kernel has to tell: names, or an empty one where it has lost some.
fn read(kernel: &Receiver, touched: &mut BTreeSet<OsString>) -> io::Result<()> {
    // Room for a name of any length.
    let mut buffer = [0; 4096];
    loop {
        match kernel.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => touched.extend(names(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The names in a row of `struct inotify_event`.
fn names(mut events: &[u8]) -> Vec<OsString> {
    let mut names = Vec::new();
    while let Some((head, rest)) = events.split_first_chunk::<16>() {
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = usize::try_from(word(12)).unwrap_or(usize::MAX);
        let Some((name, rest)) = rest.split_at_checked(length) else { break };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let lost = ReadFlags::from_bits_retain(word(4)).contains(ReadFlags::QUEUE_OVERFLOW);
        if lost || !name.is_empty() {
            names.push(OsString::from_vec(name.to_vec()));
        }
        events = rest;
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Red when a socket is missed that was there before, that is moved, or that is made anew under the same name.
    #[tokio::test]
    async fn sockets_are_told_as_they_come_and_go() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let _first = UnixListener::bind(path("a.sock")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let mut sockets = Sockets::of(root.path()).unwrap();
        assert_eq!(sockets.next().await.unwrap(), [Seen::Come(path("a.sock"))]);

        std::fs::remove_file(path("a.sock")).unwrap();
        let _again = UnixListener::bind(path("a.sock")).unwrap();
        assert_eq!(sockets.next().await.unwrap(), [Seen::Come(path("a.sock"))]);

        let _hidden = UnixListener::bind(path(".b.sock")).unwrap();
        std::fs::write(path("other"), "").unwrap();
        std::fs::rename(path(".b.sock"), path("b.sock")).unwrap();
        assert_eq!(sockets.next().await.unwrap(), [Seen::Come(path("b.sock"))]);
        std::fs::remove_file(path("a.sock")).unwrap();
        assert_eq!(sockets.next().await.unwrap(), [Seen::Gone(path("a.sock"))]);
    }
}
