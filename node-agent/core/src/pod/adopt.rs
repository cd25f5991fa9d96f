//! How a machine begins: from the API and from what the runtime has.
//!
//! Knows: that containers outlive the agent. Refuses to know: anything that an earlier agent remembered.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus as ApiStatus, Pod};

use super::slot::Adopted;
use super::{
    Again, Ended, Observed, PodMachine, Refused, Running, Slot, Stage, State, Volumes, Why,
};
use crate::cri::{ContainerState, ContainerStatus, SandboxState};
use crate::refuse::{self, Policy};
use crate::spec::{self, Role};
use crate::{resources, restart};

impl PodMachine {
    /// The machine of a pod that the API has; `observed` is what the runtime has of it. A pod that asks for what this
    /// node does not carry out never runs, and one that runs all the same is stopped.
    pub fn new(pod: Arc<Pod>, observed: &Observed, policy: &Policy, now: Timestamp) -> Self {
        let mut machine = Self::adopt(pod, observed, now);
        machine.policy = policy.clone();
        if !spec::is_terminal(&machine.pod) {
            let refusal = refuse::check(&machine.pod, policy).err();
            machine.refused = refusal.map(|refusal| Refused { refusal, told: false });
        }
        machine
    }

    fn adopt(pod: Arc<Pod>, observed: &Observed, now: Timestamp) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let slots = spec::all(&pod).map(|(c, role)| Slot::new(&c.name, role)).collect();
        let mut machine = Self {
            stage: Stage::Preparing,
            volumes: Volumes::Unasked,
            gone: false,
            expired: false,
            evicted: None,
            refused: None,
            policy: Policy::default(),
            sandbox_attempt: 0,
            slots,
            ip: status.pod_ip.unwrap_or_default(),
            started: status.start_time.map_or(now, |t| t.0),
            conditions: status.conditions.unwrap_or_default(),
            garbage: Vec::new(),
            creating_failures: 0,
            volume_failures: 0,
            teardown_failures: 0,
            stop_grace: i64::MAX,
            begun: false,
            pod,
        };
        let current = machine.adopt_sandbox(observed);
        for index in 0..machine.slots.len() {
            machine.adopt_slot(index, observed, current.as_deref(), now);
        }
        let begun = |s: &Slot| s.role == Role::Main && s.state != State::Waiting;
        machine.begun = current.is_some() && machine.slots.iter().any(begun);
        if spec::is_terminal(&machine.pod) {
            machine.adopt_ended(current);
        }
        machine
    }

    /// A machine for what the runtime has of a pod that the API does not have: it stops and forgets it.
    pub fn orphan(pod: Arc<Pod>, observed: &Observed, now: Timestamp) -> Self {
        let mut pod = Arc::unwrap_or_clone(pod);
        let names: BTreeSet<&str> = observed.containers.iter().map(|c| c.name.as_str()).collect();
        let containers = names.into_iter().map(|name| k8s_openapi::api::core::v1::Container {
            name: name.to_owned(),
            ..Default::default()
        });
        pod.spec.get_or_insert_default().containers = containers.collect();
        let mut machine = Self::adopt(Arc::new(pod), observed, now);
        machine.gone = true;
        machine
    }

    /// Picks the sandbox to go on with; the others are garbage.
    fn adopt_sandbox(&mut self, observed: &Observed) -> Option<String> {
        let mut sandboxes: Vec<_> = observed.sandboxes.iter().collect();
        sandboxes.sort_by_key(|s| (s.state == SandboxState::Ready, s.attempt, s.created_at));
        let newest = sandboxes.pop()?;
        self.garbage.extend(sandboxes.iter().map(|s| s.id.clone()));
        let attempts = observed.sandboxes.iter().map(|s| s.attempt);
        self.sandbox_attempt = attempts.max().map_or(0, |a| a + 1);
        if newest.state == SandboxState::Ready {
            if !newest.ip.is_empty() {
                self.ip.clone_from(&newest.ip);
            }
            self.stage = Stage::Up { sandbox: newest.id.clone() };
            return Some(newest.id.clone());
        }
        self.garbage.push(newest.id.clone());
        None
    }

    fn adopt_slot(
        &mut self,
        index: usize,
        observed: &Observed,
        current: Option<&str>,
        now: Timestamp,
    ) {
        let name = self.slots[index].name.clone();
        let api = api_status(&self.pod, &name).cloned();
        let mut found: Vec<&ContainerStatus> =
            observed.containers.iter().filter(|c| c.name == name).collect();
        found.sort_by_key(|c| (c.attempt, c.created_at));
        // The API's count is the floor: it survives the loss of the runtime's records.
        let known = api.as_ref().map_or(0, |s| {
            let ran = s.container_id.as_deref().is_some_and(|id| !id.is_empty());
            u32::try_from(s.restart_count).unwrap_or(0) + u32::from(ran || s.restart_count > 0)
        });
        let next = found.last().map_or(0, |c| c.attempt + 1).max(known);
        self.slots[index].next = next;
        let Some(newest) = found.pop() else {
            self.remember_slot(index, api.as_ref(), now);
            self.redo_init(index, current);
            return;
        };
        self.slots[index].given = resources::given(&newest.annotations);
        let before = found.iter().rev().find(|c| c.state == ContainerState::Exited);
        self.slots[index].last = before.map(|c| Ended::from_status(c));
        let container = spec::container(&self.pod, &name).map(|(c, _)| c);
        let here = current == Some(newest.sandbox_id.as_str());
        let same = api
            .as_ref()
            .filter(|s| s.container_id.as_deref().is_some_and(|id| id.ends_with(&newest.id)));
        let adopted = Adopted {
            started: same.is_some_and(|s| s.started == Some(true)),
            ready: same.is_some_and(|s| s.ready),
        };
        let running = Running::from_status(newest, container.as_deref(), now, adopted);
        self.slots[index].state = match newest.state {
            ContainerState::Running if here => State::Running(running),
            ContainerState::Exited => {
                let ended = Ended::from_status(newest);
                let again = self.again(index, &ended, now);
                State::Ended { ended, again }
            }
            // Never started: the next start takes its attempt over.
            ContainerState::Created => {
                self.slots[index].next = newest.attempt.max(known);
                return;
            }
            ContainerState::Running | ContainerState::Unknown => {
                let ended = Ended::lost(&running, now);
                let again = self.again(index, &ended, now);
                State::Ended { ended, again }
            }
        };
        self.redo_init(index, current);
    }

    /// A container that the runtime has no record of is as the API knew it, so that what came to its end does not run
    /// again where the restart policy says so.
    fn remember_slot(&mut self, index: usize, api: Option<&ApiStatus>, now: Timestamp) {
        let Some(api) = api else { return };
        self.slots[index].last = Ended::remembered_last(api);
        if let Some(ended) = Ended::remembered(api, now) {
            let again = self.again(index, &ended, now);
            self.slots[index].state = State::Ended { ended, again };
        }
    }

    /// Without a sandbox, an init container runs again if the pod does.
    fn redo_init(&mut self, index: usize, current: Option<&str>) {
        let init = self.slots[index].role == Role::Init;
        if init && current.is_none() && !spec::is_terminal(&self.pod) {
            self.rerun_init(index);
        }
    }

    /// An init container runs again in a new sandbox, unless nothing of the pod ever runs again.
    pub(super) fn rerun_init(&mut self, index: usize) {
        let mut mains = spec::containers(&self.pod).filter(|(_, role)| *role == Role::Main);
        if !mains.any(|(container, role)| restart::possible(&self.pod, container, role)) {
            return;
        }
        let slot = &mut self.slots[index];
        if let State::Ended { ended, .. } = &slot.state {
            slot.last = Some(ended.clone());
            slot.state = State::Waiting;
        }
    }

    /// A pod that the API calls ended does not run again, whatever the runtime has.
    fn adopt_ended(&mut self, sandbox: Option<String>) {
        for slot in &mut self.slots {
            if let State::Ended { again, .. } = &mut slot.state {
                *again = Again::Never;
            }
        }
        self.stage = match sandbox {
            Some(sandbox) => {
                Stage::Stopping { sandbox, why: Why::Completed, deadline: Timestamp::MAX }
            }
            None => Stage::Finished { why: Why::Completed, told: false },
        };
        // Its sandbox may be down, but its containers hold the logs.
        self.garbage.clear();
    }
}

/// What the API's status says of a container.
pub(crate) fn api_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ApiStatus> {
    let status = pod.status.as_ref()?;
    let mains = status.container_statuses.iter().flatten();
    let inits = status.init_container_statuses.iter().flatten();
    let added = status.ephemeral_container_statuses.iter().flatten();
    mains.chain(inits).chain(added).find(|s| s.name == name)
}
