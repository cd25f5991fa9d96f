//! Which pods a job lacks and which it has too many of.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    INDEX, INDEX_FAILURES, INDEX_IGNORED, Round, TRACKING, backoff, count, failures, index_of,
    is_terminating, number,
};
use crate::pod_control::creation;
use crate::{Plan, pods};

/// Creates or deletes at most this many pods in one round.
const BURST: usize = 500;
/// Longer prefixes of generated names are cut.
const PREFIX: usize = 58;
const INDEX_ENV: &str = "JOB_COMPLETION_INDEX";

/// What to do with pods.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Pods to delete and to count.
    pub(super) delete: Vec<Arc<Pod>>,
    /// Pods to delete without counting them.
    pub(super) drop: Vec<Arc<Pod>>,
    /// Pods to create, by index if they have one.
    pub(super) create: Vec<Option<i32>>,
    /// When some more may be created.
    pub(super) again: Option<Duration>,
}

impl Round<'_> {
    pub(super) fn manage(&self) -> Work {
        let active = count(self.active.iter());
        if self.suspended() {
            return Work { drop: self.active.clone(), ..Work::default() };
        }
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match self.spec.completions {
            None if self.succeeded > 0 => active,
            None => parallelism,
            Some(completions) => completions.saturating_sub(self.succeeded).min(parallelism).max(0),
        };
        let mut drop = self.surplus(usize::try_from(active - wanted).unwrap_or(0));
        if !drop.is_empty() {
            drop.truncate(BURST);
            return Work { drop, ..Work::default() };
        }
        let terminating = if self.replaces_ended_only() { self.terminating } else { 0 };
        let missing = usize::try_from(wanted - terminating - active).unwrap_or(0).min(BURST);
        if missing == 0 { Work::default() } else { self.make_up(missing) }
    }

    fn make_up(&self, missing: usize) -> Work {
        let per_index = self.spec.backoff_limit_per_index.is_some();
        let left = if per_index { Duration::ZERO } else { self.back_off() };
        if !left.is_zero() {
            return Work { again: Some(left), ..Work::default() };
        }
        if !self.indexed() {
            return Work { create: vec![None; missing], ..Work::default() };
        }
        let mut taken = self.done.with(self.active.iter().filter_map(|pod| index_of(pod)));
        if self.replaces_ended_only() {
            let going = self.pods.iter().filter(|pod| is_terminating(pod));
            taken = taken.with(going.filter_map(|pod| index_of(pod)));
        }
        if let Some(failed) = &self.failed_indexes {
            taken = taken.merge(failed);
        }
        let mut work = Work::default();
        for index in taken.missing(missing, self.completions()) {
            let left = self.kept.get(&index).map_or(Duration::ZERO, |pod| {
                let times = failures(pod).saturating_add(1);
                backoff::left(times, backoff::finished(pod), self.now)
            });
            if left.is_zero() {
                work.create.push(Some(index));
            } else {
                work.again = Some(work.again.map_or(left, |known| known.min(left)));
            }
        }
        work
    }

    /// What is left of the delay after the failures since the last success, as far as their pods are still there.
    fn back_off(&self) -> Duration {
        let ended = |wanted: &dyn Fn(&Pod) -> bool| -> Vec<Timestamp> {
            let pods = self.pods.iter().filter(|pod| wanted(pod));
            pods.map(|pod| backoff::finished(pod)).collect()
        };
        let success = ended(&|pod| pods::phase(pod) == "Succeeded").into_iter().max();
        let mut failed = ended(&|pod| self.is_failed(pod));
        failed.retain(|at| success.is_none_or(|success| *at > success));
        let Some(last) = failed.iter().max() else { return Duration::ZERO };
        let seen = count(failed.iter());
        let all = if self.succeeded == 0 { self.failed } else { 0 };
        backoff::left(seen.max(all), *last, self.now)
    }

    /// Active pods that are too many, at least so many, and those with an index that is wrong or taken.
    fn surplus(&self, at_least: usize) -> Vec<Arc<Pod>> {
        let (mut out, mut left): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) = (Vec::new(), Vec::new());
        if self.indexed() {
            let mut same: BTreeMap<i32, Vec<Arc<Pod>>> = BTreeMap::new();
            for pod in &self.active {
                match index_of(pod).filter(|_| self.in_range(pod)) {
                    Some(index) => same.entry(index).or_default().push(pod.clone()),
                    None => out.push(pod.clone()),
                }
            }
            for mut twins in same.into_values() {
                sort(&mut twins);
                left.extend(twins.pop());
                out.extend(twins);
            }
        } else {
            left.clone_from(&self.active);
        }
        if out.len() < at_least {
            sort(&mut left);
            let more = at_least - out.len();
            out.extend(left.into_iter().take(more));
        }
        out
    }

    /// Plans the creation of a pod.
    pub(super) fn create(&self, index: Option<i32>, plan: &mut Plan) {
        let template = &self.spec.template;
        let meta = template.metadata.clone().unwrap_or_default();
        let mut finalizers = meta.finalizers.unwrap_or_default();
        if !finalizers.iter().any(|one| one == TRACKING) {
            finalizers.push(TRACKING.to_owned());
        }
        let mut pod = Pod {
            metadata: ObjectMeta {
                generate_name: Some(prefix(&self.about.name, index)),
                namespace: Some(self.about.namespace.clone()),
                labels: meta.labels,
                annotations: meta.annotations,
                finalizers: Some(finalizers),
                owner_references: Some(vec![self.about.controller_ref()]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        if let Some(index) = index {
            self.indexed_pod(&mut pod, index);
        }
        plan.act(creation(&pod, &self.about));
    }

    fn indexed_pod(&self, pod: &mut Pod, index: i32) {
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(INDEX.to_owned(), index.to_string());
        if self.spec.backoff_limit_per_index.is_some() {
            let (mut failed, mut ignored) = (0, 0);
            if let Some(before) = self.kept.get(&index) {
                let counts = i32::from(!self.judge(before).ignored);
                failed = number(before, INDEX_FAILURES).saturating_add(counts);
                ignored = number(before, INDEX_IGNORED).saturating_add(1 - counts);
            }
            annotations.insert(INDEX_FAILURES.to_owned(), failed.to_string());
            if ignored > 0 {
                annotations.insert(INDEX_IGNORED.to_owned(), ignored.to_string());
            }
        }
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(INDEX.to_owned(), index.to_string());
        let Some(spec) = &mut pod.spec else { return };
        spec.hostname = Some(format!("{}-{index}", self.about.name));
        let inits = spec.init_containers.iter_mut().flatten();
        inits.chain(&mut spec.containers).for_each(tell_index);
    }
}

fn tell_index(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env.iter().any(|known| known.name == INDEX_ENV) {
        return;
    }
    let field = ObjectFieldSelector {
        api_version: None,
        field_path: format!("metadata.labels['{INDEX}']"),
    };
    env.push(EnvVar {
        name: INDEX_ENV.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    });
}

fn prefix(job: &str, index: Option<i32>) -> String {
    let Some(index) = index else { return format!("{job}-") };
    let end = format!("-{index}-");
    let head: String = job.chars().take(PREFIX.saturating_sub(end.len())).collect();
    head + &end
}

/// Those to be deleted first at the front: unassigned, pending, not ready, ready for a shorter time, restarted more
/// often, younger.
fn sort(pods: &mut [Arc<Pod>]) {
    pods.sort_by_cached_key(|pod| {
        let ready = pods::ready_since(pod);
        (
            pods::progress(pod),
            Reverse(ready),
            Reverse(pods::restarts(pod)),
            Reverse(pod.metadata.creation_timestamp.clone()),
            pod.metadata.uid.clone(),
        )
    });
}
