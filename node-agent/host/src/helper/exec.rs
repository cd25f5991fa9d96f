//! Running a command in a container: joins its namespaces, stays until the command ends.
//!
//! Knows: one command. Refuses to know: where its streams lead.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use oci_spec::runtime::{Process, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::container::{Console, classify, send_line_with_fd, set_oom_score, wait_executed};
use super::executor::Launch;
use super::join;
use super::protocol::{self, ExecRequest, Failure, Report};
use crate::files;

/// Runs the command. When the engine goes away, the command is killed.
pub(super) fn run(
    request: &ExecRequest,
    control: &UnixStream,
    streams: Vec<OwnedFd>,
) -> Result<(), Failure> {
    let scratch =
        Scratch::new(request).map_err(|error| Failure::failed("prepare command", &error))?;
    let (pid, terminal) = launch(request, &scratch, streams)?;
    drop(scratch);
    set_oom_score(pid.as_raw(), request.oom_score_adj);
    let started = protocol::line(&Report::ExecStarted { pid: pid.as_raw() });
    let sent = match &terminal {
        Some(master) => send_line_with_fd(control, &started, master),
        None => crate::sys::send_with_fds(control.as_fd(), &started, &[]),
    };
    drop(terminal);
    if sent.is_err() {
        end(pid);
    }
    let exit_code =
        wait(pid, control).map_err(|error| Failure::failed("wait for command", &error))?;
    protocol::send(control, &Report::ExecExited { exit_code });
    Ok(())
}

/// A copy of the runtime's state for this command alone: the runtime leaves sockets there that it never removes.
struct Scratch {
    root: PathBuf,
}

impl Scratch {
    fn new(request: &ExecRequest) -> io::Result<Scratch> {
        let root = request.run_directory.join("exec").join(files::random_hex(8)?);
        let scratch = Scratch { root };
        let directory = scratch.root.join(&request.id);
        fs::create_dir_all(&directory)?;
        fs::copy(
            request.run_directory.join("oci").join(&request.id).join("state.json"),
            directory.join("state.json"),
        )?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = files::remove_tree(&self.root);
    }
}

fn launch(
    request: &ExecRequest,
    scratch: &Scratch,
    streams: Vec<OwnedFd>,
) -> Result<(Pid, Option<OwnedFd>), Failure> {
    let failed = |error: io::Error| Failure::failed("prepare command", &error);
    let mut spec: Spec = files::read_json(
        &protocol::bundle(&request.run_directory, &request.id).join("config.json"),
    )
    .map_err(failed)?
    .ok_or_else(|| Failure::failed("prepare command", &"the container has no spec"))?;
    let process = process_of(request, &spec).map_err(failed)?;
    let (errors, errors_write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let streams = match <[OwnedFd; 3]>::try_from(streams) {
        _ if request.tty => None,
        Ok(streams) => Some(streams),
        Err(_) => return Err(Failure::invalid("prepare command", &"a stream is missing")),
    };
    if join::has_users(&spec) {
        spec.set_process(Some(process));
        return launch_inside(request, &spec, streams, (errors, errors_write));
    }
    let process_file = scratch.root.join("process.json");
    files::write_json(&process_file, &process).map_err(failed)?;
    let builder = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_root_path(&scratch.root)
        .map_err(|error| Failure::failed("prepare command", &files::chain(&error)))?
        .with_executor(Launch::command(
            errors_write.as_raw_fd(),
            spec.linux().as_ref().and_then(|l| l.seccomp().clone()),
        ));
    let (builder, console) = match streams {
        None => {
            let console = Console::listen(&scratch.root).map_err(failed)?;
            (builder.with_console_socket(Some(console.path.clone())), Some(console))
        }
        Some([input, output, faults]) => {
            (builder.with_stdin(input).with_stdout(output).with_stderr(faults), None)
        }
    };
    let tenant = builder.as_tenant().with_process(Some(process_file)).with_detach(true);
    let built = tenant.build();
    drop(errors_write);
    let reason = wait_executed(&errors);
    let pid = match (built, reason) {
        (_, Some(reason)) => return Err(classify(&reason)),
        (Err(error), None) => return Err(classify(&files::chain(&error))),
        (Ok(pid), None) => pid,
    };
    let terminal = console.map(Console::accept).transpose().map_err(failed)?;
    Ok((Pid::from_raw(pid.as_raw()), terminal))
}

/// The same where the container's users are those of a user namespace. `errors` are the ends of a pipe.
fn launch_inside(
    request: &ExecRequest,
    spec: &Spec,
    streams: Option<[OwnedFd; 3]>,
    (errors, errors_write): (OwnedFd, OwnedFd),
) -> Result<(Pid, Option<OwnedFd>), Failure> {
    let failed = |error: io::Error| Failure::failed("prepare command", &error);
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let (stdio, console) = match streams {
        Some(streams) => (join::Stdio::Streams(streams), None),
        None => (join::Stdio::Terminal(theirs), Some(ours)),
    };
    let launched = join::launch(request, spec, stdio, errors_write);
    let pid = match (wait_executed(&errors), launched) {
        (Some(reason), _) => return Err(classify(&reason)),
        (None, launched) => launched.map_err(failed)?,
    };
    let terminal = console.map(|console| {
        let (_, fds) = crate::sys::recv_with_fds(console.as_fd(), &mut [0; 64])?;
        fds.into_iter().next().ok_or_else(|| io::Error::other("no terminal was sent"))
    });
    Ok((pid, terminal.transpose().map_err(failed)?))
}

fn process_of(request: &ExecRequest, spec: &Spec) -> io::Result<Process> {
    let mut process =
        spec.process().clone().ok_or_else(|| io::Error::other("the spec has no process"))?;
    process.set_args(Some(request.args.clone())).set_terminal(Some(request.tty));
    Ok(process)
}

fn wait(pid: Pid, control: &UnixStream) -> io::Result<i32> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let mut engine_gone = false;
    loop {
        match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as i32),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut watched = vec![PollFd::new(&signals, PollFlags::IN)];
        if !engine_gone {
            watched.push(PollFd::new(control, PollFlags::IN));
        }
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let control_ready = watched.get(1).is_some_and(|entry| !entry.revents().is_empty());
        while let Ok(Some(_)) = signals.read_signal() {}
        if control_ready {
            let mut buffer = [0; 256];
            let mut reader = control;
            if !matches!(reader.read(&mut buffer), Ok(length) if length > 0) {
                engine_gone = true;
                end(pid);
            }
        }
    }
}

/// Kills the command and what it started in its session's first process group.
fn end(pid: Pid) {
    let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
    let _ = kill(pid, Signal::SIGKILL);
}
