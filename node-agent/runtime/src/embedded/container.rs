//! Containers: making, starting, stopping, adopting and forgetting them.
//!
//! Knows: records and shims. Refuses to know: what a shim does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leme_host::cgroup::Cgroup;
use leme_host::files;
use leme_host::helper::protocol::{
    Command, ContainerRequest, ExitRecord, Failure, Phase, Report, Request, ShimRecord,
};
use leme_host::images::ImageRecord;
use leme_host::namespaces::SandboxPaths;
use leme_host::spec::{BindMount, NamespacesInput, ProcessInput, ResourcesInput, SecurityInput, SpecInput};
use leme_node_core::cri::{ContainerConfig, ContainerState, ContainerStatus, Propagation};
use nix::sys::signal::Signal;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::records::{self, ContainerRecord, SandboxRecord};
use super::watch::{Connection, Order};
use super::{EmbeddedRuntime, blocking, failed, from_failure, lock};
use crate::{Result, RuntimeError, RuntimeEvent};

const CREATE_LIMIT: Duration = Duration::from_secs(120);
const KILL_LIMIT: Duration = Duration::from_secs(30);
const ADOPT_LIMIT: Duration = Duration::from_secs(10);

/// A container that the engine knows.
pub(super) struct Entry {
    pub(super) record: ContainerRecord,
    phase: watch::Receiver<Phase>,
    orders: mpsc::Sender<Order>,
    events: broadcast::Sender<RuntimeEvent>,
}

impl EmbeddedRuntime {
    pub(super) fn entry(&self, id: &str) -> Result<Arc<Entry>> {
        let entry = lock(&self.containers).get(id).cloned();
        entry.ok_or_else(|| RuntimeError::NotFound(format!("container {id}")))
    }

    pub(super) fn containers_of(&self, sandbox: &str) -> Vec<Arc<Entry>> {
        lock(&self.containers).values().filter(|entry| entry.record.sandbox_id == sandbox).cloned().collect()
    }

    pub(super) async fn make_container(&self, sandbox_id: &str, config: &ContainerConfig) -> Result<String> {
        let sandbox = self.ready_sandbox(sandbox_id)?;
        let image = self.find_image(&config.image).await?;
        let image = image.ok_or_else(|| RuntimeError::NotFound(format!("image {}", config.image)))?;
        if config.share_pid {
            self.shared_pid_namespace(&sandbox).await?;
        }
        let record = self.plan_container(&sandbox, config, &image)?;
        let id = record.request.id.clone();
        fs::create_dir_all(&record.request.directory).map_err(failed("make container directory"))?;
        record.save().map_err(failed("write container record"))?;
        match self.launch(&record).await {
            Ok((connection, phase)) => {
                self.admit(record, phase, Some(connection));
                Ok(id)
            }
            Err(error) => {
                let directory = record.request.directory.clone();
                blocking("remove container", move || files::remove_tree(&directory).map_err(failed("remove container")))
                    .await?;
                Err(error)
            }
        }
    }

    /// Has a shim made; its first report tells whether the container exists.
    async fn launch(&self, record: &ContainerRecord) -> Result<(Connection, Phase)> {
        let request = Request::Container(Box::new(record.request.clone()));
        let stream = self.helper.call(&request, &[]).await.map_err(failed("create container"))?;
        let mut connection = Connection::new(stream);
        let report = tokio::time::timeout(CREATE_LIMIT, connection.next()).await;
        match report.map_err(|_| RuntimeError::Timeout("create container".into()))?.map_err(failed("create container"))? {
            Some(Report::Phase(phase)) => Ok((connection, phase)),
            Some(Report::Failed(failure)) => Err(from_failure("create container", failure)),
            _ => Err(failed("create container")("the helper process died")),
        }
    }

