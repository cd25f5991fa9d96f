//! How many bytes of disk a directory takes.
//!
//! Knows: blocks, hard links, that a pod may change the tree while it is read. Refuses to know: whose it is. Nothing is
//! changed, no link is followed and no mount is crossed.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;

use crate::inside::INSIDE;

/// Levels that are read with a descriptor each; deeper directories wait for their turn.
const DEPTH: usize = 64;
/// Directories that may wait, with a descriptor each. A tree that is deep in more places counts as larger than any limit:
/// who makes one must not get out of being measured.
const WAITING: usize = 256;
/// Files with several names that are remembered, to count them once.
const LINKED: usize = 1 << 20;

/// Bytes that the blocks of a directory tree take, mounts in it left out; 0 if it is absent, [`u64::MAX`] if it is deep in
/// more places than can be followed. What comes and goes meanwhile may or may not be counted.
///
/// # Errors
/// When it cannot be read.
pub fn disk_usage(path: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(0),
        opened => opened?,
    };
    let mut count = Count::default();
    count.waiting.push(root);
    while let Some(directory) = count.waiting.pop() {
        count.read(&directory, 0)?;
    }
    Ok(count.bytes)
}

#[derive(Default)]
struct Count {
    bytes: u64,
    linked: HashSet<(u32, u32, u64)>,
    waiting: Vec<OwnedFd>,
}

impl Count {
    fn read(&mut self, directory: &OwnedFd, depth: usize) -> io::Result<()> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let own = statx(directory, "", AtFlags::EMPTY_PATH, wanted)?;
        self.add(own.stx_blocks);
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                match openat2(directory, name, flags, Mode::empty(), INSIDE) {
                    Ok(inner) => {
                        self.descend(inner, depth)?;
                        continue;
                    }
                    // A mount, or gone.
                    Err(Errno::XDEV | Errno::NOENT) => continue,
                    Err(Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, wanted) {
                // A mount.
                Ok(stat) if stat.stx_mnt_id != own.stx_mnt_id => {}
                Ok(stat) => {
                    let id = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
                    let again =
                        stat.stx_nlink > 1 && self.linked.len() < LINKED && !self.linked.insert(id);
                    if !again {
                        self.add(stat.stx_blocks);
                    }
                }
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn descend(&mut self, inner: OwnedFd, depth: usize) -> io::Result<()> {
        if depth + 1 < DEPTH {
            return self.read(&inner, depth + 1);
        }
        if self.waiting.len() == WAITING {
            self.bytes = u64::MAX;
        } else {
            self.waiting.push(inner);
        }
        Ok(())
    }

    /// Blocks are of 512 bytes, whatever the file system says of its own.
    fn add(&mut self, blocks: u64) {
        self.bytes = self.bytes.saturating_add(blocks.saturating_mul(512));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sched::{CloneFlags, unshare};
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

    use super::*;

    // Red when links are followed or mounts are crossed: the host's file counts for the pod.
    #[test]
    fn counts_what_is_in_the_tree_once() {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).unwrap();
        let root = tempfile::tempdir().unwrap();
        mount("tmpfs", root.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        let (tree, host) = (root.path().join("tree"), root.path().join("host"));
        fs::create_dir_all(tree.join("m")).unwrap();
        fs::create_dir(&host).unwrap();
        fs::write(host.join("big"), vec![1; 1 << 20]).unwrap();
        assert_eq!(disk_usage(&root.path().join("none")).unwrap(), 0);
        let before = disk_usage(&tree).unwrap();
        fs::write(tree.join("a"), vec![1; 64 << 10]).unwrap();
        fs::hard_link(tree.join("a"), tree.join("m/b")).unwrap();
        symlink(&host, tree.join("link")).unwrap();
        fs::create_dir(tree.join("mounted")).unwrap();
        mount_bind(&host, tree.join("mounted")).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        mount_bind(host.join("big"), tree.join("file")).unwrap();
        let used = disk_usage(&tree).unwrap() - before;
        assert!((64 << 10..128 << 10).contains(&used), "{used}");
        // A file without content in the blocks takes none.
        fs::File::create(tree.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        assert!(disk_usage(&tree).unwrap() - before < 128 << 10);
    }

    // Red when such a tree is an error, which says nothing of its size.
    #[test]
    fn what_cannot_be_followed_is_larger_than_any_limit() {
        let root = tempfile::tempdir().unwrap();
        let mut deep = root.path().to_owned();
        (0..DEPTH - 1).for_each(|_| deep.push("d"));
        fs::create_dir_all(&deep).unwrap();
        (0..WAITING).for_each(|n| fs::create_dir(deep.join(n.to_string())).unwrap());
        assert!(disk_usage(root.path()).unwrap() < u64::MAX);
        fs::create_dir(deep.join("more")).unwrap();
        assert_eq!(disk_usage(root.path()).unwrap(), u64::MAX);
    }

    // Red with a descriptor per level: they run out.
    #[test]
    fn depth_has_no_bound() {
        let root = tempfile::tempdir().unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(root.path(), flags, Mode::empty()).unwrap();
        for _ in 0..500 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat2(&at, "d", flags, Mode::empty(), INSIDE).unwrap();
        }
        let file = openat2(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR, INSIDE).unwrap();
        rustix::io::write(&file, &[1; 4096]).unwrap();
        rustix::fs::fsync(&file).unwrap();
        assert!(disk_usage(root.path()).unwrap() >= 4096);
        crate::removal::remove_tree(root.path()).unwrap();
    }
}
