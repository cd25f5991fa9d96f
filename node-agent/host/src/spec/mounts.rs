//! The mounts, masks and devices that every container gets.
//!
//! Knows: containerd's standard set. Refuses to know: volumes beyond their mount.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Mount, MountBuilder};

use super::{BindMount, SpecError, SpecInput};

/// (destination, type, source, options) of the standard mounts, in order.
const STANDARD: &[(&str, &str, &str, &[&str])] = &[
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    (CGROUPS, "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

const CGROUPS: &str = "/sys/fs/cgroup";

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn masked_paths() -> Vec<String> {
    MASKED.iter().map(|path| (*path).to_owned()).collect()
}

/// What is read-only besides the pod's mounts. Of version 1 cgroups the runtime mounts a tree each and forgets that they
/// are to be read-only, so each is named here: who writes there lifts the container's limits.
pub(super) fn readonly_paths(input: &SpecInput, trees: &[String]) -> Vec<String> {
    let replaced =
        |path: &Path| input.mounts.iter().any(|mount| path.starts_with(&mount.destination));
    let cgroups = std::iter::once(CGROUPS.to_owned())
        .chain(trees.iter().map(|tree| format!("{CGROUPS}/{tree}")))
        .filter(|path| !trees.is_empty() && !replaced(Path::new(path)));
    READONLY.iter().map(|path| (*path).to_owned()).chain(cgroups).collect()
}

/// The standard mounts, less those that the pod replaces, then the pod's, outer ones before inner ones.
pub(super) fn all(input: &SpecInput) -> Result<Vec<Mount>, SpecError> {
    let mut list = Vec::new();
    for (destination, kind, source, options) in STANDARD {
        if input.mounts.iter().any(|mount| mount.destination == Path::new(destination)) {
            continue;
        }
        let writable_system = input.security.privileged && destination.starts_with("/sys");
        let options: Vec<String> = options
            .iter()
            .filter(|o| !(writable_system && **o == "ro"))
            .map(|o| (*o).to_owned())
            .collect();
        list.push(
            MountBuilder::default()
                .destination(*destination)
                .typ(*kind)
                .source(*source)
                .options(options)
                .build()?,
        );
    }
    let mut binds: Vec<&BindMount> = input.mounts.iter().collect();
    binds.sort_by_key(|mount| mount.destination.components().count());
    for mount in binds {
        list.push(bind(mount)?);
    }
    Ok(list)
}

fn bind(mount: &BindMount) -> Result<Mount, SpecError> {
    let climbs = mount.destination.components().any(|part| part == Component::ParentDir);
    if !mount.destination.is_absolute() || climbs {
        return Err(SpecError::Invalid(format!(
            "mount path {:?} is not absolute and plain",
            mount.destination
        )));
    }
    if matches!(mount.destination.to_str(), Some("/" | "/dev")) {
        // The runtime makes devices there, which would then be the volume's.
        return Err(SpecError::Invalid(format!(
            "mount path {:?}: every container has its own there; mount on a path below it",
            mount.destination
        )));
    }
    if hides_proc(mount) {
        return Err(SpecError::Invalid(format!(
            "mount path {:?}: nothing but the process file system is mounted there",
            mount.destination
        )));
    }
    if !mount.source.exists() {
        return Err(SpecError::Invalid(format!("mount source {:?} does not exist", mount.source)));
    }
    let propagation = if mount.propagation.is_empty() { "rprivate" } else { &mount.propagation };
    let access = if mount.readonly { "ro" } else { "rw" };
    Ok(MountBuilder::default()
        .destination(&mount.destination)
        .typ("bind")
        .source(&mount.source)
        .options(["rbind", propagation, access].map(String::from).to_vec())
        .build()?)
}

/// Whether a mount would take the place of something in `/proc`, where the runtime and whoever trusts `/proc` would be
/// told by a volume instead of the kernel. A few files are made up by others on purpose.
fn hides_proc(mount: &BindMount) -> bool {
    const MADE_UP: &[&str] =
        &["cpuinfo", "diskstats", "loadavg", "meminfo", "slabinfo", "stat", "swaps", "uptime"];
    let Ok(inside) = mount.destination.strip_prefix("/proc") else { return false };
    let is_proc = || {
        rustix::fs::statfs(&mount.source)
            .is_ok_and(|stat| stat.f_type as u64 == libc::PROC_SUPER_MAGIC as u64)
    };
    match inside.to_str() {
        Some("") => !is_proc(),
        Some(name) => !MADE_UP.contains(&name),
        None => true,
    }
}

/// The first mount in a made container's `/proc` that nobody asked for by that name: a symbolic link of the image or of a
/// volume led a volume there. `points` are the container's mount points at and below `/proc`; each has one mount.
pub(crate) fn strange_in_proc<'a>(points: &'a [PathBuf], input: &SpecInput) -> Option<&'a Path> {
    let proc = Path::new("/proc");
    let asked = |path: &Path| input.mounts.iter().any(|mount| mount.destination == path);
    if asked(proc) {
        // The node's own, with whatever is mounted in it.
        return None;
    }
    let masked = |path: &Path| MASKED.iter().chain(READONLY).any(|known| path == Path::new(known));
    let expected =
        |path: &Path| path == proc || asked(path) || (!input.security.privileged && masked(path));
    let strange =
        |(index, point): &(usize, &PathBuf)| !expected(point) || points[..*index].contains(point);
    points.iter().enumerate().find(strange).map(|(_, point)| point.as_path())
}

