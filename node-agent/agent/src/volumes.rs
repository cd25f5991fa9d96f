//! Volumes on disk.
//!
//! Knows: directories, `..data` symlinks, tmpfs, that a sub-path never leaves its volume. Refuses to know: what the files
//! hold or where that came from. Everything here blocks: it runs on a blocking thread.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, chown, symlink,
};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use leme_node_core::config::Mounted;
use leme_node_core::volumes::{Files, VolumePlan};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags};

/// Plans by volume name.
pub type Plans = BTreeMap<String, VolumePlan>;

fn kind_directory(plan: &VolumePlan) -> &'static str {
    match plan {
        VolumePlan::Files(_) => "files",
        VolumePlan::EmptyDir { .. } => "empty-dir",
        VolumePlan::HostPath { .. } => "host-path",
    }
}

/// Sets up all volumes of a pod whose directory is `pod`; fine if they are there already.
pub fn set_up(
    pod: &Path,
    plans: &Plans,
    fs_group: Option<u32>,
) -> Result<BTreeMap<String, Mounted>, String> {
    let mut mounted = BTreeMap::new();
    for (name, plan) in plans {
        let volume = set_up_one(pod, name, plan, fs_group)
            .map_err(|e| format!("MountVolume.SetUp failed for volume \"{name}\" : {e:#}"))?;
        mounted.insert(name.clone(), volume);
    }
    Ok(mounted)
}

fn set_up_one(
    pod: &Path,
    name: &str,
    plan: &VolumePlan,
    group: Option<u32>,
) -> anyhow::Result<Mounted> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        bail!("invalid volume name {name:?}");
    }
    let directory = pod.join("volumes").join(kind_directory(plan)).join(name);
    match plan {
        VolumePlan::Files(files) => {
            make_directory(&directory, 0o755)?;
            write_files(&directory, files, group)?;
        }
        VolumePlan::EmptyDir { memory, size_limit } => {
            make_directory(&directory, 0o777)?;
            if *memory && !is_mount_point(&directory)? {
                mount_memory(&directory, *size_limit)?;
            }
            own(&directory, group, if group.is_some() { 0o2777 } else { 0o777 })?;
        }
        VolumePlan::HostPath { path, kind, read_only } => {
            check_host_path(Path::new(path), kind)?;
            return Ok(Mounted { path: path.clone(), read_only: *read_only });
        }
    }
    let path = directory.to_str().context("volume directory is not UTF-8")?.to_owned();
    Ok(Mounted { path, read_only: matches!(plan, VolumePlan::Files(_)) })
}

fn make_directory(path: &Path, mode: u32) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set mode of {}", path.display()))
}

fn own(path: &Path, group: Option<u32>, mode: u32) -> anyhow::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(group)).with_context(|| format!("chown {}", path.display()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set mode of {}", path.display()))
}

fn is_mount_point(path: &Path) -> anyhow::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().context("volume directory has no parent")?;
    let own = fs::metadata(path).with_context(|| format!("stat {}", path.display()))?;
    let above = fs::metadata(parent).with_context(|| format!("stat {}", parent.display()))?;
    Ok(own.dev() != above.dev())
}

fn mount_memory(path: &Path, limit: Option<i64>) -> anyhow::Result<()> {
    let options = limit.map(|bytes| format!("size={bytes}")).unwrap_or_default();
    let options = std::ffi::CString::new(options).context("mount options")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())
        .with_context(|| format!("mount tmpfs on {}", path.display()))
}

fn check_host_path(path: &Path, kind: &str) -> anyhow::Result<()> {
    let found = fs::metadata(path);
    let missing = matches!(&found, Err(e) if e.kind() == ErrorKind::NotFound);
    match (kind, missing) {
        // As the container runtimes do for a source that is not there.
        ("", true) | ("DirectoryOrCreate", true) => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
            return made.with_context(|| format!("make {}", path.display()));
        }
        ("FileOrCreate", true) => {
            let made = fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path);
            return made.map(drop).with_context(|| format!("make {}", path.display()));
        }
        ("", false) => return found.map(drop).with_context(|| format!("stat {}", path.display())),
        _ => {}
    }
    let wrong =
        |what: &str| format!("hostPath type check failed: {} is not {what}", path.display());
    let file_type = found.map(|m| m.file_type()).ok();
    let is = |test: fn(&fs::FileType) -> bool| file_type.as_ref().is_some_and(test);
    let (fits, what) = match kind {
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(FileTypeExt::is_socket), "a socket file"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "a character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "a block device"),
        other => bail!("unknown hostPath type {other:?}"),
    };
    if !fits {
        bail!(wrong(what));
    }
    Ok(())
}

