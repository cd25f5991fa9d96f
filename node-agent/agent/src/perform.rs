//! Carrying out effects: each in a task of its own, answered by an event.
//!
//! Knows: what each effect needs from the agent's state. Refuses to know: what the answer changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use leme_node_core::config::{self, Build};
use leme_node_core::fields::Facts;
use leme_node_core::lookup::Trouble;
use leme_node_core::pod::{self, Effect, StartError};
use leme_node_core::probe::Kind;
use leme_node_core::spec;
use leme_node_core::volumes::{self as plan, VolumePlan};

use crate::agent::{Agent, Entry, after, now};
use crate::event::Event;
use crate::images::{self, Fetch};
use crate::publish::Failed;
use crate::volumes::{self, Group, Plans};
use crate::worker::{self, Hooks};
use crate::{probe, publish};

impl Agent {
    /// Carries out one effect.
    pub fn perform(&mut self, uid: &str, effect: Effect) {
        match effect {
            Effect::PrepareVolumes => self.prepare_volumes(uid),
            Effect::RunSandbox { attempt } => self.run_sandbox(uid, attempt),
            Effect::StartContainer { name, attempt, sandbox } => {
                self.start_container(uid, name, attempt, sandbox);
            }
            Effect::StopContainer { name, id, grace, pre_stop } => {
                let Some(hooks) = self.hooks(uid, &name) else { return };
                self.spawn(uid, |runtime| async move {
                    match worker::stop(&*runtime, &hooks, &id, grace, pre_stop).await {
                        Ok(status) => Some(pod::Event::Exited(status)),
                        Err(message) => Some(pod::Event::StopFailed { id, message }),
                    }
                });
            }
            Effect::RemoveContainer { id } => self.spawn(uid, |runtime| async move {
                if let Err(error) = worker::remove_container(&*runtime, &id).await {
                    tracing::warn!(%id, %error, "container not removed");
                }
                None
            }),
            Effect::PostStart { name, id, handler } => {
                let Some(hooks) = self.hooks(uid, &name) else { return };
                self.spawn(uid, |runtime| async move {
                    let limit = Duration::from_secs(600);
                    let result = hooks.run(&*runtime, &id, &handler, limit).await;
                    Some(pod::Event::Hooked { name, id, result })
                });
            }
            Effect::Probe { name, id, kind, timeout } => self.probe(uid, name, id, kind, timeout),
            Effect::TearDown { sandbox } => {
                let directory = self.pod_directory(uid);
                let Some(lock) = self.pods.get(uid).map(|e| e.volume_lock.clone()) else { return };
                let csi = self.csi.clone();
                self.spawn(uid, |runtime| async move {
                    let _one_at_a_time = lock.lock_owned().await;
                    let result = worker::tear_down(&*runtime, &csi, sandbox, directory).await;
                    Some(pod::Event::TornDown(result))
                });
            }
            Effect::RemoveSandbox { id } => self.spawn(uid, |runtime| async move {
                if let Err(error) = worker::remove_sandbox(&*runtime, &id).await {
                    tracing::warn!(%id, %error, "sandbox not removed");
                }
                None
            }),
            Effect::Emit(notice) => {
                if let Some(entry) = self.pods.get(uid).filter(|e| !e.orphan) {
                    self.recorder.pod(entry.machine.pod(), notice);
                }
            }
            Effect::DeleteFromApi => {
                if let Some(entry) = self.pods.get_mut(uid) {
                    entry.delete = true;
                }
            }
            Effect::Forget => self.forget(uid),
        }
    }

