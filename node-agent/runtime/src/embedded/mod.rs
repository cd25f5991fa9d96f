//! The embedded runtime: sandboxes and containers without any daemon besides this process.
//!
//! Everything it knows is in two directories, so that it can be dropped, killed and started again while containers run.
//! Knows: the engine's state. Refuses to know: libcontainer (the helper process's matter), addresses (the network's).

mod attach;
mod builder;
mod container;
mod exec;
mod forward;
mod helper;
mod images;
mod plan;
mod purge;
mod records;
mod sandbox;
mod stats;
mod strays;
mod watch;

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
pub use leme_distribution::Registries;
use leme_distribution::credentials::Credentials;
pub use leme_host::helper::logs::{LogLimits, rotated};
use leme_host::helper::protocol::{Failure, Phase};
use leme_host::images::ImageStore;
pub use leme_node_core::cri::PortMapping;
use leme_node_core::cri::{
    ContainerConfig, ContainerStatus, Image, SandboxConfig, SandboxStats, SandboxStatus,
};
use leme_pull::Puller;
use tokio::sync::broadcast;

use crate::{
    ExecOutput, ExecRequest, ExecSession, PortStream, Result, Runtime, RuntimeError, RuntimeEvent,
};
use builder::Builder;
use helper::Helper;
use images::{image_error, to_image};
pub use purge::purge;
use records::SandboxRecord;

/// Gives sandboxes their network.
#[async_trait]
pub trait SandboxNetwork: Send + Sync {
    /// Connects the namespace and opens these ports of the node for it; returns the pod's address.
    async fn attach(
        &self,
        sandbox_id: &str,
        netns: &Path,
        ports: &[PortMapping],
    ) -> anyhow::Result<String>;

    /// Takes the connection away; fine if there is none. The namespace may be gone already.
    async fn detach(&self, sandbox_id: &str, netns: &Path) -> anyhow::Result<()>;
}

/// Where the engine lives and what it uses.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// State that survives a reboot.
    pub root: PathBuf,
    /// State that need not: namespaces, sockets.
    pub run_dir: PathBuf,
    /// Root of the image store.
    pub images: PathBuf,
    /// What builders keep, a directory for each namespace.
    pub builds: PathBuf,
    /// Directory of the node's seccomp profiles, which `localhostProfile` names.
    pub seccomp: PathBuf,
    /// Cgroup above all pods, and above nothing else: what runs below it and is in no record is ended.
    pub cgroup_parent: String,
    /// Processes and threads that a pod may have at most; `None` for no limit.
    pub pod_processes: Option<u64>,
    /// Where images are pulled from.
    pub registries: Registries,
    /// How much of each container's output is kept.
    pub log_limits: LogLimits,
    /// The pods' network.
    pub network: Arc<dyn SandboxNetwork>,
    /// Program whose `main` calls [`crate::helper_main`]; `/proc/self/exe` for this one.
    pub helper: PathBuf,
}

impl EmbeddedConfig {
    fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
    }

    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    fn all_namespaces(&self) -> PathBuf {
        self.run_dir.join("sandboxes")
    }

    fn namespaces(&self, sandbox: &str) -> PathBuf {
        self.all_namespaces().join(sandbox)
    }

    /// Cgroup of the process that holds a sandbox's shared PID namespace.
    fn pause_cgroup(&self, sandbox: &SandboxRecord) -> String {
        format!("{}/pause-{}", self.pod_cgroup(&sandbox.config.pod.uid), sandbox.id)
    }

    fn pod_cgroup(&self, uid: &str) -> String {
        let plain: String = uid
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        format!("/{}/pod{plain}", self.cgroup_parent.trim_matches('/'))
    }
}

/// The engine. Dropping it leaves everything running.
pub struct EmbeddedRuntime {
    config: EmbeddedConfig,
    images: ImageStore,
    builder: Builder,
    puller: Puller,
    helper: Helper,
    sandboxes: Mutex<HashMap<String, SandboxRecord>>,
    containers: Mutex<HashMap<String, Arc<container::Entry>>>,
    events: broadcast::Sender<RuntimeEvent>,
    /// One at a time per engine: the shared PID namespace of a sandbox is made on first need.
    pid_namespaces: tokio::sync::Mutex<()>,
    /// Whether sandboxes and containers are still made and started; read for as long as one is.
    open: tokio::sync::RwLock<bool>,
}

impl EmbeddedRuntime {
    /// Starts the engine and takes over what an earlier one left running.
    pub async fn start(config: EmbeddedConfig) -> Result<Arc<EmbeddedRuntime>> {
        if !rustix::process::geteuid().is_root() {
            return Err(RuntimeError::Invalid("running containers needs root".into()));
        }
        see_cgroups()?;
        let mut config = config;
        for directory in [&config.root, &config.run_dir, &config.sandboxes(), &config.containers()]
        {
            std::fs::create_dir_all(directory).map_err(failed("make state directories"))?;
        }
        config.root =
            std::fs::canonicalize(&config.root).map_err(failed("find state directory"))?;
        config.run_dir =
            std::fs::canonicalize(&config.run_dir).map_err(failed("find run directory"))?;
        // Specs hold environments, which are not for a disk, and on one all these small files take their time.
        leme_host::mounts::keep_in_memory(&config.run_dir)
            .map_err(failed("mount run directory"))?;
        leme_host::mounts::gather(&config.all_namespaces())
            .map_err(failed("gather the sandboxes' mounts"))?;
        // Commands of an earlier engine ended with it; their scratch space may not have gone.
        leme_host::files::remove_tree(&config.run_dir.join("exec"))
            .map_err(failed("clear run directory"))?;
        let images = ImageStore::open(&config.images).map_err(failed("open image store"))?;
        let builder = Builder::prepare(&config).map_err(failed("make the builders' image"))?;
        let found = strays::sweep(&config).await?;
        let runtime = Arc::new(EmbeddedRuntime {
            helper: Helper::new(&config.helper).map_err(failed("open helper program"))?,
            images,
            builder,
            puller: Puller::new(config.registries.clone()),
            sandboxes: Mutex::new(found.sandboxes),
            containers: Mutex::default(),
            events: broadcast::channel(1024).0,
            pid_namespaces: tokio::sync::Mutex::default(),
            open: tokio::sync::RwLock::new(true),
            config,
        });
        runtime.adopt_containers(found.containers).await;
        Ok(runtime)
    }

