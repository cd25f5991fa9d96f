//! One pod against the cluster as it is: what can be worked out once for all nodes.
//!
//! Invariant: taking a pod away here, or putting one back, gives what working it out anew without or with it would give.

use std::sync::Arc;

use crate::census::{Census, Class, PerNode, Pull, Question, Terms};
use crate::filter;
use crate::node::NodeState;
use crate::pod::{PodInfo, Spread};
use crate::profile::Filter;
use crate::selector::{Namespaces, Term, Who};
use crate::topology::{NONE, Topology};
use crate::volumes::VolumeFacts;
use crate::why::{Reason, Refusal};

/// What the cluster keeps for cases.
pub(crate) struct Ground<'a> {
    pub(crate) nodes: &'a [NodeState],
    /// The numbers of the nodes that exist.
    pub(crate) live: &'a [usize],
    pub(crate) topology: &'a mut Topology,
    pub(crate) census: &'a mut Census,
    pub(crate) terms: &'a Terms,
    pub(crate) namespaces: &'a Namespaces,
}

/// A constraint that must hold: how many pods that count there are by value of the label.
#[derive(Clone, Debug)]
struct Skew {
    column: usize,
    max: i32,
    min_domains: i32,
    /// Whether the pod counts itself.
    own: i32,
    question: Question,
    /// By value; below zero where no node counts.
    counts: Vec<i32>,
    /// Nodes that count; `None` is all.
    counting: Option<Vec<bool>>,
    least: i32,
}

impl Skew {
    fn measure(&mut self) {
        let domains = self.counts.iter().filter(|count| **count >= 0);
        let (number, least) =
            domains.fold((0, i32::MAX), |(number, least), count| (number + 1, least.min(*count)));
        self.least = if number < self.min_domains { 0 } else { least };
    }
}

/// Pods by value of a label that they share.
#[derive(Clone, Debug)]
struct Gathering {
    column: usize,
    question: Question,
    counts: Vec<i32>,
}

/// A pod, and what has been worked out for it.
#[derive(Clone)]
pub(crate) struct Case<'a> {
    pub(crate) pod: &'a PodInfo,
    pub(crate) volumes: &'a VolumeFacts,
    skews: Vec<Skew>,
    near: Vec<Gathering>,
    apart: Vec<Gathering>,
    /// Where pods are that keep this one off, by value of each label.
    kept_off: Vec<(usize, Vec<i32>)>,
    /// Whether it is one of those that it wants to be near to.
    own_company: bool,
}

/// How many by value of a label.
pub(crate) fn tally(topology: &Topology, column: usize, nodes: &PerNode) -> Vec<i32> {
    let column = topology.at(column);
    let mut counts = vec![0; column.size()];
    for (node, by) in nodes {
        if let Some(count) = counts.get_mut(column.of(*node) as usize) {
            *count += by;
        }
    }
    counts
}

impl<'a> Case<'a> {
    /// Works out what can be.
    pub(crate) fn new(pod: &'a PodInfo, volumes: &'a VolumeFacts, ground: &mut Ground) -> Case<'a> {
        let mut case = Case {
            pod,
            volumes,
            skews: Vec::new(),
            near: Vec::new(),
            apart: Vec::new(),
            kept_off: Vec::new(),
            own_company: false,
        };
        if pod.spread.iter().any(|one| one.hard) && pod.profile.has(Filter::Spread) {
            case.skews = skews(pod, ground);
        }
        if !pod.profile.has(Filter::Pods) {
            return case;
        }
        if !pod.near.is_empty() {
            let all: Vec<Who> = pod.near.iter().map(|term| term.who.clone()).collect();
            let question = Question { all, staying: false };
            case.own_company = question.means(&pod.class, ground.namespaces);
            case.near =
                pod.near.iter().map(|term| gathering(term, question.clone(), ground)).collect();
        }
        case.apart = pod
            .apart
            .iter()
            .map(|term| {
                let question = Question { all: vec![term.who.clone()], staying: false };
                gathering(term, question, ground)
            })
            .collect();
        if !ground.terms.is_empty() {
            case.keep_off(ground);
        }
        case
    }

    fn keep_off(&mut self, ground: &mut Ground) {
        for ((pull, term), nodes) in ground.terms.about(&self.pod.class, ground.namespaces) {
            if *pull != Pull::Repels {
                continue;
            }
            let column = ground.topology.column(&term.key, ground.nodes);
            let counts = tally(ground.topology, column, nodes);
            match self.kept_off.iter_mut().find(|(known, _)| *known == column) {
                Some((_, known)) => known.iter_mut().zip(counts).for_each(|(all, one)| *all += one),
                None => self.kept_off.push((column, counts)),
            }
        }
    }

    /// Whether taking pods away or putting them back could change anything here.
    pub(crate) fn is_social(&self) -> bool {
        !(self.skews.is_empty()
            && self.near.is_empty()
            && self.apart.is_empty()
            && self.kept_off.is_empty())
    }

    /// Counts another pod on a node, or no longer.
    pub(crate) fn shift(
        &mut self,
        other: &PodInfo,
        node: usize,
        by: i32,
        topology: &mut Topology,
        nodes: &[NodeState],
        namespaces: &Namespaces,
    ) {
        for skew in &mut self.skews {
            let counts = skew.counting.as_ref().is_none_or(|all| all.get(node) == Some(&true));
            if counts && skew.question.means(&other.class, namespaces) {
                let value = topology.at(skew.column).of(node);
                if let Some(count) = skew.counts.get_mut(value as usize) {
                    *count += by;
                }
                skew.measure();
            }
        }
        for one in self.near.iter_mut().chain(&mut self.apart) {
            if one.question.means(&other.class, namespaces) {
                let value = topology.at(one.column).of(node);
                if let Some(count) = one.counts.get_mut(value as usize) {
                    *count += by;
                }
            }
        }
        let class: &Arc<Class> = &self.pod.class;
        if !self.pod.profile.has(Filter::Pods) {
            return;
        }
        for term in &other.apart {
            if !term.who.is(&class.namespace, &class.labels, namespaces) {
                continue;
            }
            let column = topology.column(&term.key, nodes);
            let value = topology.at(column).of(node) as usize;
            let at = match self.kept_off.iter().position(|(known, _)| *known == column) {
                Some(at) => at,
                None => {
                    self.kept_off.push((column, vec![0; topology.at(column).size()]));
                    self.kept_off.len() - 1
                }
            };
            if let Some(count) = self.kept_off[at].1.get_mut(value) {
                *count += by;
            }
        }
    }

    /// Why pods elsewhere keep it off a node.
    pub(crate) fn kept_from(&self, node: usize, topology: &Topology) -> Option<Refusal> {
        self.skewed(node, topology).or_else(|| self.ill_at_ease(node, topology))
    }

    fn skewed(&self, node: usize, topology: &Topology) -> Option<Refusal> {
        for skew in &self.skews {
            let value = topology.at(skew.column).of(node);
            if value == NONE {
                return Some(Refusal::for_good(Reason::SpreadLabel));
            }
            let here = skew.counts.get(value as usize).copied().unwrap_or(0).max(0);
            if here.saturating_add(skew.own).saturating_sub(skew.least) > skew.max {
                return Some(Refusal::for_now(Reason::Spread));
            }
        }
        None
    }

    fn ill_at_ease(&self, node: usize, topology: &Topology) -> Option<Refusal> {
        let at = |column: usize, counts: &[i32]| {
            counts.get(topology.at(column).of(node) as usize).copied().unwrap_or(0)
        };
        if !self.near.is_empty() {
            let labelled = self.near.iter().all(|one| topology.at(one.column).of(node) != NONE);
            let found = self.near.iter().all(|one| at(one.column, &one.counts) > 0);
            let first = || {
                let nobody = |one: &Gathering| one.counts.iter().all(|count| *count <= 0);
                self.own_company && self.near.iter().all(nobody)
            };
            if !(labelled && (found || first())) {
                return Some(Refusal::for_good(Reason::PodAffinity));
            }
        }
        if self.apart.iter().any(|one| at(one.column, &one.counts) > 0) {
            return Some(Refusal::for_now(Reason::PodAntiAffinity));
        }
        let off = self.kept_off.iter().any(|(column, counts)| at(*column, counts) > 0);
        off.then(|| Refusal::for_now(Reason::ExistingAntiAffinity))
    }
}

