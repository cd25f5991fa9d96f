//! What a container sees of version 1 cgroups: a directory with each tree, beginning at the container's own cgroup.
//!
//! The runtime would mount each tree anew, and forget that they are to be read-only. Made beforehand they are one mount for
//! it, which is read-only as a whole before anybody can look.
//!
//! Knows: which trees there are, where a process is in each. Refuses to know: how the container comes to see them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount, mount_bind};

use super::{Cgroup, ROOT, tree_names};

/// Controllers by which the runtime limits: in their trees a container has a cgroup of its own, in all others it is where
/// its maker is.
const LIMITING: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// Mounts the trees of this machine below `place`, each from the cgroup that a container has in it, which is made where it
/// is missing. `points` are more names to have there, for mounts of the pod's.
pub(crate) fn mount_view<'a>(
    cgroup: &Cgroup,
    place: &Path,
    points: impl Iterator<Item = &'a OsStr>,
) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tmpfs", place, "tmpfs", flags, c"mode=755")?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    for tree in tree_names() {
        let Some(path) = path_in(&tree, &cgroup.path, &own) else { continue };
        let (source, target) = (Path::new(ROOT).join(&tree).join(path), place.join(&tree));
        fs::create_dir_all(&source)?;
        fs::create_dir(&target)?;
        mount_bind(&source, &target)?;
        for name in tree.split(',').filter(|name| *name != tree) {
            symlink(&tree, place.join(name))?;
        }
    }
    for point in points {
        match fs::create_dir(place.join(point)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Where a container is in a tree, below the tree's root: `cgroup` if it is limited there, or where the process is whose
/// `/proc/PID/cgroup` is `own`. `None` if this is no version 1 tree.
fn path_in(tree: &str, cgroup: &Path, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let named = controllers.strip_prefix("name=").unwrap_or(controllers);
        let together = named.split(',').all(|one| tree.split(',').any(|other| one == other));
        together.then_some(path)
    })?;
    match tree.split(',').all(|controller| LIMITING.contains(&controller)) {
        true => Some(cgroup.to_owned()),
        false => Some(path.trim_start_matches('/').into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_in_its_cgroup_where_it_is_limited() {
        let own =
            "5:cpu,cpuacct:/x\n4:name=systemd:/init.scope\n3:misc:/\n2:net_prio,net_cls:/\n0::/y\n";
        for (tree, path) in [
            ("cpu,cpuacct", Some("leme/c")),
            ("net_cls,net_prio", Some("leme/c")),
            ("systemd", Some("init.scope")),
            ("misc", Some("")),
            ("memory", None),
            ("unified", None),
        ] {
            assert_eq!(path_in(tree, Path::new("leme/c"), own), path.map(PathBuf::from), "{tree}");
        }
    }
}
