//! Requests and limits, as the kernel counts them.
//!
//! Knows: quality of service, shares, quota, out-of-memory scores. Refuses to know: cgroup files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::cri::Resources;
use crate::quantity::{milli, units};
use crate::spec;

/// Quality of service of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Every container has limits equal to its requests, for CPU and memory.
    Guaranteed,
    /// Some container asks for something.
    Burstable,
    /// None does.
    BestEffort,
}

impl Qos {
    /// As in `status.qosClass`.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

type Amounts = BTreeMap<String, Quantity>;

fn amount(of: Option<&Amounts>, what: &str, read: fn(&Quantity) -> Option<i64>) -> i64 {
    of.and_then(|m| m.get(what)).and_then(read).unwrap_or(0).max(0)
}

fn requests(container: &Container) -> Option<&Amounts> {
    container.resources.as_ref()?.requests.as_ref()
}

fn limits(container: &Container) -> Option<&Amounts> {
    container.resources.as_ref()?.limits.as_ref()
}

/// What a container asks for: its request, or its limit when only that is given.
fn asked(container: &Container, what: &str, read: fn(&Quantity) -> Option<i64>) -> i64 {
    match requests(container).and_then(|m| m.get(what)) {
        Some(quantity) => read(quantity).unwrap_or(0).max(0),
        None => amount(limits(container), what, read),
    }
}

/// The pod's quality of service.
pub fn qos(pod: &Pod) -> Qos {
    let mut guaranteed = true;
    let mut anything = false;
    for (container, _) in spec::containers(pod) {
        for (what, read) in [("cpu", milli as fn(&Quantity) -> Option<i64>), ("memory", units)] {
            let limit = amount(limits(container), what, read);
            let request = asked(container, what, read);
            anything |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && request == limit;
        }
    }
    match (anything, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// Limits of one container; `node_memory` is the node's capacity in bytes.
pub fn of_container(pod: &Pod, container: &Container, node_memory: i64) -> Resources {
    let cpu_request = asked(container, "cpu", milli);
    let cpu_limit = amount(limits(container), "cpu", milli);
    let period: u64 = 100_000;
    Resources {
        cpu_shares: u64::try_from(cpu_request * 1024 / 1000).unwrap_or(0).clamp(2, 262_144),
        cpu_quota: if cpu_limit > 0 { (cpu_limit * 100).max(1_000) } else { 0 },
        cpu_period: if cpu_limit > 0 { period } else { 0 },
        memory_limit: amount(limits(container), "memory", units),
        oom_score_adj: oom_score(qos(pod), asked(container, "memory", units), node_memory),
    }
}

/// Bytes of memory that all containers of a pod may use together; `None` unless each has a limit.
pub fn memory_limit(pod: &Pod) -> Option<i64> {
    let (mut at_once, mut in_turn) = (0_i64, 0_i64);
    for (container, role) in spec::containers(pod) {
        match (role, amount(limits(container), "memory", units)) {
            (_, 0) => return None,
            (spec::Role::Init, limit) => in_turn = in_turn.max(limit),
            (_, limit) => at_once = at_once.saturating_add(limit),
        }
    }
    Some(at_once.max(in_turn)).filter(|total| *total > 0)
}

/// Guaranteed pods go last, best effort ones first; between them the one that asked for less memory.
fn oom_score(qos: Qos, memory: i64, node_memory: i64) -> i64 {
    match qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let share = i128::from(memory) * 1000 / i128::from(node_memory.max(1));
            i64::try_from(1000 - share).unwrap_or(2).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({"spec": {"containers": [
            {"name": "c", "resources": resources}]}}))
        .unwrap()
    }

    #[test]
    fn maps_requests_and_limits() {
        let check = |json, class: &str, shares, quota, memory, score| {
            let pod = pod(json);
            let container = &pod.spec.as_ref().unwrap().containers[0];
            let got = of_container(&pod, container, 1 << 30);
            assert_eq!(qos(&pod).name(), class);
            assert_eq!(
                (got.cpu_shares, got.cpu_quota, got.memory_limit, got.oom_score_adj),
                (shares, quota, memory, score)
            );
        };
        check(serde_json::json!({}), "BestEffort", 2, 0, 0, 1000);
        check(
            serde_json::json!({"limits": {"cpu": "500m", "memory": "64Mi"}}),
            "Guaranteed",
            512,
            50_000,
            64 << 20,
            -997,
        );
        check(serde_json::json!({"requests": {"memory": "512Mi"}}), "Burstable", 2, 0, 0, 500);
    }
}
