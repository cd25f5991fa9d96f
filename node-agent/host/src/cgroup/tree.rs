//! The tree below a cgroup.
//!
//! Knows: that a pod may nest cgroups deeper than a path is long. Refuses to know: what is in them.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;

const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A cgroup's directory.
pub(super) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, FLAGS, Mode::empty())
}

/// Directories right below a cgroup's.
pub(super) fn subdirectories(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Visits a cgroup and those below it: `enter` sees each before its children, `leave` the parent of each below the top, by
/// name, after them. By descriptor and one at a time, for a pod may nest cgroups deeper than a path is long; the way back
/// is `..`, since cgroups do not move.
pub(super) fn walk(
    top: &Path,
    mut enter: impl FnMut(&OwnedFd),
    mut leave: impl FnMut(&OwnedFd, &CStr) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = match open(top) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    enter(&at);
    let mut way: Vec<CString> = Vec::new();
    let mut left = vec![subdirectories(&at).unwrap_or_default()];
    while let Some(names) = left.last_mut() {
        if let Some(name) = names.pop() {
            match openat(&at, &name, FLAGS, Mode::empty()) {
                Ok(inner) => at = inner,
                // Gone meanwhile.
                Err(Errno::NOENT | Errno::NODEV) => continue,
                Err(error) => return Err(error.into()),
            }
            enter(&at);
            way.push(name);
            left.push(subdirectories(&at).unwrap_or_default());
            continue;
        }
        left.pop();
        if let Some(name) = way.pop() {
            at = openat(&at, "..", FLAGS, Mode::empty())?;
            leave(&at, &name)?;
        }
    }
    Ok(())
}

/// A file of a cgroup; empty if it has none.
pub(super) fn read_in(directory: &OwnedFd, name: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _ = File::from(file).read_to_string(&mut text);
    }
    text
}
