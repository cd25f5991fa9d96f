//! Wakes the life cycle of nodes and the collection of pods whose node is gone. Keeps, by this process's own clock, when
//! each node was last heard of: the clocks of other machines are not trusted, and a restart begins a new grace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use leme_controller_runtime::{Brake, Queue};
use leme_plan::{node, pod_gc, pods};

use crate::cache::NODE;
use crate::{Start, Wiring, controller};

/// What was seen of a node last, in each of the two ways in which it gives signs of life, and when that changed.
#[derive(Default)]
struct Heartbeat {
    seen: [Option<String>; 2],
    /// By a clock that nobody sets; `None` where nobody is there to give signs.
    at: Option<Instant>,
}

/// The ways in which a node gives signs of life.
#[derive(Clone, Copy)]
enum Sign {
    Status,
    Lease,
}

/// When each node's sign of life changed last.
#[derive(Clone, Default)]
struct Heartbeats(Arc<Mutex<HashMap<String, Heartbeat>>>);

impl Heartbeat {
    fn now() -> Heartbeat {
        Heartbeat { at: Some(Instant::now()), ..Heartbeat::default() }
    }
}

impl Heartbeats {
    /// Of nodes of which it is known that nobody is there to give signs: what they have said before counts for nothing.
    fn without(absent: &BTreeSet<String>) -> Heartbeats {
        let known = absent.iter().map(|node| (node.clone(), Heartbeat::default()));
        Heartbeats(Arc::new(Mutex::new(known.collect())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Heartbeat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a sign of life; the same one again says nothing new, nor does the first.
    fn sign(&self, node: &str, by: Sign, sign: String) {
        let mut all = self.lock();
        let known = all.entry(node.to_owned()).or_insert_with(Heartbeat::now);
        let before = known.seen[by as usize].replace(sign);
        if before.is_some() && before != known.seen[by as usize] {
            known.at = Some(Instant::now());
        }
    }

    /// How long ago; a node not known yet is heard of now.
    fn silence(&self, node: &str) -> Duration {
        let mut all = self.lock();
        let known = all.entry(node.to_owned()).or_insert_with(Heartbeat::now);
        known.at.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// The same as a time of the wall clock as it stands at `now`.
    fn since(&self, node: &str, now: Timestamp) -> Timestamp {
        let silence = SignedDuration::try_from(self.silence(node)).unwrap_or(SignedDuration::MAX);
        now.saturating_sub(silence).unwrap_or(now)
    }

    fn forget(&self, node: &str) {
        self.lock().remove(node);
    }
}

fn heartbeat(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready =
        conditions.iter().find(|one| one.type_ == "Ready").filter(|one| one.status != "Unknown")?;
    Some(ready.last_heartbeat_time.as_ref()?.0.to_string())
}

fn has_no_execute(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().any(|taint| taint.effect == "NoExecute")
}

const LEASES: &str = "kube-node-lease";

/// Wakes nodes by their own changes, and all of them when the readiness of one changes: whether every node is silent
/// counts for each.
fn wake_nodes(wiring: &Wiring, queue: &Arc<Queue>, heard: &Heartbeats) {
    let (waker, signs, nodes) = (queue.clone(), heard.clone(), wiring.cache.nodes.clone());
    wiring.cache.nodes.on_change(Box::new(move |key, old, new| {
        let Some(fresh) = new else {
            signs.forget(&key.1);
            nodes.keys().into_iter().for_each(|key| waker.add(key));
            return;
        };
        if let Some(sign) = heartbeat(fresh) {
            signs.sign(&key.1, Sign::Status, sign);
        }
        waker.add(key.clone());
        if old.is_some_and(|old| node::ready_status(old) != node::ready_status(fresh)) {
            nodes.keys().into_iter().for_each(|key| waker.add(key));
        }
    }));
    let signs = heard.clone();
    wiring.cache.leases.on_change(Box::new(move |key, _, new| {
        let renewed =
            new.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        if let (LEASES, Some(renewed)) = (key.0.as_str(), renewed) {
            signs.sign(&key.1, Sign::Lease, renewed.to_string());
        }
    }));
    let (waker, nodes) = (queue.clone(), wiring.cache.nodes.clone());
    wiring.cache.pods.on_change(Box::new(move |_, _, new| {
        let name = new.map_or("", |pod| pods::node_name(pod));
        let tainted =
            |node: Arc<Node>| has_no_execute(&node) || node::ready_status(&node) == "Unknown";
        if !name.is_empty() && nodes.get("", name).is_some_and(tainted) {
            waker.add((String::new(), name.to_owned()));
        }
    }));
}

pub(crate) fn life_cycle(wiring: &Wiring) -> Start {
    let (queue, heard) = (Arc::new(Queue::default()), Heartbeats::without(&wiring.config.absent));
    wake_nodes(wiring, &queue, &heard);
    // A wrong belief about nodes must not empty the cluster: evictions trickle.
    let brake = Some(Brake::new(50, 5));
    controller(wiring, "node-controller", queue, brake, move |wiring, key, _| {
        let heard = heard.clone();
        async move {
            let Some(found) = wiring.cache.nodes.get("", &key.1) else {
                return Ok(leme_plan::Plan::default());
            };
            let now = Timestamp::now();
            let alive = |one: &Node| {
                let silence = heard.silence(one.metadata.name.as_deref().unwrap_or(""));
                node::ready_status(one) == "True" && silence < node::GRACE
            };
            // The pods of a node that is well are nobody's business here.
            let well = alive(&found) && !has_no_execute(&found);
            let pods = if well { Vec::new() } else { wiring.cache.pods.found_by(NODE, &key.1) };
            let seen = node::Observed {
                heard: heard.since(&key.1, now),
                pods,
                all_dark: !wiring.cache.nodes.list().iter().any(|one| alive(one)),
                node: found,
            };
            Ok(node::plan(&seen, now))
        }
    })
}

/// Keys are names of nodes; the empty name stands for pods that were deleted before they were bound.
pub(crate) fn pod_gc(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let (waker, nodes) = (queue.clone(), wiring.cache.nodes.clone());
    wiring.cache.pods.on_change(Box::new(move |_, _, new| {
        let Some(pod) = new else { return };
        let name = pods::node_name(pod);
        let orphaned =
            if name.is_empty() { pods::is_deleting(pod) } else { nodes.get("", name).is_none() };
        if orphaned {
            waker.add((String::new(), name.to_owned()));
        }
    }));
    let waker = queue.clone();
    wiring.cache.nodes.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let gone: Heartbeats = Heartbeats::default();
    let brake = Some(Brake::new(50, 5));
    controller(wiring, "pod-garbage-collector", queue, brake, move |wiring, key, _| {
        let gone = gone.clone();
        async move {
            let name = key.1.as_str();
            if !name.is_empty() && wiring.cache.nodes.get("", name).is_some() {
                gone.forget(name);
                return Ok(leme_plan::Plan::default());
            }
            let mut pods = wiring.cache.pods.found_by(NODE, name);
            pods.retain(|pod| !name.is_empty() || pods::is_deleting(pod));
            if name.is_empty() || pods.is_empty() {
                gone.forget(name);
                let seen = pod_gc::Observed { pods, gone_since: None, verified: true };
                return Ok(pod_gc::plan(&seen, Timestamp::now()));
            }
            let now = Timestamp::now();
            let since = gone.since(name, now);
            let path = wiring.cache.nodes.resource().object("", name, "");
            let live = wiring.executor.client().is_live(&path, "").await;
            let live = live.map_err(|refused| refused.message().to_owned())?;
            let seen = pod_gc::Observed { pods, gone_since: Some(since), verified: !live };
            Ok(pod_gc::plan(&seen, now))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the first sign that is read counts: it may be from before the start, and of nobody.
    #[test]
    fn who_is_not_there_is_silent_from_the_start() {
        let heard = Heartbeats::without(&BTreeSet::from(["gone".to_owned()]));
        for node in ["here", "gone"] {
            heard.sign(node, Sign::Status, "1".to_owned());
            heard.sign(node, Sign::Lease, "1".to_owned());
            heard.sign(node, Sign::Lease, "1".to_owned());
        }
        assert!(heard.silence("here") < node::GRACE && heard.silence("gone") >= node::GRACE);
        let now = Timestamp::now();
        assert!(heard.since("gone", now) < heard.since("here", now));
        // Somebody is there all the same.
        heard.sign("gone", Sign::Lease, "2".to_owned());
        assert!(heard.silence("gone") < node::GRACE);
        heard.forget("gone");
        assert!(heard.silence("gone") < node::GRACE, "a new one of that name");
    }
}
