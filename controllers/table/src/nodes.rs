//! The life cycle of nodes, and the collection of pods whose node is gone. Keeps, by a clock of its own process, when each
//! node was last heard of: the clocks of other machines are not trusted, and a restart begins a new grace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use leme_lister::AnyLister;
use leme_plan::{Plan, node, pod_gc, pods};

use crate::Settings;
use crate::cache::NODE;
use crate::controller::Controller;
use crate::watch::{Change, Wake, Watch};

/// What was seen of a node last, in each of the two ways in which it gives signs of life, and when that changed.
#[derive(Default)]
struct Heartbeat {
    seen: [Option<String>; 2],
    /// Since some start, by a clock that nobody sets; `None` where nobody is there to give signs.
    at: Option<Duration>,
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
    fn at(uptime: Duration) -> Heartbeat {
        Heartbeat { at: Some(uptime), ..Heartbeat::default() }
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
    fn sign(&self, node: &str, by: Sign, sign: String, uptime: Duration) {
        let mut all = self.lock();
        let known = all.entry(node.to_owned()).or_insert_with(|| Heartbeat::at(uptime));
        let before = known.seen[by as usize].replace(sign);
        if before.is_some() && before != known.seen[by as usize] {
            known.at = Some(uptime);
        }
    }

    /// How long ago; a node not known yet is heard of now.
    fn silence(&self, node: &str, uptime: Duration) -> Duration {
        let mut all = self.lock();
        let known = all.entry(node.to_owned()).or_insert_with(|| Heartbeat::at(uptime));
        known.at.map_or(Duration::MAX, |at| uptime.saturating_sub(at))
    }

    /// The same as a time of the wall clock as it stands at `now`.
    fn since(&self, node: &str, uptime: Duration, now: Timestamp) -> Timestamp {
        let silence = self.silence(node, uptime);
        let silence = SignedDuration::try_from(silence).unwrap_or(SignedDuration::MAX);
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

/// Takes in what nodes say of themselves, and wakes them by their own changes; all of them when the readiness of one
/// changes, for whether every node is silent counts for each.
fn by_nodes(change: &Change<'_, Node>, wake: &Wake<'_>, heard: &Heartbeats) {
    let all = || change.cache.nodes.keys().into_iter().for_each(wake);
    let Some(new) = change.new else {
        heard.forget(&change.key.1);
        all();
        return;
    };
    if let Some(sign) = heartbeat(new) {
        heard.sign(&change.key.1, Sign::Status, sign, change.uptime);
    }
    wake(change.key.clone());
    if change.old.is_some_and(|old| node::ready_status(old) != node::ready_status(new)) {
        all();
    }
}

fn by_leases(change: &Change<'_, Lease>, heard: &Heartbeats) {
    let renewed = |lease: &Lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0);
    let renewed = change.new.and_then(|lease| renewed(lease));
    if let (LEASES, Some(renewed)) = (change.key.0.as_str(), renewed) {
        heard.sign(&change.key.1, Sign::Lease, renewed.to_string(), change.uptime);
    }
}

/// Wakes the node that a pod is on where that is the business of its life cycle.
fn by_pods(change: &Change<'_, Pod>, wake: &Wake<'_>) {
    let name = change.new.map_or("", |pod| pods::node_name(pod));
    let tainted = |node: Arc<Node>| has_no_execute(&node) || node::ready_status(&node) == "Unknown";
    if !name.is_empty() && change.cache.nodes.get("", name).is_some_and(tainted) {
        wake((String::new(), name.to_owned()));
    }
}

pub(crate) fn life_cycle(settings: &Settings) -> Controller {
    let heard = Heartbeats::without(&settings.absent);
    let (by_status, by_lease) = (heard.clone(), heard.clone());
    let watches = vec![
        Watch::on::<Node>(move |change, wake| by_nodes(change, wake, &by_status)),
        Watch::on::<Lease>(move |change, _| by_leases(change, &by_lease)),
        Watch::on::<Pod>(by_pods),
    ];
    let controller = Controller::new("node-controller", watches, move |view, key| {
        let Some(found) = view.cache.nodes.get("", &key.1) else {
            return Ok(Plan::default());
        };
        let alive = |one: &Node| {
            let name = one.metadata.name.as_deref().unwrap_or("");
            node::ready_status(one) == "True" && heard.silence(name, view.uptime) < node::GRACE
        };
        // The pods of a node that is well are nobody's business here.
        let well = alive(&found) && !has_no_execute(&found);
        let pods = if well { Vec::new() } else { view.cache.pods.found_by(NODE, &key.1) };
        let seen = node::Observed {
            heard: heard.since(&key.1, view.uptime, view.now),
            pods,
            all_dark: !view.cache.nodes.list().iter().any(|one| alive(one)),
            node: found,
        };
        Ok(node::plan(&seen, view.now))
    });
    // A wrong belief about nodes must not empty the cluster: evictions trickle.
    controller.with_brake(50, 5)
}

/// Keys are names of nodes; the empty name stands for pods that were deleted before they were bound.
pub(crate) fn pod_gc() -> Controller {
    let by_pods = Watch::on::<Pod>(|change, wake| {
        let Some(pod) = change.new else { return };
        let name = pods::node_name(pod);
        let nodes = &change.cache.nodes;
        let orphaned =
            if name.is_empty() { pods::is_deleting(pod) } else { nodes.get("", name).is_none() };
        if orphaned {
            wake((String::new(), name.to_owned()));
        }
    });
    let gone = Heartbeats::default();
    let watches = vec![by_pods, Watch::itself::<Node>()];
    let controller = Controller::new("pod-garbage-collector", watches, move |view, key| {
        let name = key.1.as_str();
        if !name.is_empty() && view.cache.nodes.get("", name).is_some() {
            gone.forget(name);
            return Ok(Plan::default());
        }
        let mut pods = view.cache.pods.found_by(NODE, name);
        pods.retain(|pod| !name.is_empty() || pods::is_deleting(pod));
        if name.is_empty() || pods.is_empty() {
            gone.forget(name);
            let seen = pod_gc::Observed { pods, gone_since: None, verified: true };
            return Ok(pod_gc::plan(&seen, view.now));
        }
        let since = gone.since(name, view.uptime, view.now);
        let live = view.live(view.cache.nodes.resource(), "", name)?;
        let live = live.is_some_and(|node| node["metadata"]["deletionTimestamp"].is_null());
        let seen = pod_gc::Observed { pods, gone_since: Some(since), verified: !live };
        Ok(pod_gc::plan(&seen, view.now))
    });
    controller.with_brake(50, 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red when the first sign that is read counts: it may be from before the start, and of nobody.
    #[test]
    fn who_is_not_there_is_silent_from_the_start() {
        let start = Duration::from_secs(7);
        let heard = Heartbeats::without(&BTreeSet::from(["gone".to_owned()]));
        for node in ["here", "gone"] {
            heard.sign(node, Sign::Status, "1".to_owned(), start);
            heard.sign(node, Sign::Lease, "1".to_owned(), start);
            heard.sign(node, Sign::Lease, "1".to_owned(), start);
        }
        assert!(
            heard.silence("here", start) < node::GRACE
                && heard.silence("gone", start) >= node::GRACE
        );
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(9);
        assert!(heard.since("gone", start, now) < heard.since("here", start, now));
        // Somebody is there all the same.
        heard.sign("gone", Sign::Lease, "2".to_owned(), start);
        assert!(heard.silence("gone", start) < node::GRACE);
        heard.forget("gone");
        assert!(heard.silence("gone", start) < node::GRACE, "a new one of that name");
    }
}
