//! Containers: making, starting, stopping, adopting and forgetting them.
//!
//! Knows: records and shims. Refuses to know: what a shim does.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use leme_host::cgroup::{self, Cgroup};
use leme_host::files;
use leme_host::helper::protocol::{
    Command, ContainerRequest, ExitRecord, Failure, Phase, Report, Request, ShimRecord,
};
use leme_node_core::cri::{ContainerConfig, ContainerState, ContainerStatus};
use nix::sys::signal::Signal;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::records::{ContainerRecord, SandboxRecord};
use super::watch::{Connection, Order};
use super::{EmbeddedRuntime, blocking, failed, from_failure, lock};
use crate::{Result, RuntimeError, RuntimeEvent};

const CREATE_LIMIT: Duration = Duration::from_secs(120);
/// How often a container is killed, for what it held back a while ago may be let go of by now, and the time each takes.
const KILL_TRIES: u32 = 10;
const KILL_PAUSE: Duration = Duration::from_secs(3);
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
        lock(&self.containers)
            .values()
            .filter(|entry| entry.record.sandbox_id == sandbox)
            .cloned()
            .collect()
    }

    pub(super) async fn make_container(
        &self,
        sandbox_id: &str,
        config: &ContainerConfig,
    ) -> Result<String> {
        let sandbox = self.ready_sandbox(sandbox_id)?;
        let image = self.find_image(&config.image).await?;
        let image =
            image.ok_or_else(|| RuntimeError::NotFound(format!("image {}", config.image)))?;
        if config.share_pid {
            self.shared_pid_namespace(&sandbox).await?;
        }
        let mut record = self.plan_container(&sandbox, config, &image)?;
        self.builder.equip(&sandbox, &mut record).await?;
        // Held until the container is there.
        let target = match config.target.as_str() {
            "" => None,
            target => Some(self.processes_of(&sandbox, target)?),
        };
        if let Some(target) = &target {
            let path = format!("/proc/{}/fd/{}", std::process::id(), target.as_raw_fd());
            record.request.spec.namespaces.pid = Some(path.into());
        }
        let id = record.request.id.clone();
        fs::create_dir_all(&record.request.directory)
            .map_err(failed("make container directory"))?;
        record.save().map_err(failed("write container record"))?;
        match self.launch(&record).await {
            Ok((connection, phase)) => {
                self.admit(record, phase, Some(connection));
                self.weigh_pod(&sandbox);
                Ok(id)
            }
            Err(error) => {
                let directory = record.request.directory.clone();
                blocking("remove container", move || {
                    files::remove_tree(&directory).map_err(failed("remove container"))
                })
                .await?;
                Err(error)
            }
        }
    }

    /// A pod gets of the CPU what its containers ask for together, not as much as any other pod.
    fn weigh_pod(&self, sandbox: &SandboxRecord) {
        let inside = self.containers_of(&sandbox.id);
        let asked = inside.iter().filter(|entry| !entry.ended());
        let shares = asked.map(|entry| entry.record.config.resources.cpu_shares.max(2)).sum();
        let pod = Cgroup::new(&self.config.pod_cgroup(&sandbox.config.pod.uid));
        if cgroup::has_controller("cpu")
            && let Err(error) = pod.and_then(|pod| pod.set_cpu_shares(shares))
        {
            tracing::warn!(sandbox = %sandbox.id, %error, "the pod's CPU shares cannot be set");
        }
    }

    /// Has a shim made; its first report tells whether the container exists.
    async fn launch(&self, record: &ContainerRecord) -> Result<(Connection, Phase)> {
        let request = Request::Container(Box::new(record.request.clone()));
        let stream = self.helper.call(&request, &[]).await.map_err(failed("create container"))?;
        let mut connection = Connection::new(stream);
        let report = tokio::time::timeout(CREATE_LIMIT, connection.next()).await;
        match report
            .map_err(|_| RuntimeError::Timeout("create container".into()))?
            .map_err(failed("create container"))?
        {
            Some(Report::Phase(phase)) => Ok((connection, phase)),
            Some(Report::Failed(failure)) => Err(from_failure("create container", failure)),
            _ => Err(failed("create container")("the helper process died")),
        }
    }

    /// Takes a container in and watches it, unless it has ended already; one without a connection is to be ended.
    fn admit(&self, record: ContainerRecord, phase: Phase, connection: Option<Connection>) {
        let id = record.request.id.clone();
        let (orders, orders_end) = mpsc::channel(16);
        let (teller, phase) = watch::channel(phase);
        let entry = Arc::new(Entry { record, phase, orders, events: self.events.clone() });
        if !entry.ended() {
            let (request, events) = (entry.record.request.clone(), self.events.clone());
            tokio::spawn(async move {
                match connection {
                    Some(connection) => follow(&request, connection, orders_end, &teller).await,
                    None => bury(&request, &teller).await,
                }
                if matches!(&*teller.borrow(), Phase::Exited(_)) {
                    let _ = events.send(RuntimeEvent::ContainerExited { id: request.id.clone() });
                }
            });
        }
        lock(&self.containers).insert(id, entry);
    }

    /// Takes over what an earlier engine left running.
    pub(super) async fn adopt_containers(&self, found: Vec<ContainerRecord>) {
        let adoptions = found.into_iter().map(|record| async move {
            let request = &record.request;
            match files::read_json::<ExitRecord>(&request.exit_file()) {
                Ok(Some(exit)) => return self.admit(record, Phase::Exited(exit), None),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(container = %request.id, %error, "exit record cannot be read")
                }
            }
            match reconnect(request).await {
                Some((connection, phase)) => self.admit(record, phase, Some(connection)),
                None => {
                    let last = Phase::Created { pid: 0 };
                    match settle_once(request, &last).await {
                        Ok(exit) => self.admit(record, Phase::Exited(exit), None),
                        // It runs, whatever that is worth: it must not be taken for one that has ended.
                        Err(error) => {
                            tracing::error!(container = %request.id, %error, "container without a watcher cannot be ended, trying again");
                            self.admit(record, Phase::Running { pid: 0, started_at: 0 }, None);
                        }
                    }
                }
            }
        });
        futures::future::join_all(adoptions).await;
    }

    pub(super) async fn forget_container(&self, id: &str) -> Result<()> {
        let Ok(entry) = self.entry(id) else { return Ok(()) };
        entry.stop(Duration::ZERO).await?;
        let request = entry.record.request.clone();
        blocking("remove container", move || {
            let cgroup = Cgroup::new(&request.spec.cgroup).map_err(failed("find cgroup"))?;
            cgroup.remove().map_err(failed("remove cgroup"))?;
            files::remove_tree(&request.oci_root().join(&request.id))
                .map_err(failed("remove runtime state"))?;
            files::remove_tree(&request.bundle()).map_err(failed("remove bundle"))?;
            files::remove_file(&request.socket()).map_err(failed("remove socket"))?;
            files::remove_tree(&request.directory).map_err(failed("remove container"))
        })
        .await?;
        lock(&self.containers).remove(id);
        Ok(())
    }
}