/// The host's device nodes, for a privileged container.
pub(super) fn host_devices() -> Vec<LinuxDevice> {
    let mut found = Vec::new();
    collect_devices(Path::new("/dev"), &mut found, 0);
    found
}

fn collect_devices(directory: &Path, found: &mut Vec<LinuxDevice>, depth: usize) {
    const SKIPPED: &[&str] = &["pts", "shm", "mqueue", "fd", "console", "ptmx", "core"];
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = depth == 0 && SKIPPED.iter().any(|skip| name == *skip);
        let Ok(metadata) = entry.metadata() else { continue };
        let kind = metadata.file_type();
        if skipped {
            continue;
        }
        if kind.is_dir() && depth < 4 {
            collect_devices(&path, found, depth + 1);
        }
        let typ = match (kind.is_char_device(), kind.is_block_device()) {
            (true, _) => LinuxDeviceType::C,
            (_, true) => LinuxDeviceType::B,
            _ => continue,
        };
        let device = LinuxDeviceBuilder::default()
            .path(&path)
            .typ(typ)
            .major(i64::from(libc::major(metadata.rdev())))
            .minor(i64::from(libc::minor(metadata.rdev())))
            .file_mode(metadata.mode() & 0o777)
            .uid(metadata.uid())
            .gid(metadata.gid())
            .build();
        found.extend(device.ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cgroup_tree_is_read_only_unless_a_volume_is_there() {
        let trees = ["cpu", "memory"].map(String::from);
        let check = |destinations: &[&str], has: &[&str], lacks: &[&str]| {
            let mounts = destinations.iter().map(|destination| BindMount {
                source: "/tmp".into(),
                destination: destination.into(),
                ..Default::default()
            });
            let input = SpecInput { mounts: mounts.collect(), ..Default::default() };
            let list = readonly_paths(&input, &trees);
            for path in has {
                assert!(list.contains(&(*path).to_owned()), "{destinations:?}: {path}");
            }
            for path in lacks {
                assert!(!list.contains(&(*path).to_owned()), "{destinations:?}: {path}");
            }
        };
        let (cpu, memory) = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory");
        check(&[], &["/proc/sys", CGROUPS, cpu, memory], &[]);
        check(&["/sys"], &["/proc/sys"], &[CGROUPS, cpu, memory]);
        check(&[memory], &[CGROUPS, cpu], &[memory]);
        assert!(!readonly_paths(&SpecInput::default(), &[]).contains(&CGROUPS.to_owned()));
    }

    #[test]
    fn a_volume_replaces_a_standard_mount_and_outer_comes_first() {
        let mount = |destination: &str| BindMount {
            source: "/tmp".into(),
            destination: destination.into(),
            ..Default::default()
        };
        let input = SpecInput {
            mounts: vec![mount("/data/inner/deep"), mount("/data"), mount("/dev/mqueue")],
            ..Default::default()
        };
        let list = all(&input).unwrap();
        let at = |path: &str| list.iter().filter(|m| m.destination() == Path::new(path)).count();
        assert_eq!(at("/dev/mqueue"), 1);
        let position =
            |path: &str| list.iter().position(|m| m.destination() == Path::new(path)).unwrap();
        assert!(position("/data") < position("/data/inner/deep"));
        assert!(bind(&mount("/a/../b")).is_err());
        assert!(bind(&mount("relative")).is_err());
        for (destination, fine) in [
            ("/", false),
            ("/dev", false),
            ("/dev/shm", true),
            ("/proc", false),
            ("/proc/self/attr", false),
            ("/proc/cpuinfo/x", false),
            ("/proc/cpuinfo", true),
            ("/procession", true),
            ("/host/proc", true),
        ] {
            assert_eq!(bind(&mount(destination)).is_ok(), fine, "{destination}");
        }
        let whole = BindMount { source: "/proc".into(), ..mount("/proc") };
        assert!(bind(&whole).is_ok());
    }
}
