//! Sandboxes: making, stopping and forgetting them.
//!
//! Knows: the order in which a sandbox's parts come and go. Refuses to know: how namespaces are made.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use leme_host::cgroup::{self, Cgroup};
use leme_host::files;
use leme_host::helper::protocol::{PauseRequest, Phase, Report, Request};
use leme_host::ids::Pool;
use leme_host::namespaces::{self, SandboxPaths, SandboxRequest};
use leme_node_core::cri::{Resources, SandboxConfig, SandboxState, SandboxStatus};
use leme_node_core::hosts;

use super::records::SandboxRecord;
use super::{EmbeddedRuntime, blocking, failed, from_failure, lock};
use crate::{Result, Runtime, RuntimeError};

const SHM_BYTES: u64 = 64 << 20;
/// Room for what containers add to `/etc/hosts` and its like.
const SPARE_BYTES: u64 = 256 << 10;
const LIMIT: Duration = Duration::from_secs(60);

impl EmbeddedRuntime {
    pub(super) async fn make_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        for name in config.sysctls.keys() {
            if !namespaces::allowed_sysctl(name, !config.host_network) {
                return Err(RuntimeError::Invalid(format!(
                    "sysctl {name:?} does not belong to the pod's namespaces"
                )));
            }
        }
        if config.hostname.is_empty() || config.hostname.len() > 64 {
            return Err(RuntimeError::Invalid(format!("bad host name {:?}", config.hostname)));
        }
        let id = files::random_hex(32).map_err(failed("make id"))?;
        let record = SandboxRecord {
            id: id.clone(),
            config: config.clone(),
            created_at: files::now_nanos(),
            ip: String::new(),
            ready: false,
            first_id: None,
        };
        let record = self.give_ids(record)?;
        let made = match self.save_sandbox(record.clone()) {
            Ok(()) => self.fill_sandbox(record).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(record) => self.save_sandbox(record).map(|()| id),
            Err(error) => {
                if let Err(left) = self.forget_sandbox(&id).await {
                    tracing::warn!(sandbox = %id, error = %left, "failed sandbox was not removed");
                }
                Err(error)
            }
        }
    }

    /// Takes a sandbox in, with a range of the machine's ids that no other pod has if it has users of its own: that of the pod's
    /// earlier sandboxes while there are such.
    fn give_ids(&self, mut record: SandboxRecord) -> Result<SandboxRecord> {
        let mut sandboxes = lock(&self.sandboxes);
        if record.config.own_users {
            let pod = &record.config.pod.uid;
            let earlier = sandboxes.values().find(|other| other.config.pod.uid == *pod);
            let taken = sandboxes.values().filter_map(|other| other.first_id).collect();
            record.first_id = earlier.and_then(|earlier| earlier.first_id);
            if record.first_id.is_none() {
                let pool = Pool::of_machine().map_err(failed("make user namespace"))?;
                record.first_id = pool.free(&taken);
            }
            if record.first_id.is_none() {
                let why = "all ranges of ids for pods with users of their own are taken";
                return Err(failed("make user namespace")(why));
            }
        }
        sandboxes.insert(record.id.clone(), record.clone());
        Ok(record)
    }

    async fn fill_sandbox(&self, mut record: SandboxRecord) -> Result<SandboxRecord> {
        let config = &record.config;
        let paths = SandboxPaths(self.config.namespaces(&record.id));
        let request = SandboxRequest {
            directory: paths.0.clone(),
            hostname: config.hostname.clone(),
            network: !config.host_network,
            first_id: record.first_id,
            sysctls: config
                .sysctls
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            shm_bytes: SHM_BYTES,
            // Each is replaced by a second copy.
            files_bytes: SPARE_BYTES
                + shared_text(&record, "").iter().map(|(_, t)| 2 * t.len() as u64).sum::<u64>(),
        };
        Cgroup::new(&self.config.pod_cgroup(&config.pod.uid))
            .and_then(|pod| limit(&pod, self.config.pod_processes, &config.resources))
            .map_err(failed("limit the pod"))?;
        self.ask("make sandbox", &Request::Sandbox(request)).await?;
        if !config.host_network {
            let (network, ports) = (&self.config.network, &config.port_mappings);
            let attached = network.attach(&record.id, &paths.net(), ports).await;
            record.ip = attached.map_err(failed("connect sandbox to the network"))?;
        }
        for (name, text) in shared_text(&record, &record.ip) {
            files::replace(&paths.files().join(name), text.as_bytes(), 0o644, false)
                .map_err(failed("write sandbox files"))?;
        }
        record.ready = true;
        Ok(record)
    }

    async fn ask(&self, operation: &'static str, request: &Request) -> Result<()> {
        match self.helper.finish(request, LIMIT).await.map_err(failed(operation))? {
            Report::Failed(failure) => Err(from_failure(operation, failure)),
            _ => Ok(()),
        }
    }

    fn save_sandbox(&self, record: SandboxRecord) -> Result<()> {
        fs::create_dir_all(self.config.sandboxes().join(&record.id))
            .map_err(failed("make sandbox directory"))?;
        record.save(&self.config.sandboxes()).map_err(failed("write sandbox record"))?;
        lock(&self.sandboxes).insert(record.id.clone(), record);
        Ok(())
    }

    /// The sandbox, if its namespaces are there.
    pub(super) fn ready_sandbox(&self, id: &str) -> Result<SandboxRecord> {
        let record = lock(&self.sandboxes).get(id).cloned();
        let record = record.ok_or_else(|| RuntimeError::NotFound(format!("sandbox {id}")))?;
        match self.sandbox_status(&record).state {
            SandboxState::Ready => Ok(record),
            SandboxState::NotReady => Err(RuntimeError::Failed {
                operation: "use sandbox",
                message: format!("sandbox {id} is stopped"),
            }),
        }
    }

    pub(super) fn sandbox_status(&self, record: &SandboxRecord) -> SandboxStatus {
        let held = namespaces::is_held(&SandboxPaths(self.config.namespaces(&record.id)).uts());
        SandboxStatus {
            id: record.id.clone(),
            pod: record.config.pod.clone(),
            attempt: record.config.attempt,
            state: if record.ready && held { SandboxState::Ready } else { SandboxState::NotReady },
            ip: record.ip.clone(),
            created_at: record.created_at,
            labels: record.config.labels.clone(),
        }
    }

    /// Makes the sandbox's shared PID namespace unless it is there.
    pub(super) async fn shared_pid_namespace(&self, record: &SandboxRecord) -> Result<()> {
        let _one_at_a_time = self.pid_namespaces.lock().await;
        let target = SandboxPaths(self.config.namespaces(&record.id)).pid();
        if namespaces::is_held(&target) {
            return Ok(());
        }
        let cgroup = self.config.pause_cgroup(record);
        self.ask("make PID namespace", &Request::Pause(PauseRequest { target, cgroup })).await
    }

    /// The PID namespace of a container of a sandbox that runs.
    pub(super) fn processes_of(&self, sandbox: &SandboxRecord, target: &str) -> Result<OwnedFd> {
        let entry = self.entry(target)?;
        let Phase::Running { pid, .. } = entry.phase() else {
            return Err(RuntimeError::Invalid(format!("container {target} does not run")));
        };
        if entry.record.sandbox_id != sandbox.id {
            return Err(RuntimeError::Invalid(format!("container {target} is not of this pod")));
        }
        Cgroup::new(&entry.record.request.spec.cgroup)
            .and_then(|cgroup| namespaces::open_pid_namespace(pid, &cgroup))
            .map_err(failed("find the target's processes"))
    }

    pub(super) async fn end_sandbox(&self, id: &str) -> Result<()> {
        let Some(mut record) = lock(&self.sandboxes).get(id).cloned() else { return Ok(()) };
        let inside = self.containers_of(id);
        let stops = inside.iter().map(|entry| entry.stop(Duration::ZERO));
        futures::future::join_all(stops).await.into_iter().collect::<Result<()>>()?;
        let directory = self.config.namespaces(id);
        if !record.config.host_network {
            let detached =
                self.config.network.detach(id, &SandboxPaths(directory.clone()).net()).await;
            detached.map_err(failed("disconnect sandbox from the network"))?;
        }
        let (pod, pause) =
            (self.config.pod_cgroup(&record.config.pod.uid), self.config.pause_cgroup(&record));
        blocking("remove sandbox", move || {
            remove_parts(&pod, &pause, &directory).map_err(failed("remove sandbox"))
        })
        .await?;
        record.ready = false;
        self.save_sandbox(record)
    }

    pub(super) async fn forget_sandbox(&self, id: &str) -> Result<()> {
        if !lock(&self.sandboxes).contains_key(id) {
            return Ok(());
        }
        self.end_sandbox(id).await?;
        for entry in self.containers_of(id) {
            self.remove_container(&entry.record.request.id).await?;
        }
        files::remove_tree(&self.config.sandboxes().join(id))
            .map_err(failed("remove sandbox record"))?;
        lock(&self.sandboxes).remove(id);
        Ok(())
    }
}

