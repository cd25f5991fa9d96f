//! CronJobs: a job for each time of the schedule, and a bounded number of those that have ended.
//!
//! Alone writes: the status of cron jobs; creates and deletes their jobs. Relies on: a job's name following from the time
//! it was due, so that no time starts two.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use leme_meta::cron::{Schedule, zone};
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents, Propagation, to_object};
use crate::common::{after, annotation, controller_of, until};
use crate::job::finished;
use crate::report::{Report, Shown, Waiting};

/// The annotation of the time that a job was due.
const DUE: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Looks again this long after a time of the schedule.
const SLACK: Duration = Duration::from_millis(100);
/// More missed times than this are told of.
const MANY: i64 = 100;

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The cron job; `None` once it is gone.
    pub cron_job: Option<Arc<CronJob>>,
    /// The jobs of its namespace that it owns; others do not matter.
    pub jobs: Vec<Arc<Job>>,
}

/// What to do for one cron job.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(cron_job) = &seen.cron_job else { return Plan::default() };
    let spec = &cron_job.spec;
    let about = ObjectRef::to(cron_job.as_ref());
    let mut jobs: Vec<Arc<Job>> = seen.jobs.clone();
    jobs.retain(|job| controller_of(&job.metadata).is_some_and(|owner| owner.uid == about.uid));
    jobs.sort_by_cached_key(|job| {
        let started = job.status.as_ref().and_then(|status| status.start_time.clone());
        (started.is_none(), started, job.metadata.name.clone())
    });
    let old = cron_job.status.clone().unwrap_or_default();
    let mut round = Round { cron_job, spec, jobs, status: old.clone(), about, now };
    let mut plan = Plan { report: Report::about(round.about.clone()), ..Plan::default() };
    let mut work = Plan::default();
    let told = round.look(&mut plan);
    if cron_job.metadata.deletion_timestamp.is_none() {
        round.start(&mut plan, &mut work);
    }
    if round.status != old {
        let mut patch = serde_json::to_value(&round.status).unwrap_or_default();
        if round.status.active.is_none() {
            patch["active"] = json!(null);
        }
        plan.act(Action::status(round.about.clone(), patch));
    }
    plan.actions.extend(told);
    round.clean_up(&mut plan);
    plan.actions.extend(work.actions);
    plan
}

struct Round<'a> {
    cron_job: &'a CronJob,
    spec: &'a CronJobSpec,
    /// Its jobs, in the order of their starts.
    jobs: Vec<Arc<Job>>,
    status: CronJobStatus,
    about: ObjectRef,
    now: Timestamp,
}

