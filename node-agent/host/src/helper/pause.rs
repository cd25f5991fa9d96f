//! The first process of a PID namespace that a pod's containers share: it does nothing but let the kernel reap.
//!
//! Knows: one namespace. Refuses to know: who joins it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Pid, Uid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::protocol::{Failure, PauseRequest};
use crate::cgroup::Cgroup;
use crate::namespaces::{SandboxPaths, hold_of, is_held, owner};

/// Nobody in particular.
const NOBODY: u32 = 65_535;
/// Where its root is mounted at first: a directory that is there for every user.
const PLACE: &str = "/proc";

/// Makes the namespace and holds it at the request's path. The reaping process stays when this one ends.
pub(super) fn run(request: &PauseRequest) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::failed("make PID namespace", &error);
    // It comes to be this process's child when the one in between has ended.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()));
    let ((number, tells), (confined, says_so)) = (pipe()?, pipe()?);
    let between = match crate::sys::fork().map_err(failed)? {
        ForkResult::Child => {
            let directory = request.target.parent().map(PathBuf::from).unwrap_or_default();
            let _ = make(&SandboxPaths(directory), File::from(tells), File::from(says_so));
            std::process::exit(0);
        }
        ForkResult::Parent { child } => child,
    };
    drop((tells, says_so));
    let _ = waitpid(between, None);
    let mut bytes = [0; 4];
    File::from(number).read_exact(&mut bytes).map_err(failed)?;
    let child = Pid::from_raw(i32::from_le_bytes(bytes));
    let held = (|| {
        Cgroup::new(&request.cgroup)?.join(child.as_raw())?;
        File::from(confined).read_exact(&mut [0])?;
        hold_of(Path::new(&format!("/proc/{child}/ns")), "pid", &request.target)
    })();
    held.map_err(|error| {
        let _ = kill(child, Signal::SIGKILL);
        failed(error)
    })
}

/// Forks the reaping process, in the pod's user namespace if there is one, and tells its number. This process ends then.
fn make(sandbox: &SandboxPaths, mut tells: File, mut says_so: File) -> io::Result<()> {
    // Who is in a user namespace may not find them any more.
    let mut namespaces = Vec::new();
    for (path, kind) in [
        (sandbox.net(), CloneFlags::CLONE_NEWNET),
        (sandbox.ipc(), CloneFlags::CLONE_NEWIPC),
        (sandbox.uts(), CloneFlags::CLONE_NEWUTS),
    ] {
        if is_held(&path) {
            namespaces.push((File::open(&path)?, kind));
        }
    }
    if is_held(&sandbox.user()) {
        owner::enter(&sandbox.user())?;
    }
    unshare(CloneFlags::CLONE_NEWPID)?;
    match crate::sys::fork()? {
        ForkResult::Child => {
            if confine(namespaces).is_err() {
                std::process::exit(1);
            }
            let _ = says_so.write_all(b"!");
            reap_for_ever()
        }
        ForkResult::Parent { child } => tells.write_all(&child.as_raw().to_le_bytes()),
    }
}

/// Containers see this process. One that may trace others must find nothing of the host in it: no files, no network,
/// no rights.
fn confine(namespaces: Vec<(File, CloneFlags)>) -> io::Result<()> {
    for (namespace, kind) in namespaces {
        setns(namespace, kind)?;
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::RDONLY;
    rustix::mount::mount("empty", PLACE, "tmpfs", flags, c"size=4k")?;
    std::env::set_current_dir(PLACE)?;
    nix::unistd::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")?;
    nix::sys::prctl::set_no_new_privs()?;
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(Gid::from_raw(NOBODY), Gid::from_raw(NOBODY), Gid::from_raw(NOBODY))?;
    nix::unistd::setresuid(Uid::from_raw(NOBODY), Uid::from_raw(NOBODY), Uid::from_raw(NOBODY))?;
    Ok(())
}

fn reap_for_ever() -> ! {
    crate::sys::close_from(0);
    let _ = nix::sys::prctl::set_name(c"pause");
    // Ignoring SIGCHLD makes the kernel drop every child that ends, adopted ones included.
    let _ = crate::sys::set_signal(Signal::SIGCHLD, true);
    loop {
        nix::unistd::pause();
    }
}
