//! What runs to an end, jobs and cron jobs: woken by their own changes and by those of what they own or could own.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use leme_plan::common::selects;
use leme_plan::{cron_job, job};

use crate::cache::{CONTROLLER, TRACKED};
use crate::controller::Controller;
use crate::view::children_of;
use crate::watch::Watch;

pub(crate) fn jobs() -> Controller {
    let watches = vec![
        Watch::itself::<Job>(),
        Watch::owned::<Pod, Job>(|job, labels| {
            let selector = job.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selects(selector, labels))
        }),
    ];
    Controller::new("job-controller", watches, |view, key| {
        let found = view.cache.jobs.get(&key.0, &key.1);
        let tracked = view.cache.pods.found_by(TRACKED, &format!("{}/{}", key.0, key.1));
        let pods = children_of(&view.cache.pods, found.as_ref());
        let seen = job::Observed { pods, job: found, tracked };
        Ok(job::plan(&seen, view.now))
    })
}

pub(crate) fn cron_jobs() -> Controller {
    // A job that no cron job owns is nobody's to adopt.
    let watches = vec![Watch::itself::<CronJob>(), Watch::owned::<Job, CronJob>(|_, _| false)];
    Controller::new("cronjob-controller", watches, |view, key| {
        let found = view.cache.cron_jobs.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.clone()).unwrap_or_default();
        let jobs = view.cache.jobs.found_by(CONTROLLER, &uid);
        let seen = cron_job::Observed { cron_job: found, jobs };
        Ok(cron_job::plan(&seen, view.now))
    })
}
