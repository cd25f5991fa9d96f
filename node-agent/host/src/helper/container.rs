//! Making a container through libcontainer: root file system, spec, streams, the first process waiting to start.
//!
//! Knows: one container's creation. Refuses to know: what happens afterwards (the shim).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::sched::{CloneFlags, setns, unshare};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::MountPropagationFlags;
use rustix::pipe::{PipeFlags, pipe_with};

use super::executor::Launch;
use super::points;
use super::protocol::{ContainerRequest, Failure};
use super::stage::{self, Staged};
use crate::cgroup::{self, Cgroup, Layout};
use crate::files;
use crate::ids;
use crate::mounts::{self, Overlay};
use crate::spec::{self, BindMount, SpecError, SpecInput, users};

/// The shim's ends of a container's streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Standard output.
    pub(super) stdout: Option<OwnedFd>,
    /// Standard error.
    pub(super) stderr: Option<OwnedFd>,
    /// The terminal, in place of both.
    pub(super) terminal: Option<OwnedFd>,
    /// Held open so that the container's standard input does not end.
    pub(super) stdin: Option<OwnedFd>,
}

/// A container whose first process waits to be started.
pub(super) struct Created {
    pub(super) container: Container,
    pub(super) pid: i32,
    pub(super) streams: Streams,
    /// Ends when the program was executed; says why if it could not be.
    pub(super) errors: OwnedFd,
}

/// Makes the container. On failure nothing is left but the request's own directory.
pub(super) fn create(request: &ContainerRequest) -> Result<Created, Failure> {
    let host = File::open("/proc/self/ns/mnt")
        .map_err(|error| Failure::failed("open mount namespace", &error))?;
    // The root file system is mounted in a namespace of its own: when the container's processes are gone, so is the
    // mount, whatever became of this process. Mounts that must show on the host need the host's namespace.
    let private = !spec::shares_mounts(&request.spec);
    if private {
        unshare(CloneFlags::CLONE_NEWNS)
            .map_err(|error| Failure::failed("unshare mount namespace", &error))?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave)
            .map_err(|error| Failure::failed("set mount propagation", &error))?;
        leave_neighbours(&request.spec)
            .map_err(|error| Failure::failed("leave other sandboxes' mounts", &error))?;
    }
    let rootfs = request.directory.join("rootfs");
    let made = create_mounted(request, &rootfs);
    if private {
        setns(&host, CloneFlags::CLONE_NEWNS)
            .map_err(|error| Failure::failed("leave mount namespace", &error))?;
    } else {
        let _ = mounts::unmount_quietly(&rootfs);
        let _ = mounts::unmount_quietly(&cgroup_view(request));
    }
    if made.is_err() {
        let _ = files::remove_tree(&request.oci_root().join(&request.id));
        let _ = files::remove_tree(&request.bundle());
    }
    made
}

/// Where what the container sees of its cgroups is put together.
fn cgroup_view(request: &ContainerRequest) -> PathBuf {
    request.bundle().join("cgroup")
}

/// Takes the mounts of other sandboxes out of this process's own table, which is read many times on the way to a container,
/// unless a volume shows them.
fn leave_neighbours(input: &SpecInput) -> io::Result<()> {
    let Some((own, all)) = input.namespaces.ipc.parent().and_then(|own| Some((own, own.parent()?)))
    else {
        return Ok(());
    };
    let shows = |mount: &BindMount| {
        let elsewhere = |source: &PathBuf| !all.starts_with(source) && !source.starts_with(all);
        !mount.source.starts_with(own)
            && !fs::canonicalize(&mount.source).is_ok_and(|source| elsewhere(&source))
    };
    match input.mounts.iter().any(shows) {
        true => Ok(()),
        false => mounts::keep_only(own, all),
    }
}

