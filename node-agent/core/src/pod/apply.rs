//! What an event changes.
//!
//! Knows: which answer belongs to which question; late ones are ignored. Refuses to know: what to do next.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{
    Again, Effect, Ended, Event, Notice, Observed, PodMachine, Replaced, Slot, Stage, State,
    StopCause, Volumes,
};
use crate::backoff::add;
use crate::cri::{ContainerState, ContainerStatus, SandboxState};
use crate::probe::{Kind, Outcome, Verdict};
use crate::{restart, spec};

/// 1 s doubling to 1 min.
const LONGEST_RETRY: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn retry_delay(failures: u32) -> SignedDuration {
    SignedDuration::from_secs(1 << failures.min(6)).min(LONGEST_RETRY)
}

fn pod_notice(warning: bool, reason: &'static str, message: String) -> Effect {
    Effect::Emit(Notice { warning, reason, message, field: String::new() })
}

impl PodMachine {
    pub(super) fn apply(&mut self, event: Event, now: Timestamp, out: &mut Vec<Effect>) {
        match event {
            Event::Spec(pod) => self.apply_spec(pod),
            Event::Gone => self.gone = true,
            Event::Observed(observed) => self.apply_observed(&observed, now, out),
            Event::Volumes(result) => self.apply_volumes(result, now, out),
            Event::Sandbox(result) => self.apply_sandbox(result, now, out),
            Event::Started { name, result } => self.apply_started(&name, result, now, out),
            Event::Image { name, reason, message } => {
                self.apply_image(&name, reason, message, out);
            }
            Event::Exited(status) => self.apply_exited(&status, now),
            Event::StopFailed { id, message } => self.apply_stop_failed(&id, message, now, out),
            Event::Hooked { name, id, result } => self.apply_hook(&name, &id, result, out),
            Event::Probed { name, id, kind, outcome } => {
                self.apply_probed(&name, &id, kind, outcome, now, out);
            }
            Event::TornDown(result) => self.apply_torn_down(result, now, out),
            Event::Changed => self.apply_changed(now),
            Event::Evicted(message) => self.apply_evicted(message, out),
            Event::Wake => {}
        }
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|s| s.name == name)
    }

    pub(super) fn notice(
        &self,
        index: usize,
        warning: bool,
        reason: &'static str,
        message: String,
    ) -> Effect {
        let slot = &self.slots[index];
        let field = spec::field_path(&slot.name, slot.role);
        Effect::Emit(Notice { warning, reason, message, field })
    }

    fn apply_spec(&mut self, pod: Arc<Pod>) {
        // Containers are not removed from a pod, and but to look at it none is added, so slots stay.
        if pod.metadata.uid == self.pod.metadata.uid {
            for (container, role) in spec::all(&pod) {
                if self.index(&container.name).is_none() {
                    self.slots.push(Slot::new(&container.name, role));
                }
            }
            self.pod = pod;
        } else {
            self.gone = true;
        }
    }

    fn apply_volumes(&mut self, result: Result<(), String>, now: Timestamp, out: &mut Vec<Effect>) {
        match result {
            Ok(()) => self.volumes = Volumes::Ready,
            // No message: something has not been read yet, which is no fault, and will be heard of.
            Err(message) if message.is_empty() => {
                let failures = self.volume_failures;
                self.volumes = Volumes::Failed { again: add(now, LONGEST_RETRY), failures };
            }
            Err(message) => {
                let failures = self.volume_failures + 1;
                self.volumes = Volumes::Failed { again: add(now, retry_delay(failures)), failures };
                out.push(pod_notice(true, "FailedMount", message));
            }
        }
    }

    fn apply_sandbox(
        &mut self,
        result: Result<(String, String), String>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        if self.stage != Stage::Creating {
            out.extend(result.ok().map(|(id, _)| Effect::RemoveSandbox { id }));
            return;
        }
        self.stage = match result {
            Ok((sandbox, ip)) => {
                self.ip = ip;
                self.sandbox_attempt += 1;
                self.begun = false;
                Stage::Up { sandbox }
            }
            Err(message) => {
                out.push(pod_notice(
                    true,
                    "FailedCreatePodSandBox",
                    format!("Failed to create pod sandbox: {message}"),
                ));
                let failures = self.creating_failures + 1;
                Stage::Retrying { at: add(now, retry_delay(failures)), failures }
            }
        };
    }

    fn apply_exited(&mut self, status: &ContainerStatus, now: Timestamp) {
        let Some(index) = self.slots.iter().position(|s| s.current_id() == Some(&status.id)) else {
            return;
        };
        let cause = match &self.slots[index].state {
            State::Running(_) => StopCause::Unhealthy,
            State::Stopping { cause, .. } => *cause,
            _ => return,
        };
        self.exited(index, Ended::from_status(status), cause, now);
    }

    pub(super) fn exited(
        &mut self,
        index: usize,
        mut ended: Ended,
        cause: StopCause,
        now: Timestamp,
    ) {
        ended.finished_at = ended.finished_at.or(Some(now));
        let slot = &mut self.slots[index];
        slot.replaced = match (cause, slot.running()) {
            (StopCause::Changed, Some(running)) => {
                Some(Box::new(Replaced { running: running.clone(), last: slot.last.clone() }))
            }
            _ => None,
        };
        let going_down = matches!(self.stage, Stage::Stopping { .. });
        let again = match cause {
            _ if going_down => Again::Never,
            StopCause::Pod => Again::Never,
            StopCause::Changed => Again::At(now, None),
            StopCause::Unhealthy => self.again(index, &ended, now),
        };
        self.slots[index].state = State::Ended { ended, again };
    }

    /// Reports a restart that is held back.
    pub(super) fn back_off(&self, index: usize, out: &mut Vec<Effect>) {
        let slot = &self.slots[index];
        if let State::Ended { again: Again::At(_, Some(_)), .. } = slot.state {
            let message = format!(
                "Back-off restarting failed container {} in pod {}",
                slot.name,
                spec::label(&self.pod)
            );
            out.push(self.notice(index, true, "BackOff", message));
        }
    }

    fn apply_stop_failed(
        &mut self,
        stopped: &str,
        message: String,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let found = self.slots.iter().position(|s| s.current_id() == Some(stopped));
        let Some(index) = found else { return };
        if let State::Stopping { again, .. } = &mut self.slots[index].state {
            *again = Some(add(now, SignedDuration::from_secs(2)));
            let text = format!("error killing pod: {message}");
            out.push(self.notice(index, true, "FailedKillPod", text));
        }
    }

    fn apply_hook(
        &mut self,
        name: &str,
        id: &str,
        result: Result<(), String>,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.index(name) else { return };
        let State::Running(running) = &mut self.slots[index].state else { return };
        if running.id != id {
            return;
        }
        let Err(message) = result else {
            running.hooking = false;
            return;
        };
        let text = format!("PostStartHook failed: {message}");
        out.push(self.notice(index, true, "FailedPostStartHook", text));
        let grace = spec::grace(&self.pod);
        self.stop_slot(index, StopCause::Unhealthy, "FailedPostStartHook", grace, out);
    }

    fn apply_probed(
        &mut self,
        name: &str,
        id: &str,
        kind: Kind,
        outcome: Outcome,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.index(name) else { return };
        let pod = self.pod.clone();
        let Some((container, role)) = spec::container(&pod, name) else { return };
        let Some(probe) = kind.of(&container) else { return };
        let State::Running(running) = &mut self.slots[index].state else { return };
        if running.id != id {
            return;
        }
        let Some(state) = running.probes.iter_mut().find(|p| p.kind() == kind) else { return };
        let title = kind.title();
        let (tripped, message) = match state.end(probe, outcome, now) {
            Verdict::Quiet => return,
            Verdict::Warned(m) => {
                let text = format!("{title} probe warning: {m}");
                out.push(self.notice(index, true, "ProbeWarning", text));
                return;
            }
            Verdict::Errored(m) => {
                let text = format!("{title} probe errored and resulted in unknown state: {m}");
                out.push(self.notice(index, true, "ProbeError", text));
                return;
            }
            Verdict::Failed(m) => (false, m),
            Verdict::Tripped(m) => (true, m),
        };
        out.push(self.notice(index, true, "Unhealthy", format!("{title} probe failed: {message}")));
        if tripped && kind != Kind::Readiness {
            let restarts = restart::possible(&pod, &container, role);
            let tail = if restarts { ", will be restarted" } else { "" };
            let text = format!("Container {name} failed {} probe{tail}", title.to_lowercase());
            let grace = probe.termination_grace_period_seconds.unwrap_or(spec::grace(&pod));
            self.stop_slot(index, StopCause::Unhealthy, &text, grace, out);
        }
    }

    fn apply_torn_down(
        &mut self,
        result: Result<(), String>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Stage::TearingDown { sandbox, why } = self.stage.clone() else { return };
        self.stage = match result {
            Ok(()) => {
                self.teardown_failures = 0;
                Stage::Finished { why, told: false }
            }
            Err(message) => {
                out.push(pod_notice(
                    true,
                    "FailedKillPod",
                    format!("error killing pod: {message}"),
                ));
                self.teardown_failures += 1;
                let failures = self.teardown_failures;
                Stage::TearingDownAgain { sandbox, why, at: add(now, retry_delay(failures)) }
            }
        };
    }

    /// What stops already, for whatever reason, is not evicted.
    fn apply_evicted(&mut self, message: String, out: &mut Vec<Effect>) {
        if self.must_stop().is_none() && self.is_up() {
            out.push(pod_notice(true, "Evicted", message.clone()));
            self.evicted = Some(message);
        }
    }

    fn apply_changed(&mut self, now: Timestamp) {
        if let Volumes::Failed { again, .. } = &mut self.volumes {
            *again = now;
        }
        for slot in &mut self.slots {
            let waits = [
                "ContainerCreating",
                "CreateContainerConfigError",
                "ErrImageNeverPull",
                "ErrImagePull",
                "ImagePullBackOff",
            ];
            // What this node does not carry out waits for nothing.
            if let State::Blocked { reason, again, .. } = &mut slot.state
                && waits.contains(reason)
                && *again != Timestamp::MAX
            {
                *again = now;
            }
        }
    }

    /// What the runtime has wins over what is believed, except where a call is under way.
    fn apply_observed(&mut self, observed: &Observed, now: Timestamp, out: &mut Vec<Effect>) {
        self.observe_sandboxes(observed, now, out);
        for index in 0..self.slots.len() {
            self.observe_slot(index, observed, now, out);
        }
    }

    fn observe_sandboxes(&mut self, observed: &Observed, now: Timestamp, out: &mut Vec<Effect>) {
        let Stage::Up { sandbox } = self.stage.clone() else { return };
        for other in observed.sandboxes.iter().filter(|s| s.id != sandbox) {
            self.sandbox_attempt = self.sandbox_attempt.max(other.attempt + 1);
            out.push(Effect::RemoveSandbox { id: other.id.clone() });
        }
        let ready =
            observed.sandboxes.iter().any(|s| s.id == sandbox && s.state == SandboxState::Ready);
        // A call under way would answer for the lost sandbox.
        if ready || self.slots.iter().any(|s| matches!(s.state, State::Starting { .. })) {
            return;
        }
        let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
        out.push(pod_notice(false, "SandboxChanged", message));
        for index in 0..self.slots.len() {
            if let Some(running) = self.slots[index].running().cloned() {
                let found = observed.containers.iter().find(|c| c.id == running.id);
                let ended = found.filter(|c| c.state == ContainerState::Exited);
                let ended = ended.map_or_else(|| Ended::lost(&running, now), Ended::from_status);
                self.exited(index, ended, StopCause::Unhealthy, now);
            }
        }
        self.garbage.push(sandbox);
        self.stage = Stage::Preparing;
    }

    fn observe_slot(
        &mut self,
        index: usize,
        observed: &Observed,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let slot = &self.slots[index];
        let own = observed.containers.iter().filter(|c| c.name == slot.name);
        if let Some(running) = slot.running().cloned() {
            match own.clone().find(|c| c.id == running.id) {
                Some(status) if status.state == ContainerState::Exited => {
                    self.apply_exited(status, now);
                }
                Some(_) => {}
                None => {
                    let ended = Ended::lost(&running, now);
                    let cause = match &self.slots[index].state {
                        State::Stopping { cause, .. } => *cause,
                        _ => StopCause::Unhealthy,
                    };
                    self.exited(index, ended, cause, now);
                }
            }
        } else if !matches!(slot.state, State::Starting { .. }) {
            // A start that was given up on may have come about after all.
            let strays = own
                .filter(|c| matches!(c.state, ContainerState::Running | ContainerState::Created));
            out.extend(strays.map(|c| Effect::RemoveContainer { id: c.id.clone() }));
        }
    }
}
