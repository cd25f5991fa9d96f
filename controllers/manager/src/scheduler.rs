//! The scheduler's loop: takes in what changed, decides pod by pod, and binds in the background. A decision is assumed at
//! once; one whose binding fails is forgotten and made again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_controller_runtime::Key;
use leme_plan::{Plan, pods};
use leme_sched::{
    Cluster, PodInfo, Queue, SCHEDULER_NAME, VolumeFacts, bind, gated, unschedulable,
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
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// What happened; the objects themselves are read from the caches.
enum Wake {
    Pod(Key),
    Node(String),
    Volumes,
    BindFailed(Key),
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
    cache.volumes.on_change(Box::new(move |_, _, _| drop(to.send(Wake::Volumes))));
    let to = sender.clone();
    cache.claims.on_change(Box::new(move |_, _, _| drop(to.send(Wake::Volumes))));
    let scheduler = Scheduler {
        wiring: wiring.clone(),
        cluster: Cluster::default(),
        queue: Queue::default(),
        sender,
        permits: Arc::new(Semaphore::new(BINDINGS_AT_ONCE)),
        work: JoinSet::new(),
    };
    Box::new(move |token, tasks| {
        tasks.spawn(scheduler.run(receiver, token));
    })
}

struct Scheduler {
    wiring: Wiring,
    cluster: Cluster,
    queue: Queue,
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
                for _ in 0..BATCH {
                    let Some(key) = self.queue.pop() else { break };
                    self.decide(key);
                }
                if self.queue.is_empty() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        self.work.shutdown().await;
    }

    fn take_in(&mut self, wake: Wake) {
        let cache = self.wiring.cache.clone();
        let more = match wake {
            Wake::Pod(key) => {
                let pod = cache.pods.get(&key.0, &key.1);
                let freed = self.cluster.set_pod(&key, pod.as_deref());
                match pod.filter(|pod| waits(pod)) {
                    Some(pod) => self.queue.add(key, priority(&pod)),
                    None => self.queue.remove(&key),
                }
                freed
            }
            Wake::Node(name) => self.cluster.set_node(&name, cache.nodes.get("", &name).as_deref()),
            Wake::Volumes => true,
            Wake::BindFailed(key) => {
                self.cluster.forget(&key);
                if let Some(pod) = cache.pods.get(&key.0, &key.1).filter(|pod| waits(pod)) {
                    self.queue.add(key, priority(&pod));
                }
                true
            }
        };
        if more {
            for key in self.queue.take_parked() {
                if let Some(pod) = cache.pods.get(&key.0, &key.1).filter(|pod| waits(pod)) {
                    self.queue.add(key, priority(&pod));
                }
            }
        }
    }

    fn decide(&mut self, key: Key) {
        let cache = self.wiring.cache.clone();
        let Some(pod) = cache.pods.get(&key.0, &key.1).filter(|pod| waits(pod)) else { return };
        if self.cluster.is_placed(&key, pod.metadata.uid.as_deref().unwrap_or("")) {
            return;
        }
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
        if gates.is_some_and(|gates| !gates.is_empty()) {
            self.carry_out(key, gated(&pod, Timestamp::now()), false);
            return;
        }
        let info = PodInfo::read(&pod);
        match self.cluster.schedule(&info, &volume_facts(&cache, &pod)) {
            Ok(node) => self.carry_out(key, bind(&pod, &node), true),
            Err(why) => {
                self.queue.park(key.clone());
                self.carry_out(key, unschedulable(&pod, &why, Timestamp::now()), false);
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
                tokio::time::sleep(FIRST_DELAY).await;
                drop(sender.send(Wake::BindFailed(key)));
            }
        });
    }
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