/// Makes `directory` hold exactly `files`. Readers see all of the old ones or all of the new ones: the files are
/// in a directory of their own, `..data` points to it and is replaced by rename.
fn write_files(directory: &Path, files: &Files, group: Option<u32>) -> anyhow::Result<()> {
    let link = directory.join("..data");
    let old = fs::read_link(&link).ok().map(|target| directory.join(target));
    if old.as_ref().is_some_and(|old| holds(old, files)) {
        return Ok(());
    }
    let stamp = jiff::Timestamp::now().as_nanosecond();
    let name = format!("..{stamp}");
    let fresh = directory.join(&name);
    make_directory(&fresh, 0o755)?;
    for (path, file) in files {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        let mode = if group.is_some() { file.mode | (file.mode & 0o400) >> 3 } else { file.mode };
        let mut out = fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&target)
            .with_context(|| format!("make {}", target.display()))?;
        out.write_all(&file.data).with_context(|| format!("write {}", target.display()))?;
        own(&target, group, mode)?;
    }
    let next = directory.join("..data_tmp");
    remove_if_there(&next)?;
    symlink(&name, &next).with_context(|| format!("make {}", next.display()))?;
    fs::rename(&next, &link).with_context(|| format!("replace {}", link.display()))?;
    link_names(directory, files)?;
    if let Some(old) = old.filter(|old| *old != fresh) {
        match fs::remove_dir_all(&old) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("remove {}", old.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names that people see are links into `..data`.
fn link_names(directory: &Path, files: &Files) -> anyhow::Result<()> {
    let names: std::collections::BTreeSet<&str> =
        files.keys().map(|path| path.split('/').next().unwrap_or(path)).collect();
    for name in &names {
        let made = symlink(Path::new("..data").join(name), directory.join(name));
        match made {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("link {name}"));
            }
            _ => {}
        }
    }
    for entry in fs::read_dir(directory).context("read volume directory")? {
        let entry = entry.context("read volume directory")?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("..") && !names.contains(name) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(e).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn holds(directory: &Path, files: &Files) -> bool {
    let same = |path: &String, data: &[u8]| {
        fs::read(directory.join(path)).is_ok_and(|found| found == data)
    };
    files.iter().all(|(path, file)| same(path, &file.data))
        && count_files(directory).is_ok_and(|n| n == files.len())
}

fn count_files(directory: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        count += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}

/// The real path of `sub` in `root`, made if absent; symbolic links may not lead out of `root`.
pub fn sub_path(root: &str, sub: &str) -> anyhow::Result<String> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let base =
        rustix::fs::open(root, flags, Mode::empty()).with_context(|| format!("open {root}"))?;
    let found = match rustix::fs::openat2(&base, sub, flags, Mode::empty(), inside) {
        Err(rustix::io::Errno::NOENT) => {
            let mut at = rustix::io::dup(&base).context("duplicate descriptor")?;
            for part in sub.split('/') {
                match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(e) => return Err(e).with_context(|| format!("make {sub} in {root}")),
                }
                let strict = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                at = rustix::fs::openat2(&at, part, step, Mode::empty(), strict)
                    .with_context(|| format!("open {part} of {sub} in {root}"))?;
            }
            at
        }
        other => other.with_context(|| format!("open {sub} in {root}"))?,
    };
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let real = fs::read_link(link).context("path of sub-path")?;
    let top = fs::canonicalize(root).with_context(|| format!("resolve {root}"))?;
    if !real.starts_with(&top) {
        bail!("subPath {sub:?} leads out of its volume");
    }
    real.into_os_string().into_string().ok().context("sub-path is not UTF-8")
}

/// Unmounts what is mounted under a pod's directory.
pub fn release(pod: &Path) -> anyhow::Result<()> {
    let directory = pod.join("volumes").join("empty-dir");
    let entries = match fs::read_dir(&directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.with_context(|| format!("read {}", directory.display()))?,
    };
    for entry in entries {
        let path = entry.context("read volume directory")?.path();
        if is_mount_point(&path)? {
            rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .with_context(|| format!("unmount {}", path.display()))?;
        }
    }
    Ok(())
}

/// Removes a pod's directory and its logs. Nothing that is still mounted is touched.
pub fn remove(pod: &Path, logs: &Path) -> anyhow::Result<()> {
    release(pod)?;
    for path in [pod, logs] {
        match fs::remove_dir_all(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The file for a container's termination message, made empty.
pub fn termination_file(pod: &Path, container: &str, attempt: u32) -> PathBuf {
    pod.join("containers").join(container).join(format!("{attempt}.message"))
}

/// Makes it.
pub fn make_termination_file(path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    }
    fs::write(path, b"").with_context(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))
        .with_context(|| format!("set mode of {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leme_node_core::volumes::File;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(p, d)| ((*p).into(), File { data: (*d).into(), mode: 0o644 })).collect()
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let plan = |list| [("v".to_owned(), VolumePlan::Files(files(list)))].into();
        let mounted = set_up(root.path(), &plan(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        let at = PathBuf::from(&mounted["v"].path);
        assert_eq!(fs::read_to_string(at.join("d/b")).unwrap(), "2");
        let first = fs::read_link(at.join("..data")).unwrap();
        set_up(root.path(), &plan(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(at.join("..data")).unwrap(), first);
        set_up(root.path(), &plan(&[("a", "9")]), None).unwrap();
        assert_eq!(fs::read_to_string(at.join("a")).unwrap(), "9");
        assert!(!at.join("d").exists());
        assert!(!at.join(first).exists());
        remove(root.path(), &root.path().join("none")).unwrap();
    }

    #[test]
    fn sub_paths_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let text = root.path().to_str().unwrap();
        let made = sub_path(text, "a/b").unwrap();
        assert!(Path::new(&made).is_dir());
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink("/", root.path().join("top")).unwrap();
        assert!(sub_path(text, "out/x").is_err());
        let top = sub_path(text, "top").unwrap();
        assert!(Path::new(&top).starts_with(fs::canonicalize(text).unwrap()));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn host_path_types() {
        let root = tempfile::tempdir().unwrap();
        let check = |name: &str, kind: &str, fits: bool| {
            assert_eq!(
                check_host_path(&root.path().join(name), kind).is_ok(),
                fits,
                "{name} {kind}"
            );
        };
        check("d", "Directory", false);
        check("d", "DirectoryOrCreate", true);
        check("d", "Directory", true);
        check("d", "File", false);
        check("f", "FileOrCreate", true);
        check("f", "File", true);
        check("f", "Socket", false);
        check("f", "Nonsense", false);
    }
}
