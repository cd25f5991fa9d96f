//! What the agent does with what it is told: pods, what they refer to, what the runtime has.
//!
//! Knows: when a pod's machine begins and ends. Refuses to know: what a machine decides.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use leme_client::Event as Seen;
use leme_cri::RuntimeEvent;
use leme_node_core::config::POD_UID;
use leme_node_core::cri::{ContainerStatus, PodIdentity, SandboxStatus};
use leme_node_core::lookup::{self, Content, Key, Kind};
use leme_node_core::pod::{self, Observed, PodMachine, State};
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, Entry, after, now};
use crate::event::Event;
use crate::volumes::Plans;
use crate::{source, worker};

impl Agent {
    pub fn handle_listed(
        &mut self,
        result: Result<(Vec<SandboxStatus>, Vec<ContainerStatus>), String>,
    ) {
        self.relisting = false;
        let (sandboxes, containers) = match result {
            Ok(lists) => lists,
            Err(error) => {
                tracing::warn!(%error, "the runtime could not be listed, trying again");
                self.relist_at = after(Duration::from_secs(1));
                return;
            }
        };
        self.seen = group(sandboxes, containers);
        let empty = Observed::default();
        let known: Vec<String> = self.pods.keys().cloned().collect();
        for uid in known {
            let observed = self.seen.get(&uid).map_or(&empty, |(_, o)| o).clone();
            self.step(&uid, pod::Event::Observed(observed));
        }
        if !std::mem::replace(&mut self.watching, true) {
            self.watch_pods();
        }
        self.adopt_orphans();
    }

    /// What runs for pods that the API does not have goes, once the API has said which it has.
    pub fn adopt_orphans(&mut self) {
        if !self.synced {
            return;
        }
        let strange: Vec<String> =
            self.seen.keys().filter(|uid| !self.pods.contains_key(*uid)).cloned().collect();
        for uid in strange {
            let Some((identity, observed)) = self.seen.remove(&uid) else { continue };
            tracing::info!(pod = %identity.name, namespace = %identity.namespace, "stopping a pod that the API does not have");
            let pod = Pod {
                metadata: ObjectMeta {
                    name: Some(identity.name),
                    namespace: Some(identity.namespace),
                    uid: Some(identity.uid),
                    ..ObjectMeta::default()
                },
                ..Pod::default()
            };
            let machine = PodMachine::orphan(Arc::new(pod), &observed, now());
            self.insert(uid, machine, true);
        }
    }

    pub fn insert(&mut self, uid: String, machine: PodMachine, orphan: bool) {
        let entry = Entry {
            machine,
            orphan,
            volumes: Default::default(),
            plans: Plans::new(),
            volume_lock: Arc::default(),
            early: Vec::new(),
            references: BTreeSet::new(),
            written: None,
            refused: None,
            writing: false,
            api_again: None,
            delete: false,
            forget_again: None,
            changes: 0,
            asked: HashMap::new(),
            unwanted: CancellationToken::new(),
            calm: None,
        };
        self.pods.insert(uid.clone(), entry);
        self.refer(&uid);
        self.step(&uid, pod::Event::Wake);
    }

    pub fn handle_pods(&mut self, event: Seen<Pod>) {
        match event {
            Seen::Begin => self.listing.clear(),
            Seen::Listed(_, pod) => {
                self.listing.extend(pod.metadata.uid.clone());
                self.apply(pod);
            }
            Seen::Changed(_, pod) => self.apply(pod),
            Seen::Gone(head) => self.step(&head.uid, pod::Event::Gone),
            Seen::Seen(_) => {}
            Seen::Complete(_) => {
                let listing = std::mem::take(&mut self.listing);
                let gone: Vec<String> =
                    self.pods.keys().filter(|uid| !listing.contains(*uid)).cloned().collect();
                for uid in gone {
                    self.step(&uid, pod::Event::Gone);
                }
                let first = !std::mem::replace(&mut self.synced, true);
                self.adopt_orphans();
                if first {
                    let known = self.pods.keys().map(|uid| self.pod_directory(uid)).collect();
                    tokio::spawn(self.csi.clone().sweep(known));
                }
            }
        }
    }

    pub fn apply(&mut self, mut pod: Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        pod.metadata.managed_fields = None;
        if self.pods.contains_key(&uid) {
            self.step(&uid, pod::Event::Spec(Arc::new(pod)));
            self.refer(&uid);
            // Labels and annotations may be files of a volume.
            self.refresh_volumes(&uid);
            return;
        }
        let observed = self.seen.remove(&uid).map(|(_, o)| o).unwrap_or_default();
        let machine = PodMachine::new(Arc::new(pod), &observed, &self.config.policy, now());
        self.insert(uid, machine, false);
    }

