//! Mounts that containers and sandboxes need: overlay root file systems, tmpfs, taking mounts down.
//!
//! Knows: the mount calls. Refuses to know: which container they are for.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statfs, statx};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount, mount_bind, mount_change, move_mount, open_tree, unmount,
};

/// An overlay: `lower` from top to bottom.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    /// Read-only directories, the topmost first.
    pub lower: &'a [PathBuf],
    /// Where changes go.
    pub upper: &'a Path,
    /// The overlay's scratch directory, on the file system of `upper`.
    pub work: &'a Path,
}

/// Mounts an overlay on `target`. The upper directory is never mounted again after the last process is gone, so the
/// overlay need not flush it at its end (`volatile`).
pub fn mount_overlay(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
    match overlay_by_parts(overlay, target) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOSYS)) => {
            overlay_by_string(overlay, target)
        }
        done => done,
    }
}

/// The way of kernels from 6.5 on: no limit on the number of layers or the length of their paths.
fn overlay_by_parts(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    for lower in overlay.lower {
        fsconfig_set_string(&context, "lowerdir+", lower)?;
    }
    fsconfig_set_string(&context, "upperdir", overlay.upper)?;
    fsconfig_set_string(&context, "workdir", overlay.work)?;
    fsconfig_set_string(&context, "index", "off")?;
    fsconfig_set_flag(&context, "volatile")?;
    fsconfig_create(&context)?;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Mounts an overlay within a user namespace, on a directory that a descriptor names; nothing is written without `upper` and
/// its scratch directory. One layer alone is no overlay: an empty one goes with it.
pub fn mount_in_namespace(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    target: BorrowedFd<'_>,
) -> io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "overlay")?;
    for lower in lower {
        fsconfig_set_string(&context, "lowerdir+", lower)?;
    }
    fsconfig_set_flag(&context, "userxattr")?;
    let attributes = match upper {
        Some((upper, work)) => {
            fsconfig_set_string(&context, "upperdir", upper)?;
            fsconfig_set_string(&context, "workdir", work)?;
            fsconfig_set_string(&context, "index", "off")?;
            fsconfig_set_flag(&context, "volatile")?;
            MountAttrFlags::empty()
        }
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    fsconfig_create(&context)?;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    put(tree.as_fd(), target)
}

/// Puts a mount that is nowhere on what a descriptor names, whatever is at its path by now.
pub fn put(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", flags)?)
}

/// A new file system that is mounted nowhere yet.
pub fn new_mount(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", kind)?;
    for (name, value) in options {
        match value.is_empty() {
            true => fsconfig_set_flag(&context, *name)?,
            false => fsconfig_set_string(&context, *name, *value)?,
        }
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A copy of what is mounted at a descriptor, with what is mounted below it if that is wanted; it is mounted nowhere yet.
pub fn copy_mount(of: BorrowedFd<'_>, with_below: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, with_below);
    Ok(open_tree(of, "", flags)?)
}

/// The way of older kernels: all options in one page, so lower directories are named relative to their parent.
fn overlay_by_string(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
    let parent = overlay.lower.first().and_then(|p| p.parent()).unwrap_or(Path::new("/"));
    std::env::set_current_dir(parent)?;
    let lower: Vec<String> = overlay
        .lower
        .iter()
        .map(|path| {
            path.strip_prefix(parent).unwrap_or(path).display().to_string().replace(':', "\\:")
        })
        .collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=off",
        lower.join(":"),
        overlay.upper.display(),
        overlay.work.display()
    );
    let result = if options.len() >= 4095 {
        Err(io::Error::other("the image has too many layers for this kernel"))
    } else {
        let options = std::ffi::CString::new(options)?;
        mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())
            .map_err(io::Error::from)
    };
    std::env::set_current_dir("/")?;
    result
}

