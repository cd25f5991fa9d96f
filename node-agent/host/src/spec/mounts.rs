//! The mounts, masks and devices that every container gets.
//!
//! Knows: containerd's standard set. Refuses to know: volumes beyond their mount.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path};

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
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

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

pub(super) fn readonly_paths() -> Vec<String> {
    READONLY.iter().map(|path| (*path).to_owned()).collect()
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
    }
}
