//! Requests and limits, as the kernel counts them.
//!
//! Knows: quality of service, shares, quota, out-of-memory scores. Refuses to know: cgroup files.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
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

/// Microseconds over which CPU is counted.
const PERIOD: u64 = 100_000;

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
    let (cpu_quota, cpu_period) = bandwidth(amount(limits(container), "cpu", milli));
    Resources {
        cpu_shares: u64::try_from(cpu_request * 1024 / 1000).unwrap_or(0).clamp(2, 262_144),
        cpu_quota,
        cpu_period,
        memory_limit: amount(limits(container), "memory", units),
        oom_score_adj: oom_score(qos(pod), asked(container, "memory", units), node_memory),
    }
}

/// Requests and limits as text, for a container to carry.
pub fn text(resources: Option<&ResourceRequirements>) -> String {
    resources.and_then(|one| serde_json::to_string(one).ok()).unwrap_or_else(|| "{}".to_owned())
}

/// What a container was given, by what it carries; `None` for one that carries nothing.
pub fn given(annotations: &BTreeMap<String, String>) -> Option<ResourceRequirements> {
    serde_json::from_str(annotations.get(crate::config::RESOURCES)?).ok()
}

/// Limits of a pod as a whole, where a container cannot lift them: of each kind what all containers may use together, zero
/// unless each has a limit.
pub fn of_pod(pod: &Pod) -> Resources {
    let (cpu_quota, cpu_period) = bandwidth(together(pod, "cpu", milli).unwrap_or(0));
    Resources {
        cpu_quota,
        cpu_period,
        memory_limit: memory_limit(pod).unwrap_or(0),
        ..Resources::default()
    }
}

/// Bytes of memory that all containers of a pod may use together; `None` unless each has a limit.
pub fn memory_limit(pod: &Pod) -> Option<i64> {
    together(pod, "memory", units)
}

/// The most that the containers of a pod may use at one time; init containers run one after the other, beside the sidecars
/// that have been started before them.
fn together(pod: &Pod, what: &str, read: fn(&Quantity) -> Option<i64>) -> Option<i64> {
    let (mut at_once, mut in_turn) = (0_i64, 0_i64);
    for (container, role) in spec::containers(pod) {
        match (role, amount(limits(container), what, read)) {
            (_, 0) => return None,
            (spec::Role::Init, limit) => in_turn = in_turn.max(at_once.saturating_add(limit)),
            (_, limit) => at_once = at_once.saturating_add(limit),
        }
    }
    Some(at_once.max(in_turn)).filter(|total| *total > 0)
}

/// Microseconds of CPU, and of the period they are for, of a limit in thousandths; zeros for no limit.
fn bandwidth(limit: i64) -> (i64, u64) {
    if limit > 0 { (limit.saturating_mul(100).max(1_000), PERIOD) } else { (0, 0) }
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

    /// Red when a container without a limit is passed over, or when init containers are added up.
    #[test]
    fn a_pod_is_limited_when_each_container_is() {
        let limited =
            |memory: &str| serde_json::json!({"limits": {"memory": memory, "cpu": "100m"}});
        let check = |init: &[(&str, Option<&str>)], main: &[&str], memory: i64, quota: i64| {
            let init = init.iter().enumerate().map(|(index, (memory, policy))| {
                serde_json::json!({"name": format!("i{index}"), "resources": limited(memory),
                    "restartPolicy": policy})
            });
            let main = main.iter().enumerate().map(|(index, memory)| match *memory {
                "" => serde_json::json!({"name": format!("c{index}")}),
                memory => {
                    serde_json::json!({"name": format!("c{index}"), "resources": limited(memory)})
                }
            });
            let spec = serde_json::json!({"initContainers": init.collect::<Vec<_>>(),
                "containers": main.collect::<Vec<_>>()});
            let pod: Pod = serde_json::from_value(serde_json::json!({ "spec": spec })).unwrap();
            let got = of_pod(&pod);
            assert_eq!((got.memory_limit, got.cpu_quota), (memory, quota), "{spec}");
        };
        check(&[], &["10", "20"], 30, 20_000);
        check(&[], &["10", ""], 0, 0);
        check(&[("50", None), ("40", None)], &["10", "20"], 50, 20_000);
        check(&[("5", Some("Always")), ("50", None)], &["10", "20"], 55, 30_000);
        check(&[("50", None), ("5", Some("Always"))], &["10", "20"], 50, 30_000);
    }

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
