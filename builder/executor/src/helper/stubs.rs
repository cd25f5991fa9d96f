//! Places for mounts that a root does not have.
//!
//! They are laid over its layers, so that they are not what the step has changed. Knows: where a path leads in the root.
//! Refuses to know: what is mounted there.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};

use crate::inside;

/// Makes the place of a mount in `stubs`, unless the root has it; where it is, without links.
pub(super) fn make(
    root: BorrowedFd<'_>,
    stubs: &Path,
    path: &Path,
    directory: bool,
) -> io::Result<PathBuf> {
    let inside::Place { real, missing, .. } = inside::place(root, path)?;
    if missing.is_empty() {
        return Ok(real);
    }
    let mut here = PathBuf::new();
    for name in &real {
        here.push(name);
        let stub = stubs.join(&here);
        if fs::create_dir(&stub).is_ok() {
            // A directory looks as the topmost of those that it is made of.
            looks_of(root, &here, &stub)?;
        }
    }
    for (at, name) in missing.iter().enumerate() {
        here.push(name);
        let stub = stubs.join(&here);
        if directory || at + 1 < missing.len() {
            super::mounts::make(&stub)?;
        } else {
            File::options().create(true).append(true).open(&stub)?;
        }
    }
    Ok(here)
}

fn looks_of(root: BorrowedFd<'_>, of: &Path, stub: &Path) -> io::Result<()> {
    let stat = rustix::fs::fstat(&inside::directory(root, of)?)?;
    copy_looks(&stat, stub)
}

/// Gives a directory the owner, mode and time of another.
pub(crate) fn copy_looks(stat: &rustix::fs::Stat, directory: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(CWD, directory, flags, Mode::empty())?;
    rustix::fs::fchown(&made, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(
        made.as_fd(),
        &inside::times(stat.st_mtime, stat.st_mtime_nsec as i64),
    )?)
}
