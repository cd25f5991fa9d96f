//! HorizontalPodAutoscalers: their target has as many pods as its metrics ask for, within bounds and at a bounded pace.
//!
//! Alone writes: the status of autoscalers; scales their targets. Relies on: what the target's `scale` says, and what
//! `metrics.k8s.io` says that pods use. Custom and external metrics are served by nobody, which each autoscaler says.

mod measure;
mod pace;
mod replicas;
mod scale;

pub use self::scale::Scale;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::common::status_of;
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan};

/// Looks at the target and its metrics this often: nobody can watch metrics.
const PERIOD: Duration = Duration::from_secs(15);

/// What is seen.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The autoscaler; `None` once it is gone.
    pub scaler: Option<Arc<HorizontalPodAutoscaler>>,
    /// Its target, or why that cannot be told.
    pub target: Result<Target, String>,
    /// How the last round failed.
    pub failure: Option<&'a Failure>,
    /// Time since some start, by a clock that is never set back.
    pub uptime: Duration,
}

/// What is scaled.
#[derive(Debug)]
pub struct Target {
    /// Its `scale`.
    pub scale: Scale,
    /// The pods that it selects, or why that cannot be told.
    pub pods: Result<Vec<Arc<Pod>>, NoPods>,
    /// What they use as `metrics.k8s.io` lists it, or why that cannot be told; nothing where nobody asks for it.
    pub used: Result<Value, String>,
}

/// Why the pods of a target cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPods {
    /// It has no selector.
    Unselected,
    /// Its selector cannot be read.
    Unreadable(String),
    /// Other autoscalers select them as well: all of them, as `namespace/name`.
    Shared(Vec<String>),
}

/// What is remembered of an autoscaler; nothing of it is needed, but what it held back is then let go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    pace: pace::Memory,
    /// The change that the last plan has asked for: both sizes.
    asked: Option<(i32, i32)>,
    /// No other change is asked for until then.
    rests: Option<Duration>,
}

/// Whether the target's metrics will be looked at, and are about what pods use.
pub fn wants_usage(spec: &HorizontalPodAutoscalerSpec, replicas: i32) -> bool {
    let least = least(spec);
    let disabled = replicas == 0 && least != 0;
    !disabled && (least..=spec.max_replicas).contains(&replicas) && measure::wants_usage(spec)
}

fn least(spec: &HorizontalPodAutoscalerSpec) -> i32 {
    spec.min_replicas.unwrap_or(1)
}

/// What to do for one autoscaler.
pub fn plan(seen: &Observed<'_>, memory: &mut Memory, now: Timestamp) -> Plan {
    let Some(scaler) = &seen.scaler else { return Plan::default() };
    let about = ObjectRef::to(scaler.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if scaler.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let status = scaler.status.clone().unwrap_or_default();
    let mut round = Round { spec: &scaler.spec, about: &about, status, plan: &mut plan, seen, now };
    round.run(memory);
    let status = status_of(Some(&round.status));
    plan.again_in(PERIOD);
    plan.tell_status(&about, &status_of(scaler.status.as_ref()), status);
    plan
}

const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";
const LIMITED: &str = "ScalingLimited";

/// One look at an autoscaler, and what comes of it.
struct Round<'a> {
    spec: &'a HorizontalPodAutoscalerSpec,
    about: &'a ObjectRef,
    status: HorizontalPodAutoscalerStatus,
    plan: &'a mut Plan,
    seen: &'a Observed<'a>,
    now: Timestamp,
}

