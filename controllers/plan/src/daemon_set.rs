//! DaemonSets: one pod on each node that is asked for, replaced node by node when the template changes.
//!
//! Alone writes: the status of daemon sets and the revisions they own; creates and deletes their pods. Relies on: pods that
//! carry its ownerReference being its own whatever they are called, and saying for which node they are.

mod failures;
mod nodes;
mod status;
mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::nodes::{Runs, bind_to, node_of, runs, tolerations};
use crate::action::{Action, ObjectRef, to_object};
use crate::claim::claim;
use crate::common::{annotation, selects_some};
use crate::history::{self, HASH, Present};
use crate::report::{Report, Shown, Waiting};
use crate::{Plan, hashes, pod_control, pods};

pub use self::failures::Failures;
pub use self::nodes::runs_on;

/// Creates or deletes at most this many pods in one round.
const BURST: usize = 250;
/// How often the template has changed, in an annotation of the set and a label of its pods.
const TEMPLATES: (&str, &str) =
    ("deprecated.daemonset.template.generation", "pod-template-generation");

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The daemon set; `None` once it is gone.
    pub set: Option<Arc<DaemonSet>>,
    /// All nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The pods of its namespace that it owns, or that nobody owns; others do not matter.
    pub pods: Vec<Arc<Pod>>,
    /// The revisions of its namespace that it owns, or that nobody owns; others do not matter.
    pub revisions: Vec<Arc<ControllerRevision>>,
    /// The revision, whoever owns it, that has the name of [`name_of_new`].
    pub namesake: Option<Arc<ControllerRevision>>,
    /// What has failed so far.
    pub failures: Failures,
}

/// The name that a daemon set gives the revision of its present template.
pub fn name_of_new(set: &DaemonSet) -> Option<String> {
    set.spec.as_ref().map(|spec| name(set, &hash(set, spec)))
}

fn name(set: &DaemonSet, hash: &str) -> String {
    format!("{}-{hash}", set.metadata.name.as_deref().unwrap_or(""))
}

fn hash(set: &DaemonSet, spec: &DaemonSetSpec) -> String {
    hashes::of_template(&to_object(&spec.template).0.to_string(), collisions(set))
}

fn collisions(set: &DaemonSet) -> Option<i32> {
    set.status.as_ref()?.collision_count
}

/// What to do for one daemon set. One that is being deleted leaves what it has to the garbage collector.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(set) = &seen.set else { return Plan::default() };
    let Some(spec) = &set.spec else { return Plan::default() };
    let about = ObjectRef::to(set.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let selects = |meta: &ObjectMeta| selects_some(&spec.selector, meta.labels.as_ref());
    let claimed = claim(&set.metadata, &selects, &seen.revisions);
    plan.actions.extend(claimed.actions(&about));
    if !plan.actions.is_empty() {
        // What is adopted has another version by then: its turn comes when that is seen.
        return plan;
    }
    let mut revisions = claimed.own;
    history::sort(&mut revisions);
    let hash = hash(set, spec);
    let annotations = set.metadata.annotations.as_ref();
    let label = (HASH, hash.clone());
    let made = history::make(&about, annotations, &spec.template, name(set, &hash), label);
    let Some(present) = Present::of(&revisions, made, seen.namesake.as_ref()) else {
        plan.act(history::collided(&about, collisions(set)));
        return plan;
    };
    plan.actions.extend(present.action.clone());
    let claimed = claim(&set.metadata, &selects, &seen.pods);
    plan.actions.extend(claimed.actions(&about));
    let round = Round::new(set, spec, about, revision_hash(&present.revision), seen, now);
    let own = claimed.all();
    round.run(&present, &revisions, &own, &mut plan);
    plan
}