    /// Takes a container in and watches it, unless it has ended already.
    fn admit(&self, record: ContainerRecord, phase: Phase, connection: Option<Connection>) {
        let id = record.request.id.clone();
        let (orders, orders_end) = mpsc::channel(16);
        let (teller, phase) = watch::channel(phase);
        let entry = Arc::new(Entry { record, phase, orders, events: self.events.clone() });
        if let Some(connection) = connection {
            let (request, events) = (entry.record.request.clone(), self.events.clone());
            tokio::spawn(async move {
                connection.serve(orders_end, &teller).await;
                let last = teller.borrow().clone();
                if !matches!(last, Phase::Exited(_)) {
                    // The engine is gone when nobody listens; the shim is when somebody still does.
                    if teller.is_closed() {
                        return;
                    }
                    let record = settle(&request, &last).await;
                    teller.send_replace(Phase::Exited(record));
                }
                if !teller.is_closed() {
                    let _ = events.send(RuntimeEvent::ContainerExited { id: request.id.clone() });
                }
            });
        }
        lock(&self.containers).insert(id, entry);
    }

    pub(super) async fn adopt_containers(&self) -> Result<()> {
        let found = records::load_containers(&self.config.containers()).map_err(failed("read containers"))?;
        let adoptions = found.into_iter().map(|record| async move {
            let request = &record.request;
            match files::read_json::<ExitRecord>(&request.exit_file()) {
                Ok(Some(exit)) => return self.admit(record, Phase::Exited(exit), None),
                Ok(None) => {}
                Err(error) => tracing::error!(container = %request.id, %error, "exit record cannot be read"),
            }
            match reconnect(request).await {
                Some((connection, phase)) => self.admit(record, phase, Some(connection)),
                None => {
                    let exit = settle(request, &Phase::Created { pid: 0 }).await;
                    self.admit(record, Phase::Exited(exit), None);
                }
            }
        });
        futures::future::join_all(adoptions).await;
        Ok(())
    }

    pub(super) async fn forget_container(&self, id: &str) -> Result<()> {
        let Ok(entry) = self.entry(id) else { return Ok(()) };
        entry.stop(Duration::ZERO).await?;
        let request = entry.record.request.clone();
        blocking("remove container", move || {
            let cgroup = Cgroup::new(&request.spec.cgroup).map_err(failed("find cgroup"))?;
            cgroup.remove().map_err(failed("remove cgroup"))?;
            files::remove_tree(&request.oci_root().join(&request.id)).map_err(failed("remove runtime state"))?;
            files::remove_file(&request.socket()).map_err(failed("remove socket"))?;
            files::remove_tree(&request.directory).map_err(failed("remove container"))
        })
        .await?;
        lock(&self.containers).remove(id);
        Ok(())
    }

    fn plan_container(
        &self,
        sandbox: &SandboxRecord,
        config: &ContainerConfig,
        image: &ImageRecord,
    ) -> Result<ContainerRecord> {
        let id = files::random_hex(32).map_err(failed("make id"))?;
        let paths = SandboxPaths(self.config.namespaces(&sandbox.id));
        let log_path = if config.log_path.is_empty() || sandbox.config.log_directory.is_empty() {
            PathBuf::new()
        } else {
            Path::new(&sandbox.config.log_directory).join(&config.log_path)
        };
        let security = &config.security;
        let spec = SpecInput {
            process: process_input(config, image),
            security: SecurityInput {
                privileged: security.privileged,
                readonly_rootfs: security.readonly_rootfs,
                no_new_privileges: security.no_new_privileges,
                add_capabilities: security.add_capabilities.clone(),
                drop_capabilities: security.drop_capabilities.clone(),
                seccomp_default: security.seccomp_default,
            },
            resources: ResourcesInput {
                cpu_shares: config.resources.cpu_shares,
                cpu_quota: config.resources.cpu_quota,
                cpu_period: config.resources.cpu_period,
                memory_limit: config.resources.memory_limit,
            },
            namespaces: NamespacesInput {
                net: (!sandbox.config.host_network).then(|| paths.net()),
                ipc: paths.ipc(),
                uts: paths.uts(),
                pid: config.share_pid.then(|| paths.pid()),
            },
            mounts: mounts(config, &self.config.sandboxes().join(&sandbox.id), &paths),
            cgroup: format!("{}/{id}", self.config.pod_cgroup(&sandbox.config.pod.uid)),
        };
        let settings = image.config.config().as_ref();
        Ok(ContainerRecord {
            sandbox_id: sandbox.id.clone(),
            config: config.clone(),
            created_at: files::now_nanos(),
            image_id: image.digests.first().cloned().unwrap_or_else(|| image.id.clone()),
            stop_signal: settings.and_then(|c| c.stop_signal().as_deref()).and_then(signal).unwrap_or(libc_sigterm()),
            layers: image.layers.clone(),
            request: ContainerRequest {
                directory: self.config.containers().join(&id),
                id,
                run_directory: self.config.run_dir.clone(),
                layers: image.layers.clone(),
                spec,
                log_path,
                stdin: config.stdin,
                oom_score_adj: config.resources.oom_score_adj,
            },
        })
    }
}

