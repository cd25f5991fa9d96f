//! A rolling update: which pods go next to come back from the new template.
//!
//! Knows: partitions, and how many pods may be missing at once. Refuses to know: what is made and scaled before that.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::{Round, revision_of};
use crate::int_or_percent::amount;
use crate::{Plan, pods};

impl Round<'_> {
    /// The next step, the last pods first, if pods are replaced at all without being deleted by somebody else.
    pub(super) fn update(&self, plan: &mut Plan) {
        let strategy = self.spec.update_strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete") {
            return;
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling.and_then(|rolling| rolling.partition).unwrap_or(0);
        let replicas = i32::try_from(self.wanted.len()).unwrap_or(i32::MAX);
        let limit = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
        let limit = limit.map_or(1, |limit| amount(Some(limit), replicas, false).max(1));

        let well = |pod: &Pod| self.is_available(pod) && !pods::is_deleting(pod);
        let there = self.living.values().filter(|pod| well(pod)).count();
        let missing = self.wanted.len() - there;
        let spare = usize::try_from(limit).unwrap_or(0).saturating_sub(missing);
        let first = self.wanted.start.saturating_add(partition);
        let old = |pod: &&Arc<Pod>| revision_of(pod) != self.updated && pods::is_active(pod);
        let candidates: Vec<&Arc<Pod>> =
            self.living.range(first..).map(|(_, pod)| pod).rev().filter(old).collect();
        // What does not run anyway costs nothing. In order, it would have held up everything before.
        let (good, bad): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|pod| self.in_order() || self.is_available(pod));
        for pod in bad.into_iter().chain(good.into_iter().take(spare)) {
            plan.act(self.deletion(pod));
        }
    }
}
