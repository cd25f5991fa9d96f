//! Taking directory trees away, whatever a pod has put into them or mounted below them.
//!
//! Knows: that names in such a tree may have been changed by anybody, that a mount below it may show the host's own
//! files, that depth and length have no bounds. Refuses to know: whose tree it is.
//!
//! Everything goes by descriptor: no step follows a symbolic link or crosses a mount, so that at worst something is
//! left, and named.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags, openat2, renameat_with, unlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

use crate::inside::{self, INSIDE};
use crate::mounts::mounts_below;

/// Levels that are walked with a descriptor each; what lies deeper is moved up first.
const DEPTH: usize = 32;
/// Looks at one directory. Each finds it empty or makes it smaller, unless somebody fills it at the same time.
const PASSES: usize = 100_000;
/// Looks at the mount table. One takes all that can be seen; what that hid is for the next.
const ROUNDS: usize = 64;

/// Removes a directory tree, or a file, after taking away everything that is mounted at or below it. What the mounts
/// show stays as it is. Absent is fine.
///
/// # Errors
/// When something is left, by its name: a mount that cannot be taken away, a file that may not be removed.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let Some((parent, name)) = open_parent(path)? else { return Ok(()) };
    match remove_at(parent.as_fd(), name, path) {
        // A mount is in the way. The table of all mounts is long: it is read only then.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        removed => return removed,
    }
    unmount_at(&parent, name)?;
    remove_at(parent.as_fd(), name, path)
}

/// As [`remove_tree`], but what is mounted at or below the path is left alone, and an error.
pub fn remove_unmounted(path: &Path) -> io::Result<()> {
    let Some((parent, name)) = open_parent(path)? else { return Ok(()) };
    match mounts_below(&real_path(&parent)?.join(name))?.first() {
        Some(mount) => Err(still_mounted(mount)),
        None => remove_at(parent.as_fd(), name, path),
    }
}

/// Takes away everything that is mounted at or below a path; what it shows stays as it is. Absent is fine.
///
/// # Errors
/// When a mount is left, by its name.
pub fn unmount_below(path: &Path) -> io::Result<()> {
    match open_parent(path)? {
        Some((parent, name)) => unmount_at(&parent, name),
        None => Ok(()),
    }
}

/// Removes the entry `name` of a directory with all that is in it; `shown` is its path in messages.
pub fn remove_at(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    match unlinkat(parent, &name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(explain(shown, error)),
    }
    let top = match open_directory(parent, &name) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.map_err(|error| explain(shown, error))?,
    };
    Sweep { top: &top, lifted: 0 }.empty(&top, shown, 0)?;
    match unlinkat(parent, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(explain(shown, error)),
    }
}

