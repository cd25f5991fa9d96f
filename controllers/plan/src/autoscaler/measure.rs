//! What each metric of an autoscaler says: how many replicas it asks for and what is shown of it, or why it says nothing.
//!
//! Knows: the kinds of metrics, who would serve each, upstream's words. Refuses to know: how the target is then scaled.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, CrossVersionObjectReference, ExternalMetricSource,
    HorizontalPodAutoscalerSpec, MetricSpec, MetricStatus, MetricTarget, MetricValueStatus,
    ObjectMetricSource, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use leme_meta::{Quantity as Amount, quote, time};
use serde_json::Value;

use super::replicas::{Metrics, Of, Proposal, Tolerances, Used, Wanted, propose};
use crate::quantity::milli;

/// A target counts as well used within this part of what is wanted.
const TOLERANCE: f64 = 0.1;

/// What a metric says.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// So many replicas.
    pub replicas: i32,
    /// What it is, for people.
    pub name: String,
    /// What is shown of it.
    pub status: MetricStatus,
}

/// A metric that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Of the Event and of the condition.
    pub reason: &'static str,
    /// For people.
    pub why: String,
    /// The same with whose value it is.
    pub whole: String,
}

/// What metrics are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The pods that the target selects.
    pub pods: &'a [Arc<Pod>],
    /// The list of what they use, or why it is not to be had.
    pub used: Result<&'a Value, &'a str>,
    /// Namespace of the autoscaler.
    pub namespace: &'a str,
    /// Replicas that the target asks for.
    pub current: i32,
}

/// Whether any of the metrics is about what pods use.
pub fn wants_usage(spec: &HorizontalPodAutoscalerSpec) -> bool {
    let mut metrics = spec.metrics.iter().flatten();
    metrics.any(|metric| matches!(metric.type_.as_str(), "Resource" | "ContainerResource"))
}

/// What a metric says of the target.
///
/// # Errors
/// It says nothing.
pub fn measure(
    spec: &HorizontalPodAutoscalerSpec,
    metric: &MetricSpec,
    seen: Seen<'_>,
    now: Timestamp,
) -> Result<Said, Failed> {
    let failed = |reason, what: &str, why: String| {
        let whole = format!("failed to get {what} metric value: {why}");
        Failed { reason, why, whole }
    };
    let resource = |target: &MetricTarget, of| resource(spec, target, of, seen, now);
    match (
        &metric.resource,
        &metric.container_resource,
        &metric.pods,
        &metric.object,
        &metric.external,
    ) {
        (Some(source), ..) => {
            let of = Of { resource: &source.name, container: "" };
            let told = resource(&source.target, of).map_err(|why| {
                failed("FailedGetResourceMetric", &format!("{} resource", source.name), why)
            })?;
            let current = told.current();
            let status = ResourceMetricStatus { name: source.name.clone(), current };
            let status = Some(status);
            Ok(told.said(MetricStatus { resource: status, ..of_type(metric) }))
        }
        (_, Some(source), ..) => {
            let of = Of { resource: &source.name, container: &source.container };
            let told = resource(&source.target, of).map_err(|why| {
                let what = format!("{} container", source.container);
                failed("FailedGetContainerResourceMetric", &what, why)
            })?;
            let status = Some(ContainerResourceMetricStatus {
                container: source.container.clone(),
                current: told.current(),
                name: source.name.clone(),
            });
            Ok(told.said(MetricStatus { container_resource: status, ..of_type(metric) }))
        }
        (_, _, Some(source), ..) => {
            let why = format!("unable to get metric {}: {NO_CUSTOM}", source.metric.name);
            Err(failed("FailedGetPodsMetric", "pods", why))
        }
        (.., Some(source), _) => {
            Err(failed("FailedGetObjectMetric", "object", object(source, seen.namespace)))
        }
        (.., Some(source)) => {
            let what = format!("{} external", source.metric.name);
            Err(failed("FailedGetExternalMetric", &what, external(source, seen.namespace)))
        }
        _ => {
            let why = format!("unknown metric source type {}", quote(&metric.type_));
            let whole = why.clone();
            Err(Failed { reason: "InvalidMetricSourceType", why, whole })
        }
    }
}

/// What is shown of a metric that says nothing.
pub fn nothing() -> MetricStatus {
    MetricStatus::default()
}

fn of_type(metric: &MetricSpec) -> MetricStatus {
    MetricStatus { type_: metric.type_.clone(), ..MetricStatus::default() }
}

/// What a resource says.
struct Told {
    proposal: Proposal,
    name: String,
}

impl Told {
    fn current(&self) -> MetricValueStatus {
        let average = Amount::parse(&format!("{}m", self.proposal.average));
        MetricValueStatus {
            average_utilization: self.proposal.utilization,
            average_value: average.ok().map(|average| Quantity(average.to_string())),
            value: None,
        }
    }

    fn said(self, status: MetricStatus) -> Said {
        Said { replicas: self.proposal.replicas, name: self.name, status }
    }
}

