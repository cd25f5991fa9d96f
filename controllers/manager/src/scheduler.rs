//! The scheduler's loop: takes in what changed, decides pod by pod, and carries out in the background. A decision is assumed
//! at once; one whose binding fails is forgotten, and made again after a delay that doubles.

pub(crate) mod lookup;
mod news;
mod wake;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use leme_controller_runtime::Key;
use leme_lister::key_of;
use leme_plan::{Plan, pods};
use leme_sched::{
    Cluster, Config, Parked, Parking, PodInfo, Preemption, Profile, Queue, Unschedulable,
    VolumeChange, VolumeFacts, attachment, bind, gated, preempted, promised, unnominated,
    unschedulable, volume_limits,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::lookup::Stored;
use self::news::News;
use self::wake::{Wake, delay};
use crate::{Start, Wiring};

const BINDINGS_AT_ONCE: usize = 64;
/// Decisions between two looks at what has changed meanwhile.
const BATCH: usize = 32;
/// How long after its binding a pod that does not show it is taken for unbound.
const EXPIRY: Duration = Duration::from_secs(30);

pub(crate) fn start(wiring: Wiring, config: Config) -> Start {
    let (sender, receiver) = mpsc::unbounded_channel();
    wake::listen(&wiring.cache, &sender);
    let scheduler = Scheduler {
        wiring,
        cluster: Cluster::default(),
        queue: Queue::new(config.backoff),
        config,
        parking: Parking::default(),
        news: News::default(),
        counted_on: HashMap::new(),
        promised: HashSet::new(),
        refused: HashMap::new(),
        bound: VecDeque::new(),
        sender,
        permits: Arc::new(Semaphore::new(BINDINGS_AT_ONCE)),
        work: JoinSet::new(),
    };
    Box::new(move |token, tasks| {
        tasks.spawn(scheduler.run(receiver, token));
    })
}

/// What a plan does for a pod that waits.
enum For {
    Binding(Key),
    Room(Key),
    /// It is told why it has no node.
    Word(Key),
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
    config: Config,
    cluster: Cluster,
    queue: Queue,
    parking: Parking,
    news: News,
    /// Pods taken back for the room on a node, until they are decided on: if they do not take it, another may.
    counted_on: HashMap<Key, String>,
    /// Pods that wait for volumes on a node which all their claims name by now.
    promised: HashSet<Key>,
    /// Pods whose binding failed, until one succeeds.
    refused: HashMap<Key, Refused>,
    /// Pods whose binding succeeded, and until when the API has to show it.
    bound: VecDeque<(Instant, Key)>,
    sender: mpsc::UnboundedSender<Wake>,
    permits: Arc<Semaphore>,
    work: JoinSet<()>,
}

impl Scheduler {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Wake>, token: CancellationToken) {
        loop {
            let expiry = self.bound.front().map(|(until, _)| *until);
            let wake = tokio::select! {
                () = token.cancelled() => break,
                wake = receiver.recv() => wake,
                Some(ended) = self.work.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, "a binding ended badly");
                    }
                    continue;
                }
                () = tokio::time::sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                    self.expire();
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
                    let Some(key) = self.queue.pop(Timestamp::now()) else { break };
                    self.decide(key);
                }
                if self.queue.is_empty() && self.news.is_empty() {
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
                let changed = self.cluster.set_node(&name, node.as_deref());
                let limits = volume_limits(self.wiring.cache.csi_nodes.get("", &name).as_deref());
                let limited = self.cluster.set_volume_limits(&name, limits);
                if changed || limited || node.is_none() {
                    self.news.nodes.insert(name);
                    self.news.elsewhere = true;
                }
            }
            Wake::Namespace(name) => {
                let namespace = self.wiring.cache.namespaces.get("", &name);
                let none = std::collections::BTreeMap::new();
                let labels = namespace.as_ref().map(|one| one.metadata.labels.as_ref());
                let labels = labels.map(|labels| labels.unwrap_or(&none));
                self.news.elsewhere |= self.cluster.set_namespace(&name, labels);
            }
            Wake::Volume(change) => {
                if let VolumeChange::Claim(namespace, name) = &change {
                    let found = attachment(namespace, name, &Stored(&self.wiring.cache));
                    self.cluster.set_attachment((namespace.clone(), name.clone()), found);
                }
                self.news.volumes.insert(change);
            }
            Wake::Bound(key) => self.bound.push_back((Instant::now() + EXPIRY, key)),
            Wake::Failed(key) => self.take_in_failure(key),
            Wake::Again(key) => {
                if let Some(refused) = self.refused.get_mut(&key) {
                    refused.delayed = false;
                }
                self.again(key);
            }
        }
    }

    fn take_in_pod(&mut self, key: Key) {
        let pod = self.wiring.cache.pods.get(&key.0, &key.1);
        let change = self.cluster.set_pod(&key, pod.as_deref());
        self.news.take_in(change);
        match pod.filter(|pod| self.is_mine(pod)) {
            Some(_) if self.is_delayed(&key) => {}
            Some(pod) if self.parking.has(&key) && self.parking.holds(&PodInfo::read(&pod)) => {}
            Some(pod) => {
                self.parking.remove(&key);
                self.queue.add(key, priority(&pod), Timestamp::now());
            }
            None => {
                self.queue.remove(&key);
                self.parking.remove(&key);
                self.refused.remove(&key);
                self.promised.remove(&key);
                self.news.nodes.extend(self.counted_on.remove(&key));
            }
        }
    }

    fn take_in_failure(&mut self, key: Key) {
        let change = self.cluster.forget(&key);
        self.news.take_in(change);
        self.cluster.unnominate(&key);
        let refused = self.refused.entry(key.clone()).or_default();
        let delay = delay(refused.times);
        *refused = Refused { times: refused.times.saturating_add(1), delayed: true };
        let sender = self.sender.clone();
        self.work.spawn(async move {
            tokio::time::sleep(delay).await;
            drop(sender.send(Wake::Again(key)));
        });
    }

    fn is_delayed(&self, key: &Key) -> bool {
        self.refused.get(key).is_some_and(|refused| refused.delayed)
    }

    /// Takes back the placements that the API should have shown by now.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((_, key)) = self.bound.pop_front_if(|(until, _)| *until <= now) {
            let change = self.cluster.forget(&key);
            if change.gone.is_some() {
                self.news.take_in(change);
                self.again(key);
            }
        }
    }

    /// Looks at a pod again, if it still waits.
    fn again(&mut self, key: Key) {
        if let Some(pod) = self.waiting(&key) {
            self.parking.remove(&key);
            self.queue.add(key, priority(&pod), Timestamp::now());
        }
    }

    /// Takes back the parked pods that what has changed may help.
    fn take_back(&mut self) {
        let news = std::mem::take(&mut self.news);
        if news.is_empty() || self.parking.is_empty() {
            return;
        }
        let mut back = Vec::new();
        if !news.volumes.is_empty() {
            back.extend(self.parking.take_claiming(&news.volumes));
        }
        if news.elsewhere {
            back.extend(self.parking.take_social());
        }
        if !(news.gone.is_empty() && news.come.is_empty()) {
            back.extend(self.parking.take_related(&self.cluster, &news.gone, &news.come));
        }
        if !news.nodes.is_empty() {
            for (info, node) in self.parking.take_fitting(&mut self.cluster, &news.nodes) {
                self.counted_on.insert(info.key.clone(), node);
                back.push(info);
            }
        }
        let now = Timestamp::now();
        back.into_iter().for_each(|info| self.queue.add(info.key, info.priority, now));
    }

    fn waiting(&self, key: &Key) -> Option<Arc<Pod>> {
        self.wiring.cache.pods.get(&key.0, &key.1).filter(|pod| self.is_mine(pod))
    }

    /// The profile of a pod, if it asks for one of this scheduler's.
    fn profile(&self, pod: &Pod) -> Option<&Arc<Profile>> {
        self.config.profile(pod.spec.as_ref()?.scheduler_name.as_deref())
    }

    /// Whether the pod waits for this scheduler.
    fn is_mine(&self, pod: &Pod) -> bool {
        self.profile(pod).is_some() && pods::is_active(pod) && pods::node_name(pod).is_empty()
    }

    fn decide(&mut self, key: Key) {
        let counted_on = self.counted_on.remove(&key);
        let taken = self.place(key, counted_on.as_deref());
        if counted_on != taken {
            self.news.nodes.extend(counted_on);
        }
    }

    /// Decides on a pod that was perhaps taken back for a node's room. Gives the node it took room on.
    fn place(&mut self, key: Key, counted_on: Option<&str>) -> Option<String> {
        let pod = self.waiting(&key)?;
        let profile = self.profile(&pod)?.clone();
        if self.cluster.is_placed(&key, pod.metadata.uid.as_deref().unwrap_or("")) {
            return None;
        }
        let gates = pod.spec.as_ref().and_then(|spec| spec.scheduling_gates.as_ref());
        if gates.is_some_and(|gates| !gates.is_empty()) {
            self.carry_out(profile.name, gated(&pod, Timestamp::now()), Some(For::Word(key)));
            return None;
        }
        let (info, volumes) = lookup::read(&self.wiring.cache, &pod, &profile);
        match self.cluster.schedule(&info, &volumes) {
            Ok(node) => {
                let promises = self.cluster.promises(&info, &volumes, &node);
                if !promises.is_empty() {
                    if volumes.is_promised() {
                        self.promised.insert(key.clone());
                    } else if self.promised.remove(&key) {
                        // Who makes volumes sent it back: the same node is not chosen again and again without a pause.
                        self.parking.park(Parked { info, volumes });
                        self.take_in_failure(key);
                        return counted_on.map(str::to_owned);
                    }
                    let plan = promised(&pod, &node, &promises, &Stored(&self.wiring.cache));
                    self.parking.park(Parked { info, volumes });
                    self.carry_out(profile.name, plan, Some(For::Room(key)));
                    // It waits for its volumes now, and not for room: told of that node again it would come back for ever.
                    return counted_on.map(str::to_owned);
                }
                self.carry_out(profile.name, bind(&pod, &node), Some(For::Binding(key)));
                Some(node)
            }
            Err(why) => {
                self.turn_away(&pod, info, volumes, why);
                None
            }
        }
    }

    /// Makes room for a pod that no node took, if that is possible, and sets it aside.
    fn turn_away(
        &mut self,
        pod: &Arc<Pod>,
        info: PodInfo,
        volumes: VolumeFacts,
        mut why: Unschedulable,
    ) {
        let (key, now) = (info.key.clone(), Timestamp::now());
        let (name, preempts) = (info.profile().name, info.profile().preempts);
        let mut made = None;
        if preempts {
            let crowded = why.is_crowded();
            let budgets = if crowded { lookup::budgets(&self.wiring.cache) } else { Vec::new() };
            made = self.cluster.preempt(&info, &volumes, &mut why, &budgets);
        }
        self.queue.failed(&key, now);
        self.parking.park(Parked { info, volumes });
        let plan = unschedulable(pod, &why, self.cluster.nominated(&key), now);
        self.carry_out(name, plan, Some(For::Word(key)));
        if let Some(made) = made {
            self.make_room(name, pod, &made, now);
        }
    }

    fn make_room(&mut self, name: &'static str, pod: &Arc<Pod>, made: &Preemption, now: Timestamp) {
        let cache = self.wiring.cache.clone();
        for victim in made.victims.iter().filter(|victim| !victim.going) {
            let found = cache.pods.get(&victim.key.0, &victim.key.1);
            let same = found.filter(|one| one.metadata.uid.as_deref() == Some(&victim.uid));
            if let Some(victim) = same {
                let plan = preempted(&victim, pod, &made.node, now);
                self.carry_out(name, plan, Some(For::Room(key_of(&pod.metadata))));
            }
        }
        for key in &made.displaced {
            if let Some(other) = self.waiting(key) {
                self.carry_out(name, unnominated(&other), None);
                self.again(key.clone());
            }
        }
    }

    /// Carries out a plan in a profile's name; the pod that it is for learns whether that succeeded.
    fn carry_out(&mut self, name: &'static str, plan: Plan, whose: Option<For>) {
        let (executor, permits) = (self.wiring.executor.clone(), self.permits.clone());
        let sender = self.sender.clone();
        self.work.spawn(async move {
            let Ok(permit) = permits.acquire_owned().await else { return };
            let outcome = executor.execute(name, &plan, None).await;
            drop(permit);
            let failed = outcome.failure.is_some() || outcome.stale;
            let wake = match (whose, failed) {
                (Some(For::Binding(key) | For::Room(key)), true) => Wake::Failed(key),
                (Some(For::Word(key)), true) if outcome.stale => Wake::Again(key),
                (Some(For::Binding(key)), false) => Wake::Bound(key),
                _ => return,
            };
            drop(sender.send(wake));
        });
    }
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}