/// The directory above `path`, and the path's last name; `None` when that directory is absent.
fn open_parent(path: &Path) -> io::Result<Option<(OwnedFd, &OsStr)>> {
    let Some(name) = path.file_name() else {
        let text = format!("{} names no entry of a directory", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(above.unwrap_or(Path::new(".")), flags, Mode::empty()) {
        Ok(parent) => Ok(Some((parent, name))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(explain(path, error)),
    }
}

fn real_path(directory: &OwnedFd) -> io::Result<PathBuf> {
    fs::read_link(through(directory))
}

fn through(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(parent, name, flags, Mode::empty(), INSIDE)
}

fn unmount_at(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let above = real_path(parent)?;
    let below = above.join(name);
    for _ in 0..ROUNDS {
        let found = mounts_below(&below)?;
        if found.is_empty() {
            return Ok(());
        }
        let points: Vec<&Path> =
            found.iter().filter_map(|mount| mount.strip_prefix(&above).ok()).collect();
        // A recursive bind mount of a shared tree is a peer of it: a mount taken from the copy would go from the
        // original as well. So first of all no mount here tells another one anything.
        for point in &points {
            if let Ok(mount) = open_mount(parent, point) {
                isolate(&mount);
            }
        }
        let mut gone = 0;
        for point in &points {
            // Whoever still uses it keeps it until then. One that is hidden by another is for the next round.
            if let Ok(mount) = open_mount(parent, point) {
                isolate(&mount);
                gone += usize::from(unmount(through(&mount), UnmountFlags::DETACH).is_ok());
            }
        }
        if gone == 0 {
            break;
        }
    }
    match mounts_below(&below)?.first() {
        Some(mount) => Err(still_mounted(mount)),
        None => Ok(()),
    }
}

/// Ends what a mount and those on it tell others. What is no mount has nothing to tell.
fn isolate(mount: &OwnedFd) {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    let _ = mount_change(through(mount), flags);
}

/// What is mounted at a path below `parent`, found without links: the mount table names the path, and whoever can write
/// there may have put something else in its way since.
fn open_mount(parent: &OwnedFd, point: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(parent, point, flags, Mode::empty(), inside)
}

/// One removal.
struct Sweep<'a> {
    /// The tree's root.
    top: &'a OwnedFd,
    /// Directories that were moved into it.
    lifted: usize,
}

impl Sweep<'_> {
    /// Removes all entries of a directory.
    fn empty(&mut self, directory: &OwnedFd, shown: &Path, depth: usize) -> io::Result<()> {
        let mut entries = Dir::read_from(directory).map_err(|error| explain(shown, error))?;
        for _ in 0..PASSES {
            let mut clean = true;
            entries.rewind();
            while let Some(entry) = entries.read() {
                let entry = entry.map_err(|error| explain(shown, error))?;
                let name = entry.file_name();
                if name != c"." && name != c".." {
                    clean = false;
                    self.entry(directory, name, shown, depth)?;
                }
            }
            if clean {
                return Ok(());
            }
        }
        Err(explain(shown, Errno::NOTEMPTY))
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        above: &Path,
        depth: usize,
    ) -> io::Result<()> {
        let shown = || above.join(OsStr::from_bytes(name.to_bytes()));
        for flags in [AtFlags::empty(), AtFlags::REMOVEDIR] {
            match unlinkat(parent, name, flags) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(explain(&shown(), error)),
            }
        }
        if depth + 1 == DEPTH {
            return self.lift(parent, name).map_err(|error| explain(&shown(), error));
        }
        let inner = open_directory(parent.as_fd(), name).map_err(|e| explain(&shown(), e))?;
        self.empty(&inner, &shown(), depth + 1)?;
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            // Filled again: the next pass has another look.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(explain(&shown(), error)),
        }
    }

    /// Moves a directory to the top of the tree, where a later pass finds it.
    fn lift(&mut self, parent: &OwnedFd, name: &CStr) -> rustix::io::Result<()> {
        loop {
            let free = format!(".lifted-{}", self.lifted);
            self.lifted += 1;
            match renameat_with(parent, name, self.top, free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                moved => return moved,
            }
        }
    }
}

fn still_mounted(mount: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is still mounted", mount.display()))
}