fn remove_parts(pod: &str, pause: &str, namespaces: &Path) -> io::Result<()> {
    let (pod, pause) = (Cgroup::new(pod)?, Cgroup::new(pause)?);
    pause.kill_all()?;
    namespaces::remove(namespaces)?;
    pause.remove()?;
    pod.remove_if_empty();
    Ok(())
}

/// Limits a pod as a whole: root in a container can mount its own cgroup anew and lift the limits there, but never those
/// above.
fn limit(pod: &Cgroup, processes: Option<u64>, resources: &Resources) -> io::Result<()> {
    if let Some(most) = processes {
        pod.limit_processes(most)?;
    }
    if resources.memory_limit > 0 && cgroup::has_controller("memory") {
        pod.limit_memory(resources.memory_limit)?;
    }
    if resources.cpu_quota > 0 && cgroup::has_controller("cpu") {
        pod.limit_cpu(resources.cpu_quota, resources.cpu_period)?;
    }
    Ok(())
}

/// `hosts`, `hostname` and `resolv.conf`, which containers get as mounts.
fn shared_text(record: &SandboxRecord, address: &str) -> [(&'static str, String); 3] {
    let config = &record.config;
    let node = match config.host_network {
        true => fs::read_to_string("/etc/hosts").unwrap_or_default(),
        false => String::new(),
    };
    [
        ("hosts", hosts::text(config, address, &node)),
        ("hostname", format!("{}\n", config.hostname)),
        ("resolv.conf", config.resolv_conf.clone()),
    ]
}