fn create_mounted(request: &ContainerRequest, rootfs: &Path) -> Result<Created, Failure> {
    let (upper, work) = (request.directory.join("upper"), request.directory.join("work"));
    for directory in [rootfs, &upper, &work] {
        // Not the parents: when they are gone, so is the wish for this container.
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::failed("make directories", &error));
            }
            _ => {}
        }
    }
    let cgroups = show_cgroups(request)
        .map_err(|error| Failure::failed("mount the container's cgroups", &error))?;
    let staged = match &request.spec.namespaces.user {
        None => {
            let overlay = Overlay { lower: &request.layers, upper: &upper, work: &work };
            mounts::mount_overlay(&overlay, rootfs)
                .map_err(|error| Failure::failed("mount root file system", &error))?;
            Staged { spec: request.spec.clone(), cgroups }
        }
        Some(user) => stage::enter(request, user, cgroups.as_deref())?,
    };
    plain_directories(rootfs).map_err(|error| Failure::invalid("make spec", &error))?;
    let spec = write_spec(request, rootfs, &staged).map_err(|error| match error {
        SpecError::Invalid(_) => Failure::invalid("make spec", &error),
        other => Failure::failed("make spec", &other),
    })?;
    let _ = files::remove_tree(&request.oci_root().join(&request.id));
    build(request, &spec)
}

/// Makes the bundle's directory and mounts there what the container sees of version 1 cgroups, where there are such.
fn show_cgroups(request: &ContainerRequest) -> io::Result<Option<PathBuf>> {
    let view = cgroup_view(request);
    let mut directories = fs::DirBuilder::new();
    directories.recursive(true).mode(0o700);
    if cgroup::layout() == Layout::Unified {
        directories.create(request.bundle())?;
        return Ok(None);
    }
    directories.create(&view)?;
    let points = spec::points_in_cgroups(&request.spec);
    cgroup::mount_view(&Cgroup::new(&request.spec.cgroup)?, &view, points)?;
    Ok(Some(view))
}

fn write_spec(
    request: &ContainerRequest,
    rootfs: &Path,
    staged: &Staged,
) -> Result<Spec, SpecError> {
    let Staged { spec: input, cgroups } = staged;
    let user = input.namespaces.user.as_ref();
    let owner = user.map_or(0, |user| user.first_id);
    points::prepare(rootfs, &input.mounts, owner)?;
    let identity = users::resolve(&input.process, rootfs)?;
    if user.is_some() {
        users::within(&identity, ids::LENGTH)?;
    }
    let spec = spec::build(input, rootfs, cgroups.as_deref(), &identity)?;
    make_working_directory(rootfs, &input.process.cwd, owner)?;
    files::write_json(&request.bundle().join("config.json"), &spec)?;
    Ok(spec)
}

