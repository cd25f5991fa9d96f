//! Paths below a volume, which whoever writes to the volume may change at any moment.
//!
//! Knows: how such a path is walked once, held as a descriptor, and mounted from it. Refuses to know: pods and their
//! volumes. No path below a volume leaves here as text: looked up again it may lead anywhere.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    Dir, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, fchmod, fchown, fstat, mkdirat, openat2,
};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// Lookups that the kernel gives up because somebody renames at the same time are repeated so often.
const TRIES: usize = 128;

/// Links may lead anywhere below the volume's root and nowhere else.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// What a path below a volume named when it was looked up: a mount of it that is in no place yet.
#[derive(Debug)]
pub struct SubPath {
    tree: OwnedFd,
    directory: bool,
}

impl SubPath {
    /// Looks `path` up below the volume's root. What is missing is made as directories with the mode, the owner and the
    /// group of the root.
    ///
    /// # Errors
    /// When it leads out of the volume or cannot be made.
    pub fn open(root: &Path, path: &Path) -> io::Result<SubPath> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, flags, Mode::empty())?;
        let mut tries = 0;
        let found = loop {
            tries += 1;
            match walk(&root, path) {
                Err(Errno::AGAIN) if tries < TRIES => {}
                found => break found?,
            }
        };
        let kind = fstat(&found)?.st_mode & libc::S_IFMT;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        Ok(SubPath { tree: open_tree(&found, "", flags)?, directory: kind == libc::S_IFDIR })
    }

    /// Mounts it at `target`, which is made. Nobody but this program may be able to write anywhere on the way there.
    pub fn mount(self, target: &Path) -> io::Result<()> {
        let above = if self.directory { Some(target) } else { target.parent() };
        if let Some(above) = above {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        }
        if !self.directory {
            fs::File::options().create(true).append(true).open(target)?;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::open(target, flags, Mode::empty())?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(&self.tree, "", &place, "", flags)?)
    }
}

fn find(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), INSIDE)
}

fn walk(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    match find(root, path) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    let model = fstat(root)?;
    let mut at = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    let mut so_far = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else { return Err(Errno::INVAL) };
        so_far.push(name);
        at = match find(root, &so_far) {
            Err(Errno::NOENT) => make(&at, Path::new(name), &model)?,
            found => found?,
        };
    }
    Ok(at)
}

/// Makes a directory like the model. Somebody else's may be there by the time it is opened: that one is used, but only
/// an empty one of this user is given away.
fn make(parent: &OwnedFd, name: &Path, model: &Stat) -> rustix::io::Result<OwnedFd> {
    let made = match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error),
    };
    let strict = INSIDE.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat2(parent, name, flags, Mode::empty(), strict)?;
    let own = fstat(&directory)?.st_uid == rustix::process::geteuid().as_raw();
    if made && own && is_empty(&directory)? {
        let (user, group) = (Uid::from_raw(model.st_uid), Gid::from_raw(model.st_gid));
        fchown(&directory, Some(user), Some(group))?;
        // After the owner: a change of owner takes the set-group-id bit away.
        fchmod(&directory, Mode::from_raw_mode(model.st_mode & 0o7777))?;
    }
    Ok(directory)
}