impl Round<'_> {
    /// Brings the status up to date with the jobs that are there; gives what is told of it.
    fn look(&mut self, plan: &mut Plan) -> Vec<Action> {
        let mut told = Vec::new();
        let mut active = Vec::new();
        let known = self.status.active.take().unwrap_or_default();
        let is_known = |uid: &str| known.iter().any(|one| one.uid.as_deref() == Some(uid));
        let mut there = BTreeSet::new();
        for job in &self.jobs {
            let target = ObjectRef::to(job.as_ref());
            there.insert(target.uid.clone());
            let due = self.due(job);
            if let Some(due) = due.filter(|due| self.last().is_none_or(|last| last < *due)) {
                self.status.last_schedule_time = Some(Time(due));
            }
            let Some(end) = finished(job) else {
                if is_known(&target.uid) || due.is_some() {
                    active.push(target);
                } else {
                    let why = format!(
                        "Saw a job that the controller did not create or forgot: {}",
                        target.name
                    );
                    plan.wait(Waiting::new("UnexpectedJob", why, Shown::Warning).on(target));
                }
                continue;
            };
            if is_known(&target.uid) {
                let why = format!("Saw completed job: {}, condition: {}", target.name, end.type_);
                told.push(Action::normal(self.about.clone(), "SawCompletedJob", why));
            }
            let done = job.status.as_ref().and_then(|status| status.completion_time.as_ref());
            if let Some(done) = done.filter(|_| end.type_ == "Complete")
                && self.status.last_successful_time.as_ref().is_none_or(|last| last.0 < done.0)
            {
                self.status.last_successful_time = Some(done.clone());
            }
        }
        for gone in &known {
            if !there.contains(gone.uid.as_deref().unwrap_or("")) {
                let name = gone.name.as_deref().unwrap_or("");
                let why = format!("Active job went missing: {name}");
                told.push(Action::normal(self.about.clone(), "MissingJob", why));
            }
        }
        self.set_active(&active);
        told
    }

    fn set_active(&mut self, active: &[ObjectRef]) {
        let list: Vec<ObjectReference> = active
            .iter()
            .map(|job| ObjectReference {
                api_version: Some(job.api_version.clone()),
                kind: Some(job.kind.clone()),
                namespace: Some(job.namespace.clone()),
                name: Some(job.name.clone()),
                uid: Some(job.uid.clone()),
                ..ObjectReference::default()
            })
            .collect();
        self.status.active = Some(list).filter(|list| !list.is_empty());
    }

    fn last(&self) -> Option<Timestamp> {
        self.status.last_schedule_time.as_ref().map(|time| time.0)
    }

    /// When a job was due, if it was started by the clock.
    fn due(&self, job: &Job) -> Option<Timestamp> {
        let due: Timestamp = annotation(&job.metadata, DUE)?.parse().ok()?;
        (job.metadata.name.as_deref() == Some(&self.name_of(due))).then_some(due)
    }

    fn name_of(&self, due: Timestamp) -> String {
        format!("{}-{}", self.about.name, due.as_second().div_euclid(60))
    }

    fn warn(&self, reason: &'static str, why: String, plan: &mut Plan) {
        plan.wait(Waiting::new(reason, why, Shown::Warning).on(self.about.clone()));
    }

    /// Starts the job that is due, if one is; waits for the next.
    fn start(&mut self, plan: &mut Plan, work: &mut Plan) {
        let zoned = match self.spec.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => match zone(name) {
                Some(zone) => zone,
                None => {
                    let why = format!("invalid timeZone: {name:?}: unknown time zone {name}");
                    return self.warn("UnknownTimeZone", why, plan);
                }
            },
        };
        if self.spec.suspend == Some(true) {
            return;
        }
        let text = &self.spec.schedule;
        let schedule = match Schedule::parse(text) {
            Ok(schedule) => schedule,
            Err(error) => {
                let why = format!("unparseable schedule: {text:?} : {error}");
                return self.warn("UnparseableSchedule", why, plan);
            }
        };
        if let Some(next) = schedule.next(self.now, &zoned) {
            plan.again_in(until(next, self.now) + SLACK);
        }
        let Some(due) = self.most_recent(&schedule, &zoned, plan) else { return };
        if let Some(limit) = self.spec.starting_deadline_seconds
            && after(due, limit) < self.now
        {
            let at = due.strftime("%a, %d %b %Y %H:%M:%S +0000");
            let why = format!("Missed scheduled time to start a job: {at}");
            return self.warn("MissSchedule", why, plan);
        }
        let name = self.name_of(due);
        let exists = self.jobs.iter().any(|job| job.metadata.name.as_deref() == Some(&name));
        if exists || self.last() == Some(due) {
            return;
        }
        let active = self.status.active.clone().unwrap_or_default();
        match self.spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let why = "Not starting job because prior execution is running and concurrency policy is Forbid";
                plan.wait(
                    Waiting::new("JobAlreadyActive", why, Shown::Event).on(self.about.clone()),
                );
                return;
            }
            Some("Replace") => {
                let is_active =
                    |job: &&Arc<Job>| active.iter().any(|one| one.uid == job.metadata.uid);
                for job in self.jobs.iter().filter(is_active) {
                    work.act(self.deletion(job));
                }
                self.set_active(&[]);
            }
            _ => {}
        }
        work.act(self.creation(due, &zoned));
    }

    /// The last time of the schedule that has come and that no job was started for.
    fn most_recent(
        &self,
        schedule: &Schedule,
        zone: &TimeZone,
        plan: &mut Plan,
    ) -> Option<Timestamp> {
        let created = self.cron_job.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let mut from = self.last().or(created)?;
        if let Some(limit) = self.spec.starting_deadline_seconds {
            from = from.max(after(self.now, limit.saturating_neg()));
        }
        let first = schedule.next(from, zone).filter(|first| *first <= self.now)?;
        let Some(second) = schedule.next(first, zone).filter(|second| *second <= self.now) else {
            return Some(first);
        };
        // A jump to shortly before now: there may be very many times between.
        let between = second.duration_since(first).as_secs().max(1);
        let missed = self.now.duration_since(first).as_secs() / between + 1;
        let mut last = first;
        let mut next = schedule.next(after(first, (missed - 2).max(0) * between - 1), zone);
        while let Some(time) = next.filter(|time| *time <= self.now) {
            last = time;
            next = schedule.next(time, zone);
        }
        if missed > MANY {
            let why = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.warn("TooManyMissedTimes", why.to_owned(), plan);
        }
        Some(last)
    }

    fn creation(&self, due: Timestamp, zone: &TimeZone) -> Action {
        let template = &self.spec.job_template;
        let meta = template.metadata.clone().unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        let local = due.to_zoned(zone.clone());
        let offset = if local.offset().is_zero() {
            "Z".to_owned()
        } else {
            local.strftime("%:z").to_string()
        };
        annotations
            .insert(DUE.to_owned(), local.strftime("%Y-%m-%dT%H:%M:%S").to_string() + &offset);
        let job = Job {
            metadata: ObjectMeta {
                name: Some(self.name_of(due)),
                namespace: Some(self.about.namespace.clone()),
                labels: meta.labels,
                annotations: Some(annotations),
                owner_references: Some(vec![self.about.controller_ref()]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        Action::Create {
            object: to_object(&job),
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: ("SuccessfulCreate", "Created job {name}".into()),
                failed: ("FailedCreate", "Error creating job: {error}".into()),
            }),
        }
    }

    fn deletion(&self, job: &Job) -> Action {
        Action::Delete {
            target: ObjectRef::to(job).any_version(),
            grace: None,
            propagation: Propagation::Background,
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: ("SuccessfulDelete", "Deleted job {name}".into()),
                failed: ("FailedDelete", "Deleted job: {error}".into()),
            }),
        }
    }

    /// Deletes the oldest of the jobs that have ended, beyond the numbers to keep.
    fn clean_up(&self, plan: &mut Plan) {
        for (kind, keep) in [
            ("Complete", self.spec.successful_jobs_history_limit),
            ("Failed", self.spec.failed_jobs_history_limit),
        ] {
            let ended =
                self.jobs.iter().filter(|job| finished(job).is_some_and(|end| end.type_ == kind));
            let ended: Vec<&Arc<Job>> = ended.collect();
            let Some(keep) = keep.and_then(|keep| usize::try_from(keep).ok()) else { continue };
            let surplus = ended.len().saturating_sub(keep);
            for job in ended.into_iter().take(surplus) {
                plan.act(self.deletion(job));
            }
        }
    }
}

#[cfg(test)]
mod tests;
