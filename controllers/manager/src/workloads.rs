//! Wakes the controllers of workloads: by changes of their own kind and of the pods they own or could own.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use leme_controller_runtime::{Informer, Queue};
use leme_plan::common::{controller_of, selects};
use leme_plan::{cron_job, job};

use crate::cache::{CONTROLLER, HasMeta, TRACKED, uncontrolled};
use crate::{Start, Wiring, controller};

/// Wakes the owners of pods by name, and of pods that nobody owns those that select them.
fn wake<K: HasMeta + k8s_openapi::Resource>(
    wiring: &Wiring,
    owners: &Arc<Informer<K>>,
    selector: fn(&K) -> Option<&LabelSelector>,
) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    owners.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let (waker, owners) = (queue.clone(), owners.clone());
    wiring.cache.pods.on_change(Box::new(move |key, old, new| {
        for pod in [old, new].into_iter().flatten() {
            let owner = controller_of(&pod.metadata)
                .filter(|owner| owner.kind == K::KIND && owner.api_version == K::API_VERSION);
            if let Some(owner) = owner {
                waker.add((key.0.clone(), owner.name.clone()));
            }
        }
        let Some(pod) = new.filter(|pod| controller_of(&pod.metadata).is_none()) else { return };
        for one in owners.in_namespace(&key.0) {
            if selector(&one)
                .is_some_and(|selector| selects(selector, pod.metadata.labels.as_ref()))
            {
                waker.add((key.0.clone(), one.meta().name.clone().unwrap_or_default()));
            }
        }
    }));
    queue
}

/// The pods that an owner has or could adopt.
fn pods_of<K: HasMeta>(wiring: &Wiring, owner: Option<&Arc<K>>) -> Vec<Arc<Pod>> {
    let Some(meta) = owner.map(|owner| owner.meta()) else { return Vec::new() };
    let pods = &wiring.cache.pods;
    let mut found = pods.found_by(CONTROLLER, meta.uid.as_deref().unwrap_or(""));
    let namespace = meta.namespace.as_deref().unwrap_or("");
    found.extend(pods.found_by(CONTROLLER, &uncontrolled(namespace)));
    found
}

pub(crate) fn jobs(wiring: &Wiring) -> Start {
    let queue = wake(wiring, &wiring.cache.jobs, job_selector);
    controller(wiring, "job-controller", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.jobs.get(&key.0, &key.1);
        let tracked = wiring.cache.pods.found_by(TRACKED, &format!("{}/{}", key.0, key.1));
        let seen = job::Observed { pods: pods_of(&wiring, found.as_ref()), job: found, tracked };
        Ok(job::plan(&seen, Timestamp::now()))
    })
}

pub(crate) fn cron_jobs(wiring: &Wiring) -> Start {
    let queue = Arc::new(Queue::default());
    let waker = queue.clone();
    wiring.cache.cron_jobs.on_change(Box::new(move |key, _, _| waker.add(key.clone())));
    let waker = queue.clone();
    wiring.cache.jobs.on_change(Box::new(move |key, old, new| {
        for job in [old, new].into_iter().flatten() {
            let owner = controller_of(&job.metadata).filter(|owner| owner.kind == "CronJob");
            if let Some(owner) = owner {
                waker.add((key.0.clone(), owner.name.clone()));
            }
        }
    }));
    controller(wiring, "cronjob-controller", queue, None, |wiring, key, _| async move {
        let found = wiring.cache.cron_jobs.get(&key.0, &key.1);
        let uid = found.as_ref().and_then(|found| found.metadata.uid.clone()).unwrap_or_default();
        let jobs = wiring.cache.jobs.found_by(CONTROLLER, &uid);
        let seen = cron_job::Observed { cron_job: found, jobs };
        Ok(cron_job::plan(&seen, Timestamp::now()))
    })
}

fn job_selector(job: &Job) -> Option<&LabelSelector> {
    job.spec.as_ref()?.selector.as_ref()
}
