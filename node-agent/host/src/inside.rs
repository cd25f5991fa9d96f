//! How trees are walked in which pods may change names at any moment: by descriptor, and never out of them.
//!
//! Knows: what a step may not do, and how what failed is named. Refuses to know: why a tree is walked.

use std::io;
use std::path::Path;

use rustix::fs::ResolveFlags;
use rustix::io::Errno;

/// Never out of the directory, through a link or onto another mount.
pub(crate) const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// What failed, with its path.
pub(crate) fn explain(path: &Path, error: Errno) -> io::Error {
    let cause = io::Error::from(error);
    io::Error::new(cause.kind(), format!("{}: {cause}", path.display()))
}