/// Refuses an image in which something else stands where the runtime mounts and makes files by name, outside of the
/// container's root: a link there would lead it to the host's files.
fn plain_directories(rootfs: &Path) -> io::Result<()> {
    for name in ["dev", "proc", "sys"] {
        match fs::symlink_metadata(rootfs.join(name)) {
            Ok(found) if !found.is_dir() => {
                return Err(io::Error::other(format!("the image's /{name} is no directory")));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a container in whose `/proc` a volume came to be mounted, whatever links led it there. Its program has not been
/// started yet.
pub(super) fn own_proc(request: &ContainerRequest, pid: i32) -> Result<(), Failure> {
    let table = PathBuf::from(format!("/proc/{pid}/mountinfo"));
    let points = mounts::mount_points(&table, Path::new("/proc"))
        .map_err(|error| Failure::failed("look at the container's mounts", &error))?;
    match spec::strange_in_proc(&points, &request.spec) {
        None => Ok(()),
        Some(point) => {
            let text = format!("a volume is mounted on {} through a link", point.display());
            Err(Failure::invalid("create container", &text))
        }
    }
}

/// Makes a missing working directory, never leaving the root file system. One that cannot be made is the container's
/// own trouble and shows when it starts.
fn make_working_directory(rootfs: &Path, cwd: &str, owner: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let root = rustix::fs::open(rootfs, flags, Mode::empty())?;
    let mut path = PathBuf::from(".");
    for part in Path::new(cwd).components() {
        let std::path::Component::Normal(name) = part else { continue };
        let parent = rustix::fs::openat2(&root, &path, flags, Mode::empty(), inside)?;
        let _ = points::make_directory(&parent, name, owner);
        path.push(name);
        if rustix::fs::openat2(&root, &path, flags, Mode::empty(), inside).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Both ends of a pipe: (what the shim keeps, what the container gets).
fn stream(to_container: bool, uid: u32) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // A program that is not root must be able to open /dev/stdout.
    rustix::fs::fchown(&write, Some(rustix::fs::Uid::from_raw(uid)), None)?;
    Ok(if to_container { (write, read) } else { (read, write) })
}

fn build(request: &ContainerRequest, spec: &Spec) -> Result<Created, Failure> {
    let failed = |error: io::Error| Failure::failed("make streams", &error);
    let first = request.spec.namespaces.user.as_ref().map_or(0, |user| user.first_id);
    let uid = first + spec.process().as_ref().map_or(0, |process| process.user().uid());
    let (errors, errors_write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    let builder = ContainerBuilder::new(request.id.clone(), SyscallType::default())
        .with_root_path(request.oci_root())
        .map_err(|error| Failure::failed("create container", &files::chain(&error)))?
        .with_executor(Launch::container(errors_write.as_raw_fd()));
    let mut streams = Streams::default();
    let (builder, console) = if request.spec.process.tty {
        let console = Console::listen(&request.bundle()).map_err(failed)?;
        (builder.with_console_socket(Some(console.path.clone())), Some(console))
    } else {
        let (stdout, theirs_out) = stream(false, uid).map_err(failed)?;
        let (stderr, theirs_err) = stream(false, uid).map_err(failed)?;
        (streams.stdout, streams.stderr) = (Some(stdout), Some(stderr));
        let stdin = if request.stdin {
            let (ours, theirs) = stream(true, uid).map_err(failed)?;
            streams.stdin = Some(ours);
            theirs
        } else {
            OwnedFd::from(File::open("/dev/null").map_err(failed)?)
        };
        (builder.with_stdin(stdin).with_stdout(theirs_out).with_stderr(theirs_err), None)
    };
    let init = builder.as_init(request.bundle()).with_systemd(false).with_detach(true);
    let container = init.build().map_err(|error| classify(&files::chain(&error)))?;
    drop(errors_write);
    if let Some(console) = console {
        streams.terminal = Some(console.accept().map_err(failed)?);
    }
    let pid = container.pid().map_or(0, |pid| pid.as_raw());
    Ok(Created { container, pid, streams, errors })
}

/// The runtime's errors come as text; these are the ones that name a wrong request.
pub(super) fn classify(message: &str) -> Failure {
    let text = match message.find("exec: ") {
        Some(at) => &message[at..],
        None => message,
    };
    Failure {
        invalid: text.starts_with("exec: "),
        operation: "create container".into(),
        message: text.to_owned(),
    }
}

/// Reads why the program could not be executed; `None` once it was.
pub(super) fn wait_executed(errors: &OwnedFd) -> Option<String> {
    let mut text = String::new();
    let mut file = File::from(errors.try_clone().ok()?);
    let _ = file.by_ref().take(4096).read_to_string(&mut text);
    (!text.is_empty()).then_some(text)
}

/// Where the runtime sends a terminal's master end.
pub(super) struct Console {
    listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Console {
    /// Listens under a name that no other command uses.
    pub(super) fn listen(directory: &Path) -> io::Result<Console> {
        let path = directory.join(format!("console-{}.sock", files::random_hex(4)?));
        let (_directory, short) = files::socket_address(&path)?;
        Ok(Console { listener: UnixListener::bind(short)?, path })
    }

    /// The master end, which the runtime has sent by the time its builder is back.
    pub(super) fn accept(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        let mut buffer = [0; 64];
        let (_, fds) = crate::sys::recv_with_fds(stream.as_fd(), &mut buffer)?;
        fds.into_iter().next().ok_or_else(|| io::Error::other("no terminal was sent"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Sets the score for the kernel's search for a victim; a machine that refuses to lower it keeps what is.
pub(super) fn set_oom_score(pid: i32, score: i64) {
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), score.clamp(-1000, 1000).to_string());
}

/// Sends bytes with one descriptor.
pub(super) fn send_line_with_fd(
    control: &std::os::unix::net::UnixStream,
    line: &[u8],
    fd: &OwnedFd,
) -> io::Result<()> {
    crate::sys::send_with_fds(control.as_fd(), line, &[fd.as_fd()])
}
