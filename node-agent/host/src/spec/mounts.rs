//! The mounts, masks and devices that every container gets.
//!
//! Knows: containerd's standard set. Refuses to know: volumes beyond their mount.

use std::ffi::OsStr;
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

/// What is read-only besides the pod's mounts.
pub(super) fn readonly_paths() -> Vec<String> {
    READONLY.iter().map(|path| (*path).to_owned()).collect()
}

/// Names right below the cgroups that the pod mounts something on.
pub(crate) fn points_in_cgroups(input: &SpecInput) -> impl Iterator<Item = &OsStr> {
    input.mounts.iter().filter_map(|mount| {
        let inside = mount.destination.strip_prefix(CGROUPS).ok()?;
        inside.iter().next()
    })
}

/// The standard mounts, less those that the pod replaces, then the pod's, outer ones before inner ones. `cgroups` is what
/// the container sees of version 1 cgroups, mounted somewhere.
pub(super) fn all(input: &SpecInput, cgroups: Option<&Path>) -> Result<Vec<Mount>, SpecError> {
    let mut list = Vec::new();
    for (destination, kind, source, options) in STANDARD {
        if input.mounts.iter().any(|mount| mount.destination == Path::new(destination)) {
            continue;
        }
        let writable_system = input.security.privileged && destination.starts_with("/sys");
        if let Some(view) = cgroups.filter(|_| *destination == CGROUPS) {
            list.push(version_1_cgroups(view, writable_system)?);
            continue;
        }
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

/// All trees as one mount: who can write to one of them lifts the container's limits.
fn version_1_cgroups(view: &Path, writable: bool) -> Result<Mount, SpecError> {
    let access = if writable { "rrw" } else { "rro" };
    let options = ["rbind", "rnosuid", "rnodev", "rnoexec", "rrelatime", access];
    Ok(MountBuilder::default()
        .destination(CGROUPS)
        .typ("bind")
        .source(view)
        .options(options.map(String::from).to_vec())
        .build()?)
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
    fn version_1_cgroups_are_one_mount_read_only_but_for_privileged_containers() {
        let found = |input: &SpecInput| {
            let list = all(input, Some(Path::new("/view"))).unwrap();
            let found =
                list.iter().find(|mount| mount.destination() == Path::new(CGROUPS)).unwrap();
            (found.source().clone().unwrap(), found.options().clone().unwrap())
        };
        let has = |input: &SpecInput, option: &str| {
            let (source, options) = found(input);
            source == Path::new("/view") && options.contains(&option.to_owned())
        };
        let mut input = SpecInput::default();
        assert!(has(&input, "rbind") && has(&input, "rro"));
        input.security.privileged = true;
        assert!(has(&input, "rrw") && !has(&input, "rro"));
        let mount = |destination: &str| BindMount {
            source: "/tmp".into(),
            destination: destination.into(),
            ..Default::default()
        };
        input.mounts = vec![mount("/sys/fs/cgroup/x/y"), mount("/data")];
        assert_eq!(points_in_cgroups(&input).collect::<Vec<_>>(), ["x"]);
        input.mounts = vec![mount(CGROUPS)];
        assert_eq!(found(&input).0, Path::new("/tmp"));
        assert!(points_in_cgroups(&input).next().is_none());
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
        let list = all(&input, None).unwrap();
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
