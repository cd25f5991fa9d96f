//! The CRI boundary: one trait and its engines.
//!
//! Knows: sandboxes, containers, images. Refuses to know: the API server, pods beyond their identity.

pub mod embedded;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use leme_distribution::credentials::Credentials;
use leme_node_core::cri::{
    ContainerConfig, ContainerStatus, Image, SandboxConfig, SandboxStats, SandboxStatus,
};
use tokio::sync::{mpsc, oneshot};

/// Acts as the embedded runtime's helper process when `args` (the program's name first) ask for it. To be called first
/// thing in `main`, before any thread exists; `None` means that this is a normal start.
pub fn helper_main(args: &[OsString]) -> Option<ExitCode> {
    leme_host::helper::main(args)
}

/// Why the runtime did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The sandbox, container or image does not exist.
    #[error("{0} not found")]
    NotFound(String),
    /// The call took longer than allowed.
    #[error("{0} timed out")]
    Timeout(String),
    /// The container cannot be made as asked (bad command, bad user): trying again will not help by itself.
    #[error("{0}")]
    Invalid(String),
    /// Anything else, with the operation's name.
    #[error("{operation}: {message}")]
    Failed {
        /// What was being done.
        operation: &'static str,
        /// What went wrong, causes included.
        message: String,
    },
}

/// Result of a runtime call.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// A change that the runtime noticed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// The container's first process started.
    ContainerStarted {
        /// Container id.
        id: String,
    },
    /// The container's first process ended.
    ContainerExited {
        /// Container id.
        id: String,
    },
}

/// A command to run in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// Command and arguments.
    pub command: Vec<String>,
    /// Give it a terminal (stdout and stderr are one stream then).
    pub tty: bool,
    /// Keep stdin open.
    pub stdin: bool,
}

/// Output of a command run to its end.
#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    /// Standard output, cut at 1 MiB.
    pub stdout: Vec<u8>,
    /// Standard error, cut at 1 MiB.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}

/// A piece of a running command's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecChunk {
    /// From standard output.
    Stdout(Bytes),
    /// From standard error.
    Stderr(Bytes),
}

/// A command that runs in a container. Dropping it ends the command.
#[derive(Debug)]
pub struct ExecSession {
    /// Bytes for standard input; dropping it closes stdin. `None` unless asked for.
    pub stdin: Option<mpsc::Sender<Bytes>>,
    /// Output until both streams end.
    pub output: mpsc::Receiver<ExecChunk>,
    /// Columns and rows, for a terminal.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// Exit code, once.
    pub exit: oneshot::Receiver<Result<i32>>,
}

/// A connection to a port inside a sandbox.
pub type PortStream = Box<dyn PortIo>;

/// What a connection to a port can do.
pub trait PortIo: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> PortIo for T {}

/// A container runtime. Every method may be called at any time, again after a failure, and after a restart of the agent.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Name and version, such as `("leme", "0.1.0")`.
    async fn version(&self) -> Result<(String, String)>;

    /// Makes a sandbox with its network; returns its id.
    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String>;

    /// Kills what still runs in the sandbox and takes its network down. Fine if already so or absent.
    async fn stop_sandbox(&self, id: &str) -> Result<()>;

    /// Forgets a stopped sandbox and its containers. Fine if absent.
    async fn remove_sandbox(&self, id: &str) -> Result<()>;

    /// All sandboxes.
    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>>;

    /// Makes a container in a sandbox; returns its id.
    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String>;

    /// Starts a created container.
    async fn start_container(&self, id: &str) -> Result<()>;

    /// Sends the image's stop signal, waits up to `grace`, kills. Returns when the container has ended.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;

    /// Removes an ended container; kills it first if it runs. Its log file stays. Fine if absent.
    async fn remove_container(&self, id: &str) -> Result<()>;

    /// All containers.
    async fn containers(&self) -> Result<Vec<ContainerStatus>>;

    /// One container.
    async fn container(&self, id: &str) -> Result<ContainerStatus>;

    /// Bytes on disk of what a container has written into its root file system.
    async fn writable_layer(&self, id: &str) -> Result<u64>;

    /// What every sandbox in which something runs uses, and its containers.
    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>>;

    /// Runs a command to its end.
    async fn exec_sync(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput>;

    /// Runs a command with streams.
    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ExecSession>;

    /// Joins the streams of a running container's own process. What it writes is in its log as well; dropping the session
    /// leaves it running. The session's exit code is 0 when the container has ended. Input reaches it only if it was
    /// made with an open stdin; after the first session with input the stdin of a `stdin_once` container is at its end.
    async fn attach(&self, id: &str, stdin: bool) -> Result<ExecSession>;

    /// Connects to a port that is listened on inside a sandbox, on its loopback interface.
    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<PortStream>;

    /// Whether an image that is here may be used by whoever has these credentials: it was loaded by hand, or its registry has
    /// shown it to one of them, or to everybody.
    async fn may_use(&self, reference: &str, credentials: &Credentials) -> Result<bool>;

    /// Makes a reference's image be here as its registry has it now; the first of the credentials that it lets in is used.
    async fn pull_image(&self, reference: &str, credentials: &Credentials) -> Result<Image>;

    /// The image that a reference means on this node (`hello`, `hello:v1`, `docker.io/library/hello:latest`, a digest).
    async fn image(&self, reference: &str) -> Result<Option<Image>>;

    /// All images.
    async fn images(&self) -> Result<Vec<Image>>;

    /// Removes an image. Fine if absent.
    async fn remove_image(&self, reference: &str) -> Result<()>;

    /// Changes as they happen, from now on. May lose some under load: the agent also lists.
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;
}