fn explain(path: &Path, error: Errno) -> io::Error {
    match error {
        Errno::BUSY | Errno::XDEV => still_mounted(path),
        _ => inside::explain(path, error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sched::{CloneFlags, unshare};
    use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};

    use super::*;

    /// A mount namespace for this test's thread, whose root is shared, as hosts have it; gone with the thread.
    fn own_mounts() -> tempfile::TempDir {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let recursive = MountPropagationFlags::REC;
        mount_change("/", MountPropagationFlags::PRIVATE | recursive).unwrap();
        mount_change("/", MountPropagationFlags::SHARED | recursive).unwrap();
        let root = tempfile::tempdir().unwrap();
        mount("tmpfs", root.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        root
    }

    fn is_empty(path: &Path) -> bool {
        fs::read_dir(path).unwrap().next().is_none()
    }

    fn host_files(root: &Path) -> PathBuf {
        let host = root.join("host");
        fs::create_dir_all(host.join("sub")).unwrap();
        fs::write(host.join("keep"), "x").unwrap();
        host
    }

    // Red when `unmount_at` is taken out: "still mounted"; with `fs::remove_dir_all`, `keep` is gone.
    #[test]
    fn what_is_mounted_below_a_tree_outlives_it() {
        let root = own_mounts();
        let host = host_files(root.path());
        let volume = root.path().join("pod/volumes/v");
        let (inner, file) = (volume.join("a b/\\x"), volume.join("file"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(&file, "").unwrap();
        mount_bind(&host, &inner).unwrap();
        mount_bind(&host, &inner).unwrap();
        mount_bind(host.join("keep"), &file).unwrap();
        remove_tree(&root.path().join("pod")).unwrap();
        assert!(!root.path().join("pod").exists());
        assert_eq!(fs::read_to_string(host.join("keep")).unwrap(), "x");
        assert_eq!(mounts_below(root.path()).unwrap(), [root.path()]);
    }

    // Red without `isolate`: the host loses its own mount of `sub`.
    #[test]
    fn a_recursive_bind_of_the_host_takes_no_mount_of_the_host_along() {
        let root = own_mounts();
        let host = host_files(root.path());
        mount_bind(&host, &host).unwrap();
        mount_change(&host, MountPropagationFlags::SHARED).unwrap();
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("inside"), "").unwrap();
        mount_bind(&other, host.join("sub")).unwrap();
        let volume = root.path().join("pod/v");
        fs::create_dir_all(&volume).unwrap();
        mount_bind_recursive(&host, &volume).unwrap();
        assert!(volume.join("sub/inside").exists());
        remove_tree(&root.path().join("pod")).unwrap();
        assert!(host.join("sub/inside").exists());
        assert!(!root.path().join("pod").exists());
        unmount_below(&host).unwrap();
    }

    // Red when `open_mount` allows links: the host's `sub` is unmounted in place of the pod's.
    #[test]
    fn a_link_in_the_way_of_a_mount_leads_nowhere() {
        let root = own_mounts();
        let host = host_files(root.path());
        let pod = root.path().join("pod");
        fs::create_dir_all(pod.join("a/sub")).unwrap();
        mount_bind(&host, host.join("sub")).unwrap();
        mount_bind(&host, pod.join("a/sub")).unwrap();
        let (parent, name) = open_parent(&pod).unwrap().unwrap();
        fs::rename(pod.join("a"), pod.join("b")).unwrap();
        symlink(&host, pod.join("a")).unwrap();
        assert_eq!(open_mount(&parent, Path::new("pod/a/sub")).unwrap_err(), Errno::LOOP);
        unmount_at(&parent, name).unwrap();
        assert!(host.join("sub/keep").exists());
        remove_tree(&pod).unwrap();
        unmount_below(&host).unwrap();
    }

    // Red when NO_XDEV is taken out: the walk goes through the mount and `keep` is gone.
    #[test]
    fn a_walk_stops_at_a_mount_and_names_it() {
        let root = own_mounts();
        let host = host_files(root.path());
        let inner = root.path().join("pod/v/m");
        fs::create_dir_all(&inner).unwrap();
        mount_bind(&host, &inner).unwrap();
        let pod = root.path().join("pod");
        let refused = remove_unmounted(&pod).unwrap_err().to_string();
        assert!(refused.ends_with("/pod/v/m is still mounted"), "{refused}");
        let (parent, name) = open_parent(&pod).unwrap().unwrap();
        let stopped = remove_at(parent.as_fd(), name, Path::new("pod")).unwrap_err().to_string();
        assert_eq!(stopped, "pod/v/m is still mounted");
        assert!(host.join("keep").exists());
        unmount_below(&inner).unwrap();
        remove_unmounted(&pod).unwrap();
    }

    // Red when `lift` is replaced by going on down: the stack or the descriptors run out.
    #[test]
    fn depth_has_no_bound() {
        let root = own_mounts();
        let top = root.path().join("tree");
        fs::create_dir(&top).unwrap();
        fs::create_dir(top.join(".lifted-0")).unwrap();
        fs::write(top.join(".lifted-0/x"), "").unwrap();
        let mut at: OwnedFd = fs::File::open(&top).unwrap().into();
        for _ in 0..30_000 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = open_directory(at.as_fd(), c"d").unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(is_empty(root.path()));
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let root = own_mounts();
        let host = host_files(root.path());
        let tree = root.path().join("tree");
        fs::create_dir(&tree).unwrap();
        symlink(&host, tree.join("link")).unwrap();
        symlink(&host, root.path().join("itself")).unwrap();
        for path in [&tree, &root.path().join("itself"), &root.path().join("no/where")] {
            remove_tree(path).unwrap();
            assert!(path.symlink_metadata().is_err());
        }
        assert!(host.join("keep").exists());
    }
}
