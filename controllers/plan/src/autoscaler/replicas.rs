//! How many replicas a resource asks for: what pods use of it is held against what each is to use.
//!
//! Knows: pods that are not ready, pods that nothing is known of, tolerance. Refuses to know: bounds, rates, stabilisation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pods;
use crate::quantity::milli;

/// What a young pod uses of the CPU counts only once it has been ready over a whole window.
const CPU_INITIALIZATION: SignedDuration = SignedDuration::from_mins(5);
/// A pod that was not ready later than this after its start has been ready before.
const READINESS_DELAY: SignedDuration = SignedDuration::from_secs(30);

/// What a pod uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// When it was read.
    pub at: Timestamp,
    /// Over which time it is the average.
    pub window: Duration,
    /// Thousandths.
    pub value: i64,
}

/// What pods use, by name.
pub type Metrics = BTreeMap<String, Used>;

/// How far what is used may be from what is wanted without anything being done, as a part of that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerances {
    /// Below.
    pub down: f64,
    /// Above.
    pub up: f64,
}

impl Tolerances {
    fn covers(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What pods are to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A part of what they request, in hundredths.
    Utilization(i32),
    /// Thousandths each.
    Average(i64),
}

/// A resource of pods, or of one of their containers.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Such as `cpu`.
    pub resource: &'a str,
    /// Empty for all containers.
    pub container: &'a str,
}

/// What follows from what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// So many replicas.
    pub replicas: i32,
    /// Hundredths of the requests, where those were asked for.
    pub utilization: Option<i32>,
    /// Thousandths on the average.
    pub average: i64,
}

/// Pods by what is known of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Groups<'a> {
    ready: i32,
    unready: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
    ignored: BTreeSet<&'a str>,
}

fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or("")
}

