//! What a pod needs next.
//!
//! Knows: the order sandbox, init containers, sidecars, containers, and the way down. Refuses to know: which event led
//! here; it may be called at any time and asks for nothing twice.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Again, Effect, Ended, Notice, PodMachine, Slot, Stage, StartError, State, StopCause, Volumes,
    Why,
};
use crate::backoff::BackOff;
use crate::refuse::{self, Refusal};
use crate::restart;
use crate::spec::{self, Role};

impl PodMachine {
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.sweep(out);
        self.expire(now, out);
        self.tell_refusal(out);
        // Each pass leads to another stage or to none: a pod has few.
        for _ in 0..8 {
            if !self.pass(now, out) {
                return;
            }
        }
    }

    /// One transition; whether the stage changed.
    fn pass(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let before = self.stage.clone();
        match before.clone() {
            Stage::Preparing | Stage::Retrying { .. } => self.prepare(now, out),
            Stage::Creating | Stage::TearingDown { .. } => {}
            Stage::Up { sandbox } => self.run(&sandbox, now, out),
            Stage::Stopping { sandbox, why, deadline } => {
                self.stop(sandbox, why, deadline, now, out);
            }
            Stage::TearingDownAgain { sandbox, why, at, .. } => {
                if at <= now {
                    self.tear_down(sandbox, why, out);
                }
            }
            Stage::Finished { why, told } => self.finish(why, told, out),
        }
        self.stage != before
    }

    fn sweep(&mut self, out: &mut Vec<Effect>) {
        // While nothing replaces them, the containers in old sandboxes keep the logs and the counts.
        if matches!(self.stage, Stage::Up { .. }) {
            out.extend(self.garbage.drain(..).map(|id| Effect::RemoveSandbox { id }));
        }
    }

    fn expire(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.expires().is_some_and(|at| at <= now) {
            self.expired = true;
            out.push(Effect::Emit(Notice {
                warning: false,
                reason: "DeadlineExceeded",
                message: "Pod was active on the node longer than the specified deadline".to_owned(),
                field: String::new(),
            }));
        }
    }

    /// Says once why the pod does not run.
    fn tell_refusal(&mut self, out: &mut Vec<Effect>) {
        if let Some(refused) = self.refused.as_mut().filter(|refused| !refused.told) {
            refused.told = true;
            let Refusal { reason, message } = refused.refusal.clone();
            out.push(Effect::Emit(Notice { warning: true, reason, message, field: String::new() }));
        }
    }

    fn prepare(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let Some((why, _)) = self.must_stop() {
            self.tear_down(None, why, out);
            return;
        }
        let failed = |s: &Slot| s.role == Role::Init && s.done().is_some_and(Ended::failed);
        let mut mains = self.slots.iter().filter(|s| s.role == Role::Main);
        if self.slots.iter().any(failed) || mains.all(|s| s.done().is_some()) {
            self.tear_down(None, Why::Completed, out);
            return;
        }
        if !self.ask_volumes(now, out) {
            return;
        }
        if matches!(self.stage, Stage::Retrying { at, .. } if at > now) {
            return;
        }
        if let Stage::Preparing = self.stage {
            for index in 0..self.slots.len() {
                if self.slots[index].role == Role::Init {
                    self.rerun_init(index);
                }
            }
        }
        self.creating_failures = match self.stage {
            Stage::Retrying { failures, .. } => failures,
            _ => 0,
        };
        self.stage = Stage::Creating;
        out.push(Effect::RunSandbox { attempt: self.sandbox_attempt });
    }

    /// Asks for volumes if need be; whether they are there.
    fn ask_volumes(&mut self, now: Timestamp, out: &mut Vec<Effect>) -> bool {
        let ask = match self.volumes {
            Volumes::Ready => return true,
            Volumes::Asked => false,
            Volumes::Unasked => true,
            Volumes::Failed { again, .. } => again <= now,
        };
        if ask {
            self.volume_failures = match self.volumes {
                Volumes::Failed { failures, .. } => failures,
                _ => 0,
            };
            self.volumes = Volumes::Asked;
            out.push(Effect::PrepareVolumes);
        }
        false
    }

    fn run(&mut self, sandbox: &str, now: Timestamp, out: &mut Vec<Effect>) {
        if let Some((why, grace)) = self.must_stop() {
            self.begin_stop(sandbox, why, grace, now);
            return;
        }
        let volumes = self.ask_volumes(now, out);
        self.drive_added(sandbox, volumes, now, out);
        let mains_begun = self.begun;
        for index in 0..self.slots.len() {
            let role = self.slots[index].role;
            if role == Role::Ephemeral {
                continue;
            }
            self.begun |= role == Role::Main;
            if role == Role::Init && (mains_begun || self.slots[index].succeeded()) {
                continue;
            }
            self.drive(index, sandbox, volumes, now, out);
            let slot = &self.slots[index];
            if slot.role == Role::Init && slot.done().is_some_and(Ended::failed) {
                self.begin_stop(sandbox, Why::Completed, spec::grace(&self.pod), now);
                return;
            }
            let up = slot.running().is_some_and(super::Running::started);
            let blocks = match role {
                Role::Init => true,
                Role::Sidecar => !up && !mains_begun,
                Role::Main | Role::Ephemeral => false,
            };
            if blocks {
                return;
            }
        }
        let mut mains = self.slots.iter().filter(|s| s.role == Role::Main);
        if mains.all(|s| s.done().is_some()) {
            self.begin_stop(sandbox, Why::Completed, spec::grace(&self.pod), now);
        }
    }

    /// Starts what was added to the pod, whatever else of it has begun. What this node does not carry out never starts.
    fn drive_added(&mut self, sandbox: &str, volumes: bool, now: Timestamp, out: &mut Vec<Effect>) {
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            if slot.role != Role::Ephemeral {
                continue;
            }
            match refuse::check_added(&self.pod, &slot.name, &self.policy) {
                Err(refusal) if slot.state == State::Waiting => {
                    let error = StartError::Config(refusal.message);
                    self.started_badly(index, error, 1, now, out);
                    if let State::Blocked { again, .. } = &mut self.slots[index].state {
                        *again = Timestamp::MAX;
                    }
                }
                Err(_) => {}
                Ok(()) => self.drive(index, sandbox, volumes, now, out),
            }
        }
    }

    /// Starts a container whose time has come; tries the probes of one that runs.
    fn drive(
        &mut self,
        index: usize,
        sandbox: &str,
        volumes: bool,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let slot = &self.slots[index];
        match &slot.state {
            State::Waiting if volumes => self.start(index, sandbox, now, out),
            State::Blocked { again, .. } if volumes && *again <= now => {
                self.start(index, sandbox, now, out);
            }
            State::Ended { again: Again::At(at, _), .. } if volumes && *at <= now => {
                self.start(index, sandbox, now, out);
            }
            // Another image deserves a try at once.
            State::Ended { ended, again: Again::At(..) } if volumes && !ended.image.is_empty() => {
                let wanted =
                    spec::container(&self.pod, &slot.name).and_then(|(c, _)| c.image.clone());
                if wanted.is_some_and(|image| image != ended.image) {
                    self.slots[index].backoff = BackOff::default();
                    self.start(index, sandbox, now, out);
                }
            }
            State::Running(running) => {
                let wanted =
                    spec::container(&self.pod, &slot.name).and_then(|(c, _)| c.image.clone());
                if wanted.is_some_and(|image| image != running.image) {
                    let message =
                        format!("Container {} definition changed, will be restarted", slot.name);
                    self.stop_slot(
                        index,
                        StopCause::Changed,
                        &message,
                        spec::grace(&self.pod),
                        out,
                    );
                } else {
                    self.probe(index, now, out);
                }
            }
            State::Stopping { .. } => self.stop_again(index, spec::grace(&self.pod), now, out),
            _ => {}
        }
    }

    fn start(&mut self, index: usize, sandbox: &str, now: Timestamp, out: &mut Vec<Effect>) {
        let slot = &mut self.slots[index];
        let blocked = match &slot.state {
            State::Blocked { reason, message, failures, .. } => {
                Some((*reason, message.clone(), *failures))
            }
            State::Ended { ended, .. } => {
                if let Some(old) = slot.last.take().filter(|old| !old.id.is_empty()) {
                    out.push(Effect::RemoveContainer { id: old.id });
                }
                slot.last = Some(ended.clone());
                slot.backoff.restarted(now);
                None
            }
            _ => None,
        };
        slot.state = State::Starting { blocked, replaces: slot.replaced.take() };
        out.push(Effect::StartContainer {
            name: slot.name.clone(),
            attempt: slot.next,
            sandbox: sandbox.to_owned(),
        });
    }

    fn probe(&mut self, index: usize, now: Timestamp, out: &mut Vec<Effect>) {
        let name = self.slots[index].name.clone();
        let State::Running(running) = &mut self.slots[index].state else { return };
        let Some((container, _)) = spec::container(&self.pod, &name) else { return };
        let id = running.id.clone();
        for state in running.active_probes() {
            if state.due().is_none_or(|at| at > now) {
                continue;
            }
            let kind = state.kind();
            let Some(probe) = kind.of(&container) else { continue };
            state.begin();
            let seconds = probe.timeout_seconds.unwrap_or(1).max(1);
            let timeout = Duration::from_secs(u64::from(seconds.unsigned_abs()));
            out.push(Effect::Probe { name: name.clone(), id: id.clone(), kind, timeout });
        }
    }

    /// Whether an ended container is one that starts again.
    pub(crate) fn restarts(&self, slot: &Slot, ended: &Ended) -> bool {
        spec::container(&self.pod, &slot.name)
            .is_some_and(|(c, _)| restart::decide(&self.pod, &c, slot.role, ended.code()))
    }

    /// Whether and when an ended container starts again.
    pub(super) fn again(&mut self, index: usize, ended: &Ended, now: Timestamp) -> Again {
        if !self.restarts(&self.slots[index], ended) {
            return Again::Never;
        }
        let (at, delay) = self.slots[index].backoff.wait(ended.finished_at.unwrap_or(now));
        Again::At(at, delay)
    }
}
