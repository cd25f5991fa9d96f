//! What a daemon set says of its pods: counted by node, and of each node the oldest pod.

use k8s_openapi::api::apps::v1::DaemonSetStatus;

use super::Round;
use crate::common::status_of;
use crate::{Plan, pods};

impl Round<'_> {
    /// Writes the status if it is another one.
    pub(super) fn tell_status(&self, plan: &mut Plan) {
        let known = self.set.status.as_ref();
        let status = self.counted(known.cloned().unwrap_or_default());
        plan.tell_status(&self.about, &status_of(known), status_of(Some(&status)));
    }

    fn counted(&self, known: DaemonSetStatus) -> DaemonSetStatus {
        let mut status = DaemonSetStatus {
            observed_generation: self.set.metadata.generation,
            collision_count: known.collision_count,
            conditions: known.conditions,
            ..DaemonSetStatus::default()
        };
        let (mut updated, mut available) = (0, 0);
        for site in self.sites.values().filter(|site| site.exists) {
            let oldest = site.pods.first();
            if !site.runs.should {
                status.number_misscheduled += i32::from(oldest.is_some());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(pod) = oldest else { continue };
            status.current_number_scheduled += 1;
            status.number_ready += i32::from(pods::is_ready(pod));
            available += i32::from(self.is_available(pod));
            updated += i32::from(self.is_new(pod));
        }
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        status.updated_number_scheduled = some(updated);
        status.number_available = some(available);
        status.number_unavailable = some(status.desired_number_scheduled - available);
        status
    }
}
