//! Running a command in a container of a user namespace: libcontainer leaves a command the machine's users there.
//!
//! Knows: how a process comes to be like the container's own. Refuses to know: what becomes of the command.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use libcontainer::syscall::syscall::create_syscall;
use libcontainer::workload::Executor as _;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Gid, Pid, Uid};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::pipe::{PipeFlags, pipe_with};

use super::executor::Launch;
use super::protocol::{ExecRequest, ShimRecord};
use crate::cgroup::Cgroup;
use crate::files;
use crate::namespaces::owner;

/// What is joined, in this order: who owns the others comes first, and where files are found last.
const NAMESPACES: &[(&str, CloneFlags)] = &[
    ("user", CloneFlags::CLONE_NEWUSER),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Where a command's streams lead.
pub(super) enum Stdio {
    /// Input, output, errors.
    Streams([OwnedFd; 3]),
    /// A terminal, whose master end goes there.
    Terminal(UnixStream),
}

/// Whether a container's users are those of a user namespace.
pub(super) fn has_users(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|one| one.typ() == LinuxNamespaceType::User)
}

/// Starts the command, which becomes this process's child. Why its program cannot be executed is said on `errors`.
pub(super) fn launch(
    request: &ExecRequest,
    spec: &Spec,
    stdio: Stdio,
    errors: OwnedFd,
) -> io::Result<Pid> {
    let ended = || io::Error::new(io::ErrorKind::NotFound, "the container has ended");
    let shim = files::read_json::<ShimRecord>(&request.directory.join("shim.json"))?;
    let init = shim.and_then(|shim| shim.init).ok_or_else(ended)?;
    let mut namespaces = Vec::new();
    for (name, kind) in NAMESPACES {
        namespaces.push((File::open(format!("/proc/{}/ns/{name}", init.pid))?, *kind));
    }
    // Its number may have come to be another's.
    if !init.alive() {
        return Err(ended());
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let (number, tells) = pipe_with(PipeFlags::CLOEXEC)?;
    let between = match crate::sys::fork()? {
        ForkResult::Child => {
            if let Err(error) = enter(spec, namespaces, &stdio, &errors, File::from(tells)) {
                crate::sys::write_raw(errors.as_raw_fd(), error.to_string().as_bytes());
            }
            std::process::exit(1);
        }
        ForkResult::Parent { child } => child,
    };
    drop((tells, errors, stdio));
    let _ = waitpid(between, None);
    let mut bytes = [0; 4];
    let told = File::from(number).read_exact(&mut bytes);
    told.map_err(|_| io::Error::other("the command's process ended before it began"))?;
    Ok(Pid::from_raw(i32::from_le_bytes(bytes)))
}

/// Leaves the machine and forks the command's process, whose number it tells.
fn enter(
    spec: &Spec,
    namespaces: Vec<(File, CloneFlags)>,
    stdio: &Stdio,
    errors: &OwnedFd,
    mut tells: File,
) -> io::Result<()> {
    let cgroup = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    let cgroup = cgroup.and_then(|path| path.to_str()).unwrap_or_default();
    Cgroup::new(cgroup)?.join(std::process::id() as i32)?;
    // Whoever traces others in there finds nothing in it.
    nix::sys::prctl::set_dumpable(false)?;
    for (namespace, kind) in namespaces {
        setns(namespace, kind)?;
        if kind == CloneFlags::CLONE_NEWUSER {
            owner::become_root()?;
        }
    }
    match crate::sys::fork()? {
        ForkResult::Child => {
            drop(tells);
            let Err(error) = become_command(spec, stdio, errors);
            crate::sys::write_raw(errors.as_raw_fd(), error.to_string().as_bytes());
            std::process::exit(1);
        }
        ForkResult::Parent { child } => tells.write_all(&child.as_raw().to_le_bytes()),
    }
}

/// What libcontainer does at the end for any command, in its order.
fn become_command(
    spec: &Spec,
    stdio: &Stdio,
    errors: &OwnedFd,
) -> Result<std::convert::Infallible, Box<dyn std::error::Error>> {
    let process = spec.process().as_ref().ok_or("the spec has no process")?;
    let syscall = create_syscall();
    let syscall = syscall.as_ref();
    nix::unistd::setsid()?;
    match stdio {
        Stdio::Streams([input, output, faults]) => {
            rustix::stdio::dup2_stdin(input)?;
            rustix::stdio::dup2_stdout(output)?;
            rustix::stdio::dup2_stderr(faults)?;
        }
        Stdio::Terminal(socket) => {
            libcontainer::tty::setup_console(syscall, socket.as_raw_fd(), false)?;
        }
    }
    if process.no_new_privileges() == Some(true) {
        nix::sys::prctl::set_no_new_privs()?;
    }
    std::env::set_current_dir(process.cwd())?;
    let user = process.user();
    let groups: Vec<Gid> =
        user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    nix::unistd::setgroups(&groups)?;
    // Capabilities go by the spec, not by the number of the user.
    nix::sys::prctl::set_keepcaps(true)?;
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    nix::sys::prctl::set_keepcaps(false)?;
    syscall.close_range(0)?;
    libcontainer::capabilities::reset_effective(syscall)?;
    if let Some(capabilities) = process.capabilities() {
        libcontainer::capabilities::drop_privileges(capabilities, syscall)?;
    }
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    let launch = Launch::command(errors.as_raw_fd(), seccomp);
    launch.validate(spec)?;
    launch.setup_envs(environment(process))?;
    launch.exec(spec)?;
    Err("the program was not executed".into())
}

fn environment(process: &Process) -> HashMap<String, String> {
    let pair = |entry: &String| {
        let (name, value) = entry.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    process.env().iter().flatten().filter_map(pair).collect()
}
