//! The watcher of one container: owns its streams, writes its log, sees it end, says so to whoever listens.
//!
//! It depends on no other process and outlives the engine. Knows: one container. Refuses to know: its pod.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::container::{self, Created, Streams};
use super::logs::{self, Lines, LogFile};
use super::mirror::Mirror;
use super::protocol::{
    self, Command, ContainerRequest, ExitRecord, Failure, Phase, Report, ShimRecord,
};
use crate::cgroup::Cgroup;
use crate::files;
use crate::process::ProcessId;

mod attach;
mod wait;

/// Makes the container and watches it to its end. `control` is the first listener.
pub(super) fn run(request: ContainerRequest, control: &UnixStream) -> Result<(), Failure> {
    let cgroup = Cgroup::new(&request.spec.cgroup)
        .map_err(|error| Failure::invalid("create container", &error))?;
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    record_shim(&request, None).map_err(|error| Failure::failed("record shim", &error))?;
    let log = LogFile::open(request.log_path.clone(), request.log_limits)
        .map_err(|error| Failure::failed("open log", &error))?;
    let created = container::create(&request)
        .and_then(|created| {
            container::own_proc(&request, created.pid)?;
            withhold_devices(&request, &cgroup)
                .map_err(|error| Failure::failed("withhold devices", &error))?;
            Ok(created)
        })
        .inspect_err(|_| {
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
        })?;
    let pid = created.pid;
    let mut shim = match Shim::new(request, cgroup, log, created, control) {
        Ok(shim) => shim,
        Err(error) => {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            return Err(Failure::failed("start shim", &error));
        }
    };
    let phase = shim.phase.clone();
    shim.tell(&Report::Phase(phase));
    let result = shim.serve();
    let _ = fs::remove_file(shim.request.socket());
    // The control stream got all its reports above.
    result
        .map_err(|error| Failure::failed("watch container", &error))
        .map(|()| std::process::exit(0))
}

/// The runtime lets every container have tunnel devices, by which it would make network interfaces; only a privileged one
/// may.
fn withhold_devices(request: &ContainerRequest, cgroup: &Cgroup) -> io::Result<()> {
    const TUN: (u32, u32) = (10, 200);
    match request.spec.security.privileged {
        true => Ok(()),
        false => cgroup.deny_device(TUN.0, TUN.1),
    }
}

/// A stream of the container, to its end.
struct Output {
    fd: OwnedFd,
    name: &'static str,
    lines: Lines,
}

impl Output {
    fn new(fd: OwnedFd, name: &'static str) -> Output {
        Output { fd, name, lines: Lines::new(name) }
    }
}

/// Somebody who listens and asks.
struct Listener {
    stream: UnixStream,
    pending: Vec<u8>,
}

struct Shim {
    request: ContainerRequest,
    cgroup: Cgroup,
    container: libcontainer::container::Container,
    pid: Pid,
    phase: Phase,
    start_error: Option<String>,
    errors: Option<OwnedFd>,
    outputs: Vec<Output>,
    terminal: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    mirrors: Vec<Mirror>,
    log: LogFile,
    signals: SignalFd,
    socket: UnixListener,
    listeners: Vec<Listener>,
}