fn resource(
    spec: &HorizontalPodAutoscalerSpec,
    target: &MetricTarget,
    of: Of<'_>,
    seen: Seen<'_>,
    now: Timestamp,
) -> Result<Told, String> {
    let Of { resource, container } = of;
    let (wanted, what) = match (&target.average_value, target.average_utilization) {
        (Some(value), _) => (Wanted::Average(milli(value)), "usage"),
        (None, Some(percent)) => (Wanted::Utilization(percent), "utilization"),
        (None, None) => {
            return Err("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set".to_owned());
        }
    };
    let metrics = metrics(seen, of).map_err(|why| {
        format!(
            "failed to get {resource} {what}: unable to get metrics for resource {resource}: {why}"
        )
    })?;
    let proposal = propose(wanted, of, (seen.pods, metrics), seen.current, tolerances(spec), now)
        .map_err(|why| format!("failed to get {resource} {what}: {why}"))?;
    let name = match (wanted, container) {
        (Wanted::Average(_), _) => format!("{resource} resource"),
        (Wanted::Utilization(_), "") => {
            format!("{resource} resource utilization (percentage of request)")
        }
        (Wanted::Utilization(_), _) => {
            format!("{resource} container resource utilization (percentage of request)")
        }
    };
    Ok(Told { proposal, name })
}

fn tolerances(spec: &HorizontalPodAutoscalerSpec) -> Tolerances {
    let read = |quantity: &Quantity| {
        let nanos = Amount::parse(&quantity.0).ok()?.nanos();
        #[expect(clippy::cast_precision_loss, reason = "a tolerance is a small part")]
        Some(nanos as f64 / 1e9)
    };
    let behavior = spec.behavior.as_ref();
    let up = behavior.and_then(|behavior| behavior.scale_up.as_ref()?.tolerance.as_ref());
    let down = behavior.and_then(|behavior| behavior.scale_down.as_ref()?.tolerance.as_ref());
    let part = |asked: Option<&Quantity>| asked.and_then(read).unwrap_or(TOLERANCE);
    Tolerances { down: part(down), up: part(up) }
}

/// What pods use of a resource, out of the list of what they use.
fn metrics(seen: Seen<'_>, of: Of<'_>) -> Result<Metrics, String> {
    let list = seen
        .used
        .map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return Err("no metrics returned from resource metrics API".to_owned());
    }
    let mut metrics = Metrics::new();
    for pod in items {
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let name = text(&pod["metadata"]["name"]);
        let containers = pod["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let used = |container: &Value| {
            let used = container["usage"].get(of.resource)?.as_str()?;
            Some(milli(&Quantity(used.to_owned())))
        };
        let value = if of.container.is_empty() {
            let each: Option<Vec<i64>> = containers.iter().map(used).collect();
            let each = each.filter(|each| !each.is_empty());
            each.map(|each| each.into_iter().fold(0, i64::saturating_add))
        } else {
            let found = containers.iter().find(|one| one["name"] == of.container);
            let found = found.ok_or_else(|| {
                let (container, namespace) = (of.container, seen.namespace);
                format!("failed to get container metrics: container {container} not present in metrics for pod {namespace}/{name}")
            })?;
            used(found)
        };
        if let Some(value) = value {
            let at = time::parse(&text(&pod["timestamp"])).unwrap_or(Timestamp::UNIX_EPOCH);
            let window = window(&text(&pod["window"]));
            metrics.insert(name, Used { at, window, value });
        }
    }
    Ok(metrics)
}

/// A duration as Go writes it; what cannot be read is no time at all.
fn window(text: &str) -> Duration {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while let Some(end) = rest.find(|c: char| c.is_ascii_alphabetic() || c == 'µ') {
        let (number, unit) = rest.split_at(end);
        let length = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, left) = unit.split_at(length);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Duration::ZERO,
        };
        let part = number.parse::<f64>().ok().map(|number| number * unit);
        let part = part.and_then(|part| Duration::try_from_secs_f64(part).ok());
        total = total.saturating_add(part.unwrap_or_default());
        rest = left;
    }
    total
}

const NO_CUSTOM: &str = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";

fn object(source: &ObjectMetricSource, namespace: &str) -> String {
    let CrossVersionObjectReference { kind, name, .. } = &source.described_object;
    let metric = &source.metric.name;
    let why = format!("unable to get metric {metric}: {kind} on {namespace} {name}/{NO_CUSTOM}");
    match (&source.target.value, &source.target.average_value) {
        (Some(_), _) if source.target.type_ == "Value" => why,
        (_, Some(_)) if source.target.type_ == "AverageValue" => {
            format!("failed to get {metric} object metric: {why}")
        }
        _ => "invalid object metric source: neither a value target nor an average value target was set".to_owned(),
    }
}

fn external(source: &ExternalMetricSource, namespace: &str) -> String {
    let metric = &source.metric.name;
    let selector = source.metric.selector.as_ref().map_or("nil".to_owned(), shown);
    let why = format!(
        "unable to get external metric {namespace}/{metric}/{selector}: unable to fetch metrics from external metrics API: the server could not find the requested resource (get {metric}.external.metrics.k8s.io)"
    );
    match (&source.target.average_value, &source.target.value) {
        (Some(_), _) => format!("failed to get {metric} external metric: {why}"),
        (None, Some(_)) => format!("failed to get external metric {metric}: {why}"),
        (None, None) => "invalid external metric source: neither a value target nor an average value target was set".to_owned(),
    }
}

/// A selector as Go prints it.
fn shown(selector: &LabelSelector) -> String {
    let pairs = selector.match_labels.iter().flatten();
    let pairs: String = pairs.map(|(key, value)| format!("{key}: {value},")).collect();
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.clone().unwrap_or_default().join(" ");
        let (key, operator) = (&one.key, &one.operator);
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    });
    let expressions: String = expressions.collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{pairs}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_go_writes_them() {
        for (text, millis) in [
            ("15.5s", 15_500),
            ("1m0s", 60_000),
            ("1h2m3s", 3_723_000),
            ("250ms", 250),
            ("", 0),
            ("soon", 0),
            ("-1s", 0),
        ] {
            assert_eq!(window(text), Duration::from_millis(millis), "{text}");
        }
    }
}
