//! The choice of a node.

use std::sync::Arc;

use crate::case::Case;
use crate::cluster::Cluster;
use crate::filter;
use crate::node::NodeState;
use crate::pod::PodInfo;
use crate::score;
use crate::volumes::{Promise, VolumeFacts};
use crate::why::{Counts, Reason, Refusal, Unschedulable};

impl Cluster {
    /// Chooses a node for a pod and assumes that it goes there.
    pub fn schedule(
        &mut self,
        pod: &PodInfo,
        volumes: &VolumeFacts,
    ) -> Result<String, Unschedulable> {
        self.freshen();
        let all = self.live.len();
        if all == 0 {
            return Err(Unschedulable::default());
        }
        if let Some(why) = &volumes.blocked {
            return Err(Unschedulable::before_any_node(all, why));
        }
        let named = filter::named(pod);
        if named.as_ref().is_some_and(|names| names.is_empty()) {
            return Err(Unschedulable::before_any_node(all, "pod affinity terms conflict"));
        }
        let searched = named.map(|names| {
            let found = names.iter().filter_map(|name| self.by_name.get(*name).copied());
            found.filter(|index| self.nodes[*index].exists).collect::<Vec<usize>>()
        });
        let case = Case::new(pod, volumes, &mut self.ground());
        let index = match self.on_nominated(pod, &case) {
            Some(index) => index,
            None => self.search(&case, searched.as_deref())?,
        };
        self.assume(index, pod);
        Ok(self.nodes[index].name.clone())
    }

    /// What the claims that have no volume yet are promised on the node that the pod has been given. While there is any
    /// promise the pod is not placed there, but its room is kept.
    pub fn promises(&mut self, pod: &PodInfo, volumes: &VolumeFacts, node: &str) -> Vec<Promise> {
        let labels = self.by_name.get(node).map(|index| &self.nodes[*index].labels);
        let promises = volumes.promises(node, labels).unwrap_or_default();
        if !promises.is_empty() {
            self.forget(&pod.key);
            self.nominations.set(&Arc::new(pod.clone()), node);
        }
        promises
    }

    /// The node that room has been made on, if the pod fits there now.
    fn on_nominated(&mut self, pod: &PodInfo, case: &Case) -> Option<usize> {
        let index = *self.by_name.get(self.nominations.node(&pod.key)?)?;
        let fits = self.nodes[index].exists && self.refuses(index, case).is_none();
        fits.then_some(index)
    }

    fn search(&mut self, case: &Case, named: Option<&[usize]>) -> Result<usize, Unschedulable> {
        let all = self.live.len();
        let among = named.map_or(all, <[usize]>::len);
        let enough = enough(among, case.pod.profile.enough);
        let mut feasible = Vec::with_capacity(enough.min(among));
        let mut looked_at = 0;
        let mut why = Unschedulable { nodes: all, ..Unschedulable::default() };
        for step in 0..among {
            let index = match named {
                Some(named) => named[step],
                None => self.live[(self.next + step) % all],
            };
            looked_at = step + 1;
            match self.refuses(index, case) {
                None => feasible.push(index),
                // Who has found a node does not ask why others will not do.
                Some(_) if !feasible.is_empty() => {}
                Some(refusal) => note(&mut why, index, refusal),
            }
            if feasible.len() >= enough {
                break;
            }
        }
        let Some(best) = self.best(case.pod, &feasible) else {
            let others = all - among;
            if others > 0 {
                why.counts.0.insert(Reason::OtherNodes, others);
            }
            return Err(why);
        };
        self.next = if named.is_some() {
            self.next
        } else if looked_at < all {
            (self.next + looked_at) % all
        } else {
            // All were looked at: the next search starts behind the one taken.
            self.live.iter().position(|index| *index == best).map_or(0, |at| (at + 1) % all)
        };
        Ok(best)
    }

    /// The node with the greatest score; the first of equals.
    fn best(&mut self, pod: &PodInfo, feasible: &[usize]) -> Option<usize> {
        if feasible.len() < 2 {
            return feasible.first().copied();
        }
        let images = std::mem::take(&mut self.images);
        let scores = score::scores(pod, feasible, &mut self.ground(), &images);
        self.images = images;
        let mut best: Option<(i64, usize)> = None;
        for (score, index) in scores.into_iter().zip(feasible) {
            if best.is_none_or(|(known, _)| score > known) {
                best = Some((score, *index));
            }
        }
        best.map(|(_, index)| index)
    }

    /// Why a node refuses the pod: as it is, or as it will be with the pods that are nominated for it.
    pub(crate) fn refuses(&mut self, index: usize, case: &Case) -> Option<Refusal> {
        if !self.nominations.are_on(&self.nodes[index].name) {
            let node = &self.nodes[index];
            return filter::refuses(node, index, case, &self.topology, &self.attachments);
        }
        let node = self.nodes[index].clone();
        self.refuses_as(&node, index, case)
    }

    /// The same for a node as it would be.
    pub(crate) fn refuses_as(
        &mut self,
        node: &NodeState,
        index: usize,
        case: &Case,
    ) -> Option<Refusal> {
        let counting = |other: &&Arc<PodInfo>| {
            other.priority >= case.pod.priority && other.key != case.pod.key
        };
        let nominated: Vec<Arc<PodInfo>> =
            self.nominations.on(&node.name).filter(counting).cloned().collect();
        if !nominated.is_empty() {
            let (mut node, mut case) = (node.clone(), case.clone());
            for other in &nominated {
                node.add(other);
                let (topology, nodes) = (&mut self.topology, &self.nodes);
                case.shift(other, index, 1, topology, nodes, &self.namespaces);
            }
            let refusal = filter::refuses(&node, index, &case, &self.topology, &self.attachments);
            if refusal.is_some() {
                return refusal;
            }
        }
        filter::refuses(node, index, case, &self.topology, &self.attachments)
    }
}

fn note(why: &mut Unschedulable, index: usize, refusal: Refusal) {
    if refusal.for_now {
        why.crowded.push(index);
    }
    let counts: &mut Counts = &mut why.counts;
    counts.add(refusal.reasons);
}

/// How many feasible nodes are enough to choose from: all of a small cluster, a part of a large one.
pub(crate) fn enough(nodes: usize, percent: Option<usize>) -> usize {
    const ALL_BELOW: usize = 100;
    if nodes <= ALL_BELOW {
        return nodes.max(1);
    }
    let percent = percent.unwrap_or_else(|| 50usize.saturating_sub(nodes / 125).max(5));
    (nodes * percent / 100).max(ALL_BELOW)
}
