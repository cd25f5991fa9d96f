//! Network namespaces of whole clusters: named, found again, entered by a thread of its own.
//!
//! Knows: what holds a namespace. Refuses to know: what is in it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::sched::{CloneFlags, setns, unshare};

use crate::mounts::mounted_at;

const OWN: &str = "/proc/thread-self/ns/net";

/// Names a network namespace as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetnsId {
    device: u64,
    inode: u64,
}

impl NetnsId {
    /// The one that the calling thread is in.
    pub fn own() -> io::Result<NetnsId> {
        NetnsId::at(Path::new(OWN))
    }

    fn at(path: &Path) -> io::Result<NetnsId> {
        fs::metadata(path).map(|found| NetnsId { device: found.dev(), inode: found.ino() })
    }

    /// The namespace, held open: by way of a process that is in it, a mount of it, or a file that somebody has of it.
    /// Whatever else there was, without one of these it is gone, with all that was in it.
    pub fn find(self) -> io::Result<Option<File>> {
        let processes: Vec<PathBuf> = fs::read_dir("/proc")?
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
            .map(|entry| entry.path())
            .collect();
        let name = format!("net:[{}]", self.inode);
        let inside = processes.iter().map(|process| process.join("ns/net"));
        // Processes come and go meanwhile.
        let mounted = processes.iter().flat_map(|process| {
            let table = fs::read(process.join("mountinfo")).unwrap_or_default();
            let points = mounted_at(&table, name.as_bytes());
            points
                .into_iter()
                .filter_map(|point| Some(process.join("root").join(point.strip_prefix("/").ok()?)))
        });
        let opened = processes.iter().flat_map(|process| {
            fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|fd| fd.path())
        });
        // Other files may be on disks that do not answer.
        let opened = opened.filter(|fd| fs::read_link(fd).is_ok_and(|to| to.as_os_str() == &*name));
        let is_it = |path: &PathBuf| NetnsId::at(path).is_ok_and(|id| id == self);
        Ok(inside.chain(mounted).chain(opened).filter(is_it).find_map(|path| {
            let file = File::open(path).ok()?;
            let found = file.metadata().ok()?;
            ((found.dev(), found.ino()) == (self.device, self.inode)).then_some(file)
        }))
    }
}

impl std::fmt::Display for NetnsId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

impl FromStr for NetnsId {
    type Err = ();

    fn from_str(text: &str) -> Result<NetnsId, ()> {
        let (device, inode) = text.trim().split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(NetnsId { device: number(device)?, inode: number(inode)? })
    }
}

/// Runs work in a namespace, or in a new and empty one, on a thread of its own. What that starts is there as well.
pub fn run_in<T: Send>(netns: Option<&File>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
                match netns {
                    Some(netns) => setns(netns, CloneFlags::CLONE_NEWNET)?,
                    None => unshare(CloneFlags::CLONE_NEWNET)?,
                }
                Ok(work())
            })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_found_by_its_name_until_it_is_gone() {
        let open = || (NetnsId::own().unwrap(), File::open(OWN).unwrap());
        let (id, file) = run_in(None, open).unwrap();
        assert_ne!(id, NetnsId::own().unwrap());
        let again: NetnsId = id.to_string().parse().unwrap();
        let found = again.find().unwrap().expect("a file holds it");
        assert_eq!(run_in(Some(&found), NetnsId::own).unwrap().unwrap(), id);
        drop((file, found));
        assert!(id.find().unwrap().is_none());
        let own = NetnsId::own().unwrap();
        assert!(own.find().unwrap().is_some(), "this process is in it");
    }

    #[test]
    fn what_names_no_namespace_is_refused() {
        for text in ["", "4", "4:", ":4", "a:b", "-1:2"] {
            assert_eq!(text.parse::<NetnsId>(), Err(()), "{text:?}");
        }
    }
}
