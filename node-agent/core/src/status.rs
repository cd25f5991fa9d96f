//! What the API is told of a pod.
//!
//! Knows: phase, conditions, container statuses and their upstream words. Refuses to know: how it is written.

mod conditions;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::pod::{Again, Ended, PodMachine, Running, Slot, State};
use crate::refuse::Refusal;
use crate::spec::{self, Role};
use crate::{resources, restart};

pub use conditions::OWN_CONDITIONS;

/// The runtime's id as the API writes it.
pub fn container_id(id: &str) -> String {
    format!("leme://{id}")
}

impl PodMachine {
    /// The status of the pod at `now`, on a node with address `host_ip`.
    pub fn status(&mut self, host_ip: &str, now: Timestamp) -> PodStatus {
        let pod = self.pod.clone();
        let phase = self.phase(&pod);
        let host_network = spec::of(&pod).host_network.unwrap_or(false);
        let ip = if host_network { host_ip.to_owned() } else { self.ip.clone() };
        let ip = Some(ip).filter(|ip| !ip.is_empty());
        let statuses = |roles: &[Role]| -> Option<Vec<ContainerStatus>> {
            let containers = spec::all(&pod).filter(|(_, role)| roles.contains(role));
            let list: Vec<_> = match self.never_admitted() {
                true => Vec::new(),
                false => containers.filter_map(|(c, _)| self.container_status(&c)).collect(),
            };
            (!list.is_empty()).then_some(list)
        };
        let (reason, message) = if let (Some(message), "Failed") = (&self.evicted, phase) {
            (Some("Evicted".to_owned()), Some(message.clone()))
        } else if self.expired && phase == "Failed" {
            let text = "Pod was active on the node longer than the specified deadline";
            (Some("DeadlineExceeded".to_owned()), Some(text.to_owned()))
        } else if let Some(refused) = self.refused.as_ref().filter(|_| phase == "Failed") {
            let Refusal { reason, message } = &refused.refusal;
            (Some((*reason).to_owned()), Some(format!("Pod was rejected: {message}")))
        } else if spec::is_terminal(&pod) {
            let old = pod.status.clone().unwrap_or_default();
            (old.reason, old.message)
        } else {
            (None, None)
        };
        // What the API server made of the pod does not change.
        let known = pod.status.as_ref().and_then(|status| status.qos_class.clone());
        let status = PodStatus {
            observed_generation: pod.metadata.generation,
            phase: Some(phase.to_owned()),
            reason,
            message,
            qos_class: known.or_else(|| Some(resources::qos(&pod).name().to_owned())),
            host_ip: Some(host_ip.to_owned()),
            host_ips: Some(vec![HostIP { ip: host_ip.to_owned() }]),
            pod_ips: ip.clone().map(|ip| vec![PodIP { ip }]),
            pod_ip: ip,
            start_time: Some(Time(whole_second(self.started))),
            init_container_statuses: statuses(&[Role::Init, Role::Sidecar]),
            container_statuses: statuses(&[Role::Main]),
            ephemeral_container_statuses: statuses(&[Role::Ephemeral]),
            ..PodStatus::default()
        };
        self.update_conditions(&pod, phase, now);
        PodStatus { conditions: Some(self.all_conditions(&pod)), ..status }
    }

    fn phase(&self, pod: &Pod) -> &'static str {
        match spec::phase(pod) {
            "Succeeded" => return "Succeeded",
            "Failed" => return "Failed",
            _ => {}
        }
        let mains = || self.slots.iter().filter(|s| s.role == Role::Main);
        if self.refused.is_some() && !self.slots.iter().any(Slot::is_alive) {
            return "Failed";
        }
        if (self.expired || self.evicted.is_some()) && self.is_finished() {
            return "Failed";
        }
        if self.ended_by_deletion() {
            let well =
                mains().all(|s| matches!(&s.state, State::Ended { ended, .. } if !ended.failed()));
            return if well { "Succeeded" } else { "Failed" };
        }
        let inits = || self.slots.iter().filter(|s| s.role == Role::Init);
        if inits().any(|s| s.done().is_some_and(Ended::failed)) {
            return "Failed";
        }
        let never_ran = |s: &Slot| s.last.is_none() && !s.has_run();
        let begun = mains().any(|s| !never_ran(s));
        if !begun && inits().any(|s| !s.succeeded()) || mains().any(never_ran) {
            return "Pending";
        }
        if mains().any(|s| s.done().is_none()) {
            return "Running";
        }
        let held = mains().any(|s| s.done().is_some_and(|ended| self.restarts(s, ended)));
        match (held, mains().all(Slot::succeeded)) {
            // It would start again, but was stopped for good.
            (true, _) if !self.is_finished() => "Running",
            (_, true) => "Succeeded",
            (_, false) => "Failed",
        }
    }

    /// Whether the pod was refused before anything of it ran.
    fn never_admitted(&self) -> bool {
        self.refused.is_some() && self.slots.iter().all(|s| s.last.is_none() && !s.has_run())
    }

    fn container_status(&self, container: &Container) -> Option<ContainerStatus> {
        let slot = self.slots.iter().find(|s| s.name == container.name)?;
        // kubectl shows "Init:0/2" only for this reason, and upstream gives it to every container of such a pod.
        let initializing = self.slots.iter().any(|s| matches!(s.role, Role::Init | Role::Sidecar));
        let (state, current) = match self.repeats(slot) {
            Some(ended) => (ended_state(ended), Some(Shown::ended(ended))),
            None => describe(slot, &self.pod, initializing),
        };
        let last = match &slot.state {
            // Waiting to start again: the run that just ended is the last one.
            State::Ended { ended, again: Again::At(_, Some(_)) } => Some(ended),
            State::Starting { replaces: Some(replaced), .. } => replaced.last.as_ref(),
            _ => slot.last.as_ref(),
        };
        let Shown { id, image, image_id } = current.or(last.map(Shown::ended)).unwrap_or_default();
        let started = shown(slot).map(Running::started).unwrap_or(false);
        let given = slot.given.as_ref().filter(|_| shown(slot).is_some());
        let ready = match slot.role {
            Role::Init => slot.succeeded(),
            Role::Ephemeral => false,
            _ => shown(slot).is_some_and(Running::ready),
        };
        Some(ContainerStatus {
            name: slot.name.clone(),
            state: Some(state),
            last_state: Some(ContainerState {
                terminated: last.map(terminated),
                ..Default::default()
            }),
            ready,
            started: (slot.role != Role::Ephemeral).then_some(started),
            restart_count: i32::try_from(slot.restarts()).unwrap_or(i32::MAX),
            // Of the container that is there: the specification may name another one already.
            image: Some(image)
                .filter(|image| !image.is_empty())
                .or_else(|| container.image.clone())
                .unwrap_or_default(),
            image_id,
            container_id: Some(id).filter(|id| !id.is_empty()).map(|id| container_id(&id)),
            allocated_resources: given.and_then(|given| given.requests.clone()),
            resources: given.cloned(),
            ..ContainerStatus::default()
        })
    }

    /// The good end of an init container that runs again in a new sandbox, where the API lets none leave such an end.
    fn repeats<'s>(&self, slot: &'s Slot) -> Option<&'s Ended> {
        let ended = matches!(slot.state, State::Ended { .. });
        let last = slot.last.as_ref().filter(|last| !last.failed());
        let last = last.filter(|_| slot.role == Role::Init && !ended)?;
        let (container, _) = spec::container(&self.pod, &slot.name)?;
        (!restart::allowed(&self.pod, &container, last.exit_code)).then_some(last)
    }
}

