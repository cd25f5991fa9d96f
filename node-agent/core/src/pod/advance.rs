//! What a pod needs next.
//!
//! Knows: the order sandbox, init containers, sidecars, containers, and the way down. Refuses to know: which event led
//! here; it may be called at any time and asks for nothing twice.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Again, Effect, Ended, Notice, PodMachine, Stage, State, StopCause, Volumes, Why};
use crate::backoff::{BackOff, add};
use crate::spec::{self, RestartPolicy, Role};

/// Least time between the stop signal and the kill of a pod that the API has no longer.
const GONE_GRACE: i64 = 2;

impl PodMachine {
    pub(super) fn advance(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.sweep(out);
        self.expire(now, out);
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

    /// Why the pod must stop, if it must, and the seconds it has.
    fn must_stop(&self) -> Option<(Why, i64)> {
        if self.gone {
            return Some((Why::Gone, GONE_GRACE));
        }
        if let Some(grace) = spec::deletion_grace(&self.pod) {
            return Some((Why::Deleted, grace.max(1)));
        }
        if self.expired {
            return Some((Why::Expired, spec::grace(&self.pod)));
        }
        // The API called it ended (an eviction, say) while it still runs here.
        spec::is_terminal(&self.pod).then(|| (Why::Completed, spec::grace(&self.pod)))
    }

    fn prepare(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let Some((why, _)) = self.must_stop() {
            self.tear_down(None, why, out);
            return;
        }
        let mut mains = self.slots.iter().filter(|s| s.role == Role::Main);
        if mains.all(|s| s.done().is_some()) {
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
        let mains_begun =
            self.slots.iter().any(|s| s.role == Role::Main && s.state != State::Waiting);
        for index in 0..self.slots.len() {
            let role = self.slots[index].role;
            if role == Role::Init && (mains_begun || self.slots[index].succeeded()) {
                continue;
            }
            self.drive(index, sandbox, volumes, now, out);
            let slot = &self.slots[index];
            if slot.role == Role::Init && slot.done().is_some_and(|e| e.exit_code != 0) {
                self.begin_stop(sandbox, Why::Completed, spec::grace(&self.pod), now);
                return;
            }
            let up = slot.running().is_some_and(super::Running::started);
            let blocks = match role {
                Role::Init => true,
                Role::Sidecar => !up && !mains_begun,
                Role::Main => false,
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

    fn begin_stop(&mut self, sandbox: &str, why: Why, grace: i64, now: Timestamp) {
        let deadline = add(now, SignedDuration::from_secs(grace));
        self.stop_grace = grace;
        self.stage = Stage::Stopping { sandbox: sandbox.to_owned(), why, deadline };
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
        slot.state = State::Starting { blocked };
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
            let Some(probe) = kind.of(container) else { continue };
            state.begin();
            let seconds = probe.timeout_seconds.unwrap_or(1).max(1);
            let timeout = Duration::from_secs(u64::from(seconds.unsigned_abs()));
            out.push(Effect::Probe { name: name.clone(), id: id.clone(), kind, timeout });
        }
    }

    /// Stops one container.
    pub(super) fn stop_slot(
        &mut self,
        index: usize,
        cause: StopCause,
        message: &str,
        grace: i64,
        out: &mut Vec<Effect>,
    ) {
        let State::Running(running) = self.slots[index].state.clone() else { return };
        let slot = &mut self.slots[index];
        slot.state = State::Stopping { running: running.clone(), cause, again: None };
        out.push(Effect::Emit(Notice {
            warning: false,
            reason: "Killing",
            message: message.to_owned(),
            field: spec::field_path(&slot.name, slot.role),
        }));
        self.push_stop(index, &running.id, grace, out);
    }

    /// Asks for a stop.
    pub(super) fn push_stop(&self, index: usize, id: &str, grace: i64, out: &mut Vec<Effect>) {
        let name = self.slots[index].name.clone();
        let container = spec::container(&self.pod, &name).map(|(c, _)| c);
        let pre_stop =
            container.and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.pre_stop.clone());
        let grace = Duration::from_secs(grace.max(0).unsigned_abs());
        out.push(Effect::StopContainer { name, id: id.to_owned(), grace, pre_stop });
    }

    /// Repeats a stop that failed.
    fn stop_again(&mut self, index: usize, grace: i64, now: Timestamp, out: &mut Vec<Effect>) {
        let State::Stopping { running, again, .. } = &mut self.slots[index].state else { return };
        if again.is_some_and(|at| at <= now) {
            *again = None;
            let id = running.id.clone();
            self.push_stop(index, &id, grace, out);
        }
    }

    /// Stops containers, ordinary ones before sidecars; when all have ended, the sandbox goes.
    fn stop(
        &mut self,
        sandbox: String,
        why: Why,
        deadline: Timestamp,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let (why, deadline) = self.hasten(&sandbox, why, deadline, now, out);
        let left = deadline.duration_since(now).as_millis();
        let grace = i64::try_from((left + 999) / 1000).unwrap_or(i64::MAX).max(1);
        let mains_alive = self.slots.iter().any(|s| s.role != Role::Sidecar && s.is_alive());
        for index in 0..self.slots.len() {
            if mains_alive && self.slots[index].role == Role::Sidecar {
                continue;
            }
            match &self.slots[index].state {
                State::Running(_) => {
                    let message = format!("Stopping container {}", self.slots[index].name);
                    self.stop_slot(index, StopCause::Pod, &message, grace, out);
                }
                State::Stopping { .. } => self.stop_again(index, grace, now, out),
                _ => {}
            }
        }
        if !self.slots.iter().any(super::Slot::is_alive) {
            self.tear_down(Some(sandbox), why, out);
        }
    }

    /// A later, stronger reason or a shorter grace replaces the first one.
    fn hasten(
        &mut self,
        sandbox: &str,
        why: Why,
        deadline: Timestamp,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> (Why, Timestamp) {
        let Some((wanted, grace)) = self.must_stop() else { return (why, deadline) };
        if wanted == why && !(why == Why::Deleted && self.deadline_shortened(grace)) {
            return (why, deadline);
        }
        let earlier = deadline.min(add(now, SignedDuration::from_secs(grace)));
        self.stop_grace = grace;
        self.stage =
            Stage::Stopping { sandbox: sandbox.to_owned(), why: wanted, deadline: earlier };
        if earlier < deadline {
            for index in 0..self.slots.len() {
                if let State::Stopping { running, .. } = &self.slots[index].state {
                    let id = running.id.clone();
                    self.push_stop(index, &id, grace, out);
                }
            }
        }
        (wanted, earlier)
    }

    fn deadline_shortened(&self, grace: i64) -> bool {
        self.stop_grace > grace
    }

    fn tear_down(&mut self, sandbox: Option<String>, why: Why, out: &mut Vec<Effect>) {
        let volumes = matches!(why, Why::Deleted | Why::Gone);
        for slot in &mut self.slots {
            if let State::Ended { again, .. } = &mut slot.state {
                *again = Again::Never;
            }
        }
        out.push(Effect::TearDown { sandbox: sandbox.clone(), volumes });
        self.stage = Stage::TearingDown { sandbox, why };
    }

    fn finish(&mut self, why: Why, told: bool, out: &mut Vec<Effect>) {
        if self.gone {
            if !(told && why == Why::Gone) {
                out.push(Effect::Forget);
                self.stage = Stage::Finished { why: Why::Gone, told: true };
            }
        } else if spec::deletion_grace(&self.pod).is_some() && !(told && why == Why::Deleted) {
            out.push(Effect::DeleteFromApi);
            self.stage = Stage::Finished { why: Why::Deleted, told: true };
        }
    }

    /// Whether and when an ended container starts again.
    pub(super) fn again(&mut self, index: usize, ended: &Ended, now: Timestamp) -> Again {
        let role = self.slots[index].role;
        let restart = match spec::restart_policy(&self.pod, role) {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => ended.exit_code != 0,
            RestartPolicy::Never => false,
        };
        if !restart {
            return Again::Never;
        }
        let (at, delay) = self.slots[index].backoff.wait(ended.finished_at.unwrap_or(now));
        Again::At(at, delay)
    }
}
