//! User namespaces: a pod's own, which owns its other namespaces.
//!
//! Knows: how one is made and entered. Refuses to know: which ids a pod is given.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Uid};

use super::{SandboxPaths, SandboxRequest, hold_all, hold_of, isolate};
use crate::ids;

/// What a child says when it waits for its ids, and when all is made; anything else is why it could not be.
const WAITS: u8 = b'?';
const MADE: u8 = b'!';

/// Makes a sandbox's namespaces, owned by a user namespace of its own, and holds them. A child makes them and this process,
/// which keeps its rights, gives it ids and holds what it has made.
pub(super) fn create(first: u32, request: &SandboxRequest, paths: &SandboxPaths) -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let child = match crate::sys::fork()? {
        ForkResult::Child => {
            drop(ours);
            if let Err(error) = make(request, &theirs) {
                let _ = (&theirs).write_all(error.to_string().as_bytes());
            }
            std::process::exit(0);
        }
        ForkResult::Parent { child } => child,
    };
    drop(theirs);
    let directory = PathBuf::from(format!("/proc/{child}"));
    let made = (|| {
        expect(&mut ours, WAITS)?;
        let map = format!("0 {first} {}", ids::LENGTH);
        fs::write(directory.join("uid_map"), &map)?;
        fs::write(directory.join("gid_map"), &map)?;
        ours.write_all(b"+")?;
        expect(&mut ours, MADE)?;
        hold_of(&directory.join("ns"), "user", &paths.user())?;
        hold_all(&directory.join("ns"), paths, request)
    })();
    // It ends when it is told nothing more.
    drop(ours);
    let _ = waitpid(child, None);
    made.map_err(|error| io::Error::new(error.kind(), format!("user namespace: {error}")))
}

/// The child's part.
fn make(request: &SandboxRequest, mut parent: &UnixStream) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    parent.write_all(&[WAITS])?;
    parent.read_exact(&mut [0])?;
    become_root()?;
    isolate(request)?;
    parent.write_all(&[MADE])?;
    // Until it has been held.
    let _ = parent.read(&mut [0]);
    Ok(())
}

/// The expected word, or the error that came in its place.
fn expect(stream: &mut UnixStream, word: u8) -> io::Result<()> {
    let mut said = [0];
    stream.read_exact(&mut said)?;
    if said[0] == word {
        return Ok(());
    }
    let mut rest = said.to_vec();
    stream.read_to_end(&mut rest)?;
    Err(io::Error::other(String::from_utf8_lossy(&rest).into_owned()))
}

/// Enters a user namespace as its root. There is no way back: for a child that goes on in there.
pub(crate) fn enter(namespace: &Path) -> io::Result<()> {
    setns(File::open(namespace)?, CloneFlags::CLONE_NEWUSER)?;
    become_root()
}

/// Becomes the root of the user namespace that this process is in.
pub(crate) fn become_root() -> io::Result<()> {
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    nix::unistd::setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    Ok(())
}
