//! Giving a volume to the group of a pod, whatever earlier pods have put into it.
//!
//! Knows: which bits a group needs, that names in such a tree may be changed by anybody at any moment. Refuses to know:
//! whose volume it is.
//!
//! Everything goes by descriptor: no step follows a symbolic link or crosses a mount.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, RawMode, Stat, chownat, fstat, openat2};
use rustix::io::Errno;

use crate::inside::{INSIDE, explain};

/// Levels that are walked, with a descriptor each.
const DEPTH: usize = 256;
/// What the group may do with a file, with a directory besides, and in a volume that is only read.
const WRITE: RawMode = 0o660;
const READ: RawMode = 0o440;
const ENTER: RawMode = 0o110;
const SET_GROUP: RawMode = 0o2000;

/// Whom a volume is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The group.
    pub group: u32,
    /// Whether a volume whose root is the group's already is left as it is.
    pub trust_root: bool,
    /// Whether the group only reads.
    pub read_only: bool,
}

/// Gives all of a directory tree to a group. Its root comes last: what failed half way shows there.
///
/// # Errors
/// What could not be given, by its name.
pub fn share(root: &Path, share: Share) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(root, flags, Mode::empty()).map_err(|error| explain(root, error))?;
    let stat = fstat(&directory).map_err(|error| explain(root, error))?;
    if share.trust_root && fits(&stat, share) {
        return Ok(());
    }
    below(&directory, root, share, 0)?;
    give(&directory, &stat, share).map_err(|error| explain(root, error))
}

/// Whether the root of a volume is as it has to be.
fn fits(stat: &Stat, share: Share) -> bool {
    let wanted = SET_GROUP | ENTER | if share.read_only { READ } else { WRITE };
    stat.st_gid == share.group && stat.st_mode & wanted == wanted
}

fn below(directory: &OwnedFd, shown: &Path, share: Share, depth: usize) -> io::Result<()> {
    let mut entries = Dir::read_from(directory).map_err(|error| explain(shown, error))?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(|error| explain(shown, error))?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let path = shown.join(OsStr::from_bytes(name.to_bytes()));
        match one(directory, name, &path, share, depth) {
            // It has gone meanwhile, or shows another mount, which is not part of the volume.
            Err(error)
                if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::XDEV)) => {}
            done => done?,
        }
    }
    Ok(())
}

fn one(parent: &OwnedFd, name: &CStr, shown: &Path, share: Share, depth: usize) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = openat2(parent, name, flags, Mode::empty(), INSIDE)?;
    let stat = fstat(&entry)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
        if depth + 1 == DEPTH {
            let text = format!("{}: more than {DEPTH} directories deep", shown.display());
            return Err(io::Error::other(text));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inner = openat2(&entry, c".", flags, Mode::empty(), INSIDE)?;
        below(&inner, shown, share, depth + 1)?;
    }
    match give(&entry, &stat, share) {
        Err(Errno::NOENT) => Ok(()),
        given => given.map_err(|error| explain(shown, error)),
    }
}

/// Gives what a descriptor names, which may be a link, to the group. A link has no mode of its own.
fn give(entry: &OwnedFd, stat: &Stat, share: Share) -> rustix::io::Result<()> {
    if stat.st_gid != share.group {
        let group = Some(Gid::from_raw(share.group));
        chownat(entry.as_fd(), c"", None, group, AtFlags::EMPTY_PATH)?;
    }
    let kind = stat.st_mode & libc::S_IFMT;
    if kind == libc::S_IFLNK {
        return Ok(());
    }
    let mut mode = stat.st_mode & 0o7777 | if share.read_only { READ } else { WRITE };
    if kind == libc::S_IFDIR {
        mode |= SET_GROUP | ENTER;
    }
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const GROUP: u32 = 4321;

    fn of(path: &Path) -> (u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.gid(), found.mode() & 0o7777)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Red when a link leads out of the volume, when its files stay another group's, when the root is trusted wrongly.
    #[test]
    fn all_of_a_volume_and_nothing_else_is_the_groups() {
        let folder = tempfile::tempdir().unwrap();
        let (outside, root) = (folder.path().join("outside"), folder.path().join("volume"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        for file in [&outside, &root.join("a/b/f")] {
            fs::write(file, "").unwrap();
            mode(file, 0o600);
        }
        mode(&root.join("a"), 0o700);
        symlink("../outside", root.join("link")).unwrap();
        symlink("nowhere", root.join("a/dangling")).unwrap();
        let before = of(&outside);
        let always = Share { group: GROUP, trust_root: false, read_only: false };
        share(&root, always).unwrap();
        assert_eq!(of(&outside), before);
        assert_eq!(of(&root.join("a/b/f")), (GROUP, 0o660));
        assert_eq!(of(&root.join("a")), (GROUP, 0o2770));
        assert_eq!(of(&root).0, GROUP);
        assert_eq!((of(&root.join("link")).0, of(&root.join("a/dangling")).0), (GROUP, GROUP));

        // A root that fits is trusted where that is asked for.
        let file = root.join("new");
        fs::write(&file, "").unwrap();
        mode(&file, 0o600);
        let careful = Share { trust_root: true, ..always };
        share(&root, careful).unwrap();
        assert_eq!(of(&file).1, 0o600);
        share(&root, Share { group: GROUP + 1, ..careful }).unwrap();
        assert_eq!(of(&file), (GROUP + 1, 0o660));

        mode(&file, 0o600);
        share(&root, Share { read_only: true, ..always }).unwrap();
        assert_eq!(of(&file), (GROUP, 0o640));
        assert!(share(&root.join("none"), always).is_err());
    }
}