fn gathering(term: &Term, question: Question, ground: &mut Ground) -> Gathering {
    let column = ground.topology.column(&term.key, ground.nodes);
    let nodes = ground.census.ask(question.clone(), ground.namespaces);
    Gathering { column, counts: tally(ground.topology, column, nodes), question }
}

/// The nodes that count for a constraint; `None` is all that exist.
pub(crate) fn counting(
    pod: &PodInfo,
    spread: &Spread,
    columns: &[usize],
    ground: &Ground,
) -> Option<Vec<bool>> {
    let chooses =
        spread.honors_affinity && (pod.required.is_some() || !pod.node_selector.is_empty());
    let labelled = columns.iter().all(|one| ground.topology.at(*one).having() == ground.live.len());
    if !chooses && !spread.honors_taints && labelled {
        return None;
    }
    let counts = |index: usize| {
        let node = &ground.nodes[index];
        columns.iter().all(|column| ground.topology.at(*column).of(index) != NONE)
            && (!chooses || filter::asked_for(node, pod))
            && (!spread.honors_taints || filter::tolerated(node, pod))
    };
    let mut all = vec![false; ground.nodes.len()];
    ground.live.iter().for_each(|index| all[*index] = counts(*index));
    Some(all)
}

fn skews(pod: &PodInfo, ground: &mut Ground) -> Vec<Skew> {
    let hard: Vec<&Spread> = pod.spread.iter().filter(|one| one.hard).collect();
    let columns: Vec<usize> =
        hard.iter().map(|one| ground.topology.column(&one.key, ground.nodes)).collect();
    let mut skews = Vec::with_capacity(hard.len());
    for (spread, column) in hard.into_iter().zip(&columns) {
        let counting = counting(pod, spread, &columns, ground);
        let question = Question { all: vec![spread.who.clone()], staying: true };
        let nodes = ground.census.ask(question.clone(), ground.namespaces);
        let topology = ground.topology.at(*column);
        let mut counts: Vec<i32> = match &counting {
            None => (0..topology.size())
                .map(|value| if topology.members(value as u32) > 0 { 0 } else { -1 })
                .collect(),
            Some(_) => vec![-1; topology.size()],
        };
        for (node, _) in counting.iter().flatten().enumerate().filter(|(_, counts)| **counts) {
            if let Some(count) = counts.get_mut(topology.of(node) as usize) {
                *count = 0;
            }
        }
        for (node, by) in nodes {
            if counting.as_ref().is_none_or(|all| all.get(*node) == Some(&true))
                && let Some(count) = counts.get_mut(topology.of(*node) as usize)
            {
                *count += by;
            }
        }
        let own = spread.who.pods.selects(&pod.class.labels);
        let mut skew = Skew {
            column: *column,
            max: spread.max_skew,
            min_domains: spread.min_domains,
            own: i32::from(own),
            question,
            counts,
            counting,
            least: 0,
        };
        skew.measure();
        skews.push(skew);
    }
    skews
}
