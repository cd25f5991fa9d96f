//! How a pod, or one of its containers, comes down.
//!
//! Knows: reasons to stop, grace, the order containers, sandbox, record. Refuses to know: how a pod comes up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Again, Effect, Notice, PodMachine, Stage, State, StopCause, Why};
use crate::backoff::add;
use crate::spec::{self, Role};

/// Least time between the stop signal and the kill of a pod that the API has no longer.
const GONE_GRACE: i64 = 2;
/// Seconds that an evicted pod has: what it uses too much of must come back at once.
const EVICTED_GRACE: i64 = 1;

impl PodMachine {
    /// Why the pod must stop, if it must, and the seconds it has.
    pub(super) fn must_stop(&self) -> Option<(Why, i64)> {
        if self.gone {
            return Some((Why::Gone, GONE_GRACE));
        }
        if let Some(grace) = spec::deletion_grace(&self.pod) {
            return Some((Why::Deleted, grace.max(1)));
        }
        if self.evicted.is_some() {
            return Some((Why::Evicted, EVICTED_GRACE));
        }
        if self.expired {
            return Some((Why::Expired, spec::grace(&self.pod)));
        }
        if self.refused.is_some() {
            return Some((Why::Refused, spec::grace(&self.pod)));
        }
        // The API called it ended (an eviction, say) while it still runs here.
        spec::is_terminal(&self.pod).then(|| (Why::Completed, spec::grace(&self.pod)))
    }

    pub(super) fn begin_stop(&mut self, sandbox: &str, why: Why, grace: i64, now: Timestamp) {
        let deadline = add(now, SignedDuration::from_secs(grace));
        self.stop_grace = grace;
        self.stage = Stage::Stopping { sandbox: sandbox.to_owned(), why, deadline };
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
        let lifecycle = container.as_ref().and_then(|c| c.lifecycle.as_ref());
        let pre_stop = lifecycle.and_then(|l| l.pre_stop.clone());
        let grace = Duration::from_secs(grace.max(0).unsigned_abs());
        out.push(Effect::StopContainer { name, id: id.to_owned(), grace, pre_stop });
    }

    /// Repeats a stop that failed.
    pub(super) fn stop_again(
        &mut self,
        index: usize,
        grace: i64,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let State::Stopping { running, again, .. } = &mut self.slots[index].state else { return };
        if again.is_some_and(|at| at <= now) {
            *again = None;
            let id = running.id.clone();
            self.push_stop(index, &id, grace, out);
        }
    }

    /// Stops containers, ordinary ones before sidecars; when all have ended, the sandbox goes.
    pub(super) fn stop(
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
    pub(super) fn hasten(
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

    pub(super) fn deadline_shortened(&self, grace: i64) -> bool {
        self.stop_grace > grace
    }

    pub(super) fn tear_down(&mut self, sandbox: Option<String>, why: Why, out: &mut Vec<Effect>) {
        // Nothing of it starts again, whatever the reason: what it kept on the node goes.
        self.volumes = super::Volumes::Unasked;
        for slot in &mut self.slots {
            if let State::Ended { again, .. } = &mut slot.state {
                *again = Again::Never;
            }
        }
        out.push(Effect::TearDown { sandbox: sandbox.clone() });
        self.stage = Stage::TearingDown { sandbox, why };
    }

    pub(super) fn finish(&mut self, why: Why, told: bool, out: &mut Vec<Effect>) {
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
}
