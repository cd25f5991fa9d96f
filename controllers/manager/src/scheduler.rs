//! The scheduler's loop: takes in what changed, decides pod by pod, and binds in the background. A decision is assumed at
//! once; one whose binding fails is forgotten, and made again after a delay that doubles.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_controller_runtime::Key;
use leme_plan::{Plan, pods};
use leme_sched::{
    Cluster, Parked, Parking, PodInfo, Queue, SCHEDULER_NAME, VolumeChange, VolumeFacts, bind,
    gated, unschedulable,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cache::Cache;
use crate::{Start, Wiring};

const BINDINGS_AT_ONCE: usize = 64;
/// Decisions between two looks at what has changed meanwhile.
const BATCH: usize = 32;
/// Before the second try to bind a pod; each further one waits twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LAST_DELAY: Duration = Duration::from_secs(10);

/// What happened; the objects themselves are read from the caches.
enum Wake {
    Pod(Key),
    Node(String),
    Volume(VolumeChange),
    BindFailed(Key),
    /// The delay after a failed binding is over.
    Again(Key),
}

pub(crate) fn start(wiring: &Wiring) -> Start {
    let (sender, receiver) = mpsc::unbounded_channel();
    let cache = &wiring.cache;
    // A send fails only after the loop has ended, and then nobody needs it.
    let to = sender.clone();
    cache.pods.on_change(Box::new(move |key, _, _| drop(to.send(Wake::Pod(key.clone())))));
    let to = sender.clone();
    cache.nodes.on_change(Box::new(move |key, _, _| drop(to.send(Wake::Node(key.1.clone())))));
    let to = sender.clone();
    cache.volumes.on_change(Box::new(move |_, _, _| {
        drop(to.send(Wake::Volume(VolumeChange::Volume)));
    }));
    let to = sender.clone();
    cache.claims.on_change(Box::new(move |key, _, _| {
        let (namespace, name) = key.clone();
        drop(to.send(Wake::Volume(VolumeChange::Claim(namespace, name))));
    }));
    let scheduler = Scheduler {
        wiring: wiring.clone(),
        cluster: Cluster::default(),
        queue: Queue::default(),
        parking: Parking::default(),
        nodes: BTreeSet::new(),
        volumes: BTreeSet::new(),
        counted_on: HashMap::new(),
        refused: HashMap::new(),
        sender,
        permits: Arc::new(Semaphore::new(BINDINGS_AT_ONCE)),
        work: JoinSet::new(),
    };
    Box::new(move |token, tasks| {
        tasks.spawn(scheduler.run(receiver, token));
    })
}

/// How often in a row the binding of a pod failed.
#[derive(Default)]
struct Refused {
    times: u32,
    /// Its delay is not over.
    delayed: bool,
}

struct Scheduler {
    wiring: Wiring,
    cluster: Cluster,
    queue: Queue,
    parking: Parking,
    /// Nodes that may have more room since the parked pods were last looked at.
    nodes: BTreeSet<String>,
    /// Volumes and claims that have changed since.
    volumes: BTreeSet<VolumeChange>,
    /// Pods taken back for the room on a node, until they are decided on: if they do not take it, another may.
    counted_on: HashMap<Key, String>,
    /// Pods whose binding failed, until one succeeds.
    refused: HashMap<Key, Refused>,
    sender: mpsc::UnboundedSender<Wake>,
    permits: Arc<Semaphore>,
    work: JoinSet<()>,
}

impl Scheduler {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Wake>, token: CancellationToken) {
        loop {
            let wake = tokio::select! {
                () = token.cancelled() => break,
                wake = receiver.recv() => wake,
                Some(ended) = self.work.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, "a binding ended badly");
                    }
                    continue;
                }
            };
            let Some(wake) = wake else { break };
            self.take_in(wake);
            loop {
                while let Ok(wake) = receiver.try_recv() {
                    self.take_in(wake);
                }
                self.take_back();
                for _ in 0..BATCH {
                    let Some(key) = self.queue.pop() else { break };
                    self.decide(key);
                }
                if self.queue.is_empty() && self.nodes.is_empty() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        self.work.shutdown().await;
    }

    fn take_in(&mut self, wake: Wake) {
        match wake {
            Wake::Pod(key) => self.take_in_pod(key),
            Wake::Node(name) => {
                let node = self.wiring.cache.nodes.get("", &name);
                if self.cluster.set_node(&name, node.as_deref()) {
                    self.nodes.insert(name);
                }
            }
            Wake::Volume(change) => drop(self.volumes.insert(change)),
            Wake::BindFailed(key) => {
                self.nodes.extend(self.cluster.forget(&key));
                let refused = self.refused.entry(key.clone()).or_default();
                let delay = delay(refused.times);
                *refused = Refused { times: refused.times.saturating_add(1), delayed: true };
                let sender = self.sender.clone();
                self.work.spawn(async move {
                    tokio::time::sleep(delay).await;
                    drop(sender.send(Wake::Again(key)));
                });
            }
            Wake::Again(key) => {
                if let Some(refused) = self.refused.get_mut(&key) {
                    refused.delayed = false;
                }
                if let Some(pod) = self.waiting(&key) {
                    self.queue.add(key, priority(&pod));
                }
            }
        }
    }

    fn take_in_pod(&mut self, key: Key) {
        let pod = self.wiring.cache.pods.get(&key.0, &key.1);
        self.nodes.extend(self.cluster.set_pod(&key, pod.as_deref()));
        match pod.filter(|pod| waits(pod)) {
            Some(pod) if self.parking.holds(&PodInfo::read(&pod)) || self.is_delayed(&key) => {}
            Some(pod) => {
                self.parking.remove(&key);
                self.queue.add(key, priority(&pod));
            }
            None => {
                self.queue.remove(&key);
                self.parking.remove(&key);
                self.refused.remove(&key);
                self.nodes.extend(self.counted_on.remove(&key));
            }
        }
    }

    fn is_delayed(&self, key: &Key) -> bool {
        self.refused.get(key).is_some_and(|refused| refused.delayed)
    }

    /// Takes back the parked pods that what has changed may help.
    fn take_back(&mut self) {
        let volumes = std::mem::take(&mut self.volumes);
        if !volumes.is_empty() {
            for info in self.parking.take_claiming(&volumes) {
                self.queue.add(info.key, info.priority);
            }
        }
        let nodes = std::mem::take(&mut self.nodes);
        if !nodes.is_empty() {
            for (info, node) in self.parking.take_fitting(&self.cluster, &nodes) {
                self.counted_on.insert(info.key.clone(), node);
                self.queue.add(info.key, info.priority);
            }
        }
    }

    fn waiting(&self, key: &Key) -> Option<Arc<Pod>> {
        self.wiring.cache.pods.get(&key.0, &key.1).filter(|pod| waits(pod))
    }

    fn decide(&mut self, key: Key) {
        let counted_on = self.counted_on.remove(&key);
        let taken = self.place(key);
        if counted_on != taken {
            self.nodes.extend(counted_on);
        }
    }

    /// Decides on a pod. Gives the node it took room on.
    fn place(&mut self, key: Key) -> Option<String> {
        let pod = self.waiting(&key)?;
        if self.cluster.is_placed(&key, pod.metadata.uid.as_deref().unwrap_or("")) {
            return None;
        }
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
        if gates.is_some_and(|gates| !gates.is_empty()) {
            self.carry_out(key, gated(&pod, Timestamp::now()), false);
            return None;
        }
        let info = PodInfo::read(&pod);
        let volumes = volume_facts(&self.wiring.cache, &pod);
        match self.cluster.schedule(&info, &volumes) {
            Ok(node) => {
                self.carry_out(key, bind(&pod, &node), true);
                Some(node)
            }
            Err(why) => {
                let claims = pods::claims(&pod).map(str::to_owned).collect();
                self.parking.park(Parked { info, volumes, claims });
                self.carry_out(key, unschedulable(&pod, &why, Timestamp::now()), false);
                None
            }
        }
    }

    fn carry_out(&mut self, key: Key, plan: Plan, binds: bool) {
        let (executor, permits, sender) =
            (self.wiring.executor.clone(), self.permits.clone(), self.sender.clone());
        self.work.spawn(async move {
            let Ok(permit) = permits.acquire_owned().await else { return };
            let outcome = executor.execute(SCHEDULER_NAME, &plan, None).await;
            drop(permit);
            if binds && (outcome.failure.is_some() || outcome.stale) {
                drop(sender.send(Wake::BindFailed(key)));
            }
        });
    }
}

