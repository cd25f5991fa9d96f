//! Roots that are put together in the helper's own mount namespace.
//!
//! Knows: overlays of a user namespace. Refuses to know: what is done in them.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use leme_host::mounts::mount_in_namespace;

use super::protocol::{From, Root};
use crate::inside;

/// Mounts a root with its changes; `stubs` are laid over its layers.
pub(super) fn writable(root: &Root, stubs: Option<&Path>) -> io::Result<OwnedFd> {
    let [upper, work, target, empty] =
        ["upper", "work", "root", "empty"].map(|name| root.scratch.join(name));
    for directory in [&work, &target, &empty] {
        make(directory)?;
    }
    let mut lower: Vec<PathBuf> = stubs.map(Path::to_owned).into_iter().collect();
    lower.extend(root.layers.iter().cloned());
    if lower.is_empty() {
        lower.push(empty);
    }
    let at = inside::root(&target)?;
    mount_in_namespace(&lower, Some((&upper, &work)), at.as_fd())?;
    inside::root(&target)
}

/// Mounts layers to be read.
pub(super) fn readable(layers: &[PathBuf], scratch: &Path) -> io::Result<OwnedFd> {
    let (target, empty) = (scratch.join("source"), scratch.join("empty"));
    for directory in [&target, &empty] {
        make(directory)?;
    }
    let mut lower = layers.to_vec();
    // An overlay has two layers at least.
    while lower.len() < 2 {
        let spare = scratch.join(format!("empty{}", lower.len()));
        make(&spare)?;
        lower.push(spare);
    }
    let at = inside::root(&target)?;
    mount_in_namespace(&lower, None, at.as_fd())?;
    inside::root(&target)
}

/// Where files come from.
pub(super) fn source(from: &From, scratch: &Path) -> io::Result<OwnedFd> {
    match from {
        From::Directory(path) => inside::root(path),
        From::Layers(layers) => readable(layers, scratch),
    }
}

pub(super) fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
