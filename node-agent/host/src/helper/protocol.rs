//! What the engine and its helper processes say to each other: one JSON document per line on a unix stream.
//!
//! Knows: the messages. Refuses to know: who sends them when.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::logs::LogLimits;
use crate::namespaces::SandboxRequest;
use crate::process::ProcessId;
use crate::spec::SpecInput;

/// The first line to a forked child: what it is for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Make a sandbox's namespaces.
    Sandbox(SandboxRequest),
    /// Make a PID namespace with a process that only reaps.
    Pause(PauseRequest),
    /// Make a container and watch over it.
    Container(Box<ContainerRequest>),
    /// Run a command in a container; descriptors after the control stream are stdin, stdout, stderr unless `tty`.
    Exec(ExecRequest),
}

/// A PID namespace to make and hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseRequest {
    /// Where to bind the namespace.
    pub target: PathBuf,
    /// Cgroup of the reaping process.
    pub cgroup: String,
}

/// A container to make.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ContainerRequest {
    /// Container id.
    pub id: String,
    /// The container's state directory: `rootfs`, `upper`, `work`, `exit.json`.
    pub directory: PathBuf,
    /// Directory for the runtime's own state, and for the shim's socket.
    pub run_directory: PathBuf,
    /// Image layers, the topmost first.
    pub layers: Vec<PathBuf>,
    /// What to run and how.
    pub spec: SpecInput,
    /// Log file; empty for none.
    pub log_path: PathBuf,
    /// How much of its output is kept.
    #[serde(default)]
    pub log_limits: LogLimits,
    /// Keep stdin open in place of `/dev/null`.
    pub stdin: bool,
    /// Score for the kernel's search for a victim.
    pub oom_score_adj: i64,
}

impl ContainerRequest {
    /// Directory under which the runtime keeps its state by id.
    pub fn oci_root(&self) -> PathBuf {
        self.run_directory.join("oci")
    }

    /// Directory of the container's spec, which holds its environment and so is not for a disk.
    pub fn bundle(&self) -> PathBuf {
        bundle(&self.run_directory, &self.id)
    }

    /// The shim's socket.
    pub fn socket(&self) -> PathBuf {
        self.run_directory.join("shim").join(format!("{}.sock", self.id))
    }

    /// Where the end is written down.
    pub fn exit_file(&self) -> PathBuf {
        self.directory.join("exit.json")
    }

    /// Who the shim is.
    pub fn shim_file(&self) -> PathBuf {
        self.directory.join("shim.json")
    }
}

/// Where the spec of a container is, in a directory that is gone with a reboot.
pub(super) fn bundle(run_directory: &Path, id: &str) -> PathBuf {
    run_directory.join("bundles").join(id)
}

/// A command to run in a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Container id.
    pub id: String,
    /// Its state directory.
    pub directory: PathBuf,
    /// Directory for the runtime's own state.
    pub run_directory: PathBuf,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Score for the kernel's search for a victim.
    pub oom_score_adj: i64,
}

/// What the engine asks of a shim, or of a running command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Let the container's program run.
    Start,
    /// Send a signal to the first process, or to every process of the container.
    Kill {
        /// Signal number.
        signal: i32,
        /// Every process.
        all: bool,
    },
    /// Size of the terminal.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// Open the log file anew (it was moved away).
    ReopenLog,
    /// Let the asker have the container's streams; answered by [`Report::Attached`].
    Attach {
        /// Input too.
        stdin: bool,
        /// Nobody gets the input afterwards: it ends with this asker.
        last: bool,
    },
}

/// Where a container is in its life, as its shim knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for [`Command::Start`].
    Created {
        /// First process.
        pid: i32,
    },
    /// Runs.
    Running {
        /// First process.
        pid: i32,
        /// Nanoseconds since the epoch.
        started_at: i64,
    },
    /// Ended.
    Exited(ExitRecord),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code, 128 + n for signal n.
    pub exit_code: i32,
    /// Nanoseconds since the epoch, 0 if it never started.
    pub started_at: i64,
    /// Nanoseconds since the epoch.
    pub finished_at: i64,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// Set when the program could not be started or the end was not seen.
    pub reason: String,
    /// More on `reason`.
    pub message: String,
}

/// What a helper process says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// A one-shot request, or the oldest command without an answer, is done.
    Done,
    /// It failed.
    Failed(Failure),
    /// First line on each connection to a shim, and again at each change.
    Phase(Phase),
    /// The container's streams, as descriptors in this order: output, errors, input, terminal (for input and size).
    Attached {
        /// There are errors apart from the output.
        stderr: bool,
        /// There is input.
        stdin: bool,
        /// There is a terminal.
        terminal: bool,
    },
    /// A command runs; with a terminal its master descriptor comes with this line.
    ExecStarted {
        /// Its process.
        pid: i32,
    },
    /// A command ended.
    ExecExited {
        /// Exit code, 128 + n for signal n.
        exit_code: i32,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether the request itself is wrong, so that trying again will not help.
    pub invalid: bool,
    /// What was being done.
    pub operation: String,
    /// What went wrong, causes included.
    pub message: String,
}

impl Failure {
    /// Trouble that may pass.
    pub fn failed(operation: &str, error: &dyn Display) -> Failure {
        Failure { invalid: false, operation: operation.into(), message: error.to_string() }
    }

    /// A request that makes no sense.
    pub fn invalid(operation: &str, error: &dyn Display) -> Failure {
        Failure { invalid: true, operation: operation.into(), message: error.to_string() }
    }
}

/// Who watches over a container, written by the shim once the container exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimRecord {
    /// The shim.
    pub shim: ProcessId,
    /// The container's first process.
    pub init: Option<ProcessId>,
}

/// One line for the wire.
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Sends a line; whoever is gone need not know.
pub(super) fn send<T: Serialize>(mut stream: &UnixStream, message: &T) {
    let _ = stream.write_all(&line(message));
}
