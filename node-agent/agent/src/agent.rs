//! The loop: takes one event after another and lets the machines decide.
//!
//! Knows: which machine an event is for, when something is due. Refuses to know: what the machines decide; it never waits
//! for anything but the next event.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use leme_client::{Resource, Scope, follow_as};
use leme_node_core::config::{Dns, Mounted};
use leme_node_core::cri::{ContainerStatus, PodIdentity};
use leme_node_core::fields::Facts;
use leme_node_core::lookup::{Key, Sources};
use leme_node_core::pod::{self, Observed, PodMachine};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::csi::Csi;
use crate::event::Event;
use crate::node::NodeKeeper;
use crate::reach::{Change, Reach};
use crate::recorder::Recorder;
use crate::view::Views;
use crate::volumes::Plans;
use crate::{AgentConfig, source, worker};

/// How often everything is listed, since events of the runtime may be lost.
const RELIST: Duration = Duration::from_secs(30);
/// How long between two looks at what pods use of the disk. Nothing tells of it by itself.
const MEASURE: Duration = Duration::from_secs(10);

/// One pod and what the agent keeps beside its machine.
pub struct Entry {
    pub machine: PodMachine,
    /// The API does not have it: no status is written.
    pub orphan: bool,
    pub volumes: std::collections::BTreeMap<String, Mounted>,
    pub plans: Plans,
    /// One writer of its volumes at a time.
    pub volume_lock: Arc<tokio::sync::Mutex<()>>,
    /// Ends that came before the start they belong to was answered.
    pub early: Vec<ContainerStatus>,
    pub references: BTreeSet<Key>,
    pub written: Option<PodStatus>,
    /// Why the API did not take the last status that it was told.
    pub refused: Option<String>,
    pub writing: bool,
    /// When to call the API again after a failure; writes and deletes wait for it.
    pub api_again: Option<Timestamp>,
    pub delete: bool,
    pub forget_again: Option<Timestamp>,
    /// How often what it refers to has changed.
    pub changes: u64,
    /// What `changes` was when a container was started, by name, or volumes prepared, by the empty name.
    pub asked: HashMap<String, u64>,
    /// Ends when nobody wants the pod any more.
    pub unwanted: CancellationToken,
    /// No wake-up before that time: its last one changed nothing.
    pub calm: Option<Timestamp>,
}

impl Entry {
    /// When its machine wants to be woken.
    fn wake(&self) -> Option<Timestamp> {
        let at = self.machine.next_wake()?;
        Some(self.calm.map_or(at, |calm| calm.max(at)))
    }
}

/// The agent.
pub struct Agent {
    pub config: AgentConfig,
    pub facts: Facts,
    pub dns: Dns,
    pub pods: HashMap<String, Entry>,
    pub csi: Arc<Csi>,
    pub sources: Sources,
    pub watches: HashMap<Key, source::Watch>,
    pub views: Views,
    pub recorder: Recorder,
    pub to: UnboundedSender<Event>,
    from: UnboundedReceiver<Event>,
    /// What the runtime had at the last listing, by pod.
    pub seen: HashMap<String, (PodIdentity, Observed)>,
    /// Pods that the listing under way has named.
    pub listing: HashSet<String>,
    /// Whether this node's pods are watched: from the first listing of the runtime on.
    pub watching: bool,
    /// Whether the API has listed all pods once.
    pub synced: bool,
    reach: Reach,
    pub relisting: bool,
    pub relist_at: Timestamp,
    pub measuring: bool,
    pub measure_at: Timestamp,
    pub measure_every: Duration,
    node: NodeKeeper,
    pub streams: Vec<AbortOnDropHandle<()>>,
}

pub use crate::clock::now;

/// `now` and so much.
pub fn after(delay: Duration) -> Timestamp {
    let delay = jiff::SignedDuration::try_from(delay).unwrap_or(jiff::SignedDuration::MAX);
    leme_node_core::backoff::add(now(), delay)
}