    /// The image store that containers are made from.
    pub fn image_store(&self) -> &ImageStore {
        &self.images
    }

    /// Makes and starts nothing more, and returns when what was under way is done: what is stopped or purged after this is
    /// all there will be.
    pub async fn close(&self) {
        *self.open.write().await = false;
    }

    /// The right to make or start something, for as long as it is held.
    async fn while_open(&self) -> Result<tokio::sync::RwLockReadGuard<'_, bool>> {
        let open = self.open.read().await;
        match *open {
            true => Ok(open),
            false => Err(RuntimeError::Failed {
                operation: "start",
                message: "the container runtime is being stopped".into(),
            }),
        }
    }

    /// Has a running container's log file opened anew: what to do after moving it away. One that has ended writes no
    /// more, which is fine.
    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        let entry = self.entry(id)?;
        match entry.phase() {
            Phase::Exited(_) => Ok(()),
            _ => entry.reopen_log().await,
        }
    }

    fn layers_in_use(&self) -> HashSet<PathBuf> {
        lock(&self.containers).values().flat_map(|entry| entry.record.layers.clone()).collect()
    }
}

/// Where no cgroups are to be seen, containers would run without limits, and nothing would be found of them.
fn see_cgroups() -> Result<()> {
    match leme_host::preflight::cgroups().into_iter().next() {
        Some(missing) => Err(RuntimeError::Invalid(missing)),
        None => Ok(()),
    }
}

/// A lock whose holder panicked still holds good data: every change under it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed<E: Display>(operation: &'static str) -> impl Fn(E) -> RuntimeError {
    move |error| RuntimeError::Failed { operation, message: format!("{error:#}") }
}

fn from_failure(operation: &'static str, failure: Failure) -> RuntimeError {
    if failure.invalid {
        RuntimeError::Invalid(failure.message)
    } else {
        RuntimeError::Failed {
            operation,
            message: format!("{}: {}", failure.operation, failure.message),
        }
    }
}

/// Runs file work on a thread that may wait.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RuntimeError::Failed { operation, message: error.to_string() }),
    }
}

#[async_trait]
impl Runtime for EmbeddedRuntime {
    async fn version(&self) -> Result<(String, String)> {
        Ok(("leme".into(), env!("CARGO_PKG_VERSION").into()))
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let _open = self.while_open().await?;
        self.make_sandbox(config).await
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        self.end_sandbox(id).await
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        self.forget_sandbox(id).await
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        let records: Vec<SandboxRecord> = lock(&self.sandboxes).values().cloned().collect();
        Ok(records.iter().map(|record| self.sandbox_status(record)).collect())
    }

    async fn create_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String> {
        let _open = self.while_open().await?;
        self.make_container(sandbox_id, config).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let _open = self.while_open().await?;
        self.entry(id)?.start().await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.entry(id)?.stop(grace).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.forget_container(id).await
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        let entries: Vec<_> = lock(&self.containers).values().cloned().collect();
        Ok(entries.iter().map(|entry| entry.status()).collect())
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus> {
        Ok(self.entry(id)?.status())
    }

    async fn writable_layer(&self, id: &str) -> Result<u64> {
        let upper = self.entry(id)?.record.request.directory.join("upper");
        blocking("measure container", move || {
            leme_host::usage::disk_usage(&upper).map_err(failed("measure container"))
        })
        .await
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>> {
        let groups = self.groups();
        blocking("measure sandboxes", move || Ok(groups.into_iter().map(stats::read).collect()))
            .await
    }

    async fn exec_sync(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecOutput> {
        self.run_command(id, command, timeout).await
    }

    async fn exec(&self, id: &str, request: ExecRequest) -> Result<ExecSession> {
        self.open_command(id, request).await
    }

    async fn attach(&self, id: &str, stdin: bool) -> Result<ExecSession> {
        self.open_streams(id, stdin).await
    }

    async fn port_forward(&self, sandbox_id: &str, port: u16) -> Result<PortStream> {
        self.dial(sandbox_id, port).await
    }

    async fn may_use(&self, reference: &str, credentials: &Credentials) -> Result<bool> {
        self.was_shown(reference, credentials).await
    }

    async fn pull_image(&self, reference: &str, credentials: &Credentials) -> Result<Image> {
        self.pull(reference, credentials).await
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        Ok(self.find_image(reference).await?.map(|record| to_image(&record, reference)))
    }

    async fn images(&self) -> Result<Vec<Image>> {
        let store = self.images.clone();
        let records = blocking("list images", move || store.list().map_err(image_error)).await?;
        Ok(records.iter().map(|record| to_image(record, "")).collect())
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        let (store, reference, in_use) =
            (self.images.clone(), reference.to_owned(), self.layers_in_use());
        blocking("remove image", move || store.remove(&reference, &in_use).map_err(image_error))
            .await
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let receiver = self.events.subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}
