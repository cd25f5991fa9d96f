//! What the plans of workloads get to see.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use leme_plan::common::{controller_of, has_finalizer};
use leme_plan::{cron_job, job};

use crate::cluster::Cluster;
use crate::observe::place;

impl Cluster {
    pub(crate) fn workloads(&mut self) {
        self.cron_jobs();
        self.jobs();
    }

    fn cron_jobs(&mut self) {
        for found in self.api.typed::<CronJob>(None) {
            let (space, name) = place(&found.metadata);
            let jobs = self.api.typed::<Job>(Some(&space));
            let seen = cron_job::Observed { cron_job: Some(found), jobs };
            let plan = cron_job::plan(&seen, self.api.now);
            self.run_plan("cron-jobs", &format!("{space}/{name}"), &plan);
        }
    }

    fn jobs(&mut self) {
        for found in self.api.typed::<Job>(None) {
            let (space, name) = place(&found.metadata);
            let pods = self.api.typed::<Pod>(Some(&space));
            let tracked = pods.iter().filter(|pod| {
                has_finalizer(&pod.metadata, job::TRACKING)
                    && controller_of(&pod.metadata).is_some_and(|owner| owner.name == name)
            });
            let tracked = tracked.cloned().collect();
            let plan = job::plan(&job::Observed { job: Some(found), pods, tracked }, self.api.now);
            self.run_plan("jobs", &format!("{space}/{name}"), &plan);
        }
        self.orphans();
    }

    /// Pods that a job left behind.
    fn orphans(&mut self) {
        for pod in self.api.typed::<Pod>(None) {
            let Some(owner) = controller_of(&pod.metadata).filter(|owner| owner.kind == "Job")
            else {
                continue;
            };
            let (space, _) = place(&pod.metadata);
            let name = owner.name.clone();
            if self.api.typed_get::<Job>(&space, &name).is_none() {
                let seen = job::Observed { job: None, pods: Vec::new(), tracked: vec![pod] };
                let plan = job::plan(&seen, self.api.now);
                self.run_plan("jobs", &format!("{space}/{name}"), &plan);
            }
        }
    }
}
