//! Scores: which of the nodes that can take a pod takes it. Each score is 0 to 100, times its weight.

use std::collections::HashMap;

use leme_plan::placement::term_matches;
use leme_plan::taints::tolerates;

use crate::cluster::NodeState;
use crate::filter::place;
use crate::pod::PodInfo;

const FULL: f64 = 100.0;
const FIT: f64 = 1.0;
const BALANCE: f64 = 1.0;
const SPREAD: f64 = 2.0;
const AFFINITY: f64 = 2.0;
const TAINTS: f64 = 3.0;

/// The feasible node with the greatest score; the first of equals.
pub(crate) fn best(
    nodes: &[NodeState],
    feasible: &[usize],
    siblings: &HashMap<usize, i64>,
    pod: &PodInfo,
) -> usize {
    let taints = |index: usize| soft_taints(&nodes[index], pod);
    let affinity = |index: usize| preference(&nodes[index], pod);
    let count = |index: usize| siblings.get(&index).copied().unwrap_or(0);
    let greatest =
        |of: &dyn Fn(usize) -> i64| feasible.iter().map(|index| of(*index)).max().unwrap_or(0);
    let most_taints = greatest(&taints);
    let most_affinity = if pod.preferred.is_empty() { 0 } else { greatest(&affinity) };
    let most_siblings = if siblings.is_empty() { 0 } else { greatest(&count) };
    let part =
        |value: i64, most: i64| if most > 0 { FULL * value as f64 / most as f64 } else { 0.0 };
    let mut best = (f64::MIN, feasible.first().copied().unwrap_or(0));
    for &index in feasible {
        let node = &nodes[index];
        let mut score = allocation(node, pod);
        score +=
            TAINTS * (FULL - part(if most_taints > 0 { taints(index) } else { 0 }, most_taints));
        score +=
            SPREAD * (FULL - part(if most_siblings > 0 { count(index) } else { 0 }, most_siblings));
        if most_affinity > 0 {
            score += AFFINITY * part(affinity(index), most_affinity);
        }
        if score > best.0 {
            best = (score, index);
        }
    }
    best.1
}

/// Least allocated, and CPU and memory used alike.
fn allocation(node: &NodeState, pod: &PodInfo) -> f64 {
    let share = |used: i64, ask: i64, all: i64| {
        if all <= 0 { 1.0 } else { (used.saturating_add(ask) as f64 / all as f64).clamp(0.0, 1.0) }
    };
    let cpu = share(node.weight.0, pod.weight.0, node.allocatable.cpu);
    let memory = share(node.weight.1, pod.weight.1, node.allocatable.memory);
    let least = FULL * (2.0 - cpu - memory) / 2.0;
    let balanced = FULL * (1.0 - (cpu - memory).abs() / 2.0);
    FIT * least + BALANCE * balanced
}

fn soft_taints(node: &NodeState, pod: &PodInfo) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let disliked = soft.filter(|taint| !pod.tolerations.iter().any(|one| tolerates(one, taint)));
    i64::try_from(disliked.count()).unwrap_or(i64::MAX)
}

fn preference(node: &NodeState, pod: &PodInfo) -> i64 {
    let matching = pod.preferred.iter().filter(|term| term_matches(&term.preference, place(node)));
    matching.map(|term| i64::from(term.weight)).sum()
}