impl Round<'_> {
    fn run(&mut self, memory: &mut Memory) {
        let seen = self.seen;
        let target = match &seen.target {
            Ok(target) => target,
            Err(why) => {
                let message = format!(
                    "the HPA controller was unable to get the target's current scale: {why}"
                );
                self.set(ABLE, false, "FailedGetScale", message);
                self.plan.wait(Waiting::new("FailedGetScale", why.clone(), Shown::Warning));
                return;
            }
        };
        let replicas = target.scale.replicas;
        if self.settle(memory, replicas) {
            return;
        }
        let got = "the HPA controller was able to get the target's current scale";
        self.set(ABLE, true, "SucceededGetScale", got.to_owned());
        memory.pace.begin(replicas, seen.uptime);
        let least = least(self.spec);
        if replicas == 0 && least != 0 {
            let why = "scaling is disabled since the replica count of the target is zero";
            self.set(ACTIVE, false, "ScalingDisabled", why.to_owned());
            self.show(replicas, replicas, None);
        } else if replicas > self.spec.max_replicas {
            let why = "Current number of replicas above Spec.MaxReplicas".to_owned();
            self.rescale(memory, target, self.spec.max_replicas, why, None);
        } else if replicas < least {
            let why = "Current number of replicas below Spec.MinReplicas".to_owned();
            self.rescale(memory, target, least, why, None);
        } else {
            self.by_metrics(memory, target);
        }
    }

    /// Takes in what became of the last change. Whether that is all there is to do for now.
    fn settle(&mut self, memory: &mut Memory, replicas: i32) -> bool {
        let uptime = self.seen.uptime;
        match (memory.asked.take(), self.seen.failure) {
            (Some((from, to)), _) if to == replicas => memory.pace.scaled(from, to, uptime),
            (Some(_), Some(failure)) => {
                let error = &failure.message;
                let message =
                    format!("the HPA controller was unable to update the target scale: {error}");
                self.set(ABLE, false, "FailedUpdateScale", message);
                let (desired, metrics) =
                    (self.status.desired_replicas, self.status.current_metrics.take());
                self.show(replicas, desired, metrics);
                memory.rests = Some(uptime.saturating_add(PERIOD));
                return true;
            }
            // The world had moved on, or nothing was asked for.
            _ => {}
        }
        let rests = memory.rests.is_some_and(|until| uptime < until);
        if !rests {
            memory.rests = None;
        }
        rests
    }

    fn by_metrics(&mut self, memory: &mut Memory, target: &Target) {
        let replicas = target.scale.replicas;
        let (wanted, name, metrics) = match self.compute(target) {
            Ok(computed) => computed,
            Err((why, metrics)) => {
                self.plan.wait(Waiting::new("FailedComputeMetricsReplicas", why, Shown::Warning));
                self.show(replicas, self.status.desired_replicas, metrics);
                return;
            }
        };
        let wanted = wanted.max(0);
        let why = if wanted > replicas {
            format!("{name} above target")
        } else {
            "All metrics below target".to_owned()
        };
        let bounds = pace::Bounds {
            least: least(self.spec),
            most: self.spec.max_replicas,
            current: replicas,
        };
        let behavior = self.spec.behavior.as_ref();
        let paced = pace::pace(&mut memory.pace, behavior, bounds, wanted, self.seen.uptime);
        let ((able, able_why), (limited, reason, limited_why)) = (paced.able, paced.limited);
        self.set(ABLE, true, able, able_why.to_owned());
        self.set(LIMITED, limited, reason, limited_why.to_owned());
        if paced.replicas == replicas {
            self.show(replicas, replicas, metrics);
        } else {
            self.rescale(memory, target, paced.replicas, why, metrics);
        }
    }

    /// How many replicas the metrics ask for, which of them asks for most, and what is shown of each; or why that cannot be
    /// told.
    #[expect(clippy::type_complexity, reason = "three things that go together once")]
    fn compute(
        &mut self,
        target: &Target,
    ) -> Result<(i32, String, Option<Vec<MetricStatus>>), (String, Option<Vec<MetricStatus>>)> {
        let pods = self.pods(target).map_err(|why| (why, None))?;
        let seen = measure::Seen {
            pods,
            used: target.used.as_ref().map_err(String::as_str),
            namespace: &self.about.namespace,
            current: target.scale.replicas,
        };
        let specs = self.spec.metrics.as_deref().unwrap_or_default();
        let (mut most, mut shown, mut failures) = (None, Vec::new(), Vec::new());
        for metric in specs {
            match measure::measure(self.spec, metric, seen, self.now) {
                Ok(said) => {
                    shown.push(said.status);
                    if most
                        .as_ref()
                        .is_none_or(|(replicas, _)| *replicas == 0 || said.replicas > *replicas)
                    {
                        most = Some((said.replicas, said.name));
                    }
                }
                Err(failed) => {
                    shown.push(measure::nothing());
                    self.plan.wait(Waiting::new(failed.reason, failed.why.clone(), Shown::Warning));
                    failures.push(failed);
                }
            }
        }
        let shown = Some(shown);
        let would_shrink =
            most.as_ref().is_none_or(|(replicas, _)| *replicas < target.scale.replicas);
        if let Some(first) = failures.first().filter(|_| would_shrink) {
            let message = format!("the HPA was unable to compute the replica count: {}", first.why);
            let (reason, count) = (first.reason, failures.len());
            let why = format!(
                "invalid metrics ({count} invalid out of {}), first error is: {}",
                specs.len(),
                first.whole
            );
            self.set(ACTIVE, false, reason, message);
            return Err((why, shown));
        }
        let (replicas, name) = most.unwrap_or_default();
        let message =
            format!("the HPA was able to successfully calculate a replica count from {name}");
        self.set(ACTIVE, true, "ValidMetricFound", message);
        Ok((replicas, name, shown))
    }

    /// The pods of the target.
    fn pods<'t>(&mut self, target: &'t Target) -> Result<&'t [Arc<Pod>], String> {
        let (event, reason, shown, why) = match &target.pods {
            Ok(pods) => return Ok(pods),
            Err(NoPods::Unselected) => {
                let shown = "the HPA target's scale is missing a selector".to_owned();
                (
                    "SelectorRequired",
                    "InvalidSelector",
                    Some(shown),
                    "selector is required".to_owned(),
                )
            }
            Err(NoPods::Unreadable(why)) => {
                let why = format!(
                    "couldn't convert selector into a corresponding internal selector object: {why}"
                );
                ("InvalidSelector", "InvalidSelector", None, why)
            }
            Err(NoPods::Shared(all)) => {
                let why = format!(
                    "pods by selector {} are controlled by multiple HPAs: [{}]",
                    target.scale.selector,
                    all.join(" ")
                );
                ("AmbiguousSelector", "AmbiguousSelector", None, why)
            }
        };
        self.set(ACTIVE, false, reason, shown.unwrap_or_else(|| why.clone()));
        self.plan.wait(Waiting::new(event, why.clone(), Shown::Warning));
        Err(why)
    }

    fn rescale(
        &mut self,
        memory: &mut Memory,
        target: &Target,
        size: i32,
        why: String,
        metrics: Option<Vec<MetricStatus>>,
    ) {
        let replicas = target.scale.replicas;
        let of = &self.spec.scale_target_ref;
        let object = ObjectRef {
            api_version: of.api_version.clone().unwrap_or_default(),
            kind: of.kind.clone(),
            namespace: self.about.namespace.clone(),
            name: of.name.clone(),
            uid: target.scale.uid.clone(),
            resource_version: target.scale.resource_version.clone(),
        };
        let patch = json!({ "spec": { "replicas": size } });
        let message = format!("New size: {size}; reason: {why}");
        let told = Some(OutcomeEvents {
            about: self.about.clone(),
            failed: ("FailedRescale", format!("{message}; error: {{error}}").into()),
            done: ("SuccessfulRescale", message.into()),
        });
        let (subresource, only_if) = ("scale", None);
        self.plan.act(Action::Patch { target: object, subresource, patch, only_if, told });
        let done = format!("the HPA controller was able to update the target scale to {size}");
        self.set(ABLE, true, "SucceededRescale", done);
        self.show(replicas, size, metrics);
        self.status.last_scale_time = Some(seconds(self.now));
        memory.asked = Some((replicas, size));
    }

    fn show(&mut self, current: i32, desired: i32, metrics: Option<Vec<MetricStatus>>) {
        self.status.current_replicas = Some(current);
        self.status.desired_replicas = desired;
        self.status.current_metrics = metrics;
    }

    /// Sets a condition; its time moves only when its status does.
    fn set(&mut self, kind: &str, holds: bool, reason: &str, message: String) {
        let holds = if holds { "True" } else { "False" };
        let all = self.status.conditions.get_or_insert_default();
        let known = all.iter_mut().find(|one| one.type_ == kind);
        let since = known.as_ref().filter(|one| one.status == holds);
        let since = since.and_then(|one| one.last_transition_time.clone());
        let fresh = HorizontalPodAutoscalerCondition {
            type_: kind.to_owned(),
            status: holds.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: since.or_else(|| Some(seconds(self.now))),
        };
        match known {
            Some(known) => *known = fresh,
            None => all.push(fresh),
        }
    }
}

/// Times of the API have whole seconds.
fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests;
