//! How many pods a PodDisruptionBudget lets go at the moment.
//!
//! Knows: healthy pods, expected pods, disruptions that are about to happen. Refuses to know: who evicts, and how sizes
//! of controllers are found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::action::{Action, ObjectRef};
use crate::common::{after, controller_of, replacing, status_of, time_text, until};
use crate::report::{Report, Shown, Waiting};
use crate::{Plan, pods};

/// Seconds after which a pod that was evicted and is still there counts again.
const DELETION: i64 = 120;
/// The condition.
const ALLOWED: &str = "DisruptionAllowed";

/// What one budget's decision is based on.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The budget.
    pub budget: Option<Arc<PodDisruptionBudget>>,
    /// The pods that its selector selects.
    pub pods: Vec<Arc<Pod>>,
    /// The size that each controller of these pods wants to have, by its uid: its own, or that of what controls it.
    pub sizes: BTreeMap<String, Size>,
}

/// A size, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// The uid of the object that has it.
    pub uid: String,
    /// How many pods it wants.
    pub replicas: i32,
}

/// How many pods there should be, and how many of them healthy; and whether some are nobody's.
struct Expected {
    pods: i32,
    healthy: i32,
    unmanaged: bool,
}

/// What to do for one budget.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(budget) = &seen.budget else { return Plan::default() };
    if budget.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let about = ObjectRef::to(budget.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    let default = PodDisruptionBudgetSpec::default();
    let spec = budget.spec.as_ref().unwrap_or(&default);
    if seen.pods.is_empty() {
        plan.wait(Waiting::new("NoPods", "No matching pods found", Shown::Event));
    }
    let old = status_of(budget.status.as_ref());
    let mut status = match expected(spec, seen) {
        Ok(expected) => {
            if expected.unmanaged {
                plan.wait(Waiting::new("UnmanagedPods", unmanaged(spec), Shown::Warning));
            }
            counted(budget, &seen.pods, &expected, now, &mut plan)
        }
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            plan.wait(Waiting::new("CalculateExpectedPodCountFailed", message, Shown::Warning));
            failed(&old, budget.metadata.generation.unwrap_or(0), &why, now)
        }
    };
    forget_gone(&old, &mut status);
    if let Some(patch) = replacing(&old, status) {
        // With its resourceVersion: an eviction in between has taken a disruption.
        plan.act(Action::status(about, patch));
    }
    plan
}

/// In a merge patch what is gone has to be said.
fn forget_gone(old: &Value, status: &mut Value) {
    let known = old["disruptedPods"].as_object().cloned().unwrap_or_default();
    let Some(status) = status.as_object_mut() else { return };
    let Some(Value::Object(mut still)) = status.remove("disruptedPods") else { return };
    if still.is_empty() {
        return;
    }
    for name in known.into_iter().map(|(name, _)| name) {
        still.entry(name).or_insert(Value::Null);
    }
    status.insert("disruptedPods".to_owned(), Value::Object(still));
}

fn unmanaged(spec: &PodDisruptionBudgetSpec) -> String {
    let selector = spec.selector.as_ref().map(|selector| json!(selector)).unwrap_or_default();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    )
}

fn expected(spec: &PodDisruptionBudgetSpec, seen: &Observed) -> Result<Expected, String> {
    if let Some(most) = &spec.max_unavailable {
        let (pods, unmanaged) = wanted(seen)?;
        let healthy = pods.saturating_sub(amount(most, pods)).max(0);
        return Ok(Expected { pods, healthy, unmanaged });
    }
    match &spec.min_available {
        Some(IntOrString::Int(healthy)) => {
            let pods = i32::try_from(seen.pods.len()).unwrap_or(i32::MAX);
            Ok(Expected { pods, healthy: *healthy, unmanaged: false })
        }
        Some(share) => {
            let (pods, unmanaged) = wanted(seen)?;
            Ok(Expected { pods, healthy: amount(share, pods), unmanaged })
        }
        None => Ok(Expected { pods: 0, healthy: 0, unmanaged: false }),
    }
}

/// A number, or a share of `all` rounded up.
fn amount(value: &IntOrString, all: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|text| text.parse::<i64>().ok());
            let hundredfold = percent.unwrap_or(0).saturating_mul(i64::from(all));
            i32::try_from(hundredfold.saturating_add(99).div_euclid(100)).unwrap_or(i32::MAX)
        }
    }
}