impl Agent {
    /// An agent whose kubelet API is on `port`.
    pub fn new(config: AgentConfig, csi: Arc<Csi>, views: Views, port: u16) -> Self {
        let (to, from) = unbounded_channel();
        let node = NodeKeeper::new(&config, port);
        let facts = Facts {
            node_name: config.node_name.clone(),
            host_ip: config.node_ip.to_string(),
            pod_ip: String::new(),
            allocatable: node.capacity().clone(),
            memory: node.memory(),
        };
        let dns = Dns {
            server: config.cluster_dns,
            domain: config.cluster_domain.clone(),
            host: std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        };
        let recorder = Recorder::new(config.client.clone(), config.node_name.clone());
        Self {
            facts,
            dns,
            pods: HashMap::new(),
            csi,
            sources: Sources::default(),
            watches: HashMap::new(),
            views,
            recorder,
            to,
            from,
            seen: HashMap::new(),
            listing: HashSet::new(),
            watching: false,
            synced: false,
            reach: Reach::default(),
            relisting: false,
            relist_at: now(),
            measuring: false,
            measure_at: now(),
            measure_every: MEASURE,
            node,
            streams: Vec::new(),
            config,
        }
    }

    /// Runs until cancelled.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        self.watch_runtime();
        self.start_relist();
        loop {
            let wait = self.tend();
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                event = self.from.recv() => {
                    if let Some(event) = event {
                        self.handle(event);
                        self.tell_caught_up();
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Does what is due; how long nothing more is.
    fn tend(&mut self) -> Duration {
        let now = now();
        if self.relist_at <= now {
            self.start_relist();
        }
        if self.measure_at <= now {
            self.measure_at = after(self.measure_every);
            self.measure();
        }
        self.node.tend(&self.config, &self.to, now);
        let due: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, e)| e.wake().is_some_and(|at| at <= now))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in due {
            self.step(&uid, pod::Event::Wake);
            if let Some(entry) = self.pods.get_mut(&uid) {
                let stuck = entry.machine.next_wake().is_some_and(|at| at <= now);
                entry.calm = stuck.then(|| after(Duration::from_secs(1)));
            }
        }
        self.retry_api(now);
        let pods = self
            .pods
            .values()
            .filter_map(|e| [e.wake(), e.api_again, e.forget_again].into_iter().flatten().min());
        let next = pods
            .chain([self.relist_at, self.measure_at, self.node.next()])
            .min()
            .unwrap_or(self.relist_at);
        let wait = next.duration_since(now).max(jiff::SignedDuration::from_millis(1));
        Duration::try_from(wait).unwrap_or(RELIST)
    }

    /// Says once that the API was told the present state of everything that was in it when this agent began. One pod
    /// whose status it does not take keeps no node from starting.
    fn tell_caught_up(&self) {
        let told = |e: &Entry| {
            e.orphan || e.written.is_some() || e.refused.is_some() || e.machine.is_finished()
        };
        let caught_up = self.synced && self.node.is_registered() && self.pods.values().all(told);
        if caught_up {
            self.config.caught_up.send_if_modified(|known| !std::mem::replace(known, true));
        }
    }

    fn note(&mut self, what: &'static str, error: Option<&str>) {
        match self.reach.note(what, error, std::time::Instant::now()) {
            Some(Change::Lost(error)) => {
                tracing::warn!(node = %self.config.node_name, %error, "the API does not let this node in, trying again");
            }
            Some(Change::Back) => {
                tracing::warn!(node = %self.config.node_name, "the API lets this node in again");
            }
            None => {}
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Pods(event) => {
                self.note("watch pods", None);
                self.handle_pods(*event);
            }
            Event::PodsFailed(error) => self.note("watch pods", Some(&error)),
            Event::Source(key, content) => self.handle_source(key, content),
            Event::Machine(uid, event) => self.handle_machine(&uid, *event),
            Event::Volumes(uid, result) => {
                let Some(entry) = self.pods.get_mut(&uid) else { return };
                let answer = result.map(|volumes| entry.volumes = volumes);
                let failed = answer.is_err();
                self.step(&uid, pod::Event::Volumes(answer));
                if failed {
                    self.ask_again(&uid, "");
                } else {
                    self.expand_volumes(&uid);
                }
            }
            Event::Notice(uid, notice) => self.perform(&uid, pod::Effect::Emit(notice)),
            Event::Runtime(event) => self.handle_runtime(event),
            Event::RuntimeLost => {
                self.watch_runtime();
                self.start_relist();
            }
            Event::Listed(result) => self.handle_listed(result),
            Event::Written(uid, status, result) => self.handle_written(&uid, *status, result),
            Event::Deleted(uid, result) => {
                let Some(entry) = self.pods.get_mut(&uid) else { return };
                entry.writing = false;
                if let Err(error) = result {
                    tracing::warn!(pod = %uid, %error, "pod not deleted in the API, trying again");
                    entry.delete = true;
                    entry.api_again = Some(after(Duration::from_secs(1)));
                }
            }
            Event::Forgotten(uid, result) => self.handle_forgotten(&uid, result),
            Event::Measured(usages) => self.handle_measured(usages),
            Event::Node(result) => {
                self.note("write the Node", result.as_ref().err().map(String::as_str));
                self.node.answered(result, &self.recorder, &self.config);
            }
            Event::Lease(result) => {
                self.note("renew the Lease", result.as_ref().err().map(String::as_str));
                self.node.lease_answered(result);
            }
        }
    }

    /// Follows what the runtime notices by itself.
    pub fn watch_runtime(&mut self) {
        let mut events = self.config.runtime.events();
        let to = self.to.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if to.send(Event::Runtime(event)).is_err() {
                    return;
                }
            }
            // Not at once: a runtime that is down would make this a busy loop.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = to.send(Event::RuntimeLost);
        });
        self.streams.retain(|s| !s.is_finished());
        self.streams.push(AbortOnDropHandle::new(task));
    }

    /// Starts the watch of this node's pods: after the runtime has been listed, so that what runs is adopted.
    pub fn watch_pods(&mut self) {
        let scope = Scope {
            fields: format!("spec.nodeName={}", self.config.node_name),
            ..Scope::all(Resource::namespaced("v1", "Pod", "pods"))
        };
        let mut events = follow_as(self.config.client.clone(), scope);
        let to = self.to.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        if to.send(Event::Pods(Box::new(event))).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        if to.send(Event::PodsFailed(error.message().to_owned())).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        self.streams.push(AbortOnDropHandle::new(task));
    }

    fn start_relist(&mut self) {
        self.relist_at = after(RELIST);
        if std::mem::replace(&mut self.relisting, true) {
            return;
        }
        let (runtime, to) = (self.config.runtime.clone(), self.to.clone());
        tokio::spawn(async move {
            let list = async {
                let sandboxes = runtime.sandboxes().await?;
                let mut containers = runtime.containers().await?;
                for container in &mut containers {
                    worker::add_message(container).await;
                }
                Ok((sandboxes, containers))
            };
            let limit = Duration::from_secs(60);
            let result = worker::within("list the runtime", limit, list).await;
            let _ = to.send(Event::Listed(result.map_err(|e| e.to_string())));
        });
    }

    /// One step of a pod's machine, and all that follows.
    pub fn step(&mut self, uid: &str, event: pod::Event) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let ends = match &event {
            pod::Event::Spec(pod) => pod.metadata.deletion_timestamp.is_some(),
            pod::Event::Gone | pod::Event::Evicted(_) => true,
            _ => false,
        };
        if ends {
            entry.unwanted.cancel();
        }
        let effects = entry.machine.step(event, now());
        for effect in effects {
            self.perform(uid, effect);
        }
        if let Some(entry) = self.pods.get(uid)
            && !entry.orphan
        {
            self.views.set(&entry.machine);
        }
        self.publish(uid);
    }
}
