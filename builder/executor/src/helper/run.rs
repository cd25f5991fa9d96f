//! A command in a root: mounts, and the first process of namespaces of its own.
//!
//! Knows: what docker gives a command. Refuses to know: images.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use leme_dockerfile::mount::Mount;
use leme_host::mounts::{copy_mount, mount_in_namespace, new_mount, put};
use leme_host::sys;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;

use super::mounts;
use super::pid1;
use super::protocol::{Content, From, Report, Run, RunMount};
use super::stubs;
use crate::inside;

/// Where what is in the Dockerfile itself is found by a command.
pub(crate) const SCRIPTS: &str = "/dev/pipes";
const PLAIN: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A mount that is ready, and where it goes.
pub(super) struct Ready {
    pub(super) tree: OwnedFd,
    pub(super) at: PathBuf,
}

pub(super) fn run(run: Run) -> io::Result<Report> {
    rustix::system::sethostname(b"leme-build")?;
    if run.no_network {
        sys::loopback_up()?;
    }
    let stubs = run.root.scratch.join("stubs");
    mounts::make(&stubs)?;
    let mut ready = Vec::new();
    let [proc, dev, sys_, resolv, hosts];
    {
        let layers = mounts::readable(&run.root.layers, &run.root.scratch)?;
        stubs::copy_looks(&rustix::fs::fstat(&layers)?, &stubs)?;
        let place =
            |path: &str, directory| stubs::make(layers.as_fd(), &stubs, Path::new(path), directory);
        (proc, dev, sys_) = (place("proc", true)?, place("dev", true)?, place("sys", true)?);
        (resolv, hosts) = (place("etc/resolv.conf", false)?, place("etc/hosts", false)?);
        for mount in &run.mounts {
            let (tree, directory) = make(mount)?;
            ready.push(Ready { tree, at: place(&mount.target, directory)? });
        }
    }
    ready.extend(network_files(&run, resolv, hosts)?);
    let root = mounts::writable(&run.root, Some(&stubs))?;
    let place = pid1::Places { proc, dev, sys: sys_ };
    match sys::fork()? {
        ForkResult::Child => {
            let code = pid1::begin(run, &root, &place, &ready);
            std::process::exit(code);
        }
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Err(nix::errno::Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, code)) => return Ok(Report::Ended(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(Report::Ended(128 + signal as i32));
                }
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        },
    }
}

/// The outside's names of hosts and servers, as files in memory.
fn network_files(run: &Run, resolv: PathBuf, hosts: PathBuf) -> io::Result<Vec<Ready>> {
    let local =
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\tleme-build\n";
    let outside =
        |path: &str| if run.no_network { Vec::new() } else { fs::read(path).unwrap_or_default() };
    let mut lines = outside("/etc/hosts");
    if lines.is_empty() {
        lines = local.as_bytes().to_vec();
    }
    let files = [(resolv, outside("/etc/resolv.conf")), (hosts, lines)];
    let made = files.into_iter().map(|(at, text)| {
        let tree = memory_file(&run.root.scratch.join("file"), &text, 0o644, (0, 0))?;
        Ok(Ready { tree, at })
    });
    made.collect()
}

/// What a mount shows, and whether it is a directory.
fn make(wanted: &RunMount) -> io::Result<(OwnedFd, bool)> {
    let RunMount { mount, content, scratch, .. } = wanted;
    mounts::make(scratch)?;
    let owner = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
    Ok(match content {
        Content::Memory => (memory(mount)?, true),
        Content::Secret(text) => {
            let file =
                memory_file(&scratch.join("file"), text, mount.mode.unwrap_or(0o400), owner)?;
            (file, false)
        }
        Content::Socket(path) => {
            let opened = rustix::fs::open(
                path,
                rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )?;
            (copy_mount(opened.as_fd(), false)?, false)
        }
        Content::Cache(path) => {
            let tree = copy_mount(inside::root(path)?.as_fd(), false)?;
            if mount.readonly {
                sys::make_mount_readonly(tree.as_fd())?;
            }
            (tree, true)
        }
        Content::Files(from) => files(mount, from, scratch)?,
    })
}

fn memory(mount: &Mount) -> io::Result<OwnedFd> {
    let size = mount.size.map(|size| size.to_string());
    let mut options = vec![("mode", "1777")];
    if let Some(size) = &size {
        options.push(("size", size));
    }
    new_mount(
        "tmpfs",
        &options,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )
}

/// A file in memory that can be read only.
fn memory_file(at: &Path, text: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<OwnedFd> {
    mounts::make(at)?;
    let here = inside::root(at)?;
    let tree = new_mount("tmpfs", &[("mode", "700")], PLAIN)?;
    put(tree.as_fd(), here.as_fd())?;
    let path = at.join("file");
    fs::write(&path, text)?;
    std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    let file = inside::find(inside::root(at)?.as_fd(), Path::new("file"))?;
    let copy = copy_mount(file.as_fd(), false)?;
    sys::make_mount_readonly(copy.as_fd())?;
    Ok(copy)
}

/// Files of the context, a stage or an image. What is written there goes nowhere.
fn files(mount: &Mount, from: &From, scratch: &Path) -> io::Result<(OwnedFd, bool)> {
    let root = mounts::source(from, scratch)?;
    let source = leme_dockerfile::paths::below(mount.source.as_deref().unwrap_or_default());
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("mount source \"/{source}\": {error}"))
    };
    let found = inside::find(root.as_fd(), Path::new(&source)).map_err(named)?;
    let directory = inside::kind(&rustix::fs::fstat(&found)?) == FileType::Directory;
    if mount.readonly {
        let tree = copy_mount(found.as_fd(), false)?;
        sys::make_mount_readonly(tree.as_fd())?;
        return Ok((tree, directory));
    }
    if !directory {
        return Err(io::Error::other("a file is mounted to be read only"));
    }
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| scratch.join(name));
    for place in [&lower, &upper, &work] {
        mounts::make(place)?;
    }
    let lower_at = inside::root(&lower)?;
    put(copy_mount(found.as_fd(), false)?.as_fd(), lower_at.as_fd())?;
    stubs::copy_looks(&rustix::fs::fstat(&found)?, &upper)?;
    let target = scratch.join("both");
    mounts::make(&target)?;
    mount_in_namespace(&[lower], Some((&upper, &work)), inside::root(&target)?.as_fd())?;
    Ok((copy_mount(inside::root(&target)?.as_fd(), false)?, true))
}

/// Puts a mount on a place in a root.
pub(super) fn place(tree: BorrowedFd<'_>, root: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let target = inside::find(root, at)?;
    put(tree, target.as_fd())
}
