//! Where a container of a user namespace is made: a root with what its maker needs, in which the namespace's users find
//! their way, and nothing else.
//!
//! On the machine's own root they could be kept out of any directory above what is mounted. Here those directories are new.
//! Owners of layers and volumes are shown as the namespace's by mounts that map them; on the disk they stay as they are.
//! Knows: one container's mounts on the host. Refuses to know: what is mounted in the container itself.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_bind, move_mount, open_tree,
    unmount,
};

use super::protocol::{ContainerRequest, Failure};
use crate::mounts::{self, Overlay};
use crate::spec::{BindMount, NamespacesInput, SpecInput, UserNamespace};
use crate::sys;

/// What the container's maker finds of the machine, with all that is mounted below.
const KEPT: &[&str] = &["/proc", "/sys", "/dev"];

/// What a container is made of, as its maker finds it.
pub(super) struct Staged {
    pub(super) spec: SpecInput,
    /// What it sees of version 1 cgroups, where there are such.
    pub(super) cgroups: Option<PathBuf>,
}

/// Makes the root and takes this process, which is in a mount namespace of its own, there. The container's root file system
/// is mounted where it is for any container.
pub(super) fn enter(
    request: &ContainerRequest,
    user: &UserNamespace,
    cgroups: Option<&Path>,
) -> Result<Staged, Failure> {
    let failed = |error: io::Error| Failure::failed("make the container's surroundings", &error);
    let stage = Stage::new(request, user).map_err(failed)?;
    stage.keep(request).map_err(failed)?;
    stage.root_file_system(request, user)?;
    let spec = stage.spec(request, user)?;
    let cgroups = cgroups.map(|view| stage.attach("cgroups", view, Mapped::No, false));
    let cgroups = cgroups.transpose().map_err(failed)?;
    stage.become_root().map_err(failed)?;
    Ok(Staged { spec, cgroups })
}

/// Whether a mount shows its owners as those of the user namespace.
#[derive(Clone, Copy, PartialEq)]
enum Mapped {
    Yes,
    No,
}

struct Stage {
    /// Where the root is mounted before it is the root.
    root: PathBuf,
    users: File,
}