fn is_empty(directory: &OwnedFd) -> rustix::io::Result<bool> {
    let mut entries = Dir::read_from(directory.as_fd())?;
    while let Some(entry) = entries.read() {
        let name = entry?.file_name().to_owned();
        if name.as_c_str() != c"." && name.as_c_str() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sched::{CloneFlags, unshare};
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

    use super::*;

    /// A mount namespace for this test's thread, gone with it, and in it a directory.
    fn own_mounts() -> tempfile::TempDir {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).unwrap();
        let root = tempfile::tempdir().unwrap();
        mount("tmpfs", root.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        root
    }

    /// A volume with the mode 3770 of user 5 and group 7, beside a directory with a secret.
    fn volume(root: &Path) -> PathBuf {
        let volume = root.join("volume");
        fs::create_dir_all(root.join("host/b")).unwrap();
        fs::write(root.join("host/secret"), "s").unwrap();
        fs::write(root.join("host/b/secret"), "s").unwrap();
        fs::create_dir(&volume).unwrap();
        std::os::unix::fs::chown(&volume, Some(5), Some(7)).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o3770)).unwrap();
        volume
    }

    // Red with a fixed mode of 0755: a container that is not root cannot write there.
    #[test]
    fn what_is_made_is_like_the_root() {
        let root = own_mounts();
        let volume = volume(root.path());
        let target = root.path().join("staged/0");
        SubPath::open(&volume, Path::new("one/two")).unwrap().mount(&target).unwrap();
        for path in [volume.join("one"), volume.join("one/two"), target.clone()] {
            let seen = fs::metadata(path).unwrap();
            assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid()), (0o3770, 5, 7));
        }
        fs::write(target.join("f"), "x").unwrap();
        assert_eq!(fs::read(volume.join("one/two/f")).unwrap(), b"x");
        let file = root.path().join("staged/1");
        SubPath::open(&volume, Path::new("one/two/f")).unwrap().mount(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"x");
        let mode = fs::metadata(root.path().join("staged")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        crate::removal::remove_tree(&root.path().join("staged")).unwrap();
        assert_eq!(fs::read(volume.join("one/two/f")).unwrap(), b"x");
    }

    // Red with plain path lookup (CVE-2017-1002101).
    #[test]
    fn links_out_of_the_volume_are_refused() {
        let root = own_mounts();
        let volume = volume(root.path());
        fs::create_dir(volume.join("d")).unwrap();
        symlink("d", volume.join("within")).unwrap();
        symlink("../host", volume.join("climbs")).unwrap();
        symlink(root.path().join("host"), volume.join("absolute")).unwrap();
        symlink("/nowhere", volume.join("dangling")).unwrap();
        symlink("/proc/self/root", volume.join("magic")).unwrap();
        assert!(SubPath::open(&volume, Path::new("within/x")).is_ok());
        assert!(volume.join("d/x").is_dir());
        for path in [
            "climbs",
            "climbs/b",
            "absolute",
            "absolute/new",
            "dangling",
            "magic/etc",
            "d/../../host",
        ] {
            assert!(SubPath::open(&volume, Path::new(path)).is_err(), "{path}");
        }
        assert!(!root.path().join("host/new").exists());
    }

    /// Swaps a directory of the volume for a link to the host's while `take` looks it up and mounts it, until it has
    /// done so `wanted` times; how often the host's secret was seen then.
    fn race(wanted: usize, take: impl Fn(&Path, &Path) -> io::Result<()>) -> usize {
        let root = own_mounts();
        let volume = volume(root.path());
        fs::create_dir_all(volume.join("a/b")).unwrap();
        symlink(root.path().join("host"), volume.join("evil")).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let swapper = {
            let (done, a, evil) = (done.clone(), volume.join("a"), volume.join("evil"));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &a, CWD, &evil, RenameFlags::EXCHANGE).unwrap();
                }
            })
        };
        let (mut taken, mut escapes) = (0, 0);
        for round in 0..1000 * wanted {
            let target = root.path().join(format!("staged/{round}"));
            if taken < wanted && take(&volume, &target).is_ok() {
                taken += 1;
                escapes += usize::from(target.join("secret").exists());
                crate::removal::unmount_below(&target).unwrap();
            }
        }
        assert_eq!(taken, wanted, "the directory was hardly ever there");
        done.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        escapes
    }

    // CVE-2021-25741, CVE-2021-30465. Red when the descriptor's path is read and mounted by name.
    #[test]
    fn a_swap_for_a_link_never_shows_the_host() {
        let escapes =
            race(1000, |volume, target| SubPath::open(volume, Path::new("a/b"))?.mount(target));
        assert_eq!(escapes, 0);
    }
}
