//! Evictions and the budgets that forbid them.
//!
//! Knows: which budgets are for a pod, when one allows another disruption, and what it says afterwards. Refuses to know:
//! who counts healthy pods, and how a budget is written.

use std::borrow::Borrow;

use leme_meta::selector::LabelSelector;
use leme_meta::status::Details;
use leme_meta::{Cause, Gvr, Status};
use leme_registry::json;
use serde_json::{Value, json};

use crate::Seen;

/// The budgets.
pub const BUDGETS: Seen = Seen { group: "policy", version: "v1", plural: "poddisruptionbudgets" };

/// Disruptions that a budget waits to see happen, at most.
const MOST_DISRUPTED: usize = 2000;
const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
/// The condition of a budget.
const ALLOWED: &str = "DisruptionAllowed";

/// What a pod may be evicted on the ground of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// No budget has a part in it.
    Nothing,
    /// It is not healthy, and must not have become so: it is deleted only as it was seen.
    AsSeen,
    /// The budget of this name has to allow it.
    Budget(String),
}

/// What a pod may be evicted on the ground of, given the budgets of its namespace.
pub fn ground(pod: &Value, budgets: &[impl Borrow<Value>]) -> Result<Ground, Status> {
    let phase = json::text(pod, &["status", "phase"]);
    let over = matches!(phase, "Succeeded" | "Failed");
    if over || json::at(pod, &["metadata", "deletionTimestamp"]).is_some() {
        return Ok(Ground::Nothing);
    }
    if phase == "Pending" {
        return Ok(Ground::AsSeen);
    }
    let mut own = budgets.iter().map(Borrow::borrow).filter(|budget| is_for(budget, pod));
    let Some(budget) = own.next() else { return Ok(Ground::Nothing) };
    if own.next().is_some() {
        let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::new(500, "", why));
    }
    if !is_ready(pod) {
        let number = |field: &str| json::int(budget, &["status", field]).unwrap_or(0);
        let (current, desired) = (number("currentHealthy"), number("desiredHealthy"));
        let always = json::text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
        if always || (current >= desired && desired > 0) {
            return Ok(Ground::AsSeen);
        }
    }
    Ok(Ground::Budget(json::text(budget, &["metadata", "name"]).to_owned()))
}

/// Whether a budget is for a pod. One without labels is in none.
fn is_for(budget: &Value, pod: &Value) -> bool {
    let labels = json::at(pod, &["metadata", "labels"]).unwrap_or(&Value::Null);
    let Some(selector) = json::at(budget, &["spec", "selector"]) else { return false };
    let label = |key: &str| json::text(labels, &[key]);
    let selects = LabelSelector::from_json(selector).is_ok_and(|selector| {
        selector.matches(|key| labels.get(key).is_some().then(|| label(key)))
    });
    selects && labels.as_object().is_some_and(|labels| !labels.is_empty())
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| json::text(ready, &["status"]) == "True")
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = json::list(object, &["status", "conditions"]).iter();
    conditions.into_iter().find(|condition| json::text(condition, &["type"]) == kind)
}

fn refused(why: &str, retry_after: u32) -> Status {
    let mut status = Status::too_many_requests(VIOLATES, retry_after);
    let details = status.details.get_or_insert_with(|| Box::new(Details::default()));
    details.causes.push(Cause {
        reason: "DisruptionBudget".to_owned(),
        message: why.to_owned(),
        field: String::new(),
    });
    status
}

/// The status of a budget after the disruption of a pod, if it allows one.
pub fn disrupted(budget: &Value, pod: &str, now: jiff::Timestamp) -> Result<Value, Status> {
    let name = json::text(budget, &["metadata", "name"]);
    let forbidden = |why: &str| {
        let resource = Gvr {
            group: "policy".to_owned(),
            version: "v1".to_owned(),
            resource: "poddisruptionbudget".to_owned(),
        };
        Err(Status::forbidden(&resource, name, why))
    };
    let number = |path: &[&str]| json::int(budget, path).unwrap_or(0);
    if number(&["status", "observedGeneration"]) < number(&["metadata", "generation"]) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refused(&why, 10));
    }
    let allowed = number(&["status", "disruptionsAllowed"]);
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if json::entries(budget, &["status", "disruptedPods"]).count() > MOST_DISRUPTED {
        return forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        );
    }
    if allowed == 0 {
        return Err(refused(&reason(budget, name), 0));
    }
    let mut status = budget.get("status").cloned().unwrap_or_else(|| json!({}));
    let time = leme_meta::time::seconds(now);
    json::set(&mut status, "disruptionsAllowed", allowed - 1);
    json::set(json::child(&mut status, "disruptedPods"), pod, time.as_str());
    if allowed == 1 {
        exhausted(&mut status, &time);
    }
    Ok(status)
}

/// Why a budget allows no disruption.
fn reason(budget: &Value, name: &str) -> String {
    let number = |field: &str| json::int(budget, &["status", field]).unwrap_or(0);
    let (current, desired) = (number("currentHealthy"), number("desiredHealthy"));
    let told = condition(budget, ALLOWED).filter(|condition| {
        json::text(condition, &["status"]) == "False"
            && !json::text(condition, &["message"]).is_empty()
    });
    let text = |field: &str| told.map_or("", |condition| json::text(condition, &[field]));
    let not = format!("The disruption budget {name} does not allow evicting pods currently");
    match told {
        Some(_) if text("reason") == "SyncFailed" => {
            format!("{not} because it failed sync: {}", text("message"))
        }
        _ if current <= desired => format!(
            "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        ),
        Some(_) => format!("{not} ({}): {}", text("reason"), text("message")),
        None => not,
    }
}

/// Says in a status that nothing more is allowed.
fn exhausted(status: &mut Value, time: &str) {
    let observed = json::int(status, &["observedGeneration"]).unwrap_or(0);
    let mut conditions = json::list(status, &["conditions"]).to_vec();
    let old = conditions.iter().find(|one| json::text(one, &["type"]) == ALLOWED);
    let since = old
        .filter(|old| json::text(old, &["status"]) == "False")
        .map_or(time, |old| json::text(old, &["lastTransitionTime"]))
        .to_owned();
    conditions.retain(|one| json::text(one, &["type"]) != ALLOWED);
    conditions.push(json!({
        "type": ALLOWED, "status": "False", "reason": "InsufficientPods", "message": "",
        "observedGeneration": observed, "lastTransitionTime": since,
    }));
    json::set(status, "conditions", conditions);
}
