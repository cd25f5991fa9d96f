//! Volumes on disk and in memory.
//!
//! Knows: directories, tmpfs, where a pod's volumes are. Refuses to know: what the files hold or where that came from.
//! Everything here blocks: it runs on a blocking thread.

mod payload;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use leme_host::mounts::unmount_quietly;
use leme_host::ownership::{self, Share};
use leme_host::removal::remove_tree;
use leme_host::subpath::SubPath;
use leme_meta::local_path::Source;
use leme_node_core::config::{Built, Mounted};
use leme_node_core::volumes::{Files, VolumePlan};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::directories;

/// Plans by volume name.
pub type Plans = BTreeMap<String, VolumePlan>;

/// Directories of a pod that go when the pod has ended.
const VOLUMES: &str = "volumes";
const SUB_PATHS: &str = "volume-subpaths";
/// What a file takes in memory at least.
const PAGE: u64 = 4096;

/// The pod's group, and how volumes that outlive the pod are given to it.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// `fsGroup`.
    pub id: u32,
    /// `fsGroupChangePolicy` is `OnRootMismatch`.
    pub trust_root: bool,
}

fn kind_directory(plan: &VolumePlan) -> &'static str {
    match plan {
        VolumePlan::Files { .. } => "files",
        VolumePlan::EmptyDir { .. } => "empty-dir",
        VolumePlan::HostPath { .. } | VolumePlan::Local { .. } => "host-path",
        VolumePlan::Csi(_) => "kubernetes.io~csi",
    }
}

/// A name that comes from the API and becomes one of a directory.
pub fn component(name: &str) -> anyhow::Result<&str> {
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
    ensure!(plain, "invalid name {name:?}");
    Ok(name)
}

/// Sets up all volumes of a pod whose directory is `pod`; fine if they are there already.
pub fn set_up(
    pod: &Path,
    plans: &Plans,
    fs_group: Option<Group>,
) -> Result<BTreeMap<String, Mounted>, String> {
    let mut mounted = BTreeMap::new();
    // Those of drivers are theirs to set up.
    for (name, plan) in plans.iter().filter(|(_, plan)| !matches!(plan, VolumePlan::Csi(_))) {
        let volume = set_up_one(pod, name, plan, fs_group)
            .map_err(|e| format!("MountVolume.SetUp failed for volume \"{name}\" : {e:#}"))?;
        mounted.insert(name.clone(), volume);
    }
    Ok(mounted)
}

/// Where the volume of an empty directory is.
pub fn empty_dir(pod: &Path, name: &str) -> PathBuf {
    pod.join(VOLUMES).join("empty-dir").join(name)
}

/// Where the volumes with generated files are.
pub fn generated(pod: &Path) -> PathBuf {
    pod.join(VOLUMES).join("files")
}

fn set_up_one(
    pod: &Path,
    name: &str,
    plan: &VolumePlan,
    fs_group: Option<Group>,
) -> anyhow::Result<Mounted> {
    let group = fs_group.map(|group| group.id);
    let directory = pod.join(VOLUMES).join(kind_directory(plan)).join(component(name)?);
    match plan {
        VolumePlan::Files { files, memory } => {
            if *memory {
                make_memory(&directory, 0o755, Some(room_for(files)))?;
            } else {
                make_directory(&directory, 0o755)?;
            }
            payload::write(&directory, files, group)?;
        }
        VolumePlan::EmptyDir { memory, size } => {
            let mode = if group.is_some() { 0o2777 } else { 0o777 };
            if *memory {
                make_memory(&directory, mode, size.and_then(|n| u64::try_from(n).ok()))?;
            } else {
                make_directory(&directory, mode)?;
            }
            own(&directory, group, mode)?;
        }
        VolumePlan::HostPath { path, kind, read_only } => {
            check_host_path(Path::new(path), kind)?;
            return Ok(Mounted { path: path.clone(), read_only: *read_only });
        }
        VolumePlan::Local { path, made, source, read_only } => {
            let own = || own_directory(pod, path, source.as_ref());
            let path = if *made { own()? } else { path.clone() };
            check_host_path(Path::new(&path), "Directory")?;
            return Ok(Mounted { path, read_only: *read_only });
        }
        VolumePlan::Csi(_) => bail!("its driver sets it up"),
    }
    let path = directory.to_str().context("volume directory is not UTF-8")?.to_owned();
    Ok(Mounted { path, read_only: matches!(plan, VolumePlan::Files { .. }) })
}

