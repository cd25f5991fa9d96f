//! The conditions of a pod that the node agent writes.
//!
//! Knows: when each holds, and upstream's words. Refuses to know: what others write.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{shown, whole_second};
use crate::pod::{PodMachine, Running, Slot};
use crate::spec::{self, Role};

/// Conditions that the node agent writes; others in `status.conditions` belong to somebody else.
pub const OWN_CONDITIONS: &[&str] = &[
    "PodScheduled",
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
    RESIZE,
];

/// There is none where nothing is to be resized.
const RESIZE: &str = "PodResizePending";

impl PodMachine {
    /// Whether init containers are done and sidecars have started.
    fn initialized(&self) -> bool {
        let begun =
            self.slots.iter().any(|s| s.role == Role::Main && (s.has_run() || s.last.is_some()));
        begun
            || self.slots.iter().all(|s| match s.role {
                Role::Init => s.succeeded(),
                Role::Sidecar => shown(s).is_some_and(Running::started),
                Role::Main | Role::Ephemeral => true,
            })
    }

    pub(super) fn update_conditions(&mut self, pod: &Pod, phase: &str, now: Timestamp) {
        let done = match phase {
            "Succeeded" => Some("PodCompleted"),
            "Failed" => Some("PodFailed"),
            _ => None,
        };
        let unready = self.names(|s| {
            matches!(s.role, Role::Main | Role::Sidecar) && !shown(s).is_some_and(Running::ready)
        });
        let incomplete = self.names(|s| match s.role {
            Role::Init => !s.succeeded(),
            Role::Sidecar => !shown(s).is_some_and(Running::started),
            Role::Main | Role::Ephemeral => false,
        });
        let containers = match done {
            Some(reason) => Verdict::no(reason, String::new()),
            None if unready.is_empty() => Verdict::yes(),
            None => {
                let text = format!("containers with unready status: [{}]", unready.join(" "));
                Verdict::no("ContainersNotReady", text)
            }
        };
        let ready = if containers.status { readiness_gates(pod) } else { containers.clone() };
        let initialized = if phase == "Succeeded" {
            Verdict { status: true, reason: "PodCompleted", message: String::new() }
        } else if self.initialized() {
            Verdict::yes()
        } else {
            let text = format!("containers with incomplete status: [{}]", incomplete.join(" "));
            Verdict::no("ContainersNotInitialized", text)
        };
        let sandbox = Verdict { status: self.has_sandbox(), reason: "", message: String::new() };
        let verdicts = [Verdict::yes(), sandbox, initialized, containers, ready];
        for (kind, verdict) in OWN_CONDITIONS.iter().zip(verdicts) {
            self.set_condition(kind, verdict, now);
        }
        let unresized = if done.is_none() { self.unresized(pod) } else { Vec::new() };
        if unresized.is_empty() {
            self.conditions.retain(|condition| condition.type_ != RESIZE);
            return;
        }
        let message = format!(
            "this node does not resize what runs: containers keep what they were started with: [{}]",
            unresized.join(" ")
        );
        let verdict = Verdict { status: true, reason: "Infeasible", message };
        self.set_condition(RESIZE, verdict, now);
    }

    /// The containers that were given something else of the node than the pod asks for by now.
    fn unresized(&self, pod: &Pod) -> Vec<String> {
        let asks = |name: &str| {
            let (container, _) = spec::container(pod, name)?;
            Some(container.resources.clone().unwrap_or_default())
        };
        let other = |slot: &Slot| {
            slot.given.as_ref().is_some_and(|given| {
                asks(&slot.name).is_some_and(|asked| {
                    (&asked.requests, &asked.limits) != (&given.requests, &given.limits)
                })
            })
        };
        self.names(other)
    }

    fn names(&self, which: impl Fn(&Slot) -> bool) -> Vec<String> {
        self.slots.iter().filter(|s| which(s)).map(|s| s.name.clone()).collect()
    }

    fn set_condition(&mut self, kind: &str, verdict: Verdict, now: Timestamp) {
        let status = if verdict.status { "True" } else { "False" };
        let text = |s: &str| Some(s.to_owned()).filter(|s| !s.is_empty());
        let old = self.conditions.iter().position(|c| c.type_ == kind);
        let same = old.map(|at| &self.conditions[at]).filter(|c| c.status == status);
        let since = same.and_then(|c| c.last_transition_time.clone());
        let condition = PodCondition {
            type_: kind.to_owned(),
            observed_generation: self.pod.metadata.generation,
            status: status.to_owned(),
            reason: text(verdict.reason),
            message: text(&verdict.message),
            last_transition_time: Some(since.unwrap_or(Time(whole_second(now)))),
            ..PodCondition::default()
        };
        match old {
            Some(at) => self.conditions[at] = condition,
            None => self.conditions.push(condition),
        }
    }

    /// Own conditions, and those that others have written.
    pub(super) fn all_conditions(&self, pod: &Pod) -> Vec<PodCondition> {
        let others = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let others = others.filter(|c| !OWN_CONDITIONS.contains(&c.type_.as_str())).cloned();
        let own = OWN_CONDITIONS
            .iter()
            .filter_map(|kind| self.conditions.iter().find(|c| c.type_ == *kind).cloned());
        own.chain(others).collect()
    }
}

#[derive(Clone, Debug)]
struct Verdict {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn yes() -> Self {
        Self { status: true, reason: "", message: String::new() }
    }

    fn no(reason: &'static str, message: String) -> Self {
        Self { status: false, reason, message }
    }
}

fn readiness_gates(pod: &Pod) -> Verdict {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let mut faults = Vec::new();
    for gate in spec::of(pod).readiness_gates.as_deref().unwrap_or_default() {
        let kind = &gate.condition_type;
        match conditions.iter().find(|c| c.type_ == *kind) {
            Some(found) if found.status == "True" => {}
            Some(found) => faults.push(format!(
                "the status of pod readiness gate {kind:?} is not \"True\", but {}",
                found.status
            )),
            None => faults.push(format!(
                "corresponding condition of pod readiness gate {kind:?} does not exist."
            )),
        }
    }
    if faults.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", faults.join(", "))
    }
}
