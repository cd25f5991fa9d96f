//! A user namespace for a build, from outside of one: the process that becomes its root.
//!
//! Knows: who may be mapped, and that the context is shown as the namespace sees owners. Refuses to know: Dockerfiles.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use leme_host::mounts::{copy_mount, new_mount, put};
use leme_host::sys;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Pid, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::inside;

/// Users of a build.
pub(crate) const USERS: u32 = 65536;
/// The first user of the machine that is one of a build's: above what systemd gives containers, below what it keeps for itself.
const FIRST: u32 = 0x7000_0000;
/// Where in the namespace everything is that a build has of the outside.
const PLACE: &str = "/tmp";

/// What a build has of the outside, and where it finds it.
pub(crate) struct Places {
    pub(crate) store: PathBuf,
    pub(crate) context: PathBuf,
    pub(crate) bases: PathBuf,
}

/// The users of the machine that a new store's builds have.
///
/// # Errors
/// When all are taken.
pub(crate) fn first_user() -> io::Result<u32> {
    let taken = |path: &str, field: usize| -> Vec<(u32, u32)> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let read = |line: &str| {
            let mut fields = line.split(':').skip(field);
            let first = fields.next()?.parse().ok()?;
            let count = fields.next().and_then(|count| count.parse().ok()).unwrap_or(1);
            Some((first, if field == 1 { count } else { 1 }))
        };
        text.lines().filter_map(read).collect()
    };
    let mut all = Vec::new();
    for (path, field) in
        [("/etc/subuid", 1), ("/etc/subgid", 1), ("/etc/passwd", 2), ("/etc/group", 2)]
    {
        all.extend(taken(path, field));
    }
    let free = |first: &u32| {
        let end = first.saturating_add(USERS);
        !all.iter().any(|(from, count)| *from < end && from.saturating_add(*count) > *first)
    };
    let mut firsts = (0..16).map(|at| FIRST + at * USERS);
    firsts.find(free).ok_or_else(|| io::Error::other("no range of 65536 users is free"))
}

/// Becomes the root of a user namespace, with a mount namespace in which only these places are added. For a single-threaded
/// process.
pub(crate) fn enter(store: &Path, context: &Path, bases: &Path) -> io::Result<Places> {
    match nix::unistd::geteuid().is_root() {
        true => enter_as_root(store, context, bases),
        false => enter_as_user(store, context, bases),
    }
}

fn private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

fn enter_as_root(store: &Path, context: &Path, bases: &Path) -> io::Result<Places> {
    let first = fs::metadata(store)?.uid();
    let namespace = made_namespace(first)?;
    private()?;
    let context = mapped(context, &namespace)?;
    let places = put_places(store, context, mapped(bases, &namespace)?)?;
    setns(&namespace, CloneFlags::CLONE_NEWUSER)?;
    become_root()?;
    private()?;
    Ok(places)
}

/// A directory as the namespace sees owners. One with mounts in it, or of a file system that cannot do so, is shown as it is.
fn mapped(directory: &Path, namespace: &OwnedFd) -> io::Result<OwnedFd> {
    let directory = inside::root(directory)?;
    let mapped = copy_mount(directory.as_fd(), false).and_then(|tree| {
        sys::map_mount(tree.as_fd(), namespace.as_fd())?;
        Ok(tree)
    });
    mapped.or_else(|_| copy_mount(directory.as_fd(), true))
}

fn enter_as_user(store: &Path, context: &Path, bases: &Path) -> io::Result<Places> {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let me = std::process::id().to_string();
    let uids = own_range("/etc/subuid", uid)?;
    let gids = own_range("/etc/subgid", uid)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    // Somebody outside has to say who is who.
    match sys::fork()? {
        ForkResult::Child => {
            drop(writer);
            let mut byte = [0u8];
            let told = fs::File::from(reader).read_exact(&mut byte);
            let run = |program: &str, own: u32, (first, count): (u32, u32)| {
                let own = own.to_string();
                let (first, count) = (first.to_string(), count.to_string());
                let args = [&*me, "0", &own, "1", "1", &first, &count];
                let status = Command::new(program).args(args).stdin(Stdio::null()).status();
                status.is_ok_and(|status| status.success())
            };
            let done = told.is_ok() && run("newuidmap", uid, uids) && run("newgidmap", gid, gids);
            std::process::exit(i32::from(!done));
        }
        ForkResult::Parent { child } => {
            drop(reader);
            unshare(CloneFlags::CLONE_NEWUSER)?;
            fs::File::from(writer).write_all(b"x")?;
            match waitpid(child, None)? {
                nix::sys::wait::WaitStatus::Exited(_, 0) => {}
                _ => {
                    let text = "newuidmap and newgidmap (package uidmap) are needed to build as somebody who is not root";
                    return Err(io::Error::other(text));
                }
            }
        }
    }
    become_root()?;
    private()?;
    let context = copy_mount(inside::root(context)?.as_fd(), true)?;
    let bases = copy_mount(inside::root(bases)?.as_fd(), false)?;
    put_places(store, context, bases)
}

fn own_range(path: &str, uid: u32) -> io::Result<(u32, u32)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let names = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let range = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let whose = fields.next()?;
        let own = whose == uid.to_string() || name.as_deref() == Some(whose);
        let (first, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        own.then_some((first, count))
    });
    let text =
        format!("{path} gives user {uid} no range: build as root, or add a line USER:100000:65536");
    range.ok_or_else(|| io::Error::other(text))
}

/// A user namespace with its mapping, made in a child that ends at once.
fn made_namespace(first: u32) -> io::Result<OwnedFd> {
    if first < FIRST {
        let text = "the store of builds belongs to a user of this machine";
        return Err(io::Error::other(text));
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        ForkResult::Child => {
            drop(reader);
            let made = unshare(CloneFlags::CLONE_NEWUSER);
            let _ = fs::File::from(writer).write_all(&[u8::from(made.is_ok())]);
            // Until it is ended.
            loop {
                nix::unistd::pause();
            }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let made = hold(child, reader, first);
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            made
        }
    }
}

fn hold(child: Pid, reader: OwnedFd, first: u32) -> io::Result<OwnedFd> {
    let mut byte = [0u8];
    fs::File::from(reader).read_exact(&mut byte)?;
    if byte != [1] {
        return Err(io::Error::other("no user namespace can be made here"));
    }
    let process = PathBuf::from(format!("/proc/{child}"));
    for map in ["uid_map", "gid_map"] {
        fs::write(process.join(map), format!("0 {first} {USERS}\n"))?;
    }
    Ok(rustix::fs::open(process.join("ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn become_root() -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    match nix::unistd::setgroups(&[]) {
        Ok(()) | Err(nix::errno::Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    nix::unistd::setresgid(gid, gid, gid)?;
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}

/// Puts what a build has of the outside where it finds it, over what is there.
fn put_places(store: &Path, context: OwnedFd, bases: OwnedFd) -> io::Result<Places> {
    let store = copy_mount(inside::root(store)?.as_fd(), false)?;
    sys::make_mount_readonly(bases.as_fd())?;
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let tree = new_mount("tmpfs", &[("mode", "755")], flags)?;
    put(tree.as_fd(), inside::root(Path::new(PLACE))?.as_fd())?;
    let own = PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd()));
    for (name, mount) in [("store", &store), ("context", &context), ("bases", &bases)] {
        let path = own.join(name);
        fs::create_dir(&path)?;
        put(mount.as_fd(), inside::root(&path)?.as_fd())?;
    }
    let at = |name: &str| Path::new(PLACE).join(name);
    Ok(Places { store: at("store"), context: at("context"), bases: at("bases") })
}
