//! Wakes what runs to an end, jobs and cron jobs: by their own changes and by those of what they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use leme_controller_runtime::Queue;
use leme_plan::common::selects;
use leme_plan::{cron_job, job};

use crate::cache::{CONTROLLER, TRACKED};
use crate::wake::{pods_of, wake, wake_by};
use crate::{Start, Wiring, controller};

pub(crate) fn jobs(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    wake(&queue, &wiring.cache.jobs);
    wake_by(&queue, &wiring.cache.pods, &wiring.cache.jobs, |job: &Job, labels| {
        let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| selects(selector, labels))
    });
    controller(wiring, "job-controller", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.jobs.get(&key.0, &key.1);
        let tracked = wiring.cache.pods.found_by(TRACKED, &format!("{}/{}", key.0, key.1));
        let seen =
            job::Observed { pods: pods_of(&wiring.cache, found.as_ref()), job: found, tracked };
        Ok(job::plan(&seen, Timestamp::now()))
    })
}

pub(crate) fn cron_jobs(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    wake(&queue, &wiring.cache.cron_jobs);
    // A job that no cron job owns is nobody's to adopt.
    wake_by(&queue, &wiring.cache.jobs, &wiring.cache.cron_jobs, |_: &CronJob, _| false);
    controller(wiring, "cronjob-controller", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.cron_jobs.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.clone()).unwrap_or_default();
        let jobs = wiring.cache.jobs.found_by(CONTROLLER, &uid);
        let seen = cron_job::Observed { cron_job: found, jobs };
        Ok(cron_job::plan(&seen, Timestamp::now()))
    })
}