impl Shim {
    fn new(
        request: ContainerRequest,
        cgroup: Cgroup,
        log: LogFile,
        created: Created,
        control: &UnixStream,
    ) -> io::Result<Shim> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        container::set_oom_score(created.pid, request.oom_score_adj);
        let socket = bind(request.socket())?;
        record_shim(&request, ProcessId::of(created.pid))?;
        let Streams { stdout, stderr, terminal, stdin } = created.streams;
        let mut outputs = Vec::new();
        for (fd, name) in [(stdout, "stdout"), (stderr, "stderr")] {
            outputs.extend(fd.map(|fd| Output::new(fd, name)));
        }
        if let Some(terminal) = &terminal {
            outputs.push(Output::new(terminal.try_clone()?, "stdout"));
        }
        for output in &outputs {
            rustix::io::ioctl_fionbio(&output.fd, true)?;
        }
        let _ = nix::sys::prctl::set_name(c"leme-shim");
        let mut shim = Shim {
            phase: Phase::Created { pid: created.pid },
            pid: Pid::from_raw(created.pid),
            container: created.container,
            start_error: None,
            errors: Some(created.errors),
            outputs,
            terminal,
            stdin,
            mirrors: Vec::new(),
            request,
            cgroup,
            log,
            signals,
            socket,
            listeners: Vec::new(),
        };
        shim.listen(control.try_clone()?)?;
        Ok(shim)
    }

    fn listen(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.listeners.push(Listener { stream, pending: Vec::new() });
        Ok(())
    }

    fn tell(&mut self, report: &Report) {
        let line = protocol::line(report);
        for listener in &mut self.listeners {
            // One that does not read for so long that its buffer is full is as good as gone: the next look removes it.
            if listener.stream.write_all(&line).is_err() {
                let _ = listener.stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            // A child may have ended before its signal was watched for, so look first.
            if let Some(exit_code) = self.reap()? {
                return self.finish(exit_code);
            }
            let wake = self.wait(None)?;
            if wake.signal {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            self.flush_mirrors(&wake.mirrors);
            self.copy_outputs(&wake.outputs);
            if wake.connection
                && let Ok((stream, _)) = self.socket.accept()
            {
                self.greet(stream);
            }
            self.obey(&wake.listeners);
        }
    }

    fn greet(&mut self, stream: UnixStream) {
        let greeting = protocol::line(&Report::Phase(self.phase.clone()));
        if (&stream).write_all(&greeting).is_ok() {
            let _ = self.listen(stream);
        }
    }

    /// Reads what is there and logs it; streams that ended are dropped.
    fn copy_outputs(&mut self, ready: &[usize]) {
        let mut ended = Vec::new();
        let mut buffer = [0u8; 16 * 1024];
        for index in ready {
            let output = &mut self.outputs[*index];
            let mut out = Vec::new();
            match rustix::io::read(&output.fd, &mut buffer) {
                Ok(length) if length > 0 => {
                    output.lines.push(&logs::time(), &buffer[..length], &mut out);
                    let name = output.name;
                    self.mirrors
                        .retain_mut(|mirror| !mirror.is_of(name) || mirror.push(&buffer[..length]));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                // The other end of a terminal being closed is EIO.
                _ => {
                    output.lines.finish(&logs::time(), &mut out);
                    ended.push(*index);
                }
            }
            self.log.write(&out);
        }
        for index in ended.into_iter().rev() {
            self.outputs.remove(index);
        }
    }

    fn obey(&mut self, ready: &[usize]) {
        for index in ready.iter().rev() {
            let mut buffer = [0u8; 4096];
            let listener = &mut self.listeners[*index];
            match listener.stream.read(&mut buffer) {
                Ok(length) if length > 0 && listener.pending.len() < 64 * 1024 => {
                    listener.pending.extend_from_slice(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => {
                    self.listeners.remove(*index);
                    continue;
                }
            }
            while let Some(end) =
                self.listeners[*index].pending.iter().position(|byte| *byte == b'\n')
            {
                let line: Vec<u8> = self.listeners[*index].pending.drain(..=end).collect();
                let report = match serde_json::from_slice::<Command>(&line) {
                    Ok(Command::Attach { stdin, last }) => match self.attach(*index, stdin, last) {
                        Ok(()) => continue,
                        Err(failure) => Report::Failed(failure),
                    },
                    Ok(command) => {
                        self.execute(&command).map_or_else(Report::Failed, |()| Report::Done)
                    }
                    Err(error) => Report::Failed(Failure::invalid("command", &error)),
                };
                let _ = self.listeners[*index].stream.write_all(&protocol::line(&report));
            }
        }
    }

    fn execute(&mut self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::Start => self.start(),
            Command::Kill { signal, all: true } if *signal == libc::SIGKILL => {
                let _ = kill(self.pid, Signal::SIGKILL);
                self.cgroup.signal_all(Signal::SIGKILL);
                Ok(())
            }
            Command::Kill { signal, .. } => {
                let sent = crate::sys::send_signal(self.pid.as_raw(), *signal);
                // A container that froze itself takes no signal in.
                self.cgroup.thaw();
                sent.map_err(|error| Failure::failed("kill container", &error))
            }
            Command::Resize { columns, rows } => match &self.terminal {
                Some(terminal) => crate::terminal::resize(terminal.as_fd(), *columns, *rows)
                    .map_err(|error| Failure::failed("resize terminal", &error)),
                None => Ok(()),
            },
            // Has an answer of its own.
            Command::Attach { .. } => Ok(()),
            Command::ReopenLog => {
                self.log.reopen().map_err(|error| Failure::failed("reopen log", &error))
            }
        }
    }

    fn start(&mut self) -> Result<(), Failure> {
        if !matches!(self.phase, Phase::Created { .. }) {
            return Ok(());
        }
        let started = self.container.start();
        started.map_err(|error| Failure::failed("start container", &files::chain(&error)))?;
        if let Some(reason) =
            self.errors.take().and_then(|errors| container::wait_executed(&errors))
        {
            self.start_error = Some(reason.clone());
            return Err(Failure::invalid("start container", &reason));
        }
        self.phase = Phase::Running { pid: self.pid.as_raw(), started_at: files::now_nanos() };
        let phase = self.phase.clone();
        self.tell(&Report::Phase(phase));
        Ok(())
    }

    /// Takes in children that ended; the exit code when the container's first process is among them.
    fn reap(&mut self) -> io::Result<Option<i32>> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.pid => return Ok(Some(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.pid => {
                    return Ok(Some(128 + signal as i32));
                }
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(None),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The container is over: ends what it left, writes the last output and the record, tells everybody.
    fn finish(&mut self, exit_code: i32) -> io::Result<()> {
        let finished_at = files::now_nanos();
        let _ = self.cgroup.kill_all();
        let until = Instant::now() + Duration::from_secs(1);
        while (!self.outputs.is_empty() || self.mirrors.iter().any(Mirror::is_full))
            && Instant::now() < until
        {
            let wake = self.wait(Some(until.saturating_duration_since(Instant::now())))?;
            while let Ok(Some(_)) = self.signals.read_signal() {}
            if wake.connection
                && let Ok((stream, _)) = self.socket.accept()
            {
                self.greet(stream);
            }
            self.flush_mirrors(&wake.mirrors);
            self.copy_outputs(&wake.outputs);
            self.obey(&wake.listeners);
        }
        let started_at = match self.phase {
            Phase::Running { started_at, .. } => started_at,
            _ => 0,
        };
        let mut record = ExitRecord {
            exit_code,
            started_at,
            finished_at,
            oom_killed: self.cgroup.oom_kills() > 0,
            ..Default::default()
        };
        if let Some(message) = self.start_error.take() {
            record.exit_code = 128;
            record.reason = "StartError".into();
            record.message = message;
        }
        let _ = self.cgroup.remove();
        // On a full disk whoever listens still learns of it.
        let written = files::write_json(&self.request.exit_file(), &record);
        let _ = files::remove_tree(&self.request.oci_root().join(&self.request.id));
        self.phase = Phase::Exited(record);
        let phase = self.phase.clone();
        self.tell(&Report::Phase(phase));
        written
    }
}

/// Says who watches, so that a later engine can tell a slow start from a dead shim.
fn record_shim(request: &ContainerRequest, init: Option<ProcessId>) -> io::Result<()> {
    let me = ProcessId::of(std::process::id() as i32)
        .ok_or_else(|| io::Error::other("/proc is not mounted"))?;
    files::write_json(&request.shim_file(), &ShimRecord { shim: me, init })
}

fn bind(path: PathBuf) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    files::remove_file(&path)?;
    let (_directory, short) = files::socket_address(&path)?;
    UnixListener::bind(short)
}
