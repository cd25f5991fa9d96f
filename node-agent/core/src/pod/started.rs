//! What comes of a start.
//!
//! Knows: what each failure is called and when the next try is due. Refuses to know: what is done about it.

use jiff::{SignedDuration, Timestamp};

use super::apply::retry_delay;
use super::slot::Adopted;
use super::{Effect, Ended, PodMachine, Running, StartError, State, StopCause};
use crate::backoff::add;
use crate::cri::{ContainerState, ContainerStatus};
use crate::{resources, spec};

impl PodMachine {
    pub(super) fn apply_started(
        &mut self,
        name: &str,
        result: Result<ContainerStatus, StartError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.index(name) else { return };
        let State::Starting { blocked, .. } = self.slots[index].state.clone() else { return };
        let failures = blocked.map_or(0, |(_, _, failures)| failures) + 1;
        match result {
            Ok(status) => self.started_well(index, &status, now, out),
            Err(error) => self.started_badly(index, error, failures, now, out),
        }
    }

    pub(super) fn started_well(
        &mut self,
        index: usize,
        status: &ContainerStatus,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        self.slots[index].next = status.attempt + 1;
        self.slots[index].given = resources::given(&status.annotations);
        let container =
            spec::container(&self.pod, &self.slots[index].name).map(|(c, _)| c.into_owned());
        let image = &status.image;
        let name = &self.slots[index].name;
        let events = [
            ("Pulled", format!("Container image \"{image}\" already present on machine")),
            ("Created", format!("Created container: {name}")),
            ("Started", format!("Started container {name}")),
        ];
        for (reason, message) in events {
            out.push(self.notice(index, false, reason, message));
        }
        let mut running = Running::from_status(status, container.as_ref(), now, Adopted::default());
        let hook = container.and_then(|c| c.lifecycle).and_then(|l| l.post_start);
        running.hooking = hook.is_some();
        self.slots[index].state = State::Running(running);
        if let (Some(handler), ContainerState::Running) = (hook, status.state) {
            let name = self.slots[index].name.clone();
            out.push(Effect::PostStart { name, id: status.id.clone(), handler });
        }
        if status.state == ContainerState::Exited {
            self.exited(index, Ended::from_status(status), StopCause::Unhealthy, now);
        }
    }

    pub(super) fn started_badly(
        &mut self,
        index: usize,
        error: StartError,
        failures: u32,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let container = spec::container(&self.pod, &self.slots[index].name).map(|(c, _)| c);
        let image = container.and_then(|c| c.image.clone()).unwrap_or_default();
        let (reason, message, wait) = match error {
            StartError::Loading => {
                ("ContainerCreating", String::new(), SignedDuration::from_secs(10))
            }
            StartError::Config(m) => {
                ("CreateContainerConfigError", m, SignedDuration::from_secs(10))
            }
            StartError::NeverPull(m) => ("ErrImageNeverPull", m, SignedDuration::from_secs(5)),
            // Only the node's own store is looked at, so the wait need not grow.
            StartError::NoImage(m) if failures <= 1 => {
                ("ErrImagePull", m, SignedDuration::from_secs(2))
            }
            StartError::NoImage(m) => (
                "ImagePullBackOff",
                format!("Back-off pulling image \"{image}\": ErrImagePull: {m}"),
                SignedDuration::from_secs(5),
            ),
            StartError::Create(m) => ("CreateContainerError", m, retry_delay(failures)),
            StartError::Run(m) => return self.run_failed(index, m, now, out),
        };
        match reason {
            "ContainerCreating" => {}
            "ImagePullBackOff" => {
                let text = format!("Back-off pulling image \"{image}\"");
                out.push(self.notice(index, false, "BackOff", text));
                out.push(self.notice(index, true, "Failed", format!("Error: {reason}")));
            }
            "ErrImagePull" => {
                let text = format!("Failed to pull image \"{image}\": {message}");
                out.push(self.notice(index, true, "Failed", text));
                out.push(self.notice(index, true, "Failed", format!("Error: {reason}")));
            }
            "ErrImageNeverPull" => {
                out.push(self.notice(index, true, reason, message.clone()));
                out.push(self.notice(index, true, "Failed", format!("Error: {reason}")));
            }
            _ => out.push(self.notice(index, true, "Failed", format!("Error: {message}"))),
        }
        let again = add(now, wait);
        self.slots[index].state = State::Blocked { reason, message, again, failures };
    }

    /// The container was made and its process could not be: that counts as a run that failed.
    pub(super) fn run_failed(
        &mut self,
        index: usize,
        message: String,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        out.push(self.notice(index, true, "Failed", format!("Error: {message}")));
        let slot = &mut self.slots[index];
        slot.next += 1;
        let ended = Ended {
            id: String::new(),
            exit_code: 128,
            reason: "StartError".to_owned(),
            message,
            started_at: None,
            finished_at: Some(now),
            image: String::new(),
            image_id: String::new(),
        };
        self.exited(index, ended, StopCause::Unhealthy, now);
    }
}
