//! Who has to go so that a pod of a higher priority finds room, and where.
//!
//! Knows: priorities, budgets of disruptions, what would be left. Refuses to know: how anybody is made to go.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::case::Case;
use crate::cluster::{Cluster, PodKey};
use crate::pod::PodInfo;
use crate::selector::Selector;
use crate::volumes::VolumeFacts;
use crate::why::{Counts, Reason, Refusal, Unschedulable};

/// What upstream says of devices before it tells of preemption: nothing here has any.
const NO_DEVICES: &str = "no new claims to deallocate, preemption:";
/// At least that many nodes are tried, or that part of them.
const TRIED_AT_LEAST: usize = 100;
const TRIED_PERCENT: usize = 10;

/// A budget of disruptions.
#[derive(Clone, Debug)]
pub struct Budget {
    namespace: String,
    selector: Selector,
    allowed: i32,
    /// Pods whose disruption has been counted.
    disrupted: BTreeSet<String>,
}

impl Budget {
    /// Reads a budget; one that selects nothing, or everything without saying so, bounds nothing.
    pub fn read(budget: &PodDisruptionBudget) -> Option<Budget> {
        let spec = budget.spec.as_ref()?;
        let selector = Selector::read(spec.selector.as_ref());
        let status = budget.status.clone().unwrap_or_default();
        (!selector.is_empty()).then(|| Budget {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector,
            allowed: status.disruptions_allowed.unwrap_or(0),
            disrupted: status.disrupted_pods.unwrap_or_default().into_keys().collect(),
        })
    }
}

/// A pod that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Namespace and name.
    pub key: PodKey,
    /// uid.
    pub uid: String,
    /// Whether it is going already.
    pub going: bool,
}

/// Room that is made for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preemption {
    /// The node it is made on.
    pub node: String,
    /// Who has to go.
    pub victims: Vec<Victim>,
    /// Pods of lower priority that room had been made for there: they look elsewhere.
    pub displaced: Vec<PodKey>,
}

struct Candidate {
    index: usize,
    /// The most important first.
    victims: Vec<Arc<PodInfo>>,
    violations: usize,
}

impl Cluster {
    /// Looks for pods whose going would make room for a pod that no node takes, and nominates it for the node. What comes
    /// of it is added to why it has no node.
    pub fn preempt(
        &mut self,
        pod: &PodInfo,
        volumes: &VolumeFacts,
        why: &mut Unschedulable,
        budgets: &[Budget],
    ) -> Option<Preemption> {
        if why.nodes == 0 || why.before.is_some() {
            return None;
        }
        if let Some(not) = self.not_eligible(pod, why) {
            why.after = format!("{NO_DEVICES} {not}");
            return None;
        }
        let case = Case::new(pod, volumes, &mut self.ground());
        let (candidates, refused) = self.candidates(&case, why, budgets);
        let Some(best) = candidates.into_iter().min_by_key(cost) else {
            let told = Counts::told(&refused, why.nodes);
            why.after = format!("{NO_DEVICES} {told}");
            self.nominations.remove(&pod.key);
            return None;
        };
        let node = self.nodes[best.index].name.clone();
        let below = |other: &&Arc<PodInfo>| other.priority < pod.priority;
        let displaced: Vec<PodKey> =
            self.nominations.on(&node).filter(below).map(|other| other.key.clone()).collect();
        displaced.iter().for_each(|key| self.nominations.remove(key));
        self.nominations.set(&Arc::new(pod.clone()), &node);
        let victims = best.victims.iter().map(|victim| Victim {
            key: victim.key.clone(),
            uid: victim.uid.clone(),
            going: victim.class.deleting,
        });
        Some(Preemption { node, victims: victims.collect(), displaced })
    }

