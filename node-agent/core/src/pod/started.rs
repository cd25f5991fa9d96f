//! What comes of a start.
//!
//! Knows: what each failure is called and when the next try is due. Refuses to know: what is done about it.

use jiff::{SignedDuration, Timestamp};

use super::apply::retry_delay;
use super::slot::Adopted;
use super::{Effect, Ended, PodMachine, Running, State, StopCause};
use crate::backoff::add;
use crate::cri::{ContainerState, ContainerStatus};
use crate::{resources, spec};

const LONGEST_PULL_DELAY: SignedDuration = SignedDuration::from_secs(300);

/// Why a container did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// What it refers to has not been read yet.
    Loading,
    /// What it refers to is wrong or absent.
    Config(String),
    /// The image is absent and may not be pulled.
    NeverPull(String),
    /// The image is absent, and could not be pulled.
    NoImage(String),
    /// The image's name is none.
    NoImageName(String),
    /// The runtime could not create it.
    Create(String),
    /// The runtime could not start it.
    Run(String),
}

/// How long until an image is asked for again: what is loaded meanwhile is seen at once.
fn pull_delay(failures: u32) -> SignedDuration {
    match failures {
        0 | 1 => SignedDuration::from_secs(2),
        more => SignedDuration::from_secs(10 << (more - 2).min(5)).min(LONGEST_PULL_DELAY),
    }
}

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

    pub(super) fn apply_image(
        &mut self,
        name: &str,
        reason: &'static str,
        message: String,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.index(name) else { return };
        if !matches!(self.slots[index].state, State::Starting { .. }) {
            return;
        }
        self.slots[index].pulled |= reason == "Pulled";
        out.push(self.notice(index, false, reason, message));
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
        let present = format!("Container image \"{image}\" already present on machine");
        let present = (!self.slots[index].pulled).then_some(("Pulled", present));
        let events = [
            ("Created", format!("Created container: {name}")),
            ("Started", format!("Started container {name}")),
        ];
        for (reason, message) in present.into_iter().chain(events) {
            out.push(self.notice(index, false, reason, message));
        }
        self.slots[index].pulled = false;
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
            StartError::NoImageName(m) => ("InvalidImageName", m, pull_delay(failures)),
            StartError::NoImage(m) if failures <= 1 => ("ErrImagePull", m, pull_delay(failures)),
            StartError::NoImage(m) => (
                "ImagePullBackOff",
                format!("Back-off pulling image \"{image}\": ErrImagePull: {m}"),
                pull_delay(failures),
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
            "InvalidImageName" => {
                let text = format!("Failed to apply default image tag \"{image}\": {message}");
                out.push(self.notice(index, true, "InspectFailed", text));
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
