//! The first process of a command's namespaces: it finishes the root, moves into it, runs the command and ends with it, and
//! everything that the command has left ends then.
//!
//! Knows: the places that docker mounts in every root. Refuses to know: what the command is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use leme_host::confine::Confinement;
use leme_host::mounts::{copy_mount, new_mount, put};
use leme_host::spec::{ProcessInput, users};
use leme_host::sys;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::ForkResult;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};

use super::protocol::Run;
use super::run::{Ready, SCRIPTS, place};
use crate::inside;

/// Devices that a command finds, all of which anybody may use.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// What of `/proc` shows the machine, and what of it could change it.
const MASKED: &[&str] = &[
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "scsi",
    "interrupts",
];
const FIXED: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];
/// How a process ends that could not begin: the command could not be run, could not be found.
const NOT_MADE: i32 = 125;
const NOT_FOUND: i32 = 127;

/// Where in a root, without links.
pub(super) struct Places {
    pub(super) proc: PathBuf,
    pub(super) dev: PathBuf,
    pub(super) sys: PathBuf,
}

/// Runs a command; how it ended.
pub(super) fn begin(run: Run, root: &OwnedFd, places: &Places, ready: &[Ready]) -> i32 {
    match prepare(&run, root.as_fd(), places, ready) {
        Ok(()) => {}
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot run the command: {error}");
            return NOT_MADE;
        }
    }
    match sys::fork() {
        Ok(ForkResult::Child) => {
            let _ = writeln!(io::stderr(), "{}", become_it(&run));
            NOT_FOUND
        }
        Ok(ForkResult::Parent { child }) => loop {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) if pid == child => return code,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                    return 128 + signal as i32;
                }
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => return NOT_MADE,
            }
        },
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot run the command: {error}");
            NOT_MADE
        }
    }
}

fn prepare(run: &Run, root: BorrowedFd<'_>, places: &Places, ready: &[Ready]) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Some(Signal::SIGKILL))?;
    let _ = nix::unistd::setsid();
    let told = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    proc(root, &places.proc).map_err(told("/proc"))?;
    dev(run, root, &places.dev).map_err(told("/dev"))?;
    show_sys(root, &places.sys).map_err(told("/sys"))?;
    for Ready { tree, at } in ready {
        place(tree.as_fd(), root, at).map_err(told(&at.display().to_string()))?;
    }
    inside::make_all(root, Path::new(&run.directory), 0o755, Some((0, 0)))
        .map_err(told(&run.directory))?;
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

fn proc(root: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = new_mount("proc", &[], flags)?;
    place(tree.as_fd(), root, at)?;
    let here = inside::directory(root, at)?;
    let null = rustix::fs::open("/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    for name in MASKED {
        let Ok(what) = inside::find(here.as_fd(), Path::new(name)) else { continue };
        let directory = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&what)?.st_mode)
            == rustix::fs::FileType::Directory;
        let mask = match directory {
            true => {
                new_mount("tmpfs", &[("mode", "755")], flags | MountAttrFlags::MOUNT_ATTR_RDONLY)?
            }
            false => copy_mount(null.as_fd(), false)?,
        };
        put(mask.as_fd(), what.as_fd())?;
    }
    for name in FIXED {
        let Ok(what) = inside::find(here.as_fd(), Path::new(name)) else { continue };
        let copy = copy_mount(what.as_fd(), false)?;
        sys::make_mount_readonly(copy.as_fd())?;
        put(copy.as_fd(), what.as_fd())?;
    }
    Ok(())
}

/// `/dev`: what everybody may have of the outside's, terminals and memory of its own.
fn dev(run: &Run, root: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = new_mount("tmpfs", &[("mode", "755"), ("size", "65536k")], attributes)?;
    place(tree.as_fd(), root, at)?;
    let here = inside::directory(root, at)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&here)));
    for name in DEVICES {
        let outside = Path::new("/dev").join(name);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        // A machine that has none shows none.
        let Ok(device) = rustix::fs::open(&outside, flags, Mode::empty()) else { continue };
        File::create(path.join(name))?;
        let copy = copy_mount(device.as_fd(), false)?;
        put(copy.as_fd(), inside::find(here.as_fd(), Path::new(name))?.as_fd())?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(to, path.join(name))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(path.join(name))?;
    }
    let none = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    let terminals = new_mount("devpts", &terminals, none)?;
    place(terminals.as_fd(), here.as_fd(), Path::new("pts"))?;
    let memory = [("mode", "1777"), ("size", "65536k")];
    let memory = new_mount("tmpfs", &memory, none | MountAttrFlags::MOUNT_ATTR_NODEV)?;
    place(memory.as_fd(), here.as_fd(), Path::new("shm"))?;
    let queues = new_mount("mqueue", &[], none | MountAttrFlags::MOUNT_ATTR_NODEV)?;
    place(queues.as_fd(), here.as_fd(), Path::new("mqueue"))?;
    if let Some((name, text)) = &run.script {
        let below = SCRIPTS.trim_start_matches("/dev/");
        let directory = path.join(below);
        fs::create_dir(&directory)?;
        let file = directory.join(Path::new(name).file_name().unwrap_or_default());
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        // A script has to be executed, and nothing else in /dev.
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let tree = new_mount("tmpfs", &[("mode", "755")], flags)?;
        let script = fs::read(&file)?;
        place(tree.as_fd(), here.as_fd(), Path::new(below))?;
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The outside's `/sys`, to be read.
fn show_sys(root: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let sys =
        rustix::fs::open("/sys", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    // What cannot be made read-only is not shown.
    let tree = sys.map_err(io::Error::from).and_then(|sys| {
        let tree = copy_mount(sys.as_fd(), true)?;
        sys::make_mounts_readonly(tree.as_fd())?;
        Ok(tree)
    });
    match tree {
        Ok(tree) => place(tree.as_fd(), root, at),
        Err(_) => Ok(()),
    }
}

/// Becomes the command; what is told is why it did not.
fn become_it(run: &Run) -> String {
    sys::close_from(3);
    let wanted = ProcessInput { image_user: run.user.clone(), ..ProcessInput::default() };
    let identity = match users::resolve(&wanted, Path::new("/")) {
        Ok(identity) => identity,
        Err(error) => return error.to_string(),
    };
    let entered = rustix::process::chdir(run.directory.as_str())
        .map_err(io::Error::from)
        .and_then(|()| std::env::current_dir());
    match entered {
        // What is elsewhere is named so by the kernel.
        Ok(here) if here.is_absolute() && here.starts_with("/") => {}
        Ok(_) => return format!("the directory {:?} is not in the root", run.directory),
        Err(error) => return format!("cannot enter {:?}: {error}", run.directory),
    }
    let mut env = run.env.clone();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    match Confinement::of_containers(&identity) {
        Ok(confinement) => confinement.exec(&identity, &run.words, &env),
        Err(error) => error.to_string(),
    }
}