/// Mounts a tmpfs of at most `bytes`, open to all like `/tmp`.
pub fn mount_shm(target: &Path, bytes: u64) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("mode=1777,size={bytes}"))?;
    let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
    mount("shm", target, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}

/// Mounts a tmpfs of at most `bytes` for plain files of this program's.
pub fn mount_files(target: &Path, bytes: u64) -> io::Result<()> {
    let options = std::ffi::CString::new(format!("mode=755,size={bytes}"))?;
    let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
    mount("files", target, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}

/// Mounts a tmpfs on an empty directory that is on a disk, to be taken away by [`release_memory`]. Fine if it is in memory,
/// or if it is in use already.
pub fn keep_in_memory(directory: &Path) -> io::Result<()> {
    if is_in_memory(directory)? || !is_empty(directory)? {
        return Ok(());
    }
    let flags = MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::NODEV;
    mount("run", directory, "tmpfs", flags, c"mode=755")?;
    Ok(())
}

/// Takes away an empty tmpfs that is mounted on a directory. Fine if there is none, or if something is in it.
pub fn release_memory(directory: &Path) -> io::Result<()> {
    match is_mount(directory) {
        Ok(true) if is_in_memory(directory)? && is_empty(directory)? => unmount_quietly(directory),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_in_memory(directory: &Path) -> io::Result<bool> {
    Ok(statfs(directory)?.f_type as u64 == libc::TMPFS_MAGIC as u64)
}

fn is_empty(directory: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(directory)?.next().is_none())
}

/// Whether something is mounted at a path.
pub fn is_mount(directory: &Path) -> io::Result<bool> {
    let looked = statx(CWD, directory, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
    Ok(looked.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Makes an empty directory a mount, so that whoever has a mount namespace of its own can leave all behind at once that will
/// be mounted below it (see [`keep_only`]). Fine if it is one, or if it is in use already.
pub fn gather(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    if is_mount(directory)? || !is_empty(directory)? {
        return Ok(());
    }
    mount_bind(directory, directory)?;
    // Else what is mounted on it would be mounted below it as well, where it is hidden.
    mount_change(directory, MountPropagationFlags::PRIVATE)?;
    Ok(())
}

/// Takes away what is mounted below `crowd`, if that is a mount, but for what is at or below `kept`: a long table of mounts
/// is read slowly. For a process in a mount namespace of its own, from which nothing spreads.
pub fn keep_only(kept: &Path, crowd: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, kept, flags)?;
    match unmount(crowd, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) => move_mount(&tree, "", CWD, kept, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?,
        Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Takes the topmost mount on `target` away; not mounted or absent is fine.
pub fn unmount_quietly(target: &Path) -> io::Result<()> {
    match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Mount points that the calling thread sees at or below `directory`: the deepest first, of several on one point the
/// latest first.
pub fn mounts_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = mount_points(Path::new("/proc/thread-self/mountinfo"), directory)?;
    found.reverse();
    found.sort_by_key(|path| Reverse(path.components().count()));
    Ok(found)
}

/// Mount points at or below `directory` as a mount table names them, in its order.
pub(crate) fn mount_points(table: &Path, directory: &Path) -> io::Result<Vec<PathBuf>> {
    // Bytes, not text: a pod may mount on any name.
    let table = fs::read(table)?;
    let points = table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
        .filter(|path| path.starts_with(directory));
    Ok(points.collect())
}

/// Where `root` of a file system is mounted, by a mount table.
pub(crate) fn mounted_at(table: &[u8], root: &[u8]) -> Vec<PathBuf> {
    let fields = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let point = fields.next().filter(|field| *field == root).and(fields.next())?;
        Some(PathBuf::from(OsString::from_vec(unescape(point))))
    };
    table.split(|byte| *byte == b'\n').filter_map(fields).collect()
}

/// The mount point that a path is in, if mounts there do not spread to other namespaces; `table` is a mount table.
pub(crate) fn not_shared(table: &[u8], path: &Path) -> Option<PathBuf> {
    let mut innermost: Option<(PathBuf, bool)> = None;
    for line in table.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let Some(point) = fields.next() else { continue };
        let point = PathBuf::from(OsString::from_vec(unescape(point)));
        let deeper = innermost.as_ref().is_none_or(|(before, _)| point.starts_with(before));
        if path.starts_with(&point) && deeper {
            let mut optional = fields.skip(1).take_while(|field| *field != b"-");
            innermost = Some((point, optional.any(|field| field.starts_with(b"shared:"))));
        }
    }
    innermost.filter(|(_, shared)| !shared).map(|(point, _)| point)
}

/// Undoes the octal escapes of the mount table.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|_| first == b'\\').and_then(|d| std::str::from_utf8(d).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};
    use rustix::mount::mount_bind_recursive;

    use super::*;

    /// Red when the crowd is bound without being made private: each mount on it is there twice.
    #[test]
    fn what_was_gathered_is_left_behind_but_for_what_is_kept() {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let change = |place: &Path, flags: MountPropagationFlags| {
            mount_change(place, flags | MountPropagationFlags::REC).unwrap();
        };
        change(Path::new("/"), MountPropagationFlags::PRIVATE);
        let root = tempfile::tempdir().unwrap();
        mount_bind_recursive(root.path(), root.path()).unwrap();
        change(root.path(), MountPropagationFlags::SHARED);
        let crowd = root.path().join("crowd");
        for _ in 0..2 {
            gather(&crowd).unwrap();
        }
        let below = || mounts_below(&crowd).unwrap().len();
        assert_eq!(below(), 1);
        for name in ["a", "b", "c"] {
            let place = crowd.join(name).join("files");
            fs::create_dir_all(&place).unwrap();
            mount_files(&place, 1 << 16).unwrap();
            fs::write(place.join("name"), name).unwrap();
        }
        gather(&crowd).unwrap();
        assert_eq!(below(), 4);
        // As the maker of a container: in a namespace of its own, from which nothing spreads.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        change(Path::new("/"), MountPropagationFlags::DOWNSTREAM);
        keep_only(&crowd.join("b"), &crowd).unwrap();
        let name = |of: &str| fs::read_to_string(crowd.join(of).join("files/name")).ok();
        assert_eq!((name("a"), name("b"), name("c")), (None, Some("b".into()), None));
        // Where nothing was gathered everything stays.
        let all = mounts_below(root.path()).unwrap();
        keep_only(&crowd, root.path().parent().unwrap()).unwrap();
        assert_eq!(mounts_below(root.path()).unwrap(), all);
    }

    /// Red when a tmpfs is mounted over what is in use, or taken away with what is in it.
    #[test]
    fn a_directory_on_a_disk_is_kept_in_memory_until_it_is_empty_again() {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let directory = root.path();
        if is_in_memory(directory).unwrap() {
            return; // Nothing to see on a machine without a disk.
        }
        fs::write(directory.join("old"), "").unwrap();
        keep_in_memory(directory).unwrap();
        assert!(directory.join("old").exists());
        fs::remove_file(directory.join("old")).unwrap();
        for _ in 0..2 {
            keep_in_memory(directory).unwrap();
        }
        assert!(is_in_memory(directory).unwrap());
        fs::write(directory.join("new"), "").unwrap();
        release_memory(directory).unwrap();
        assert!(directory.join("new").exists());
        fs::remove_file(directory.join("new")).unwrap();
        for _ in 0..2 {
            release_memory(directory).unwrap();
        }
        assert!(!is_mount(directory).unwrap());
        release_memory(&directory.join("absent")).unwrap();
    }

    #[test]
    fn reads_mountinfo_escapes() {
        assert_eq!(unescape(br"/a\040b\134c"), br"/a b\c");
        assert_eq!(unescape(br"/a\"), br"/a\");
        assert_eq!(unescape(b"/a\xff"), b"/a\xff");
    }
}
