//! Runtime calls, each with a limit on its time.
//!
//! Knows: which calls make up a start, a stop, a tear-down. Refuses to know: why they are made.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use leme_cri::{Runtime, RuntimeError};
use leme_node_core::config::{self, Built};
use leme_node_core::cri::{ContainerConfig, ContainerState, ContainerStatus};
use leme_node_core::pod::StartError;
use leme_node_core::probe::Outcome;
use leme_node_core::spec;

use crate::csi::Csi;
use crate::images::{self, Fetch};
use crate::{probe, volumes};

/// Longest call of the runtime that is waited for.
pub const CALL: Duration = Duration::from_secs(60);
/// Bytes of a termination message.
const MESSAGE: usize = 4096;
/// Bytes of log that stand in for one.
const MESSAGE_FROM_LOG: u64 = 2048;

/// Waits for a call, but not for ever.
pub async fn within<T>(
    what: &str,
    limit: Duration,
    call: impl Future<Output = leme_cri::Result<T>>,
) -> leme_cri::Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(RuntimeError::Timeout(what.to_owned())),
    }
}

/// Runs something that blocks on a thread for that.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|e| format!("{e:#}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Creates a sandbox; its id and address.
pub async fn run_sandbox(
    runtime: &dyn Runtime,
    config: &leme_node_core::cri::SandboxConfig,
) -> Result<(String, String), String> {
    let id = within("run sandbox", CALL, runtime.run_sandbox(config))
        .await
        .map_err(|e| e.to_string())?;
    let all =
        within("list sandboxes", CALL, runtime.sandboxes()).await.map_err(|e| e.to_string())?;
    let ip = all.into_iter().find(|s| s.id == id).map(|s| s.ip).unwrap_or_default();
    Ok((id, ip))
}