/// How long a pod waits whose binding failed so many times before.
fn delay(times: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << times.min(20)).min(LAST_DELAY)
}

/// Whether the pod waits for this scheduler.
fn waits(pod: &Pod) -> bool {
    let ours = pod.spec.as_ref().is_some_and(|spec| {
        spec.scheduler_name.as_deref().is_none_or(|name| name.is_empty() || name == SCHEDULER_NAME)
    });
    ours && pods::is_active(pod) && pods::node_name(pod).is_empty()
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

fn volume_facts(cache: &Cache, pod: &Pod) -> VolumeFacts {
    let mut facts = VolumeFacts::default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("");
    for name in pods::claims(pod) {
        let Some(claim) = cache.claims.get(namespace, name) else {
            facts.blocked = Some(format!("persistentvolumeclaim {name:?} not found"));
            return facts;
        };
        if claim.metadata.deletion_timestamp.is_some() {
            facts.blocked = Some(format!("persistentvolumeclaim {name:?} is being deleted"));
            return facts;
        }
        let volume =
            claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("");
        if phase == "Lost" {
            facts.blocked = Some(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
            return facts;
        }
        if phase != "Bound" || volume.is_empty() {
            facts.blocked = Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
            return facts;
        }
        match cache.volumes.get("", &volume) {
            None => facts.volume_missing = true,
            Some(volume) => {
                let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref());
                facts.affinities.extend(affinity.and_then(|affinity| affinity.required.clone()));
            }
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when every try waits as long as the first.
    #[test]
    fn each_refused_binding_waits_twice_as_long_up_to_a_bound() {
        let delays: Vec<u128> = (0..12).map(|times| delay(times).as_millis()).collect();
        let expected = [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000];
        assert_eq!(delays, expected);
        assert_eq!(delay(u32::MAX), LAST_DELAY);
    }
}