    fn not_eligible(&self, pod: &PodInfo, why: &Unschedulable) -> Option<&'static str> {
        if pod.never_preempts {
            return Some("not eligible due to preemptionPolicy=Never.");
        }
        let index = *self.by_name.get(self.nominations.node(&pod.key)?)?;
        let node = &self.nodes[index];
        let going = node.pods.iter().any(|one| one.priority < pod.priority && one.preempted);
        (why.crowded.contains(&index) && going)
            .then_some("not eligible due to a terminating pod on the nominated node.")
    }

    fn candidates(
        &mut self,
        case: &Case,
        why: &Unschedulable,
        budgets: &[Budget],
    ) -> (Vec<Candidate>, Counts) {
        let potential = why.crowded.len();
        let wanted = (potential * TRIED_PERCENT / 100).max(TRIED_AT_LEAST).min(potential);
        let (mut found, mut harmless) = (Vec::new(), false);
        let mut refused = Counts::default();
        for index in &why.crowded {
            match self.dry_run(*index, case, budgets) {
                Ok(candidate) => {
                    harmless |= candidate.violations == 0;
                    found.push(candidate);
                }
                Err(refusal) => refused.add(refusal.reasons),
            }
            if harmless && found.len() >= wanted {
                break;
            }
        }
        let rest = why.nodes - potential.min(why.nodes);
        if rest > 0 {
            refused.0.insert(Reason::NotHelped, rest);
        }
        (found, refused)
    }

    /// Who would have to go from a node.
    fn dry_run(
        &mut self,
        index: usize,
        case: &Case,
        budgets: &[Budget],
    ) -> Result<Candidate, Refusal> {
        let (mut node, mut trial) = (self.nodes[index].clone(), case.clone());
        let below = |one: &&Arc<PodInfo>| one.priority < case.pod.priority;
        let mut lower: Vec<Arc<PodInfo>> = node.pods.iter().filter(below).cloned().collect();
        if lower.is_empty() {
            return Err(Refusal::for_good(Reason::NoVictims));
        }
        for pod in &lower {
            node.remove(pod);
            self.shift(&mut trial, pod, index, -1);
        }
        if let Some(refusal) = self.refuses_as(&node, index, &trial) {
            return Err(refusal);
        }
        lower.sort_by_key(importance);
        let (violating, others): (Vec<_>, Vec<_>) =
            over_budget(lower, budgets).into_iter().partition(|(_, violates)| *violates);
        let mut candidate = Candidate { index, victims: Vec::new(), violations: 0 };
        for (pod, violates) in violating.into_iter().chain(others) {
            node.add(&pod);
            self.shift(&mut trial, &pod, index, 1);
            if self.refuses_as(&node, index, &trial).is_some() {
                node.remove(&pod);
                self.shift(&mut trial, &pod, index, -1);
                candidate.violations += usize::from(violates);
                candidate.victims.push(pod);
            }
        }
        candidate.victims.sort_by_key(importance);
        Ok(candidate)
    }

    fn shift(&mut self, case: &mut Case, pod: &PodInfo, index: usize, by: i32) {
        if case.is_social() {
            case.shift(pod, index, by, &mut self.topology, &self.nodes, &self.namespaces);
        }
    }
}

/// The most important first: by priority, then who has run longest.
fn importance(pod: &Arc<PodInfo>) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority), pod.started.unwrap_or(Timestamp::MAX))
}

/// The pods, each with whether a budget would not allow that it goes after those before it.
fn over_budget(pods: Vec<Arc<PodInfo>>, budgets: &[Budget]) -> Vec<(Arc<PodInfo>, bool)> {
    let mut left: Vec<i32> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut each = Vec::with_capacity(pods.len());
    for pod in pods {
        let mut violates = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let bounds = !pod.class.labels.is_empty()
                && budget.namespace == pod.key.0
                && budget.selector.selects(&pod.class.labels)
                && !budget.disrupted.contains(&pod.key.1);
            if bounds {
                *left = left.saturating_sub(1);
                violates |= *left < 0;
            }
        }
        each.push((pod, violates));
    }
    each
}

/// The least is best: violated budgets, the greatest priority, all priorities, how many, and who of the greatest priority
/// has run longest, for the shortest time.
fn cost(candidate: &Candidate) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let victims = &candidate.victims;
    let greatest = victims.first().map_or(i32::MIN, |pod| pod.priority);
    let each = victims.iter().map(|pod| i64::from(pod.priority) + i64::from(i32::MAX) + 1);
    let top = victims.iter().filter(|pod| pod.priority == greatest);
    let started = top.map(|pod| pod.started.unwrap_or(Timestamp::MAX)).min();
    let started = started.unwrap_or(Timestamp::MAX);
    (candidate.violations, greatest, each.sum(), victims.len(), Reverse(started))
}
