//! Sandboxes: network, IPC and UTS namespaces that live without a process, held by bind mounts.
//!
//! Knows: namespaces. Refuses to know: containers, addresses. Every function that changes the calling process's
//! namespaces is for the helper's children only, except for one that does so in a thread of its own.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::mounts;
use crate::process::ProcessId;

pub(crate) mod owner;

/// The namespaces to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SandboxRequest {
    /// Directory for the bind mounts; becomes [`SandboxPaths`].
    pub directory: PathBuf,
    /// Host name inside.
    pub hostname: String,
    /// Whether to make a network namespace.
    pub network: bool,
    /// Sysctls to set inside, already checked by [`allowed_sysctl`].
    pub sysctls: Vec<(String, String)>,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
    /// Size of the directory for files that containers share and may write to; 0 for none.
    #[serde(default)]
    pub files_bytes: u64,
    /// Make a user namespace, which owns the others, whose ids are those of the machine from here on.
    #[serde(default)]
    pub first_id: Option<u32>,
}

/// Where a sandbox's parts are.
#[derive(Clone, Debug)]
pub struct SandboxPaths(pub PathBuf);

impl SandboxPaths {
    /// The network namespace.
    pub fn net(&self) -> PathBuf {
        self.0.join("net")
    }
    /// The IPC namespace.
    pub fn ipc(&self) -> PathBuf {
        self.0.join("ipc")
    }
    /// The UTS namespace.
    pub fn uts(&self) -> PathBuf {
        self.0.join("uts")
    }
    /// The user namespace, if the pod has one of its own.
    pub fn user(&self) -> PathBuf {
        self.0.join("user")
    }
    /// The shared PID namespace, if the pod asked for one.
    pub fn pid(&self) -> PathBuf {
        self.0.join("pid")
    }
    /// Files that containers share and may write to, in memory and of a bounded size: `hosts` and the like.
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }
    /// What becomes `/dev/shm`.
    pub fn shm(&self) -> PathBuf {
        self.0.join("shm")
    }
}

/// Makes the sandbox in a child process, which leaves its own namespaces for it and ends afterwards.
pub fn create(request: &SandboxRequest) -> io::Result<()> {
    let paths = SandboxPaths(request.directory.clone());
    fs::create_dir_all(&paths.0)?;
    let made = (|| {
        match request.first_id {
            None => {
                isolate(request)?;
                hold_all(Path::new("/proc/self/ns"), &paths, request)?;
            }
            Some(first) => owner::create(first, request, &paths)?,
        }
        if request.files_bytes > 0 {
            fs::create_dir_all(paths.files())?;
            mounts::mount_files(&paths.files(), request.files_bytes)?;
        }
        fs::create_dir_all(paths.shm())?;
        mounts::mount_shm(&paths.shm(), request.shm_bytes)
    })();
    if made.is_err() {
        let _ = remove(&paths.0);
    }
    made
}

/// Takes the calling process into namespaces of its own, as they are to be.
fn isolate(request: &SandboxRequest) -> io::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if request.network {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    unshare(flags)?;
    rustix::system::sethostname(request.hostname.as_bytes())?;
    if request.network {
        crate::sys::loopback_up()?;
    }
    request.sysctls.iter().try_for_each(|(name, value)| write_sysctl(name, value))
}

/// Holds what [`isolate`] made; `directory` is the `/proc/PID/ns` of who is in there.
fn hold_all(directory: &Path, paths: &SandboxPaths, request: &SandboxRequest) -> io::Result<()> {
    hold_of(directory, "ipc", &paths.ipc())?;
    hold_of(directory, "uts", &paths.uts())?;
    match request.network {
        true => hold_of(directory, "net", &paths.net()),
        false => Ok(()),
    }
}

/// Keeps a namespace alive that `directory` (a `/proc/PID/ns`) names.
pub fn hold_of(directory: &Path, kind: &str, target: &Path) -> io::Result<()> {
    File::options().create(true).append(true).open(target)?;
    rustix::mount::mount_bind(directory.join(kind), target)?;
    Ok(())
}

/// Takes the sandbox's mounts away and its directory with them; what is absent is fine.
pub fn remove(directory: &Path) -> io::Result<()> {
    crate::removal::remove_tree(directory)
}

/// A TCP socket in a network namespace, or in the caller's own. It stays there wherever it is used.
pub fn tcp_socket(netns: Option<&Path>, v6: bool) -> io::Result<OwnedFd> {
    let make = move || {
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from)
    };
    let Some(netns) = netns else { return make() };
    let netns = File::open(netns)?;
    // A thread that enters a namespace is of no other use afterwards.
    let thread = std::thread::Builder::new().name("netns".into()).spawn(move || {
        setns(&netns, CloneFlags::CLONE_NEWNET)?;
        make()
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// The PID namespace of a process of a cgroup. While it is held open it is that one, whatever becomes of the process.
pub fn open_pid_namespace(pid: i32, cgroup: &Cgroup) -> io::Result<OwnedFd> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the process has ended");
    let process = ProcessId::of(pid).ok_or_else(gone)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open(format!("/proc/{pid}/ns/pid"), flags, Mode::empty())?;
    // The number may have come to be another's, the machine's own among them.
    if !cgroup.processes().contains(&pid) || !process.alive() {
        return Err(gone());
    }
    let (found, own) = (rustix::fs::fstat(&namespace)?, rustix::fs::stat("/proc/self/ns/pid")?);
    if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino) {
        return Err(io::Error::other("its PID namespace is the machine's"));
    }
    Ok(namespace)
}

/// Whether the path is a mounted namespace (and not the empty file under it after a reboot).
pub fn is_held(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == libc::NSFS_MAGIC as u64)
}

/// Whether a sysctl belongs to the namespaces that a sandbox has, so that setting it touches nobody else.
pub fn allowed_sysctl(name: &str, own_network: bool) -> bool {
    let plain = name.split('.').all(|part| !part.is_empty())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let ipc =
        ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix));
    plain && (ipc || name == "kernel.sem" || (own_network && name.starts_with("net.")))
}

fn write_sysctl(name: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys").join(name.replace('.', "/"));
    fs::write(&path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("sysctl {name}={value}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_sysctls() {
        for (name, own, allowed) in [
            ("net.ipv4.ip_forward", true, true),
            ("net.ipv4.ip_forward", false, false),
            ("kernel.shmmax", false, true),
            ("kernel.sem", false, true),
            ("kernel.semaphore", false, false),
            ("kernel.panic", true, false),
            ("net..ip", true, false),
            ("net.ipv4/../../kernel/panic", true, false),
        ] {
            assert_eq!(allowed_sysctl(name, own), allowed, "{name}");
        }
    }
}
