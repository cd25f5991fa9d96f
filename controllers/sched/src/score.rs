//! Scores: which of the nodes that can take a pod takes it. Each is 0 to 100, times its weight in the pod's
//! profile; whole numbers are rounded as upstream rounds them.

use k8s_openapi::api::core::v1::PreferredSchedulingTerm;
use leme_plan::placement::term_matches;
use leme_plan::taints::tolerates;

use crate::case::{Ground, counting, tally};
use crate::census::{Pull, Question};
use crate::node::NodeState;
use crate::pod::PodInfo;
use crate::profile::{Rating, Score};
use crate::topology::{Column, NONE};

const FULL: i64 = 100;

/// How many nodes have each image.
pub(crate) type Images = std::collections::HashMap<String, i64>;

/// The score of each of the feasible nodes, in their order.
pub(crate) fn scores(
    pod: &PodInfo,
    feasible: &[usize],
    ground: &mut Ground,
    images: &Images,
) -> Vec<i64> {
    let nodes = ground.nodes;
    let mut totals = vec![0; feasible.len()];
    let weight = |score: Score| pod.profile.weight(score);
    let mut add = |score: Score, scores: Option<Vec<i64>>| {
        for (total, one) in totals.iter_mut().zip(scores.into_iter().flatten()) {
            *total += weight(score) * one;
        }
    };
    let each = |score: &dyn Fn(&NodeState) -> i64| -> Vec<i64> {
        feasible.iter().map(|index| score(&nodes[*index])).collect()
    };
    if weight(Score::Fit) > 0 {
        add(Score::Fit, Some(each(&|node| rated(node, pod))));
    }
    if weight(Score::Balance) > 0 && (pod.requests.cpu > 0 || pod.requests.memory > 0) {
        add(Score::Balance, Some(each(&|node| balanced(node, pod))));
    }
    if weight(Score::Taints) > 0 {
        add(Score::Taints, Some(normal(each(&|node| soft_taints(node, pod)), true)));
    }
    if weight(Score::NodeAffinity) > 0 && preferences(pod).next().is_some() {
        add(Score::NodeAffinity, Some(normal(each(&|node| preference(node, pod)), false)));
    }
    if weight(Score::Images) > 0 && pod.images.iter().any(|image| images.contains_key(image)) {
        let all = ground.live.len();
        add(Score::Images, Some(each(&|node| image_locality(node, pod, images, all))));
    }
    if weight(Score::Spread) > 0 {
        add(Score::Spread, spread(pod, feasible, ground));
    }
    if weight(Score::Pods) > 0 {
        add(Score::Pods, pods(pod, feasible, ground));
    }
    totals
}

/// Scores as parts of the greatest; the other way round if less is better.
fn normal(mut scores: Vec<i64>, less_is_better: bool) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or(0);
    for score in &mut scores {
        let part = if most == 0 { 0 } else { FULL * *score / most };
        *score = if less_is_better { FULL - part } else { part };
    }
    scores
}