impl Stage {
    fn new(request: &ContainerRequest, user: &UserNamespace) -> io::Result<Stage> {
        let root = request.bundle().join("root");
        directory(&root)?;
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(&context, "mode", "755")?;
        fsconfig_create(&context)?;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        // Its maker's own directory is seen in it, without what is mounted there.
        let run = clone_of(&request.run_directory, false)?;
        move_mount(&tree, "", CWD, &root, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        let stage = Stage { root, users: File::open(&user.path)? };
        let inside = stage.inside(&request.run_directory);
        directory(&inside)?;
        move_mount(&run, "", CWD, &inside, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(stage)
    }

    /// Where an absolute path is, seen from outside of the new root.
    fn inside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn keep(&self, request: &ContainerRequest) -> io::Result<()> {
        for path in KEPT {
            let place = self.inside(Path::new(path));
            directory(&place)?;
            let tree = clone_of(Path::new(path), true)?;
            move_mount(&tree, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        }
        directory(&self.inside(&request.directory.join("rootfs")))
    }

    /// The image's files belong to the namespace's users, and so do those that the container writes.
    fn root_file_system(
        &self,
        request: &ContainerRequest,
        user: &UserNamespace,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::failed("mount root file system", &error);
        let (upper, work) = (request.directory.join("upper"), request.directory.join("work"));
        chown(&upper, Some(user.first_id), Some(user.first_id)).map_err(failed)?;
        let layers = request.layers.iter().enumerate();
        let lower = layers
            .map(|(index, layer)| {
                let name = format!("layers/{index}");
                self.attach(&name, layer, Mapped::Yes, false).map(|path| self.inside(&path))
            })
            .collect::<io::Result<Vec<PathBuf>>>()
            .map_err(failed)?;
        let overlay = Overlay { lower: &lower, upper: &upper, work: &work };
        let rootfs = self.inside(&request.directory.join("rootfs"));
        mounts::mount_overlay(&overlay, &rootfs).map_err(failed)?;
        // The overlay has mounts of its own of them.
        lower.iter().try_for_each(|path| {
            unmount(path, UnmountFlags::DETACH).map_err(|error| failed(error.into()))
        })
    }

    /// The container's spec by the paths of the new root.
    fn spec(&self, request: &ContainerRequest, user: &UserNamespace) -> Result<SpecInput, Failure> {
        let failed = |error: io::Error| Failure::failed("find the pod's namespaces", &error);
        let mut spec = request.spec.clone();
        let held = |name: &str, path: &Path| self.hold(name, path).map_err(failed);
        let NamespacesInput { net, ipc, uts, pid, .. } = &request.spec.namespaces;
        let optional = |name: &str, path: &Option<PathBuf>| {
            path.as_deref().map(|path| held(name, path)).transpose()
        };
        spec.namespaces = NamespacesInput {
            net: optional("net", net)?,
            ipc: held("ipc", ipc)?,
            uts: held("uts", uts)?,
            pid: optional("pid", pid)?,
            user: Some(UserNamespace { path: held("user", &user.path)?, ..user.clone() }),
        };
        for (index, mount) in spec.mounts.iter_mut().enumerate() {
            self.volume(index, mount)?;
        }
        Ok(spec)
    }

    /// Has a volume at hand as the container will see it; one that is not there is told of later.
    fn volume(&self, index: usize, mount: &mut BindMount) -> Result<(), Failure> {
        if !mount.source.exists() {
            return Ok(());
        }
        let mapped = if mount.foreign { Mapped::No } else { Mapped::Yes };
        let name = format!("volumes/{index}");
        let source = self.attach(&name, &mount.source, mapped, mount.readonly);
        mount.source = source.map_err(|error| {
            let text = format!("mount path {:?}: {error}", mount.destination);
            Failure::invalid("create container", &text)
        })?;
        // It is so already, and more than adding to what is there the namespace's users may not do.
        mount.readonly = false;
        Ok(())
    }

    fn hold(&self, name: &str, namespace: &Path) -> io::Result<PathBuf> {
        let path = Path::new("/namespaces").join(name);
        let place = self.inside(&path);
        directory(&self.inside(Path::new("/namespaces")))?;
        File::create(&place)?;
        mount_bind(namespace, &place)?;
        Ok(path)
    }

    /// Mounts something at `/name` of the new root, with what is mounted below it.
    fn attach(
        &self,
        name: &str,
        source: &Path,
        mapped: Mapped,
        readonly: bool,
    ) -> io::Result<PathBuf> {
        let tree = clone_of(source, true)?;
        if mapped == Mapped::Yes {
            sys::map_mount(tree.as_fd(), self.users.as_fd()).map_err(|error| {
                let why = "owners cannot be mapped to the pod's user namespace";
                let hint = "its file system may not know idmapped mounts on this kernel";
                io::Error::new(
                    error.kind(),
                    format!("{}: {why}: {error} ({hint})", source.display()),
                )
            })?;
        }
        if readonly {
            sys::make_mount_readonly(tree.as_fd())?;
        }
        let path = Path::new("/").join(name);
        let place = self.inside(&path);
        match fs::metadata(source)?.is_dir() {
            true => directory(&place)?,
            false => {
                directory(place.parent().unwrap_or(&self.root))?;
                File::create(&place)?;
            }
        }
        move_mount(&tree, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(path)
    }

    /// Leaves the machine's root behind.
    fn become_root(self) -> io::Result<()> {
        std::env::set_current_dir(&self.root)?;
        nix::unistd::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")
    }
}

/// A mount of what is at a path, nowhere yet.
fn clone_of(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(open_tree(CWD, path, flags)?)
}

fn directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
}