/// How many pods those who control the selected ones want, and whether some of these are nobody's.
fn wanted(seen: &Observed) -> Result<(i32, bool), String> {
    let mut counted: HashSet<&str> = HashSet::new();
    let (mut all, mut unmanaged) = (0i32, false);
    for pod in &seen.pods {
        let Some(owner) = controller_of(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        let size = seen.sizes.get(&owner.uid).ok_or_else(|| no_scale(owner))?;
        if counted.insert(&size.uid) {
            all = all.saturating_add(size.replicas);
        }
    }
    Ok((all, unmanaged))
}

fn no_scale(owner: &OwnerReference) -> String {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    let plural = format!("{}s", owner.kind.to_lowercase());
    let resource = if group.is_empty() { plural } else { format!("{plural}.{group}") };
    format!("{resource} does not implement the scale subresource")
}

/// The status of what has been counted.
fn counted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    expected: &Expected,
    now: Timestamp,
    plan: &mut Plan,
) -> Value {
    let disrupted = still_disrupted(budget, pods, now, plan);
    let healthy = pods.iter().filter(|pod| {
        let name = pod.metadata.name.as_deref().unwrap_or("");
        !pods::is_deleting(pod) && !disrupted.contains_key(name) && pods::is_ready(pod)
    });
    let healthy = i32::try_from(healthy.count()).unwrap_or(i32::MAX);
    let spare = healthy.saturating_sub(expected.healthy);
    let allowed = if expected.pods <= 0 { 0 } else { spare.max(0) };
    let generation = budget.metadata.generation.unwrap_or(0);
    let (value, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = status_of(budget.status.as_ref());
    let disrupted: BTreeMap<&str, String> =
        disrupted.iter().map(|(name, time)| (name.as_str(), time_text(time.0))).collect();
    json!({
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "expectedPods": expected.pods,
        "disruptionsAllowed": allowed,
        "disruptedPods": disrupted,
        "observedGeneration": generation,
        "conditions": conditions(&old, generation, (value, reason, ""), now),
    })
}

/// The pods of which an eviction said lately that they would go, and that are still there.
fn still_disrupted(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    now: Timestamp,
    plan: &mut Plan,
) -> BTreeMap<String, Time> {
    let known = budget.status.as_ref().and_then(|status| status.disrupted_pods.as_ref());
    let mut still = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pods::is_deleting(pod)) {
        let name = pod.metadata.name.as_deref().unwrap_or("");
        let Some(since) = known.and_then(|known| known.get(name)) else { continue };
        let due = after(since.0, DELETION);
        if due < now {
            let message = format!(
                "Pod was expected by PDB {}/{} to be deleted but it wasn't",
                budget.metadata.namespace.as_deref().unwrap_or(""),
                budget.metadata.name.as_deref().unwrap_or("")
            );
            plan.act(Action::warning(ObjectRef::to(pod.as_ref()), "NotDeleted", message));
        } else {
            let left = until(due, now) + Duration::from_secs(1);
            plan.requeue = Some(plan.requeue.map_or(left, |known| known.min(left)));
            still.insert(name.to_owned(), since.clone());
        }
    }
    still
}

/// Nothing is allowed while nothing is known.
fn failed(old: &Value, generation: i64, why: &str, now: Timestamp) -> Value {
    let mut status = old.clone();
    for field in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        if status[field].is_null() {
            status[field] = 0.into();
        }
    }
    status["disruptionsAllowed"] = 0.into();
    let observed = status["observedGeneration"].as_i64().unwrap_or(0).max(generation);
    status["observedGeneration"] = observed.into();
    status["conditions"] = conditions(old, observed, ("False", "SyncFailed", why), now);
    status
}

/// The conditions with this one set; its time moves only when it turns.
fn conditions(
    old: &Value,
    generation: i64,
    (value, reason, message): (&str, &str, &str),
    now: Timestamp,
) -> Value {
    let mut all = old["conditions"].as_array().cloned().unwrap_or_default();
    let known = all.iter().find(|one| one["type"] == ALLOWED && one["status"] == value);
    let since =
        known.map_or_else(|| json!(time_text(now)), |one| one["lastTransitionTime"].clone());
    let fresh = json!({
        "type": ALLOWED, "status": value, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since,
    });
    match all.iter_mut().find(|one| one["type"] == ALLOWED) {
        Some(one) => *one = fresh,
        None => all.push(fresh),
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests;