/// What is in use of a node's resources with the pod on it, rated as the profile wants it.
fn rated(node: &NodeState, pod: &PodInfo) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for (name, weight) in &pod.profile.rated {
        let Some((used, all)) = use_of(name, node, pod).filter(|(_, all)| *all > 0) else {
            continue;
        };
        let score = match &pod.profile.rating {
            Rating::Least => part(all.saturating_sub(used).max(0), all),
            Rating::Most => part(used.min(all), all),
            Rating::Line(points) => on_line(points, part(used.min(all), all)),
        };
        // A line does not count what it gives nothing for.
        if score > 0 || !matches!(pod.profile.rating, Rating::Line(_)) {
            sum += score * weight;
            weights += weight;
        }
    }
    match (&pod.profile.rating, weights) {
        (_, 0) => 0,
        (Rating::Line(_), _) => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

/// What would be in use of a resource, and what there is; `None` for what the pod does not ask for.
fn use_of(name: &str, node: &NodeState, pod: &PodInfo) -> Option<(i64, i64)> {
    let (used, all) = (&node.used, &node.allocatable);
    match name {
        "cpu" => Some((node.weight.0.saturating_add(pod.weight.0), all.cpu)),
        "memory" => Some((node.weight.1.saturating_add(pod.weight.1), all.memory)),
        "ephemeral-storage" => {
            Some((used.ephemeral.saturating_add(pod.requests.ephemeral), all.ephemeral))
        }
        name => {
            let ask = pod.requests.extended.get(name).copied().filter(|ask| *ask > 0)?;
            let of = |amounts: &std::collections::BTreeMap<String, i64>| {
                amounts.get(name).copied().unwrap_or(0)
            };
            Some((of(&used.extended).saturating_add(ask), of(&all.extended)))
        }
    }
}

/// A part of the whole, out of a hundred.
fn part(of: i64, all: i64) -> i64 {
    i64::try_from(i128::from(of) * i128::from(FULL) / i128::from(all)).unwrap_or(0)
}

/// The height of a line through points at a place.
fn on_line(points: &[(i64, i64)], at: i64) -> i64 {
    let Some(behind) = points.iter().position(|(place, _)| at <= *place) else {
        return points.last().map_or(0, |(_, height)| *height);
    };
    let (place, height) = points[behind];
    let Some((before, low)) = behind.checked_sub(1).map(|one| points[one]) else { return height };
    low + (height - low) * (at - before) / (place - before)
}

/// How much evener CPU and memory are used with the pod than without it.
fn balanced(node: &NodeState, pod: &PodInfo) -> i64 {
    let evenness = |cpu: i64, memory: i64| {
        let part = |used: i64, all: i64| (used as f64 / all as f64).min(1.0);
        let apart = match (node.allocatable.cpu, node.allocatable.memory) {
            (0, _) | (_, 0) => 0.0,
            (all_cpu, all_memory) => ((part(cpu, all_cpu) - part(memory, all_memory)) / 2.0).abs(),
        };
        ((1.0 - apart) * FULL as f64) as i64
    };
    let used = &node.used;
    let with = evenness(
        used.cpu.saturating_add(pod.requests.cpu),
        used.memory.saturating_add(pod.requests.memory),
    );
    FULL / 2 + (FULL / 2 + with - evenness(used.cpu, used.memory)) / 2
}

fn soft_taints(node: &NodeState, pod: &PodInfo) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let disliked = soft.filter(|taint| !pod.tolerations.iter().any(|one| tolerates(one, taint)));
    i64::try_from(disliked.count()).unwrap_or(i64::MAX)
}

/// The wishes that count: the pod's and its profile's.
fn preferences(pod: &PodInfo) -> impl Iterator<Item = &PreferredSchedulingTerm> {
    let added =
        pod.profile.added_affinity.preferred_during_scheduling_ignored_during_execution.as_ref();
    pod.preferred.iter().chain(added.into_iter().flatten())
}

fn preference(node: &NodeState, pod: &PodInfo) -> i64 {
    let terms = preferences(pod).filter(|term| term_matches(&term.preference, node.place()));
    terms.map(|term| i64::from(term.weight)).sum()
}

fn image_locality(node: &NodeState, pod: &PodInfo, images: &Images, nodes: usize) -> i64 {
    const MIB: i64 = 1024 * 1024;
    const LEAST: i64 = 23 * MIB;
    const MOST_EACH: i64 = 1000 * MIB;
    let here = pod.images.iter().filter_map(|image| {
        let spread = *images.get(image)? as f64 / nodes.max(1) as f64;
        Some((*node.images.get(image)? as f64 * spread) as i64)
    });
    let most = MOST_EACH.saturating_mul(i64::try_from(pod.images.len()).unwrap_or(1).max(1));
    FULL * (here.sum::<i64>().clamp(LEAST, most) - LEAST) / (most - LEAST)
}

