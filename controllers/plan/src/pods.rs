//! Readings of a pod that controllers share. Knows pods' conditions and phases; refuses to know who owns them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::common::{after, time_text};

/// Phase, or `""`.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("")
}

/// The node it is bound to, or `""`.
pub fn node_name(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("")
}

/// Whether it has ended for good.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether it is being deleted.
pub fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it counts as a replica: neither ended nor being deleted.
pub fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !is_deleting(pod)
}

/// A condition by type.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Since when it is ready, if it is; the start of time if that was not written down.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    Some(ready.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0))
}

/// Whether it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Whether it has been ready for `min_ready` seconds.
pub fn is_available(pod: &Pod, min_ready: i32, now: Timestamp) -> bool {
    ready_since(pod)
        .is_some_and(|since| min_ready <= 0 || after(since, i64::from(min_ready)) <= now)
}

/// How far it has come, least first: whether it has a node, its phase, whether it is ready.
pub fn progress(pod: &Pod) -> (bool, u8, bool) {
    let phase = match phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    (!node_name(pod).is_empty(), phase, is_ready(pod))
}

/// How often the container was started again that was it most often.
pub fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}

/// All its addresses.
pub fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<&str> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    if all.is_empty() { status.pod_ip.as_deref().into_iter().collect() } else { all }
}

/// The number that a service port means on this pod; `None` if it names a port that the pod does not have.
pub fn target_port(port: &ServicePort, spec: Option<&PodSpec>) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = spec?;
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .find(|candidate| {
            candidate.name.as_deref() == Some(name)
                && candidate.protocol.as_deref().unwrap_or("TCP") == protocol
        })
        .map(|found| found.container_port)
}

/// The conditions with one set, as JSON for a status patch, or `None` if nothing changes. The transition time moves only
/// when the status does.
pub fn set_condition(
    pod: &Pod,
    kind: &str,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Option<Value> {
    let (status, generation) = (pod.status.as_ref(), pod.metadata.generation);
    let mut all: Vec<Value> = status
        .and_then(|status| status.conditions.as_ref())
        .map(|list| list.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect())
        .unwrap_or_default();
    let found = all.iter().position(|one| one["type"] == kind);
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or("").to_owned();
    let mut since = time_text(now);
    if let Some(old) = found.and_then(|index| all.get(index))
        && text(old, "status") == value
    {
        let same = text(old, "reason") == reason && text(old, "message") == message;
        if same && old["observedGeneration"].as_i64() == generation {
            return None;
        }
        if let Some(known) = old["lastTransitionTime"].as_str() {
            since = known.to_owned();
        }
    }
    let mut fresh = json!({
        "type": kind, "status": value, "lastProbeTime": null, "lastTransitionTime": since,
    });
    for (field, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            fresh[field] = text.into();
        }
    }
    if let Some(generation) = generation {
        fresh["observedGeneration"] = generation.into();
    }
    match found {
        Some(index) => all[index] = fresh,
        None => all.push(fresh),
    }
    Some(Value::Array(all))
}

/// The claims its volumes use.
pub fn claims(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten())
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .map(|source| source.claim_name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Red when a condition does not say which spec it is about, and when it is written again though nothing has changed.
    #[test]
    fn a_condition_is_about_a_generation() {
        let set = |generation: i64, observed: i64| {
            let pod = json!({"metadata": {"generation": generation}, "status": {"conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "R", "message": "m",
                    "observedGeneration": observed, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            set_condition(&pod, "PodScheduled", "False", "R", "m", Timestamp::UNIX_EPOCH)
        };
        assert_eq!(set(2, 2), None);
        let told = set(3, 2).unwrap();
        assert_eq!(
            (&told[0]["observedGeneration"], &told[0]["lastTransitionTime"]),
            (&json!(3), &json!("2026-01-01T00:00:00Z"))
        );
    }
}