    /// Watches what the pod refers to, and ends watches that nobody needs.
    pub fn refer(&mut self, uid: &str) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        let wanted = if entry.orphan || entry.machine.is_finished() {
            BTreeSet::new()
        } else {
            lookup::references(entry.machine.pod(), &self.sources)
        };
        if wanted == entry.references {
            return;
        }
        for key in wanted.difference(&entry.references) {
            self.watches.entry(key.clone()).or_insert_with(|| {
                let (client, to) = (&self.config.client, self.to.clone());
                source::watch(client, &self.csi, key.clone(), to)
            });
        }
        entry.references = wanted;
        self.drop_watches();
    }

    pub fn drop_watches(&mut self) {
        let needed: HashSet<&Key> = self.pods.values().flat_map(|e| &e.references).collect();
        let idle: Vec<Key> =
            self.watches.keys().filter(|key| !needed.contains(key)).cloned().collect();
        for key in idle {
            self.watches.remove(&key);
            self.sources.forget(&key);
        }
    }

    pub fn handle_source(&mut self, key: Key, content: Option<Content>) {
        // Late news of a watch that has ended would never be refreshed.
        if !self.watches.contains_key(&key) || !self.sources.set(key.clone(), content) {
            return;
        }
        let users: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, e)| e.references.contains(&key))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in users {
            self.refer(&uid);
            if let Some(entry) = self.pods.get_mut(&uid) {
                entry.changes += 1;
            }
            self.step(&uid, pod::Event::Changed);
            self.refresh_volumes(&uid);
            if key.kind == Kind::Volume {
                self.expand_volumes(&uid);
            }
        }
    }

    pub fn handle_runtime(&mut self, event: RuntimeEvent) {
        // A start is answered by the call that asked for it.
        let RuntimeEvent::ContainerExited { id } = event else { return };
        let (runtime, to) = (self.config.runtime.clone(), self.to.clone());
        tokio::spawn(async move {
            match worker::status(&*runtime, &id).await {
                Ok(status) => {
                    let uid = status.labels.get(POD_UID).cloned().unwrap_or_default();
                    let _ = to.send(Event::Machine(uid, Box::new(pod::Event::Exited(status))));
                }
                Err(error) => tracing::debug!(%id, %error, "ended container not inspected"),
            }
        });
    }

    pub fn handle_machine(&mut self, uid: &str, event: pod::Event) {
        let Some(entry) = self.pods.get_mut(uid) else { return };
        if let pod::Event::Exited(status) = &event {
            let starting =
                |s: &pod::Slot| s.name == status.name && matches!(s.state, State::Starting { .. });
            if entry.machine.slots().iter().any(starting) {
                entry.early.push(status.clone());
            }
        }
        let started = matches!(event, pod::Event::Started { .. });
        let failed = match &event {
            pod::Event::Started { name, result: Err(_) } => Some(name.clone()),
            _ => None,
        };
        self.step(uid, event);
        if let Some(name) = failed {
            self.ask_again(uid, &name);
        }
        if started {
            let early = self.pods.get_mut(uid).map(|e| std::mem::take(&mut e.early));
            for status in early.into_iter().flatten() {
                self.step(uid, pod::Event::Exited(status));
            }
        }
    }

    /// A change that came while a call was under way counts for that call too.
    pub fn ask_again(&mut self, uid: &str, what: &str) {
        let Some(entry) = self.pods.get(uid) else { return };
        if entry.asked.get(what).is_some_and(|asked| *asked < entry.changes) {
            self.step(uid, pod::Event::Changed);
        }
    }

    pub fn handle_forgotten(&mut self, uid: &str, result: Result<(), String>) {
        match result {
            Ok(()) => {
                if let Some(entry) = self.pods.remove(uid) {
                    self.views.remove(entry.machine.pod());
                }
                self.drop_watches();
            }
            Err(error) => {
                tracing::warn!(pod = %uid, %error, "remains of a pod not removed, trying again");
                if let Some(entry) = self.pods.get_mut(uid) {
                    entry.forget_again = Some(after(Duration::from_secs(5)));
                }
            }
        }
    }
}

/// What the runtime has, by pod.
fn group(
    sandboxes: Vec<SandboxStatus>,
    containers: Vec<ContainerStatus>,
) -> HashMap<String, (PodIdentity, Observed)> {
    let mut pods: HashMap<String, (PodIdentity, Observed)> = HashMap::new();
    let mut owner: HashMap<String, String> = HashMap::new();
    for sandbox in sandboxes {
        owner.insert(sandbox.id.clone(), sandbox.pod.uid.clone());
        let entry = pods.entry(sandbox.pod.uid.clone()).or_default();
        entry.0 = sandbox.pod.clone();
        entry.1.sandboxes.push(sandbox);
    }
    for container in containers {
        if let Some(uid) = owner.get(&container.sandbox_id)
            && let Some((_, observed)) = pods.get_mut(uid)
        {
            observed.containers.push(container);
        }
    }
    pods
}
