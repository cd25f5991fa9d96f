//! The first process of a PID namespace that a pod's containers share: it does nothing but let the kernel reap.
//!
//! Knows: one namespace. Refuses to know: who joins it.

use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::ForkResult;

use super::protocol::{Failure, PauseRequest};
use crate::cgroup::Cgroup;
use crate::namespaces::hold_of;

/// Makes the namespace and holds it at the request's path. The reaping process stays when this one ends.
pub(super) fn run(request: &PauseRequest) -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWPID)
        .map_err(|error| Failure::failed("unshare PID namespace", &error))?;
    let child = match crate::sys::fork().map_err(|error| Failure::failed("fork", &error))? {
        ForkResult::Child => reap_for_ever(),
        ForkResult::Parent { child } => child,
    };
    let held = Cgroup::new(&request.cgroup)
        .and_then(|cgroup| cgroup.join(child.as_raw()))
        .and_then(|()| hold_of(Path::new(&format!("/proc/{child}/ns")), "pid", &request.target));
    held.map_err(|error| {
        let _ = kill(child, Signal::SIGKILL);
        Failure::failed("hold PID namespace", &error)
    })
}

fn reap_for_ever() -> ! {
    crate::sys::close_from(3);
    let _ = nix::sys::prctl::set_name(c"pause");
    // Ignoring SIGCHLD makes the kernel drop every child that ends, adopted ones included.
    let _ = crate::sys::set_signal(Signal::SIGCHLD, true);
    loop {
        nix::unistd::pause();
    }
}