/// What is shown as running: also what has just been stopped for its successor, until that runs. Nobody is told of the
/// moment between the two.
fn shown(slot: &Slot) -> Option<&Running> {
    match &slot.state {
        State::Starting { replaces: Some(replaced), .. } => Some(&replaced.running),
        _ => slot.running(),
    }
}

/// The container that a status is about.
#[derive(Default)]
struct Shown {
    id: String,
    image: String,
    image_id: String,
}

impl Shown {
    fn running(running: &Running) -> Shown {
        let Running { id, image, image_id, .. } = running;
        Shown { id: id.clone(), image: image.clone(), image_id: image_id.clone() }
    }

    fn ended(ended: &Ended) -> Shown {
        let Ended { id, image, image_id, .. } = ended;
        Shown { id: id.clone(), image: image.clone(), image_id: image_id.clone() }
    }
}

/// A container's state; with it the current container, if there is one.
fn describe(slot: &Slot, pod: &Pod, initializing: bool) -> (ContainerState, Option<Shown>) {
    let waiting = |reason: &str, message: &str| ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|m| !m.is_empty()),
        }),
        ..ContainerState::default()
    };
    let idle = if initializing { "PodInitializing" } else { "ContainerCreating" };
    match (shown(slot), &slot.state) {
        (Some(running), _) => {
            let started_at = Some(Time(whole_second(running.started_at)));
            let state = ContainerState {
                running: Some(ContainerStateRunning { started_at }),
                ..ContainerState::default()
            };
            (state, Some(Shown::running(running)))
        }
        (
            None,
            State::Starting { blocked: Some((reason, message, _)), .. }
            | State::Blocked { reason, message, .. },
        ) => {
            let reason = if *reason == "ContainerCreating" { idle } else { reason };
            (waiting(reason, message), None)
        }
        (None, State::Ended { again: Again::At(_, Some(delay)), .. }) => {
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                go_duration(delay.as_secs()),
                slot.name,
                spec::label(pod)
            );
            (waiting("CrashLoopBackOff", &message), None)
        }
        (None, State::Ended { ended, .. }) => (ended_state(ended), Some(Shown::ended(ended))),
        (None, _) => (waiting(idle, ""), None),
    }
}

/// The state of a container that has ended.
pub fn ended_state(ended: &Ended) -> ContainerState {
    ContainerState { terminated: Some(terminated(ended)), ..ContainerState::default() }
}

fn terminated(ended: &Ended) -> ContainerStateTerminated {
    let at = |t: Option<Timestamp>| t.map(|t| Time(whole_second(t)));
    ContainerStateTerminated {
        exit_code: ended.exit_code,
        reason: Some(ended.reason.clone()),
        message: Some(ended.message.clone()).filter(|m| !m.is_empty()),
        started_at: at(ended.started_at),
        finished_at: at(ended.finished_at),
        container_id: Some(container_id(&ended.id)).filter(|_| !ended.id.is_empty()),
        signal: None,
    }
}

/// `1m20s`, as Go prints durations.
fn go_duration(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, s) => format!("{s}s"),
        (m, s) => format!("{m}m{s}s"),
    }
}

/// Times in the API have no fraction.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

impl Slot {
    /// Whether it has run, as far as its state tells.
    fn has_run(&self) -> bool {
        matches!(self.state, State::Running(_) | State::Stopping { .. } | State::Ended { .. })
    }
}