fn libc_sigterm() -> i32 {
    Signal::SIGTERM as i32
}

/// `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
fn signal(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return Some(34 + offset.strip_prefix('+').map_or(Ok(0), str::parse).ok()?).filter(|n| (34..=64).contains(n));
    }
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn process_input(config: &ContainerConfig, image: &ImageRecord) -> ProcessInput {
    let settings = image.config.config().clone().unwrap_or_default();
    let entrypoint = settings.entrypoint().clone().unwrap_or_default();
    let cmd = settings.cmd().clone().unwrap_or_default();
    // A command replaces both of the image's parts, arguments alone only its arguments.
    let mut args = if config.command.is_empty() { entrypoint } else { config.command.clone() };
    if !config.args.is_empty() {
        args.extend(config.args.iter().cloned());
    } else if config.command.is_empty() {
        args.extend(cmd);
    }
    let mut env = settings.env().clone().unwrap_or_default();
    env.extend(config.env.iter().map(|(name, value)| format!("{name}={value}")));
    let cwd = if config.working_dir.is_empty() {
        settings.working_dir().clone().unwrap_or_default()
    } else {
        config.working_dir.clone()
    };
    ProcessInput {
        args,
        env,
        cwd,
        tty: config.tty,
        image_user: settings.user().clone().unwrap_or_default(),
        run_as_user: config.security.run_as_user,
        run_as_group: config.security.run_as_group,
        supplemental_groups: config.security.supplemental_groups.clone(),
    }
}

/// The pod's mounts, and the sandbox's files where the pod does not replace them.
fn mounts(config: &ContainerConfig, sandbox: &Path, paths: &SandboxPaths) -> Vec<BindMount> {
    let mut list: Vec<BindMount> = config
        .mounts
        .iter()
        .map(|mount| BindMount {
            source: mount.host_path.clone().into(),
            destination: mount.container_path.clone().into(),
            readonly: mount.readonly,
            propagation: match mount.propagation {
                Propagation::Private => "rprivate",
                Propagation::HostToContainer => "rslave",
                Propagation::Bidirectional => "rshared",
            }
            .into(),
        })
        .collect();
    let readonly = config.security.readonly_rootfs;
    let own = [
        ("/etc/hosts", sandbox.join("hosts"), readonly),
        ("/etc/hostname", sandbox.join("hostname"), readonly),
        ("/etc/resolv.conf", sandbox.join("resolv.conf"), readonly),
        ("/dev/shm", paths.shm(), false),
    ];
    for (destination, source, readonly) in own {
        if !list.iter().any(|mount| mount.destination == Path::new(destination)) {
            list.push(BindMount { source, destination: destination.into(), readonly, propagation: "rprivate".into() });
        }
    }
    list
}