/// How few of the pods that count for its constraints are where the pod would be.
fn spread(pod: &PodInfo, feasible: &[usize], ground: &mut Ground) -> Option<Vec<i64>> {
    let soft: Vec<_> = pod.spread.iter().filter(|one| !one.hard).collect();
    if soft.is_empty() {
        return None;
    }
    let columns: Vec<usize> =
        soft.iter().map(|one| ground.topology.column(&one.key, ground.nodes)).collect();
    // Who says how to spread asks for nodes that have all labels.
    let needed: &[usize] = if pod.spread_by_default { &[] } else { &columns };
    let ignored: Vec<bool> = feasible
        .iter()
        .map(|index| needed.iter().any(|column| ground.topology.at(*column).of(*index) == NONE))
        .collect();
    let considered = ignored.iter().filter(|ignored| !**ignored).count();
    let mut sums = vec![0.0; feasible.len()];
    for (one, column) in soft.iter().zip(&columns) {
        let counting = counting(pod, one, needed, ground);
        let question = Question { all: vec![one.who.clone()], staying: true };
        let per_node = ground.census.ask(question, ground.namespaces);
        let topology = ground.topology.at(*column);
        let own = topology.is_hostname();
        let mut counts = vec![0i64; if own { 0 } else { topology.size() }];
        if !own {
            for (node, by) in per_node {
                if counting.as_ref().is_none_or(|all| all.get(*node) == Some(&true))
                    && let Some(count) = counts.get_mut(topology.of(*node) as usize)
                {
                    *count += i64::from(*by);
                }
            }
        }
        let domains = if own { considered } else { domains(feasible, &ignored, topology) };
        let weight = ((domains + 2) as f64).ln();
        for (sum, index) in sums.iter_mut().zip(feasible) {
            let value = topology.of(*index);
            if value != NONE {
                let count = if own {
                    per_node.get(index).map_or(0, |count| i64::from(*count))
                } else {
                    counts.get(value as usize).copied().unwrap_or(0)
                };
                *sum += count as f64 * weight + f64::from(one.max_skew - 1);
            }
        }
    }
    let scores: Vec<i64> = sums.into_iter().map(|sum: f64| sum.round() as i64).collect();
    Some(fewest(&scores, &ignored))
}

/// How many values the nodes that are considered have; having none counts as one.
fn domains(feasible: &[usize], ignored: &[bool], of: &Column) -> usize {
    let mut seen = vec![false; of.size() + 1];
    let considered = feasible.iter().zip(ignored).filter(|(_, ignored)| !**ignored);
    for (index, _) in considered {
        let value = (of.of(*index) as usize).min(of.size());
        seen[value] = true;
    }
    seen.into_iter().filter(|seen| *seen).count()
}

fn fewest(scores: &[i64], ignored: &[bool]) -> Vec<i64> {
    let considered = || scores.iter().zip(ignored).filter(|(_, no)| !**no).map(|(score, _)| *score);
    let (least, most) = (considered().min().unwrap_or(0), considered().max().unwrap_or(0));
    let each = scores.iter().zip(ignored).map(|(score, ignored)| match (ignored, most) {
        (true, _) => 0,
        (false, 0) => FULL,
        (false, _) => FULL * (most + least - score) / most,
    });
    each.collect()
}

/// How much the pods around like the pod, and it them.
fn pods(pod: &PodInfo, feasible: &[usize], ground: &mut Ground) -> Option<Vec<i64>> {
    if pod.likes.is_empty() && ground.terms.is_empty() {
        return None;
    }
    let mut liking: Vec<(usize, Vec<i64>)> = Vec::new();
    let mut take = |column: usize, counts: Vec<i32>, weight: i64| {
        let weighed = counts.into_iter().map(|count| i64::from(count) * weight);
        match liking.iter_mut().find(|(known, _)| *known == column) {
            Some((_, sums)) => sums.iter_mut().zip(weighed).for_each(|(sum, one)| *sum += one),
            None => liking.push((column, weighed.collect())),
        }
    };
    for (weight, term) in &pod.likes {
        let column = ground.topology.column(&term.key, ground.nodes);
        let question = Question { all: vec![term.who.clone()], staying: false };
        let per_node = ground.census.ask(question, ground.namespaces);
        take(column, tally(ground.topology, column, per_node), i64::from(*weight));
    }
    for ((pull, term), per_node) in ground.terms.about(&pod.class, ground.namespaces) {
        let weight = match pull {
            Pull::Repels => 0,
            Pull::Needs => pod.profile.hard_weight,
            Pull::Likes(_) if pod.profile.ignores_wishes => 0,
            Pull::Likes(weight) => i64::from(*weight),
        };
        if weight != 0 {
            let column = ground.topology.column(&term.key, ground.nodes);
            take(column, tally(ground.topology, column, per_node), weight);
        }
    }
    if liking.iter().all(|(_, sums)| sums.iter().all(|sum| *sum == 0)) {
        return None;
    }
    let at = |index: usize| -> i64 {
        let each = liking.iter().map(|(column, sums)| {
            sums.get(ground.topology.at(*column).of(index) as usize).copied().unwrap_or(0)
        });
        each.sum()
    };
    let scores: Vec<i64> = feasible.iter().map(|index| at(*index)).collect();
    let (least, most) = (scores.iter().min().copied()?, scores.iter().max().copied()?);
    let part = |score: i64| match most - least {
        0 => 0,
        range => (FULL as f64 * ((score - least) as f64 / range as f64)) as i64,
    };
    Some(scores.into_iter().map(part).collect())
}