/// Creates and starts a container of a pod whose directory is `directory`, once its image is there.
pub async fn start(
    runtime: &dyn Runtime,
    pod: &Pod,
    container: &Container,
    sandbox: &str,
    directory: &Path,
    (fetch, built): (Fetch, Result<Built, StartError>),
    tell: impl Fn(&'static str, String),
) -> Result<ContainerStatus, StartError> {
    let image = images::get(runtime, container, fetch, tell).await?;
    let built = built?;
    config::check_not_root(&built, &image, &spec::label(pod)).map_err(StartError::Config)?;
    if let Some(file) = built.config.annotations.get(config::TERMINATION_FILE).map(PathBuf::from) {
        blocking(move || volumes::make_termination_file(&file))
            .await
            .map_err(StartError::Create)?;
    }
    let (directory, name) = (directory.to_owned(), container.name.clone());
    let staged = !built.sub_paths.is_empty();
    let built = blocking(move || volumes::stage_sub_paths(&directory, built)).await;
    let (directory, built) = built.map_err(StartError::Config)?;
    let started = create_and_start(runtime, sandbox, &built.config).await;
    if staged {
        let left = blocking(move || volumes::unstage(&directory, &name)).await;
        if let Err(error) = left {
            // They go with the pod at the latest.
            tracing::warn!(container = %container.name, %error, "mounts of sub-paths not removed");
        }
    }
    started
}

async fn create_and_start(
    runtime: &dyn Runtime,
    sandbox: &str,
    config: &ContainerConfig,
) -> Result<ContainerStatus, StartError> {
    let id = create(runtime, sandbox, config).await?;
    if let Err(error) = within("start container", CALL, runtime.start_container(&id)).await {
        let cleaned = within("remove container", CALL, runtime.remove_container(&id)).await;
        if let Err(error) = cleaned {
            tracing::warn!(container = %config.name, %error, "container that did not start not removed");
        }
        return Err(StartError::Run(error.to_string()));
    }
    within("inspect container", CALL, runtime.container(&id))
        .await
        .map_err(|e| StartError::Create(e.to_string()))
}

/// Creates a container. One that an earlier, unanswered call made for the same attempt is removed first.
async fn create(
    runtime: &dyn Runtime,
    sandbox: &str,
    config: &ContainerConfig,
) -> Result<String, StartError> {
    let wrong = |e: RuntimeError| StartError::Create(e.to_string());
    let all = within("list containers", CALL, runtime.containers()).await.map_err(wrong)?;
    let twins = all.iter().filter(|c| {
        c.sandbox_id == sandbox && c.name == config.name && c.attempt == config.attempt
    });
    for twin in twins {
        within("remove container", CALL, runtime.remove_container(&twin.id))
            .await
            .map_err(wrong)?;
    }
    within("create container", CALL, runtime.create_container(sandbox, config)).await.map_err(wrong)
}

/// Runs `preStop` and stops a container within `grace`; its last status.
pub async fn stop(
    runtime: &dyn Runtime,
    hooks: &Hooks,
    id: &str,
    grace: Duration,
    pre_stop: Option<LifecycleHandler>,
) -> Result<ContainerStatus, String> {
    let begun = Instant::now();
    if let Some(handler) = pre_stop
        && let Err(error) = hooks.run(runtime, id, &handler, grace).await
    {
        tracing::debug!(%error, "preStop hook failed");
    }
    // Whatever the hook took, the process gets a moment after the signal.
    let left = grace.saturating_sub(begun.elapsed()).max(grace.min(Duration::from_secs(2)));
    let stopped =
        within("stop container", left + Duration::from_secs(30), runtime.stop_container(id, left));
    match stopped.await {
        Ok(()) | Err(RuntimeError::NotFound(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    match status(runtime, id).await {
        Ok(status) if status.state == ContainerState::Exited => Ok(status),
        Ok(_) => Err("the container still runs".to_owned()),
        Err(RuntimeError::NotFound(_)) => Ok(lost(id)),
        Err(error) => Err(error.to_string()),
    }
}

/// A container that ran and that the runtime does not know any more.
fn lost(id: &str) -> ContainerStatus {
    ContainerStatus {
        id: id.to_owned(),
        sandbox_id: String::new(),
        name: String::new(),
        attempt: 0,
        state: ContainerState::Exited,
        pid: 0,
        created_at: 0,
        started_at: 0,
        finished_at: 0,
        exit_code: 137,
        oom_killed: false,
        reason: "ContainerStatusUnknown".to_owned(),
        message: "The container could not be located when the pod was terminated".to_owned(),
        image: String::new(),
        image_id: String::new(),
        log_path: String::new(),
        labels: Default::default(),
        annotations: Default::default(),
    }
}

/// A container's status, with its termination message if it ended.
pub async fn status(runtime: &dyn Runtime, id: &str) -> leme_cri::Result<ContainerStatus> {
    let mut status = within("inspect container", CALL, runtime.container(id)).await?;
    add_message(&mut status).await;
    Ok(status)
}

/// Adds the termination message.
pub async fn add_message(status: &mut ContainerStatus) {
    if status.state != ContainerState::Exited || !status.message.is_empty() {
        return;
    }
    let copy = status.clone();
    match blocking(move || Ok(message(&copy))).await {
        Ok(text) => status.message = text,
        Err(error) => tracing::debug!(%error, "termination message not read"),
    }
}

fn message(status: &ContainerStatus) -> String {
    let file = status.annotations.get(config::TERMINATION_FILE);
    let mut bytes = file.and_then(|f| read_head(Path::new(f)).ok()).unwrap_or_default();
    let policy = status.annotations.get(config::TERMINATION_POLICY).map(String::as_str);
    let failed = status.exit_code != 0 || status.oom_killed;
    if bytes.is_empty() && failed && policy == Some("FallbackToLogsOnError") {
        bytes = crate::kubelet::crilog::tail(Path::new(&status.log_path), 80, MESSAGE_FROM_LOG)
            .unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn read_head(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let mut bytes = Vec::new();
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    file.take(MESSAGE as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Takes a sandbox down and removes the pod's volumes.
pub async fn tear_down(
    runtime: &dyn Runtime,
    csi: &Arc<Csi>,
    sandbox: Option<String>,
    pod_directory: PathBuf,
) -> Result<(), String> {
    if let Some(id) = sandbox {
        within("stop sandbox", CALL, runtime.stop_sandbox(&id)).await.map_err(|e| e.to_string())?;
    }
    let_go(csi, &pod_directory).await?;
    blocking(move || volumes::remove_volumes(&pod_directory)).await
}

/// Has drivers take away what is theirs. What is mounted of that elsewhere must not keep it.
async fn let_go(csi: &Arc<Csi>, pod_directory: &Path) -> Result<(), String> {
    let directory = pod_directory.to_owned();
    blocking(move || volumes::remove_sub_paths(&directory)).await?;
    csi.tear_down(pod_directory).await
}

/// Stops and removes sandboxes.
pub async fn remove_sandbox(runtime: &dyn Runtime, id: &str) -> Result<(), String> {
    within("stop sandbox", CALL, runtime.stop_sandbox(id)).await.map_err(|e| e.to_string())?;
    within("remove sandbox", CALL, runtime.remove_sandbox(id)).await.map_err(|e| e.to_string())
}

/// Removes a container. Of one that others came after the log goes too: only the last two runs can be asked for theirs,
/// and a container that starts over and over would fill the disk.
pub async fn remove_container(runtime: &dyn Runtime, id: &str) -> leme_cri::Result<()> {
    let all = within("list containers", CALL, runtime.containers()).await?;
    let old = all.iter().find(|c| c.id == id);
    let superseded = |old: &&ContainerStatus| {
        all.iter().any(|c| {
            c.sandbox_id == old.sandbox_id && c.name == old.name && c.attempt > old.attempt
        })
    };
    let log = old.filter(superseded).map(|c| PathBuf::from(&c.log_path));
    within("remove container", CALL, runtime.remove_container(id)).await?;
    if let Some(log) = log.filter(|log| !log.as_os_str().is_empty()) {
        let removed = blocking(move || {
            let all = leme_cri::embedded::rotated(&log).into_iter().chain([log]);
            all.filter(|file| file.exists()).try_for_each(std::fs::remove_file)?;
            Ok(())
        });
        if let Err(error) = removed.await {
            tracing::warn!(%id, %error, "log of a removed container not removed");
        }
    }
    Ok(())
}

/// Removes all that is left of a pod.
pub async fn forget(
    runtime: &dyn Runtime,
    csi: &Arc<Csi>,
    uid: &str,
    pod_directory: PathBuf,
    logs: PathBuf,
) -> Result<(), String> {
    let all =
        within("list sandboxes", CALL, runtime.sandboxes()).await.map_err(|e| e.to_string())?;
    for sandbox in all.iter().filter(|s| s.pod.uid == uid) {
        remove_sandbox(runtime, &sandbox.id).await?;
    }
    let_go(csi, &pod_directory).await?;
    blocking(move || volumes::remove(&pod_directory, &logs)).await
}

/// What hooks and probes need to know of a container.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// Address of the pod.
    pub ip: String,
    /// The container.
    pub container: Arc<Container>,
}

impl Hooks {
    /// Runs a hook.
    pub async fn run(
        &self,
        runtime: &dyn Runtime,
        id: &str,
        handler: &LifecycleHandler,
        limit: Duration,
    ) -> Result<(), String> {
        if let Some(sleep) = &handler.sleep {
            let wanted = Duration::from_secs(sleep.seconds.max(0).unsigned_abs());
            tokio::time::sleep(wanted.min(limit)).await;
            return Ok(());
        }
        let check = probe::Check {
            exec: handler.exec.clone(),
            http: handler.http_get.clone(),
            tcp: handler.tcp_socket.clone(),
            grpc: None,
        };
        match probe::run(runtime, self, id, &check, limit).await {
            Outcome::Success | Outcome::Warning(_) => Ok(()),
            Outcome::Failure(message) | Outcome::Error(message) => Err(message),
        }
    }
}
