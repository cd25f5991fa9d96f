//! Whether this machine can run containers, before anything is changed.
//!
//! Knows: what the other modules take for granted of kernel and mounts, each with the step that gives it. Refuses to know:
//! the network (which has a list of its own), tools.

use std::fs;
use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use crate::cgroup::{self, Layout, ROOT};

/// Version 1 trees that containers are limited, counted and ended by.
const TREES: &[&str] = &["cpu", "memory", "pids", "devices", "freezer"];
/// Version 2 controllers that containers are limited by.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];
/// File systems that every container gets.
const FILE_SYSTEMS: &[&str] = &["proc", "sysfs", "tmpfs", "devpts", "mqueue"];
const NAMESPACES: &[&str] = &["mnt", "net", "ipc", "uts", "pid", "cgroup"];

/// What keeps containers from running here, a line each with the next step; empty when nothing does.
pub fn missing() -> Vec<String> {
    if !Path::new("/proc/self/ns").is_dir() {
        return vec!["/proc is not mounted: mount -t proc proc /proc".into()];
    }
    let mut failures = cgroups();
    failures.extend(file_systems(&fs::read_to_string("/proc/filesystems").unwrap_or_default()));
    failures.extend(overlay());
    for kind in NAMESPACES.iter().filter(|kind| !Path::new("/proc/self/ns").join(kind).exists()) {
        failures.push(format!("this kernel has no {kind} namespaces: take one that has them"));
    }
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if !actions.split_whitespace().any(|action| action == "errno") {
        failures.push(
            "this kernel cannot filter system calls: take one with CONFIG_SECCOMP_FILTER".into(),
        );
    }
    failures.extend(system_calls());
    failures
}

/// Whether SELinux is on, so that a process's label decides what it may do.
pub fn selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// What keeps containers from being limited and ended here. A machine without cgroups would run them without limits and
/// lose sight of their processes.
pub fn cgroups() -> Vec<String> {
    cgroups_at(Path::new(ROOT), cgroup::layout())
}

fn cgroups_at(root: &Path, layout: Layout) -> Vec<String> {
    let shown = root.display();
    let mut failures = match layout {
        Layout::Unified => controllers(root),
        Layout::PerController => trees(root),
    };
    if failures.is_empty() && rustix::fs::access(root, Access::WRITE_OK) == Err(Errno::ROFS) {
        failures.push(format!("{shown} is mounted read-only: mount -o remount,rw {shown}"));
    }
    failures
}

fn controllers(root: &Path) -> Vec<String> {
    let list = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    let lacks = |name: &&&str| !list.split_whitespace().any(|word| word == **name);
    let line = |name: &&str| {
        format!(
            "cgroup controller {name} is not available in {}: boot with cgroup_enable={name}, or have whoever made this \
             container delegate it",
            root.display()
        )
    };
    CONTROLLERS.iter().filter(lacks).map(line).collect()
}

fn trees(root: &Path) -> Vec<String> {
    let shown = root.display();
    let there = |name: &&&str| root.join(name).join("cgroup.procs").exists();
    if !TREES.iter().any(|name| there(&name)) {
        return vec![format!(
            "no cgroups are mounted at {shown} (a shell of `ip netns exec` hides them: enter with `nsenter \
             --net=/run/netns/NAME` in its place): mount -t cgroup2 cgroup2 {shown}"
        )];
    }
    let lost = TREES.iter().filter(|name| !there(name));
    lost.map(|name| {
        format!(
            "cgroup controller {name} is not mounted: mkdir -p {shown}/{name} && mount -t cgroup -o {name} {name} \
             {shown}/{name}"
        )
    })
    .collect()
}

fn file_systems(known: &str) -> Vec<String> {
    let lacks = |name: &&&str| !known.split_whitespace().any(|word| word == **name);
    let line = |name: &&str| format!("this kernel has no {name} file system: take one that has it");
    FILE_SYSTEMS.iter().filter(lacks).map(line).collect()
}

/// Asking for an overlay loads the module where there is one.
fn overlay() -> Option<String> {
    use rustix::mount::{FsOpenFlags, fsopen};
    match fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NODEV) => {
            Some("this kernel has no overlay file system: modprobe overlay".into())
        }
        _ => None,
    }
}

/// Paths are opened in ways that kernels before 5.6 do not know.
fn system_calls() -> Option<String> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
        Err(Errno::NOSYS) => {
            Some("this kernel is older than 5.6 (no openat2): take a newer one".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("cgroup.procs"), "").unwrap();
        }
        root
    }

    #[test]
    fn names_each_missing_tree_and_its_remedy() {
        let check = |names: &[&str], want: &[&str]| {
            let root = tree(names);
            let got = cgroups_at(root.path(), Layout::PerController);
            assert_eq!(got.len(), want.len(), "{got:?}");
            for (line, words) in got.iter().zip(want) {
                assert!(
                    line.contains(words) && line.contains(": m") && !line.contains('\n'),
                    "{line}"
                );
            }
        };
        check(TREES, &[]);
        check(&["cpu", "memory", "devices"], &["controller pids", "controller freezer"]);
        // What a shell of `ip netns exec` sees. Red when an empty directory passes for cgroups.
        check(&[], &["nsenter"]);
        check(&["systemd"], &["nsenter"]);
    }

    #[test]
    fn names_each_missing_controller() {
        let root = tree(&[]);
        fs::write(root.path().join("cgroup.controllers"), "cpuset cpu io pids\n").unwrap();
        let got = cgroups_at(root.path(), Layout::Unified);
        assert!(got.len() == 1 && got[0].contains("controller memory"), "{got:?}");
    }

    #[test]
    fn names_each_missing_file_system() {
        let got = file_systems("nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevpts\n\text4\n");
        assert_eq!(got.len(), 1);
        assert!(got[0].contains("mqueue"), "{got:?}");
    }
}