/// What pods of a revision have in their label.
fn revision_hash(revision: &ControllerRevision) -> String {
    let label = revision.metadata.labels.as_ref().and_then(|labels| labels.get(HASH));
    label.cloned().unwrap_or_else(|| history::name(revision).to_owned())
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// A node, or what is left of one, and the pods that are on it or for it.
struct Site {
    exists: bool,
    runs: Runs,
    /// Oldest first; those that have their node before those that wait for it.
    pods: Vec<Arc<Pod>>,
}

/// What to do with pods.
#[derive(Default)]
struct Changes {
    create: Vec<String>,
    delete: Vec<Arc<Pod>>,
    told: Vec<Action>,
}

struct Round<'a> {
    set: &'a DaemonSet,
    spec: &'a DaemonSetSpec,
    about: ObjectRef,
    /// The label of pods of the present template.
    hash: String,
    failures: &'a Failures,
    sites: BTreeMap<String, Site>,
    now: Timestamp,
}

impl<'a> Round<'a> {
    fn new(
        set: &'a DaemonSet,
        spec: &'a DaemonSetSpec,
        about: ObjectRef,
        hash: String,
        seen: &'a Observed,
        now: Timestamp,
    ) -> Round<'a> {
        let pod = spec.template.spec.clone().unwrap_or_default();
        let tolerated = tolerations(&pod);
        let site = |node: &Arc<Node>| {
            let name = node.metadata.name.clone().unwrap_or_default();
            (name, Site { exists: true, runs: runs(&pod, &tolerated, node), pods: Vec::new() })
        };
        let sites = seen.nodes.iter().map(site).collect();
        Round { set, spec, about, hash, failures: &seen.failures, sites, now }
    }

    fn run(
        mut self,
        present: &Present,
        revisions: &[Arc<ControllerRevision>],
        own: &[Arc<Pod>],
        plan: &mut Plan,
    ) {
        self.settle_pods(own);
        self.tell_status(plan);
        let mut changes = self.manage(plan);
        if changes.create.is_empty() && changes.delete.is_empty() {
            changes = Changes { told: changes.told, ..self.roll() };
        }
        self.act(changes, plan);
        let old: Vec<_> =
            revisions.iter().filter(|one| history::name(one) != present.name()).cloned().collect();
        let alive = |one: &ControllerRevision| {
            let hash = revision_hash(one);
            own.iter().any(|pod| label(pod, HASH) == Some(&hash))
        };
        plan.actions.extend(history::surplus(&old, self.spec.revision_history_limit, alive));
        let running: Vec<_> = own.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        pod_control::wait_for(&running, self.min_ready(), self.now, plan);
        self.wait(plan);
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    /// Has each pod where it is, or is to be; what has ended and is leaving is nobody's business any more.
    fn settle_pods(&mut self, own: &[Arc<Pod>]) {
        for pod in own {
            if pods::is_terminal(pod) && pods::is_deleting(pod) {
                continue;
            }
            let Some(node) = node_of(pod) else { continue };
            let gone = || Site { exists: false, runs: Runs::default(), pods: Vec::new() };
            self.sites.entry(node.to_owned()).or_insert_with(gone).pods.push(pod.clone());
        }
        for site in self.sites.values_mut() {
            site.pods.sort_by_cached_key(|pod| {
                let meta = &pod.metadata;
                let waits = pods::node_name(pod).is_empty();
                (waits, meta.creation_timestamp.clone(), meta.name.clone())
            });
        }
    }

    fn is_new(&self, pod: &Pod) -> bool {
        label(pod, HASH) == Some(&self.hash)
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pods::is_available(pod, self.min_ready(), self.now)
    }

    /// One pod on each node that should have one, none where none may be.
    fn manage(&self, plan: &mut Plan) -> Changes {
        let mut changes = Changes::default();
        for (node, site) in &self.sites {
            let present = site.pods.iter().filter(|pod| !pods::is_deleting(pod));
            if !site.exists {
                // Those that never came there are nobody else's to delete.
                let waiting = present.filter(|pod| pods::node_name(pod).is_empty());
                changes.delete.extend(waiting.cloned());
            } else if site.runs.should && site.pods.is_empty() {
                changes.create.push(node.clone());
            } else if site.runs.may {
                self.keep_one(node, site, &mut changes, plan);
            } else {
                changes.delete.extend(present.cloned());
            }
        }
        changes
    }

    fn keep_one(&self, node: &str, site: &Site, changes: &mut Changes, plan: &mut Plan) {
        let mut running = Vec::new();
        for pod in site.pods.iter().filter(|pod| !pods::is_deleting(pod)) {
            match pods::phase(pod) {
                "Failed" => {
                    let wait = self.failures.wait(node, self.now);
                    if wait.is_zero() {
                        changes.told.push(self.ended(pod, node));
                        changes.delete.push(pod.clone());
                    } else {
                        plan.again_in(wait);
                    }
                }
                "Succeeded" => {
                    changes.told.push(self.ended(pod, node));
                    changes.delete.push(pod.clone());
                }
                _ => running.push(pod),
            }
        }
        if !self.allows_surge() {
            changes.delete.extend(running.into_iter().skip(1).cloned());
        } else if running.is_empty() && site.runs.should {
            changes.create.push(node.to_owned());
        } else if running.len() > 1 {
            self.keep_two(&running, changes);
        }
    }

    /// An old pod stays beside a new one for as long as it is ready and the new one is not available.
    fn keep_two(&self, running: &[&Arc<Pod>], changes: &mut Changes) {
        let new = running.iter().position(|pod| self.is_new(pod));
        let old = running.iter().position(|pod| !self.is_new(pod));
        let over = match (new.map(|at| running[at]), old.map(|at| running[at])) {
            (Some(new), Some(old)) => !pods::is_ready(old) || self.is_available(new),
            _ => false,
        };
        for (at, pod) in running.iter().enumerate() {
            let keeps = Some(at) == new || (Some(at) == old && !over);
            if !keeps {
                changes.delete.push((*pod).clone());
            }
        }
    }

    fn ended(&self, pod: &Pod, node: &str) -> Action {
        let (space, name) = (&self.about.namespace, pod.metadata.name.as_deref().unwrap_or(""));
        let about = self.about.clone();
        if pods::phase(pod) == "Failed" {
            let message = format!(
                "Found failed daemon pod {space}/{name} on node {node}, will try to kill it"
            );
            return Action::warning(about, "FailedDaemonPod", message);
        }
        let message = format!(
            "Found succeeded daemon pod {space}/{name} on node {node}, will try to delete it"
        );
        Action::normal(about, "SucceededDaemonPod", message)
    }

    fn act(&self, changes: Changes, plan: &mut Plan) {
        plan.actions.extend(changes.told);
        for pod in changes.delete.iter().take(BURST) {
            plan.act(pod_control::deletion(pod, &self.about));
        }
        for node in changes.create.iter().take(BURST) {
            plan.act(pod_control::creation(&self.pod_for(node), &self.about));
        }
    }

    fn pod_for(&self, node: &str) -> Pod {
        let mut pod = pod_control::pod_of(&self.spec.template, &self.about);
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(HASH.to_owned(), self.hash.clone());
        if let Some(count) = annotation(&self.set.metadata, TEMPLATES.0) {
            labels.insert(TEMPLATES.1.to_owned(), count.to_owned());
        }
        let spec = pod.spec.get_or_insert_default();
        spec.tolerations = Some(tolerations(spec));
        bind_to(spec, node);
        pod
    }

    fn wait(&self, plan: &mut Plan) {
        let wanted = self.sites.values().filter(|site| site.runs.should);
        let bare = wanted.filter(|site| site.pods.is_empty()).count();
        if bare > 0 {
            let message = format!("{bare} nodes have no pod yet");
            plan.wait(Waiting::new("NodesLackPods", message, Shown::Status));
        }
    }
}

#[cfg(test)]
mod tests;