fn group<'a>(
    pods: &'a [Arc<Pod>],
    metrics: &Metrics,
    resource: &str,
    now: Timestamp,
) -> Groups<'a> {
    let mut groups = Groups::default();
    for pod in pods {
        let name = name(pod);
        if pods::is_deleting(pod) || pods::phase(pod) == "Failed" {
            groups.ignored.insert(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.insert(name);
        } else {
            match metrics.get(name) {
                None => _ = groups.missing.insert(name),
                Some(used) if resource == "cpu" && is_unready(pod, used, now) => {
                    groups.unready.insert(name);
                }
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

/// Whether what a pod uses says nothing of the load, for it is still starting.
fn is_unready(pod: &Pod, used: &Used, now: Timestamp) -> bool {
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let (Some(ready), Some(start)) = (pods::condition(pod, "Ready"), start) else { return true };
    let since = ready.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    let not_ready = ready.status == "False";
    let later =
        |time: Timestamp, by: SignedDuration| time.checked_add(by).unwrap_or(Timestamp::MAX);
    if later(start.0, CPU_INITIALIZATION) > now {
        let window = SignedDuration::try_from(used.window).unwrap_or(SignedDuration::MAX);
        return not_ready || used.at < later(since, window);
    }
    not_ready && later(start.0, READINESS_DELAY) > since
}

/// Proposes how many replicas there should be, of `current`.
///
/// # Errors
/// It cannot be told, in upstream's words.
pub fn propose(
    wanted: Wanted,
    of: Of<'_>,
    (pods, mut metrics): (&[Arc<Pod>], Metrics),
    current: i32,
    tolerances: Tolerances,
    now: Timestamp,
) -> Result<Proposal, String> {
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(pods, &metrics, of.resource, now);
    metrics.retain(|name, _| {
        !groups.ignored.contains(name.as_str()) && !groups.unready.contains(name.as_str())
    });
    if metrics.is_empty() {
        return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
    }
    let measure = Measure::new(wanted, of, pods)?;
    let (ratio, utilization, average) = measure.ratio(&metrics)?;
    let proposal = |replicas| Proposal { replicas, utilization, average };
    let up_with_unready = !groups.unready.is_empty() && ratio > 1.0;
    if !up_with_unready && groups.missing.is_empty() {
        let replicas = if tolerances.covers(ratio) { current } else { ceil(ratio, groups.ready) };
        return Ok(proposal(replicas));
    }
    // Nothing is known of these: they are taken for what makes the least change.
    let mut assume = |name: &str, value: i64| {
        let used = Used { at: now, window: Duration::ZERO, value };
        metrics.insert(name.to_owned(), used);
    };
    if ratio < 1.0 {
        groups.missing.iter().for_each(|name| assume(name, measure.full(name)));
    } else if ratio > 1.0 {
        groups.missing.iter().for_each(|name| assume(name, 0));
    }
    if up_with_unready {
        groups.unready.iter().for_each(|name| assume(name, 0));
    }
    let (again, ..) = measure.ratio(&metrics)?;
    let turned = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
    if tolerances.covers(again) || turned {
        return Ok(proposal(current));
    }
    let replicas = ceil(again, i32::try_from(metrics.len()).unwrap_or(i32::MAX));
    let turned = (again < 1.0 && replicas > current) || (again > 1.0 && replicas < current);
    Ok(proposal(if turned { current } else { replicas }))
}

/// Whole replicas; more than there can be are as many as there can be.
fn ceil(ratio: f64, count: i32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
    let replicas = (ratio * f64::from(count)).ceil() as i32;
    replicas
}

/// What is measured against what.
enum Measure {
    /// Hundredths of requests, which are in thousandths by pod.
    Utilization(i32, BTreeMap<String, i64>),
    /// Thousandths each.
    Average(i64),
}

impl Measure {
    fn new(wanted: Wanted, of: Of<'_>, pods: &[Arc<Pod>]) -> Result<Measure, String> {
        match wanted {
            Wanted::Average(value) => Ok(Measure::Average(value)),
            Wanted::Utilization(target) => {
                let each = pods.iter().map(|pod| Ok((name(pod).to_owned(), request(pod, of)?)));
                Ok(Measure::Utilization(target, each.collect::<Result<_, String>>()?))
            }
        }
    }

    /// How much is used of what is wanted, as a part of it, in hundredths of the requests, and by each on the average.
    #[expect(clippy::cast_precision_loss, reason = "a part of what is wanted is no whole number")]
    fn ratio(&self, metrics: &Metrics) -> Result<(f64, Option<i32>, i64), String> {
        match self {
            Measure::Average(target) => {
                let total: i128 = metrics.values().map(|used| i128::from(used.value)).sum();
                let average = narrow(total / metrics.len().max(1) as i128);
                Ok((average as f64 / *target as f64, None, average))
            }
            Measure::Utilization(target, requests) => {
                let known = metrics.iter().filter_map(|(name, used)| {
                    Some((i128::from(used.value), i128::from(*requests.get(name)?), 1))
                });
                let (used, requested, count) =
                    known.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2));
                if requested == 0 {
                    return Err("no metrics returned matched known pods".to_owned());
                }
                let percent = i32::try_from(used * 100 / requested).unwrap_or(i32::MAX);
                let average = narrow(used / count);
                Ok((f64::from(percent) / f64::from(*target), Some(percent), average))
            }
        }
    }

    /// What a pod uses of which nothing is known, where less may be wanted: all that it may.
    fn full(&self, name: &str) -> i64 {
        match self {
            Measure::Average(target) => *target,
            Measure::Utilization(target, requests) => {
                let request = requests.get(name).copied().unwrap_or(0);
                narrow(i128::from(request) * i128::from((*target).max(100)) / 100)
            }
        }
    }
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a pod requests, in thousandths: as a whole where it says that, else all its containers together.
fn request(pod: &Pod, of: Of<'_>) -> Result<i64, String> {
    let Of { resource, container } = of;
    let (Some(spec), pod_name) = (&pod.spec, name(pod)) else { return Ok(0) };
    let whole = spec.resources.as_ref().and_then(|all| all.requests.as_ref());
    let whole = whole.filter(|requests| container.is_empty() && !requests.is_empty());
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|one| one.restart_policy.as_deref() == Some("Always"));
    let containers = || spec.containers.iter().chain(sidecars.clone());
    if let Some(requests) = whole {
        let asked = requests.get(resource).map(milli);
        // What the pod as a whole does not name, its containers may.
        let inside = || {
            let each: Option<Vec<i64>> =
                containers().map(|one| requests_of(one)?.get(resource).map(milli)).collect();
            each.map(|each| each.into_iter().fold(0, i64::saturating_add))
        };
        return asked
            .or_else(inside)
            .ok_or_else(|| format!("missing pod-level request for {resource} in Pod {pod_name}"));
    }
    let mut sum = 0_i64;
    for one in containers().filter(|one| container.is_empty() || one.name == container) {
        let asked = requests_of(one).and_then(|requests| requests.get(resource));
        let asked = asked.ok_or_else(|| {
            format!("missing request for {resource} in container {} of Pod {pod_name}", one.name)
        })?;
        sum = sum.saturating_add(milli(asked));
    }
    match containers().any(|one| container.is_empty() || one.name == container) {
        true => Ok(sum),
        false => Err(format!("container {container} not found in Pod {pod_name}")),
    }
}

fn requests_of(container: &Container) -> Option<&BTreeMap<String, Quantity>> {
    container.resources.as_ref()?.requests.as_ref()
}

#[cfg(test)]
mod tests;
