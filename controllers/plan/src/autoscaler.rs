//! HorizontalPodAutoscalers: their target has at least and at most so many pods. Metrics to scale by in between are not
//! served by anyone, which each autoscaler says.
//!
//! Alone writes: the status of autoscalers; scales their targets. Relies on: what the target's `scale` says.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, ExternalMetricSource, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus,
    MetricSpec, MetricTarget, ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef};
use crate::common::status_of;
use crate::report::{Report, Shown, Waiting};

/// Looks at the target this often.
const PERIOD: Duration = Duration::from_secs(15);

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The autoscaler; `None` once it is gone.
    pub scaler: Option<Arc<HorizontalPodAutoscaler>>,
    /// How many pods its target asks for, or why that cannot be told.
    pub replicas: Result<i32, String>,
}

/// What to do for one autoscaler.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(scaler) = &seen.scaler else { return Plan::default() };
    let spec = &scaler.spec;
    let about = ObjectRef::to(scaler.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if scaler.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    plan.again_in(PERIOD);
    let mut status = scaler.status.clone().unwrap_or_default();
    match &seen.replicas {
        Ok(replicas) => judge(spec, &about, *replicas, &mut status, now, &mut plan),
        Err(why) => {
            let message =
                format!("the HPA controller was unable to get the target's current scale: {why}");
            set(&mut status, ABLE, false, "FailedGetScale", message, now);
            plan.wait(Waiting::new("FailedGetScale", why.clone(), Shown::Warning));
        }
    }
    plan.tell_status(&about, &status_of(scaler.status.as_ref()), status_of(Some(&status)));
    plan
}

const ABLE: &str = "AbleToScale";
const ACTIVE: &str = "ScalingActive";

fn judge(
    spec: &HorizontalPodAutoscalerSpec,
    about: &ObjectRef,
    replicas: i32,
    status: &mut HorizontalPodAutoscalerStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let got = "the HPA controller was able to get the target's current scale".to_owned();
    set(status, ABLE, true, "SucceededGetScale", got, now);
    status.current_replicas = Some(replicas);
    let least = spec.min_replicas.unwrap_or(1);
    if replicas == 0 && least != 0 {
        let why = "scaling is disabled since the replica count of the target is zero".to_owned();
        set(status, ACTIVE, false, "ScalingDisabled", why, now);
        status.desired_replicas = 0;
        return;
    }
    let bound = if replicas > spec.max_replicas {
        Some((spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"))
    } else if replicas < least {
        Some((least, "Current number of replicas below Spec.MinReplicas"))
    } else {
        None
    };
    match bound {
        Some((size, why)) => {
            plan.act(scaling(spec, about, size));
            let message = format!("New size: {size}; reason: {why}");
            plan.act(Action::normal(about.clone(), "SuccessfulRescale", message));
            let done = format!("the HPA controller was able to update the target scale to {size}");
            set(status, ABLE, true, "SucceededRescale", done, now);
            status.desired_replicas = size;
            status.last_scale_time = Some(seconds(now));
        }
        None => no_metrics(spec, about, status, now, plan),
    }
}

fn scaling(spec: &HorizontalPodAutoscalerSpec, about: &ObjectRef, size: i32) -> Action {
    let target = &spec.scale_target_ref;
    let target = ObjectRef {
        api_version: target.api_version.clone().unwrap_or_default(),
        kind: target.kind.clone(),
        namespace: about.namespace.clone(),
        name: target.name.clone(),
        ..ObjectRef::default()
    };
    let patch = json!({ "spec": { "replicas": size } });
    Action::Patch { target, subresource: "scale", patch, only_if: None }
}

/// Says of the first metric, as of all, that nobody measures it.
fn no_metrics(
    spec: &HorizontalPodAutoscalerSpec,
    about: &ObjectRef,
    status: &mut HorizontalPodAutoscalerStatus,
    now: Timestamp,
    plan: &mut Plan,
) {
    let metrics = spec.metrics.as_deref().unwrap_or_default();
    let failures: Vec<Failed> = metrics.iter().map(|metric| failed(metric, about)).collect();
    let Some(first) = failures.first() else { return };
    for one in &failures {
        plan.wait(Waiting::new(one.reason, one.why.clone(), Shown::Warning));
    }
    let count = failures.len();
    let all = format!(
        "invalid metrics ({count} invalid out of {count}), first error is: failed to get {} metric value: {}",
        first.what, first.why
    );
    plan.wait(Waiting::new("FailedComputeMetricsReplicas", all, Shown::Warning));
    let message = format!("the HPA was unable to compute the replica count: {}", first.why);
    set(status, ACTIVE, false, first.reason, message, now);
}

/// A metric that could not be had.
struct Failed {
    reason: &'static str,
    what: String,
    why: String,
}

const NO_CUSTOM: &str = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";

fn resource(name: &str, target: &MetricTarget) -> String {
    let asked = if target.average_value.is_some() { "usage" } else { "utilization" };
    format!(
        "failed to get {name} {asked}: unable to get metrics for resource {name}: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
    )
}

fn failed(metric: &MetricSpec, about: &ObjectRef) -> Failed {
    let made = |reason, what: String, why: String| Failed { reason, what, why };
    match metric {
        MetricSpec { resource: Some(ResourceMetricSource { name, target }), .. } => {
            made("FailedGetResourceMetric", format!("{name} resource"), resource(name, target))
        }
        MetricSpec {
            container_resource: Some(ContainerResourceMetricSource { name, target, .. }),
            ..
        } => made(
            "FailedGetContainerResourceMetric",
            format!("{name} container"),
            resource(name, target),
        ),
        MetricSpec { pods: Some(PodsMetricSource { metric, .. }), .. } => made(
            "FailedGetPodsMetric",
            "pods".to_owned(),
            format!("unable to get metric {}: {NO_CUSTOM}", metric.name),
        ),
        MetricSpec {
            object: Some(ObjectMetricSource { metric, described_object, .. }), ..
        } => {
            let (kind, name) = (&described_object.kind, &described_object.name);
            let why = format!(
                "unable to get metric {}: {kind} on {} {name}/{NO_CUSTOM}",
                metric.name, about.namespace
            );
            made("FailedGetObjectMetric", "object".to_owned(), why)
        }
        MetricSpec { external: Some(ExternalMetricSource { metric, .. }), .. } => {
            let name = &metric.name;
            let why = format!(
                "unable to get external metric {}/{name}: unable to fetch metrics from external metrics API: the server could not find the requested resource (get {name}.external.metrics.k8s.io)",
                about.namespace
            );
            made("FailedGetExternalMetric", format!("{name} external"), why)
        }
        MetricSpec { type_, .. } => made(
            "InvalidMetricSourceType",
            type_.clone(),
            format!("unknown metric source type {type_:?}"),
        ),
    }
}

/// Times of the API have whole seconds.
fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Sets a condition; its time moves only when its status does.
fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let holds = if holds { "True" } else { "False" };
    let all = status.conditions.get_or_insert_default();
    let known = all.iter_mut().find(|one| one.type_ == kind);
    let since = known.as_ref().filter(|one| one.status == holds);
    let since = since.and_then(|one| one.last_transition_time.clone());
    let fresh = HorizontalPodAutoscalerCondition {
        type_: kind.to_owned(),
        status: holds.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: since.or_else(|| Some(seconds(now))),
    };
    match known {
        Some(known) => *known = fresh,
        None => all.push(fresh),
    }
}

#[cfg(test)]
mod tests;