/// Gives volumes that outlive a pod to its group, all that is in them: once, before the first pod of a node uses one.
pub fn share(
    mounted: &BTreeMap<String, Mounted>,
    plans: &Plans,
    group: Group,
) -> Result<(), String> {
    for (name, volume) in mounted {
        let Some(VolumePlan::Local { read_only: false, .. }) = plans.get(name) else { continue };
        let Group { id: group, trust_root } = group;
        let wanted = Share { group, trust_root, read_only: false };
        ownership::share(Path::new(&volume.path), wanted).map_err(|error| {
            format!("MountVolume.SetUp failed for volume \"{name}\" : applyFSGroup failed: {error}")
        })?;
    }
    Ok(())
}

/// A directory that belongs to a volume is below the node's root by its name, wherever the node's data is by now.
fn own_directory(pod: &Path, path: &str, source: Option<&Source>) -> anyhow::Result<String> {
    let data = pod.parent().and_then(Path::parent).context("a pod's directory is in two others")?;
    let path = directories::volume(data, path.rsplit('/').next().unwrap_or(""), source)?;
    Ok(path.to_str().context("volume directory is not UTF-8")?.to_owned())
}

/// Bytes for the files twice, since the new ones come before the old ones go.
fn room_for(files: &Files) -> u64 {
    let pages = |length: usize| (length as u64).div_ceil(PAGE).max(1);
    let content: u64 = files.values().map(|file| pages(file.data.len())).sum();
    (2 * content + 64) * PAGE
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
    let parent = path.parent().context("volume directory has no parent")?;
    let stat = |path: &Path| fs::metadata(path).with_context(|| format!("stat {}", path.display()));
    Ok(stat(path)?.dev() != stat(parent)?.dev())
}

/// A directory in memory of at most `size` bytes, which grows if it is there and smaller.
fn make_memory(path: &Path, mode: u32, size: Option<u64>) -> anyhow::Result<()> {
    let shown = path.display();
    let fresh = make_new(path).with_context(|| format!("make {shown}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let size = size.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    if !fresh && is_mount_point(path)? {
        let options = options(&format!("mode={mode:o}{size}"))?;
        // Less than is in use is refused: then what is there stays.
        return match rustix::mount::mount_remount(path, flags, options.as_c_str()) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("resize tmpfs on {shown}")),
        };
    }
    if !fresh {
        // What an earlier kind of volume left on the disk must not lie hidden there.
        remove_tree(path).with_context(|| format!("clear {shown}"))?;
        fs::create_dir(path).with_context(|| format!("make {shown}"))?;
    }
    let mount = |more: &str| -> anyhow::Result<rustix::io::Result<()>> {
        let options = options(&format!("mode={mode:o}{size}{more}"))?;
        Ok(rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str()))
    };
    // A secret is not written to swap either, where the kernel can promise that (from 6.4 on).
    let mounted = match mount(",noswap")? {
        Err(Errno::INVAL) => mount("")?,
        mounted => mounted,
    };
    mounted.with_context(|| format!("mount tmpfs on {shown}"))
}

