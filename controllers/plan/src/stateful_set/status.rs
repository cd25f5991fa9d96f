//! What a stateful set says of its pods and of the way from one template to the next.

use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::Pod;

use super::{Round, collisions, is_ready, revision_of};
use crate::common::status_of;
use crate::{Plan, pods};

impl Round<'_> {
    /// Writes the status if it is another one.
    pub(super) fn tell_status(&self, plan: &mut Plan) {
        let known = self.set.status.as_ref();
        let status = self.counted(known.cloned().unwrap_or_default());
        plan.tell_status(&self.about, &status_of(known), status_of(Some(&status)));
    }

    fn counted(&self, known: StatefulSetStatus) -> StatefulSetStatus {
        let count = |keep: &dyn Fn(&Pod) -> bool| {
            i32::try_from(self.pods().filter(|pod| keep(pod)).count()).unwrap_or(i32::MAX)
        };
        let (replicas, ready) = (count(&|_| true), count(&is_ready));
        let updated = count(&|pod| revision_of(pod) == self.updated && !pods::is_deleting(pod));
        let mut current = count(&|pod| revision_of(pod) == self.current && !pods::is_deleting(pod));
        let mut current_revision = self.current.clone();
        let wanted = self.spec.replicas.unwrap_or(1);
        let strategy = self.spec.update_strategy.as_ref();
        let rolls = strategy.and_then(|one| one.type_.as_deref()) == Some("RollingUpdate");
        if rolls && [updated, ready, replicas] == [wanted; 3] {
            (current, current_revision) = (updated, self.updated.clone());
        }
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        StatefulSetStatus {
            observed_generation: self.set.metadata.generation,
            replicas,
            ready_replicas: some(ready),
            available_replicas: Some(count(&|pod| self.is_available(pod))),
            current_replicas: some(current),
            updated_replicas: some(updated),
            current_revision: Some(current_revision),
            update_revision: Some(self.updated.clone()),
            collision_count: Some(collisions(self.set)),
            conditions: known.conditions,
        }
    }
}
