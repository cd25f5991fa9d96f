//! The helper process: the same program started again, single-threaded, so that namespaces and forks are safe.
//!
//! One *zygote* per engine waits for requests and forks a child for each: a child makes a sandbox and ends, runs a
//! command in a container and ends with it, or becomes the *shim* of one container, which outlives everybody until that
//! container ends. Forking keeps a shim's own memory to what it changes.
//!
//! Knows: how processes are made and watched. Refuses to know: tokio, pods, images.

mod container;
mod exec;
mod executor;
mod join;
pub mod logs;
mod mirror;
mod pause;
mod points;
pub mod protocol;
mod shim;
mod stage;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sys::signal::Signal;
use nix::unistd::ForkResult;

pub(crate) use executor::search;
use protocol::{Failure, Report, Request};

/// The hidden first argument that makes a program the helper.
pub const WORD: &str = "oci-runtime";

/// Acts as the helper if `args` (with the program's name first) ask for it. Must be called before any thread exists.
pub fn main(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1).is_none_or(|word| word != WORD) {
        return None;
    }
    Some(match zygote() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it any more.
            let _ = writeln!(io::stderr(), "{WORD}: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Serves requests from the socket on standard input until its other end is closed.
fn zygote() -> io::Result<()> {
    if threads()? != 1 {
        return Err(io::Error::other("the helper must be single-threaded"));
    }
    let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin().as_fd(), 3)?;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    std::env::set_current_dir("/")?;
    let _ = nix::unistd::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Children are not waited for: the kernel drops them. A child that waits for its own puts this back.
    crate::sys::set_signal(Signal::SIGCHLD, true)?;
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        crate::sys::set_signal(signal, true)?;
    }
    let _ = nix::sys::prctl::set_name(c"leme-helper");
    loop {
        let mut byte = [0u8; 8];
        let (length, fds) = match crate::sys::recv_with_fds(socket.as_fd(), &mut byte) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            received => received?,
        };
        if length == 0 {
            return Ok(());
        }
        match crate::sys::fork() {
            Ok(ForkResult::Child) => {
                drop(socket);
                run_child(fds);
                std::process::exit(0);
            }
            Ok(ForkResult::Parent { .. }) => {}
            Err(error) => {
                if let Some(control) = fds.into_iter().next() {
                    report_failure(&UnixStream::from(control), Failure::failed("fork", &error));
                }
            }
        }
    }
}

fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// One forked child: the first descriptor is its control stream, the rest belong to the request.
fn run_child(fds: Vec<OwnedFd>) {
    let mut fds = fds.into_iter();
    let Some(control) = fds.next().map(UnixStream::from) else { return };
    let rest: Vec<OwnedFd> = fds.collect();
    crate::sys::reset_signals();
    let _ = crate::sys::set_signal(Signal::SIGPIPE, true);
    let _ = nix::unistd::setsid();
    let request = match read_request(&control) {
        Ok(request) => request,
        Err(error) => return report_failure(&control, Failure::failed("request", &error)),
    };
    let result = match request {
        Request::Sandbox(request) => crate::namespaces::create(&request)
            .map_err(|error| Failure::failed("make sandbox", &error)),
        Request::Pause(request) => pause::run(&request),
        Request::Container(request) => shim::run(*request, &control),
        Request::Exec(request) => exec::run(&request, &control, rest),
    };
    match result {
        Ok(()) => protocol::send(&control, &Report::Done),
        Err(failure) => {
            report_failure(&control, failure);
            reap_briefly();
        }
    }
}

/// Takes in the processes of a failed attempt. Left to the machine's first process they could stay for long, and a PID
/// namespace does not end before all of its processes are taken in.
fn reap_briefly() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    for _ in 0..1000 {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(std::time::Duration::from_millis(2)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn report_failure(control: &UnixStream, failure: Failure) {
    protocol::send(control, &Report::Failed(failure));
}

fn read_request(control: &UnixStream) -> io::Result<Request> {
    let mut line = Vec::new();
    // Byte-wise reading would be slow and buffering past the line would lose what follows: nothing follows before
    // the answer.
    BufReader::new(control).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}
