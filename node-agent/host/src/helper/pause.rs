//! The first process of a PID namespace that a pod's containers share: it does nothing but let the kernel reap.
//!
//! Knows: one namespace. Refuses to know: who joins it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Gid, Uid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::pipe::{PipeFlags, pipe_with};

use super::protocol::{Failure, PauseRequest};
use crate::cgroup::Cgroup;
use crate::namespaces::{SandboxPaths, hold_of, is_held};

/// Nobody in particular.
const NOBODY: u32 = 65_535;

/// Makes the namespace and holds it at the request's path. The reaping process stays when this one ends.
pub(super) fn run(request: &PauseRequest) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::failed("make PID namespace", &error);
    unshare(CloneFlags::CLONE_NEWPID).map_err(|error| failed(error.into()))?;
    let (confined, says_so) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let child = match crate::sys::fork().map_err(failed)? {
        ForkResult::Child => {
            let directory = request.target.parent().map(PathBuf::from).unwrap_or_default();
            if confine(&SandboxPaths(directory)).is_err() {
                std::process::exit(1);
            }
            let _ = File::from(says_so).write_all(b"!");
            reap_for_ever()
        }
        ForkResult::Parent { child } => child,
    };
    drop(says_so);
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

/// Containers see this process. One that may trace others must find nothing of the host in it: no files, no network,
/// no rights.
fn confine(sandbox: &SandboxPaths) -> io::Result<()> {
    for (path, kind) in [
        (sandbox.net(), CloneFlags::CLONE_NEWNET),
        (sandbox.ipc(), CloneFlags::CLONE_NEWIPC),
        (sandbox.uts(), CloneFlags::CLONE_NEWUTS),
    ] {
        if is_held(&path) {
            setns(File::open(&path)?, kind)?;
        }
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let flags = MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::RDONLY;
    rustix::mount::mount("empty", &sandbox.0, "tmpfs", flags, c"size=4k")?;
    std::env::set_current_dir(&sandbox.0)?;
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
