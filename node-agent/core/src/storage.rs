//! How much of the node's disk a pod uses, against what it may.
//!
//! Knows: limits, and the words for going over one. Refuses to know: how usage is measured, what follows.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use leme_meta::Quantity;

use crate::spec::{self, Role};

const RESOURCE: &str = "ephemeral-storage";
/// Pods of this priority and above keep the node going and are not evicted.
const CRITICAL: i32 = 2_000_000_000;

/// Bytes that a pod uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In each `emptyDir`, by volume.
    pub empty_dirs: BTreeMap<String, u64>,
    /// Logs and writable layer, by container.
    pub containers: BTreeMap<String, u64>,
    /// In other files on the node's disk that are there for the pod.
    pub other: u64,
}

/// Whether anything limits what the pod uses, so that it is worth measuring.
pub fn is_limited(pod: &Pod) -> bool {
    empty_dir_limits(pod).next().is_some() || pod_limit(pod).is_some()
}

/// What the pod is over, as the message of its eviction; `None` if it keeps to its limits.
pub fn over(pod: &Pod, usage: &Usage) -> Option<String> {
    if pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p >= CRITICAL) {
        return None;
    }
    for (name, limit) in empty_dir_limits(pod) {
        if usage.empty_dirs.get(name).is_some_and(|used| exceeds(*used, &limit)) {
            return Some(format!(
                "Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". "
            ));
        }
    }
    let limit = pod_limit(pod)?;
    if exceeds(total(pod, usage), &limit) {
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    let mut mains = spec::containers(pod).filter(|(_, role)| *role == Role::Main);
    mains.find_map(|(container, _)| {
        let (name, limit) = (&container.name, container_limit(container)?);
        let used = usage.containers.get(name)?;
        exceeds(*used, &limit).then(|| {
            format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". ")
        })
    })
}

fn exceeds(used: u64, limit: &Quantity) -> bool {
    i64::try_from(used).unwrap_or(i64::MAX) > limit.value()
}

fn parse(text: &str) -> Option<Quantity> {
    Quantity::parse(text).ok().filter(|q| !q.is_zero() && !q.is_negative())
}

fn empty_dir_limits(pod: &Pod) -> impl Iterator<Item = (&str, Quantity)> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes.filter_map(|volume| {
        let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
        Some((volume.name.as_str(), parse(&limit.0)?))
    })
}

fn container_limit(container: &Container) -> Option<Quantity> {
    parse(&container.resources.as_ref()?.limits.as_ref()?.get(RESOURCE)?.0)
}

/// The limits of the containers that have one, together; init containers run one at a time.
fn pod_limit(pod: &Pod) -> Option<Quantity> {
    let (mut at_once, mut in_turn): (Option<Quantity>, Option<Quantity>) = (None, None);
    for (container, role) in spec::containers(pod) {
        let Some(limit) = container_limit(container) else { continue };
        if role == Role::Init {
            let longest = in_turn.take().filter(|seen| seen.milli() >= limit.milli());
            in_turn = Some(longest.unwrap_or(limit));
        } else {
            at_once = match at_once {
                Some(sum) => sum.checked_add(&limit),
                None => Some(limit),
            };
        }
    }
    [at_once, in_turn].into_iter().flatten().max_by_key(Quantity::milli)
}

/// All of it that is on the node's disk: volumes in memory count as memory.
fn total(pod: &Pod, usage: &Usage) -> u64 {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let in_memory = |v: &k8s_openapi::api::core::v1::Volume| {
        v.empty_dir.as_ref().is_some_and(|e| e.medium.as_deref() == Some("Memory"))
    };
    let on_disk = volumes.filter(|v| !in_memory(v)).filter_map(|v| usage.empty_dirs.get(&v.name));
    let parts = on_disk.chain(usage.containers.values()).chain([&usage.other]);
    parts.fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[track_caller]
    fn check(spec: serde_json::Value, used: &[(&str, u64)], want: Option<&str>) {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let mut usage = Usage::default();
        for (name, bytes) in used {
            match name.split_once('/') {
                Some(("volume", name)) => usage.empty_dirs.insert(name.into(), *bytes),
                Some((_, name)) => usage.containers.insert(name.into(), *bytes),
                None => {
                    usage.other = *bytes;
                    None
                }
            };
        }
        assert_eq!(over(&pod, &usage).as_deref(), want);
        assert!(is_limited(&pod) || want.is_none());
    }

    fn limited(name: &str, limit: &str) -> serde_json::Value {
        json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}})
    }

    // Red when nothing is looked at: a pod fills the node's disk whatever it declares.
    #[test]
    fn the_first_limit_that_is_passed_is_named() {
        let volume = json!({"containers": [{"name": "c"}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}, {"name": "w", "emptyDir": {}}]});
        let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ";
        check(volume.clone(), &[("volume/v", MIB), ("volume/w", 99 * MIB)], None);
        check(volume, &[("volume/v", MIB + 1)], Some(message));

        let two = json!({"containers": [limited("a", "1Mi"), limited("b", "2Mi")],
            "volumes": [{"name": "w", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]});
        check(
            two.clone(),
            &[("volume/w", 2 * MIB), ("container/b", MIB), ("other", 1)],
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. "),
        );
        check(two.clone(), &[("volume/m", 99 * MIB), ("container/b", MIB)], None);
        check(
            two,
            &[("container/a", MIB + 1)],
            Some("Container a exceeded its local ephemeral storage limit \"1Mi\". "),
        );
    }

    #[test]
    fn what_has_no_limit_or_keeps_the_node_going_stays() {
        check(json!({"containers": [{"name": "c"}]}), &[("container/c", u64::MAX)], None);
        let zero = json!({"containers": [{"name": "c"}],
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "0"}}]});
        check(zero, &[("volume/v", MIB)], None);
        let critical = json!({"priority": 2_000_001_000, "containers": [limited("c", "1Mi")]});
        check(critical, &[("container/c", 9 * MIB)], None);
    }
}