/// Connects to the shim of a container that an earlier engine made. A shim that lives but does not listen yet is
/// waited for.
async fn reconnect(request: &ContainerRequest) -> Option<(Connection, Phase)> {
    let until = tokio::time::Instant::now() + ADOPT_LIMIT;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Ok(mut connection) = Connection::open(&request.socket()).await
            && let Ok(Ok(Some(Report::Phase(phase)))) = tokio::time::timeout_at(until, connection.next()).await
        {
            return Some((connection, phase));
        }
        let shim = files::read_json::<ShimRecord>(&request.shim_file()).ok().flatten();
        let starting = shim.is_some_and(|record| record.shim.alive());
        if !starting || request.exit_file().exists() || tokio::time::Instant::now() > until {
            return None;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// The end of a container whose shim is gone: as the shim wrote it down, or else made up after ending what is left.
async fn settle(request: &ContainerRequest, last: &Phase) -> ExitRecord {
    let (request, last) = (request.clone(), last.clone());
    let task = tokio::task::spawn_blocking(move || {
        if let Ok(Some(record)) = files::read_json::<ExitRecord>(&request.exit_file()) {
            return record;
        }
        if let Ok(cgroup) = Cgroup::new(&request.spec.cgroup) {
            let ended = cgroup.kill_all().and_then(|()| cgroup.remove());
            if let Err(error) = ended {
                tracing::error!(container = %request.id, %error, "container without a watcher cannot be ended");
            }
        }
        let _ = files::remove_tree(&request.oci_root().join(&request.id));
        let record = ExitRecord {
            exit_code: 137,
            started_at: if let Phase::Running { started_at, .. } = last { started_at } else { 0 },
            finished_at: files::now_nanos(),
            reason: "Error".into(),
            message: "the container's watcher ended without a report (killed, or the machine was restarted)".into(),
            ..Default::default()
        };
        if let Err(error) = files::write_json(&request.exit_file(), &record) {
            tracing::error!(container = %request.id, %error, "exit record cannot be written");
        }
        record
    });
    task.await.unwrap_or_default()
}

impl Entry {
    async fn order(&self, operation: &'static str, command: Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure { invalid: false, operation: operation.into(), message: "the container has ended".into() };
        let sent = self.orders.send((command, reply)).await.is_ok();
        let result = if sent { answer.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) };
        result.map_err(|failure| from_failure(operation, failure))
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    fn ended(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Exited(_))
    }

    pub(super) async fn start(&self) -> Result<()> {
        self.order("start container", Command::Start).await?;
        let _ = self.events.send(RuntimeEvent::ContainerStarted { id: self.record.request.id.clone() });
        Ok(())
    }

    async fn wait_ended(&self, limit: Duration) -> bool {
        let mut phase = self.phase.clone();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Exited(_)));
        matches!(tokio::time::timeout(limit, ended).await, Ok(Ok(_)))
    }

    pub(super) async fn stop(&self, grace: Duration) -> Result<()> {
        if self.ended() {
            return Ok(());
        }
        let running = matches!(self.phase(), Phase::Running { .. });
        if running && !grace.is_zero() {
            let signal = self.record.stop_signal;
            // A container that ended meanwhile is what is wanted.
            let _ = self.order("stop container", Command::Kill { signal, all: false }).await;
            if self.wait_ended(grace).await {
                return Ok(());
            }
        }
        let kill = Command::Kill { signal: Signal::SIGKILL as i32, all: true };
        let _ = self.order("kill container", kill).await;
        if self.wait_ended(KILL_LIMIT).await {
            Ok(())
        } else {
            Err(RuntimeError::Timeout(format!("kill container {}", self.record.request.id)))
        }
    }

    pub(super) fn status(&self) -> ContainerStatus {
        let (record, config) = (&self.record, &self.record.config);
        let mut status = ContainerStatus {
            id: record.request.id.clone(),
            sandbox_id: record.sandbox_id.clone(),
            name: config.name.clone(),
            attempt: config.attempt,
            state: ContainerState::Unknown,
            pid: 0,
            created_at: record.created_at,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            oom_killed: false,
            reason: String::new(),
            message: String::new(),
            image: config.image.clone(),
            image_id: record.image_id.clone(),
            log_path: record.request.log_path.display().to_string(),
            labels: config.labels.clone(),
            annotations: config.annotations.clone(),
        };
        match self.phase() {
            Phase::Created { .. } => status.state = ContainerState::Created,
            Phase::Running { pid, started_at } => {
                (status.state, status.pid, status.started_at) = (ContainerState::Running, pid, started_at);
            }
            Phase::Exited(exit) => {
                status.state = ContainerState::Exited;
                (status.started_at, status.finished_at) = (exit.started_at, exit.finished_at);
                (status.exit_code, status.oom_killed) = (exit.exit_code, exit.oom_killed);
                status.reason = match (exit.reason.as_str(), exit.oom_killed, exit.exit_code) {
                    ("", true, _) => "OOMKilled".into(),
                    ("", false, 0) => "Completed".into(),
                    ("", false, _) => "Error".into(),
                    (reason, ..) => reason.into(),
                };
                status.message = exit.message;
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_signals() {
        for (text, number) in [
            ("SIGQUIT", Some(3)),
            ("term", Some(15)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("0", None),
            ("SIGNOPE", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