    /// Runs a task for a pod; what it gives goes to the pod's machine.
    fn spawn<F>(&self, uid: &str, work: impl FnOnce(Arc<dyn leme_cri::Runtime>) -> F)
    where
        F: Future<Output = Option<pod::Event>> + Send + 'static,
    {
        let (to, uid) = (self.to.clone(), uid.to_owned());
        let work = work(self.config.runtime.clone());
        tokio::spawn(async move {
            if let Some(event) = work.await {
                let _ = to.send(Event::Machine(uid, Box::new(event)));
            }
        });
    }

    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        // A UID comes from the API; it must not become a path.
        let safe: String = uid
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        self.config.data_dir.join("pods").join(safe)
    }

    /// A pod's logs. The name comes from the API or the runtime; it must not become a path.
    pub fn log_directory(&self, pod: &Pod) -> PathBuf {
        self.logs().join(config::log_directory(pod).replace('/', "_"))
    }

    fn logs(&self) -> PathBuf {
        self.config.data_dir.join("logs")
    }

    /// Facts of node and pod.
    fn facts(&self, entry: &Entry) -> Facts {
        let host = spec::of(entry.machine.pod()).host_network.unwrap_or(false);
        let ip = if host { self.facts.host_ip.as_str() } else { entry.machine.ip() };
        Facts { pod_ip: ip.to_owned(), ..self.facts.clone() }
    }

    fn hooks(&self, uid: &str, name: &str) -> Option<Hooks> {
        let entry = self.pods.get(uid)?;
        let (container, _) = spec::container(entry.machine.pod(), name)?;
        let container = Arc::new(container.into_owned());
        Some(Hooks { ip: self.facts(entry).pod_ip, container })
    }

    /// Plans of all volumes; an empty message means that something has not been read yet.
    fn plans(&self, entry: &Entry) -> Result<Plans, String> {
        let facts = self.facts(entry);
        let pod = entry.machine.pod();
        let mut plans = BTreeMap::new();
        for volume in spec::of(pod).volumes.as_deref().unwrap_or_default() {
            let planned = plan::plan(pod, volume, &facts, &self.sources).map_err(|e| match e {
                Trouble::Loading(_) => String::new(),
                Trouble::Message(m) => {
                    format!("MountVolume.SetUp failed for volume \"{}\" : {m}", volume.name)
                }
            })?;
            plans.insert(volume.name.clone(), planned);
        }
        Ok(plans)
    }

    fn prepare_volumes(&mut self, uid: &str) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.asked.insert(String::new(), entry.changes);
        let Some(entry) = self.pods.get(uid) else { return };
        match self.plans(entry) {
            Ok(plans) => self.write_volumes(uid, plans, true),
            Err(message) => {
                let _ = self.to.send(Event::Volumes(uid.to_owned(), Err(message)));
            }
        }
    }

    /// Rewrites volumes whose content has changed in the API.
    pub fn refresh_volumes(&mut self, uid: &str) {
        let Some(entry) = self.pods.get(uid).filter(|e| e.machine.volumes_ready()) else { return };
        // While something is missing, what was there stays.
        if let Ok(plans) = self.plans(entry)
            && plans != entry.plans
        {
            self.write_volumes(uid, plans, false);
        }
    }

    fn write_volumes(&mut self, uid: &str, plans: Plans, answer: bool) {
        let directory = self.pod_directory(uid);
        let free = plans.iter().filter(|(_, plan)| answer && !self.is_used(uid, plan));
        let free: Plans = free.map(|(name, plan)| (name.clone(), plan.clone())).collect();
        let wishes = if answer { self.wishes(uid, &plans) } else { BTreeMap::new() };
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.plans.clone_from(&plans);
        let security = spec::of(entry.machine.pod()).security_context.clone().unwrap_or_default();
        let trust_root = security.fs_group_change_policy.as_deref() == Some("OnRootMismatch");
        let group = security.fs_group.and_then(|g| u32::try_from(g).ok());
        let group = group.map(|id| Group { id, trust_root });
        let (lock, to, uid) = (entry.volume_lock.clone(), self.to.clone(), uid.to_owned());
        let csi = self.csi.clone();
        tokio::spawn(async move {
            let guard = lock.lock_owned().await;
            let of_drivers = csi.set_up(&directory, wishes, group).await;
            let set_up = move || {
                let mut mounted = volumes::set_up(&directory, &plans, group)?;
                group.map_or(Ok(()), |group| volumes::share(&mounted, &free, group))?;
                mounted.extend(of_drivers?);
                Ok(mounted)
            };
            let work = worker::blocking(move || Ok(set_up()));
            let result = work.await.and_then(|r| r);
            drop(guard);
            match result {
                result if answer => drop(to.send(Event::Volumes(uid, result))),
                Ok(_) => {}
                Err(error) => tracing::warn!(pod = %uid, %error, "volumes not updated"),
            }
        });
    }

    /// Whether another pod has a volume of the node that outlives both.
    fn is_used(&self, uid: &str, plan: &VolumePlan) -> bool {
        let VolumePlan::Local { path, .. } = plan else { return false };
        let has = |entry: &Entry| {
            let mut all = entry.plans.values();
            all.any(|plan| matches!(plan, VolumePlan::Local { path: other, .. } if other == path))
        };
        self.pods.iter().any(|(other, entry)| {
            other != uid
                && entry.machine.volumes_ready()
                && !entry.machine.is_finished()
                && has(entry)
        })
    }

    fn run_sandbox(&mut self, uid: &str, attempt: u32) {
        let Some(entry) = self.pods.get(uid) else { return };
        let logs = self.logs();
        let node = &self.config.node_name;
        let config =
            config::sandbox(entry.machine.pod(), attempt, &logs.to_string_lossy(), node, &self.dns);
        self.spawn(uid, |runtime| async move {
            let made = match config {
                Ok(config) => worker::run_sandbox(&*runtime, &config).await,
                Err(message) => Err(message),
            };
            Some(pod::Event::Sandbox(made))
        });
    }

    fn start_container(&mut self, uid: &str, name: String, attempt: u32, sandbox: String) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.asked.insert(name.clone(), entry.changes);
        let Some(entry) = self.pods.get(uid) else { return };
        let pod = entry.machine.pod().clone();
        let Some(container) = entry.machine.to_run(&name) else { return };
        let target = match spec::target(&pod, &name) {
            Some(target) => target_id(entry, target),
            None => Ok(""),
        };
        let directory = self.pod_directory(uid);
        let file = volumes::termination_file(&directory, &name, attempt);
        let built = config::container(Build {
            pod: &pod,
            container: &container,
            attempt,
            facts: &self.facts(entry),
            sources: &self.sources,
            volumes: &entry.volumes,
            termination_file: &file.to_string_lossy(),
            target: target.as_deref().unwrap_or_default(),
        });
        let built = built.map_err(|e| match e {
            Trouble::Loading(_) => StartError::Loading,
            Trouble::Message(message) => StartError::Config(message),
        });
        let built = target.map_err(StartError::Config).and(built);
        let credentials = images::credentials(&pod, &self.sources);
        let (client, registry) = (self.config.client.clone(), self.config.registry.clone());
        let account = images::Account::of(&pod, client, registry);
        let fetch = Fetch { credentials, account, unwanted: entry.unwanted.clone() };
        let (to, of, whose) = (self.to.clone(), uid.to_owned(), name.clone());
        let tell = move |reason, message| {
            let event = pod::Event::Image { name: whose.clone(), reason, message };
            let _ = to.send(Event::Machine(of.clone(), Box::new(event)));
        };
        self.spawn(uid, |runtime| async move {
            let asked = (fetch, built);
            let call =
                worker::start(&*runtime, &pod, &container, &sandbox, &directory, asked, tell);
            let result = call.await;
            Some(pod::Event::Started { name, result })
        });
    }

    fn probe(&mut self, uid: &str, name: String, id: String, kind: Kind, timeout: Duration) {
        let Some(hooks) = self.hooks(uid, &name) else { return };
        let Some(check) = kind.of(&hooks.container).map(probe::Check::from) else { return };
        self.spawn(uid, |runtime| async move {
            let outcome = probe::run(&*runtime, &hooks, &id, &check, timeout).await;
            Some(pod::Event::Probed { name, id, kind, outcome })
        });
    }

    fn forget(&mut self, uid: &str) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.forget_again = None;
        let lock = entry.volume_lock.clone();
        let Some(entry) = self.pods.get(uid) else { return };
        let logs = self.log_directory(entry.machine.pod());
        let directory = self.pod_directory(uid);
        let (runtime, to, uid) = (self.config.runtime.clone(), self.to.clone(), uid.to_owned());
        let csi = self.csi.clone();
        tokio::spawn(async move {
            let guard = lock.lock_owned().await;
            let result = worker::forget(&*runtime, &csi, &uid, directory, logs).await;
            drop(guard);
            let _ = to.send(Event::Forgotten(uid, result));
        });
    }

    /// Writes the pod's status if it changed, then deletes the pod if that is wanted.
    pub fn publish(&mut self, uid: &str) {
        let host_ip = self.facts.host_ip.clone();
        let Some(entry) = self.pods.get_mut(uid) else { return };
        if entry.orphan || entry.writing || entry.api_again.is_some_and(|at| at > now()) {
            return;
        }
        let status = entry.machine.status(&host_ip, now());
        let pod = entry.machine.pod().clone();
        let (client, to, uid) = (self.config.client.clone(), self.to.clone(), uid.to_owned());
        let limit = Duration::from_secs(30);
        let late = || "timed out".to_owned();
        if entry.written.as_ref() != Some(&status) {
            entry.writing = true;
            entry.api_again = None;
            tokio::spawn(async move {
                let call = publish::write(client, &pod, &status);
                let result = tokio::time::timeout(limit, call).await;
                let result = result.unwrap_or_else(|_| Err(Failed::Unreachable(late())));
                let _ = to.send(Event::Written(uid, Box::new(status), result));
            });
        } else if std::mem::take(&mut entry.delete) {
            entry.writing = true;
            entry.api_again = None;
            tokio::spawn(async move {
                let call = publish::delete(client, &pod);
                let result = tokio::time::timeout(limit, call).await;
                let result = result.unwrap_or_else(|_| Err(late()));
                let _ = to.send(Event::Deleted(uid, result));
            });
        }
    }

    /// A status was written, or not.
    pub fn handle_written(&mut self, uid: &str, status: PodStatus, result: Result<(), Failed>) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        entry.writing = false;
        match result {
            Ok(()) => {
                entry.written = Some(status);
                entry.refused = None;
            }
            Err(Failed::Refused(error)) => {
                // Each fault once, not at every try.
                if entry.refused.as_ref() != Some(&error) {
                    let pod = spec::label(entry.machine.pod());
                    tracing::warn!(%pod, %error, "the API refuses the pod's status, trying again");
                }
                entry.refused = Some(error);
                entry.api_again = Some(after(Duration::from_secs(1)));
            }
            Err(Failed::Unreachable(error)) => {
                tracing::debug!(pod = %uid, %error, "status not written, trying again");
                entry.api_again = Some(after(Duration::from_secs(1)));
            }
        }
        self.publish(uid);
    }

    /// Tries again what failed and whose time has come.
    pub fn retry_api(&mut self, now: Timestamp) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let api: Vec<String> =
            self.pods.iter().filter(|(_, e)| due(e.api_again)).map(|(u, _)| u.clone()).collect();
        for uid in api {
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.api_again = None;
            }
            self.publish(&uid);
        }
        let remains: Vec<String> =
            self.pods.iter().filter(|(_, e)| due(e.forget_again)).map(|(u, _)| u.clone()).collect();
        for uid in remains {
            self.forget(&uid);
        }
    }
}

/// The id of the container of a pod whose processes another one is to see.
fn target_id<'a>(entry: &'a Entry, target: &str) -> Result<&'a str, String> {
    let ids = entry.machine.container_ids(target);
    let newest = ids.and_then(|(newest, last)| newest.or(last));
    newest.ok_or_else(|| format!("unable to find target container {target}"))
}
