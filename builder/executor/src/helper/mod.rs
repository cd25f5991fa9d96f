//! The helper: the same program started again, single-threaded, for one step in namespaces of its own.
//!
//! What it mounts is gone with it, however it ends. Knows: how a request comes and a report goes. Refuses to know: Dockerfiles,
//! the store.

mod files;
mod mounts;
mod pid1;
pub(crate) mod protocol;
mod run;
mod stubs;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use rustix::mount::{MountPropagationFlags, mount_change};

pub(crate) use files::digest_in;
use protocol::{Report, Request};
pub(crate) use run::SCRIPTS;
pub(crate) use stubs::copy_looks;

/// The hidden first argument that makes a program the helper.
pub(crate) const WORD: &str = "build-step";
/// Bytes of a request at most: secrets and documents are in it.
const REQUEST: u64 = 64 << 20;

/// Acts as the helper if the arguments ask for it.
pub(crate) fn main(args: &[OsString]) -> Option<ExitCode> {
    if args.get(1).is_none_or(|word| word != WORD) {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{WORD}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn serve() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the helper must be single-threaded"));
    }
    // Whoever began it may be gone already; then nobody reads what it says.
    nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL))?;
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?);
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut bytes = Vec::new();
    (&socket).take(REQUEST).read_to_end(&mut bytes)?;
    let request: Request = serde_json::from_slice(&bytes)?;
    let report = carry_out(request).unwrap_or_else(|error| Report::Failed(error.to_string()));
    (&socket).write_all(&serde_json::to_vec(&report)?)
}

fn carry_out(request: Request) -> io::Result<Report> {
    let mut own = CloneFlags::CLONE_NEWNS;
    if let Request::Run(run) = &request {
        own |= CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
        own.set(CloneFlags::CLONE_NEWNET, run.no_network);
    }
    unshare(own)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    match request {
        Request::Run(run) => run::run(*run),
        Request::Copy(copy) => files::copy(*copy),
        Request::Digest(digest) => files::digest(&digest),
        Request::Directory(directory) => files::directory(&directory),
    }
}