/// Listens to a container's shim until the container has ended or nobody wants to know any more.
async fn follow(
    request: &ContainerRequest,
    mut connection: Connection,
    mut orders: mpsc::Receiver<Order>,
    teller: &watch::Sender<Phase>,
) {
    loop {
        connection.serve(&mut orders, teller).await;
        let last = teller.borrow().clone();
        if matches!(last, Phase::Exited(_)) || teller.is_closed() {
            return;
        }
        // The connection broke. A shim that lives has more to tell.
        match reconnect(request).await {
            Some((again, phase)) => {
                connection = again;
                teller.send_replace(phase);
            }
            None => return bury(request, teller).await,
        }
    }
}

/// Ends a container whose shim is gone, however long that takes; until then it counts as running.
async fn bury(request: &ContainerRequest, teller: &watch::Sender<Phase>) {
    let last = teller.borrow().clone();
    while !teller.is_closed() {
        match settle_once(request, &last).await {
            Ok(exit) => {
                teller.send_replace(Phase::Exited(exit));
                return;
            }
            Err(error) => {
                tracing::warn!(container = %request.id, %error, "container without a watcher cannot be ended, trying again");
                tokio::time::sleep(KILL_PAUSE).await;
            }
        }
    }
}

/// Connects to the shim of a container that an earlier engine made. A shim that lives but does not listen yet is
/// waited for.
async fn reconnect(request: &ContainerRequest) -> Option<(Connection, Phase)> {
    let until = tokio::time::Instant::now() + ADOPT_LIMIT;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Ok(mut connection) = Connection::open(&request.socket()).await
            && let Ok(Ok(Some(Report::Phase(phase)))) =
                tokio::time::timeout_at(until, connection.next()).await
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
///
/// # Errors
/// When something of it still runs.
async fn settle_once(request: &ContainerRequest, last: &Phase) -> Result<ExitRecord> {
    let (request, last) = (request.clone(), last.clone());
    blocking("end container", move || {
        if let Ok(Some(record)) = files::read_json::<ExitRecord>(&request.exit_file()) {
            return Ok(record);
        }
        let cgroup = Cgroup::new(&request.spec.cgroup).map_err(failed("find cgroup"))?;
        cgroup.kill_all().map_err(failed("end container"))?;
        if let Err(error) = cgroup.remove() {
            tracing::warn!(container = %request.id, %error, "cgroup of an ended container not removed");
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
        Ok(record)
    })
    .await
}

impl Entry {
    async fn order(&self, operation: &'static str, command: Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let gone = || Failure {
            invalid: false,
            operation: operation.into(),
            message: "the container has ended".into(),
        };
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
        let _ =
            self.events.send(RuntimeEvent::ContainerStarted { id: self.record.request.id.clone() });
        Ok(())
    }

    pub(super) async fn reopen_log(&self) -> Result<()> {
        self.order("reopen log", Command::ReopenLog).await
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
        for _ in 0..KILL_TRIES {
            let kill = Command::Kill { signal: Signal::SIGKILL as i32, all: true };
            let _ = self.order("kill container", kill).await;
            if self.wait_ended(KILL_PAUSE).await {
                return Ok(());
            }
        }
        Err(RuntimeError::Timeout(format!("kill container {}", self.record.request.id)))
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
                (status.state, status.pid, status.started_at) =
                    (ContainerState::Running, pid, started_at);
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