/// Makes a directory and those above it; tells whether it was not there before.
fn make_new(path: &Path) -> std::io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn options(text: &str) -> anyhow::Result<std::ffi::CString> {
    std::ffi::CString::new(text).context("mount options")
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

/// Puts each path below a volume in a place of its own, from which the runtime can mount it by name: nobody else can write
/// there, so that the name means the same a moment later. They stay until [`unstage`], or until the pod goes.
///
/// Gives the pod's directory back, and the configuration with these places.
pub fn stage_sub_paths(pod: &Path, mut built: Built) -> anyhow::Result<(PathBuf, Built)> {
    let container = built.config.name.clone();
    let staged = (|| {
        if built.sub_paths.is_empty() {
            return Ok(());
        }
        unstage(pod, &container)?;
        let places = pod.join(SUB_PATHS).join(component(&container)?);
        for sub in std::mem::take(&mut built.sub_paths) {
            let Some(mount) = built.config.mounts.get_mut(sub.mount) else { continue };
            let place = places.join(sub.mount.to_string());
            let found = SubPath::open(Path::new(&mount.host_path), Path::new(&sub.path));
            if let Err(error) = found.and_then(|found| found.mount(&place)) {
                tracing::warn!(%container, volume = %sub.volume, path = %sub.path, %error, "subPath not prepared");
                // What is where on the node is not the pod's to know.
                bail!(
                    "failed to prepare subPath for volumeMount {:?} of container {container:?}",
                    sub.volume
                );
            }
            mount.host_path = place.to_str().context("pod directory is not UTF-8")?.to_owned();
        }
        Ok(())
    })();
    match staged {
        Ok(()) => Ok((pod.to_owned(), built)),
        Err(error) => {
            unstage(pod, &container)?;
            Err(error)
        }
    }
}

/// Takes away what [`stage_sub_paths`] made for a container. What the container has mounted stays there.
pub fn unstage(pod: &Path, container: &str) -> anyhow::Result<()> {
    let places = pod.join(SUB_PATHS).join(component(container)?);
    remove_tree(&places).context("remove mounts of sub-paths")
}

/// Takes away what is mounted for the sub-paths of a pod's containers.
pub fn remove_sub_paths(pod: &Path) -> anyhow::Result<()> {
    remove_tree(&pod.join(SUB_PATHS)).context("remove mounts of sub-paths")
}

/// Removes a pod's volumes, with what is mounted there; what those mounts show stays.
pub fn remove_volumes(pod: &Path) -> anyhow::Result<()> {
    // These are mounts of ours, where nobody else can write; without them there is mostly none left to look for.
    for volume in fs::read_dir(generated(pod)).into_iter().flatten().flatten() {
        let path = volume.path();
        unmount_quietly(&path).with_context(|| format!("unmount {}", path.display()))?;
    }
    for name in [SUB_PATHS, VOLUMES] {
        remove_tree(&pod.join(name)).context("remove volumes")?;
    }
    Ok(())
}

/// Removes a pod's directory and its logs.
pub fn remove(pod: &Path, logs: &Path) -> anyhow::Result<()> {
    for path in [pod, logs] {
        remove_tree(path).context("remove pod")?;
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
    use std::os::unix::fs::symlink;

    use leme_node_core::config::SubPath as Wanted;
    use leme_node_core::cri::{ContainerConfig, Mount};
    use leme_node_core::volumes::File;
    use nix::sched::{CloneFlags, unshare};
    use rustix::fs::StatVfsMountFlags;
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

    use super::*;

    /// A mount namespace for this test's thread, gone with it.
    fn own_mounts() -> tempfile::TempDir {
        unshare(CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
        let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", flags).unwrap();
        tempfile::tempdir().unwrap()
    }

    fn files(memory: bool, list: &[(&str, &str)]) -> Plans {
        let file = |data: &str| File { data: data.into(), mode: 0o644 };
        let files = list.iter().map(|(p, d)| ((*p).into(), file(d))).collect();
        [("v".to_owned(), VolumePlan::Files { files, memory })].into()
    }

    // Red when Files are put on disk whatever they hold.
    #[test]
    fn secrets_are_in_memory_with_a_bound() {
        let root = own_mounts();
        let disk = set_up(root.path(), &files(false, &[("a", "1")]), None).unwrap();
        assert!(!is_mount_point(Path::new(&disk["v"].path)).unwrap());
        let hidden = Path::new(&disk["v"].path).join("old");
        fs::write(&hidden, "secret of an earlier layout").unwrap();
        let mounted = set_up(root.path(), &files(true, &[("a", "1")]), None).unwrap();
        let at = PathBuf::from(&mounted["v"].path);
        let stat = rustix::fs::statvfs(&at).unwrap();
        assert!(is_mount_point(&at).unwrap());
        assert!(stat.f_blocks * stat.f_frsize < 1 << 20, "{} blocks", stat.f_blocks);
        assert!(stat.f_flag.contains(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV));
        assert_eq!(fs::metadata(&at).unwrap().mode() & 0o7777, 0o755);
        assert!(!hidden.exists());
        // More than the first size: the mount grows.
        let big = "x".repeat(1 << 20);
        set_up(root.path(), &files(true, &[("a", &big)]), None).unwrap();
        assert_eq!(fs::read_to_string(at.join("a")).unwrap().len(), big.len());
        remove_volumes(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn empty_directories_have_their_size_and_group() {
        let root = own_mounts();
        let plan = VolumePlan::EmptyDir { memory: true, size: Some(8 * 4096) };
        let plans: Plans = [("v".to_owned(), plan)].into();
        let at = PathBuf::from(
            &set_up(root.path(), &plans, Some(Group { id: 77, trust_root: false })).unwrap()["v"]
                .path,
        );
        let seen = fs::metadata(&at).unwrap();
        assert_eq!((seen.mode() & 0o7777, seen.gid()), (0o2777, 77));
        assert!(fs::write(at.join("big"), vec![1; 9 * 4096]).is_err());
        assert_eq!(at, empty_dir(root.path(), "v"));
        // Set up again, as after a restart of the agent: what is there stays.
        fs::write(at.join("big"), "kept").unwrap();
        set_up(root.path(), &plans, Some(Group { id: 77, trust_root: false })).unwrap();
        assert_eq!(fs::read_to_string(at.join("big")).unwrap(), "kept");
        remove(root.path().join("x").as_path(), &root.path().join("none")).unwrap();
        remove_volumes(root.path()).unwrap();
    }

    // Red when the pod's directory is removed by name and recursion: the host's file is gone.
    #[test]
    fn a_mount_made_inside_a_volume_keeps_its_files() {
        let root = own_mounts();
        let host = tempfile::tempdir().unwrap();
        fs::write(host.path().join("keep"), "x").unwrap();
        let plans: Plans =
            [("v".to_owned(), VolumePlan::EmptyDir { memory: false, size: None })].into();
        let pod = root.path().join("pod");
        let at = PathBuf::from(&set_up(&pod, &plans, None).unwrap()["v"].path).join("x");
        fs::create_dir(&at).unwrap();
        mount_bind(host.path(), &at).unwrap();
        remove(&pod, &root.path().join("logs")).unwrap();
        assert!(host.path().join("keep").exists());
        assert!(!pod.exists());
    }

    fn wanted(root: &Path, path: &str) -> Built {
        let mount = Mount { host_path: root.to_str().unwrap().into(), ..Mount::default() };
        Built {
            config: ContainerConfig {
                name: "c".into(),
                mounts: vec![Mount::default(), mount],
                ..ContainerConfig::default()
            },
            sub_paths: vec![Wanted { mount: 1, volume: "v".into(), path: path.into() }],
            must_not_be_root: false,
        }
    }

    // Red when the path is resolved to text and handed on: the place changes with the volume.
    #[test]
    fn a_staged_sub_path_does_not_follow_its_volume() {
        let root = own_mounts();
        let (pod, volume) = (root.path().join("pod"), root.path().join("volume"));
        fs::create_dir_all(volume.join("a")).unwrap();
        fs::write(volume.join("a/mine"), "").unwrap();
        fs::create_dir(root.path().join("host")).unwrap();
        fs::write(root.path().join("host/secret"), "").unwrap();
        let (_, built) = stage_sub_paths(&pod, wanted(&volume, "a")).unwrap();
        fs::rename(volume.join("a"), volume.join("b")).unwrap();
        symlink(root.path().join("host"), volume.join("a")).unwrap();
        let place = PathBuf::from(&built.config.mounts[1].host_path);
        assert!(place.starts_with(&pod) && place.join("mine").exists());
        // Staged again after a crash, then taken away: what the volume holds stays.
        assert!(stage_sub_paths(&pod, wanted(&volume, "b")).is_ok());
        unstage(&pod, "c").unwrap();
        assert!(!place.exists() && volume.join("b/mine").exists());
        let refused = stage_sub_paths(&pod, wanted(&volume, "a")).unwrap_err().to_string();
        assert_eq!(refused, "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
        remove_volumes(&pod).unwrap();
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
