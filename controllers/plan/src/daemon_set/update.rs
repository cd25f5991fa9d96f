//! A rolling update: which nodes may give up their old pod, or have a new one beside it.
//!
//! Knows: how many may be missing, and how many may be there besides. Refuses to know: nodes with none or too many pods,
//! which are put right before.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::RollingUpdateDaemonSet;
use k8s_openapi::api::core::v1::Pod;

use super::{Changes, Round, Site};
use crate::int_or_percent::amount;
use crate::pods;

/// The pods of a node that stay, if there is at most one of each.
#[derive(Default)]
struct Pair<'a> {
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

impl Round<'_> {
    fn limits(&self) -> Option<&RollingUpdateDaemonSet> {
        let strategy = self.spec.update_strategy.as_ref()?;
        strategy.rolling_update.as_ref().filter(|_| strategy.type_.as_deref() != Some("OnDelete"))
    }

    fn surge(&self, all: i32) -> i32 {
        amount(self.limits().and_then(|limits| limits.max_surge.as_ref()), all, true)
    }

    /// Whether a node may have a new pod beside the old one.
    pub(super) fn allows_surge(&self) -> bool {
        self.surge(1) > 0
    }

    /// The next step, if pods are replaced at all without being deleted by somebody else.
    pub(super) fn roll(&self) -> Changes {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return Changes::default();
        }
        let wanted = self.sites.values().filter(|site| site.runs.should).count();
        let wanted = i32::try_from(wanted).unwrap_or(i32::MAX);
        let unavailable = self.limits().and_then(|limits| limits.max_unavailable.as_ref());
        match (self.surge(wanted), amount(unavailable, wanted, true)) {
            // Neither would ever move.
            (0, 0) => self.replace(wanted.min(1)),
            (0, unavailable) => self.replace(unavailable),
            (surge, _) => self.surge_to(surge, wanted),
        }
    }

    fn pair<'b>(&self, site: &'b Site) -> Option<Pair<'b>> {
        let mut pair = Pair::default();
        for pod in site.pods.iter().filter(|pod| !pods::is_deleting(pod)) {
            let place = if self.is_new(pod) { &mut pair.new } else { &mut pair.old };
            if place.replace(pod).is_some() {
                return None;
            }
        }
        Some(pair)
    }

    /// Old pods go before new ones come: at most `limit` nodes are without an available pod, unless they are anyway.
    fn replace(&self, limit: i32) -> Changes {
        let mut missing = 0;
        let (mut broken, mut candidates) = (Vec::new(), Vec::new());
        for site in self.sites.values().filter(|site| site.runs.should || !site.pods.is_empty()) {
            match self.pair(site) {
                Some(Pair { new: Some(new), old: None }) => {
                    missing += i32::from(!self.is_available(new));
                }
                Some(Pair { new: None, old: Some(old) }) if self.is_available(old) => {
                    candidates.push(old.clone());
                }
                Some(Pair { new: None, old: Some(old) }) => {
                    broken.push(old.clone());
                    missing += 1;
                }
                _ => missing += 1,
            }
        }
        let spare = usize::try_from(limit - missing).unwrap_or(0);
        broken.extend(candidates.into_iter().take(spare));
        Changes { delete: broken, ..Changes::default() }
    }

    /// New pods come before old ones go: at most `limit` of them beside old ones that are available.
    fn surge_to(&self, limit: i32, wanted: i32) -> Changes {
        let mut changes = Changes::default();
        let (mut surging, mut available) = (0, 0);
        let (mut candidates, mut misplaced) = (Vec::new(), Vec::new());
        for (node, site) in &self.sites {
            let Some(Pair { new, old }) = self.pair(site) else {
                surging += 1;
                continue;
            };
            available += i32::from(old.or(new).is_some_and(|pod| self.is_available(pod)));
            match (new, old) {
                (_, None) => {}
                (None, Some(old)) => match (site.runs.should, self.is_available(old)) {
                    (true, true) => candidates.push(node.clone()),
                    (true, false) => changes.create.push(node.clone()),
                    (false, true) => misplaced.push(old.clone()),
                    (false, false) => changes.delete.push(old.clone()),
                },
                (Some(new), Some(_)) if !self.is_available(new) => surging += 1,
                (Some(_), Some(old)) => changes.delete.push(old.clone()),
            }
        }
        // A pod where none should be goes only when there are enough elsewhere.
        let spare = usize::try_from(available - wanted).unwrap_or(0);
        changes.delete.extend(misplaced.into_iter().take(spare));
        let room = usize::try_from(limit - surging).unwrap_or(0);
        changes.create.extend(candidates.into_iter().take(room));
        changes
    }
}
