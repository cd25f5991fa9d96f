//! One container of a pod.
//!
//! Knows: where the container is in its life and what the one before it came to. Refuses to know: the other containers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerStateTerminated, ContainerStatus as ApiStatus, ResourceRequirements,
};

use crate::backoff::BackOff;
use crate::cri::ContainerStatus;
use crate::probe::{Kind, ProbeState};
use crate::spec::Role;

/// A container's place in its pod.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// The attempt that the next start will carry.
    pub next: u32,
    /// The container before the current one.
    pub last: Option<Ended>,
    /// What was stopped because its definition changed, until its successor is being started.
    pub replaced: Option<Box<Replaced>>,
    /// Restart back-off.
    pub backoff: BackOff,
    /// Whether its image was pulled for the start that is under way.
    pub pulled: bool,
    /// What of the node it was given when it first ran: it keeps that, whatever the pod asks for later.
    pub given: Option<ResourceRequirements>,
    /// Where it is.
    pub state: State,
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// It cannot start for now.
    Blocked {
        /// As in `state.waiting.reason`.
        reason: &'static str,
        /// As in `state.waiting.message`.
        message: String,
        /// Next try.
        again: Timestamp,
        /// How often it could not.
        failures: u32,
    },
    /// It is being created and started.
    Starting {
        /// Tries that failed before this one; what was wrong then.
        blocked: Option<(&'static str, String, u32)>,
        /// What this start takes the place of, because the definition changed.
        replaces: Option<Box<Replaced>>,
    },
    /// It runs.
    Running(Running),
    /// It runs and is being stopped.
    Stopping {
        /// What runs.
        running: Running,
        /// Why.
        cause: StopCause,
        /// Set when the last stop failed.
        again: Option<Timestamp>,
    },
    /// It ended.
    Ended {
        /// How.
        ended: Ended,
        /// Whether it starts again.
        again: Again,
    },
}

/// Whether an ended container starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No.
    Never,
    /// At that time; the delay if it is held back.
    At(Timestamp, Option<jiff::SignedDuration>),
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A probe or a hook failed: the restart policy decides.
    Unhealthy,
    /// Its definition changed: it starts again.
    Changed,
    /// The pod stops.
    Pod,
}

/// What the API knew of a container that ran before this agent did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adopted {
    /// Its startup probe had passed.
    pub started: bool,
    /// It was ready.
    pub ready: bool,
}

/// A container that was stopped for another one to take its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Replaced {
    /// As it ran.
    pub running: Running,
    /// The container before it.
    pub last: Option<Ended>,
}

/// A running container.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Runtime's id.
    pub id: String,
    /// Start time.
    pub started_at: Timestamp,
    /// Image as the pod named it at start.
    pub image: String,
    /// Image digest reference.
    pub image_id: String,
    /// Its probes.
    pub probes: Vec<ProbeState>,
    /// Its `postStart` has not come to a good end: it counts as neither started nor ready.
    pub hooking: bool,
}

/// An ended container.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Runtime's id, empty if it never existed.
    pub id: String,
    /// Exit code.
    pub exit_code: i32,
    /// Reason.
    pub reason: String,
    /// Termination message.
    pub message: String,
    /// Start time.
    pub started_at: Option<Timestamp>,
    /// End time.
    pub finished_at: Option<Timestamp>,
    /// Image as the pod named it.
    pub image: String,
    /// Image digest reference.
    pub image_id: String,
}

/// Why a container ended that the kernel killed a process of for memory.
pub const OOM_KILLED: &str = "OOMKilled";

/// Exit code of what was killed.
const KILLED: i32 = 137;

/// Nanoseconds since the epoch as a time, 0 for none.
pub fn time(nanos: i64) -> Option<Timestamp> {
    (nanos != 0).then(|| Timestamp::from_nanosecond(i128::from(nanos)).ok()).flatten()
}

/// The runtime's id in a container id of the API.
fn bare_id(id: Option<&str>) -> String {
    let id = id.unwrap_or_default();
    id.split_once("://").map_or(id, |(_, bare)| bare).to_owned()
}

fn spec_image(status: &ContainerStatus) -> String {
    status.annotations.get(crate::config::IMAGE).unwrap_or(&status.image).clone()
}

impl Ended {
    /// From what the runtime says.
    pub fn from_status(status: &ContainerStatus) -> Self {
        let reason = match (status.oom_killed, status.reason.as_str(), status.exit_code) {
            (true, ..) => OOM_KILLED,
            (_, "", 0) => "Completed",
            (_, "", _) => "Error",
            (_, reason, _) => reason,
        };
        Self {
            id: status.id.clone(),
            exit_code: status.exit_code,
            reason: reason.to_owned(),
            message: status.message.clone(),
            started_at: time(status.started_at),
            finished_at: time(status.finished_at),
            image: spec_image(status),
            image_id: status.image_id.clone(),
        }
    }

    /// Whether the run counts as failed. One that the kernel took memory back from did not do its work, whatever its
    /// first process made of that.
    pub fn failed(&self) -> bool {
        self.exit_code != 0 || self.reason == OOM_KILLED
    }

    /// The exit code that decides whether it starts again: not 0 if the run failed.
    pub fn code(&self) -> i32 {
        if self.exit_code == 0 && self.failed() { KILLED } else { self.exit_code }
    }

    /// For a container that ran and is not there any more.
    pub fn lost(running: &Running, now: Timestamp) -> Self {
        Self {
            id: running.id.clone(),
            exit_code: KILLED,
            reason: "ContainerStatusUnknown".to_owned(),
            message: "The container could not be located when the pod was terminated".to_owned(),
            started_at: Some(running.started_at),
            finished_at: Some(now),
            image: running.image.clone(),
            image_id: running.image_id.clone(),
        }
    }

    /// The end of a container that the runtime has no record of, by what the API knows: one that it saw running is
    /// lost. `None` for one that waited.
    pub(super) fn remembered(status: &ApiStatus, now: Timestamp) -> Option<Self> {
        let state = status.state.as_ref()?;
        if let Some(terminated) = &state.terminated {
            return Some(Self::from_api(status, terminated));
        }
        let running = state.running.as_ref()?;
        let running = Running {
            id: bare_id(status.container_id.as_deref()),
            started_at: running.started_at.as_ref().map_or(now, |t| t.0),
            image: status.image.clone(),
            image_id: status.image_id.clone(),
            probes: Vec::new(),
            hooking: false,
        };
        Some(Self::lost(&running, now))
    }

    /// The end before the present state, as the API knows it.
    pub(super) fn remembered_last(status: &ApiStatus) -> Option<Self> {
        let last = status.last_state.as_ref()?.terminated.as_ref()?;
        Some(Self::from_api(status, last))
    }

    fn from_api(status: &ApiStatus, terminated: &ContainerStateTerminated) -> Self {
        Self {
            id: bare_id(terminated.container_id.as_deref()),
            exit_code: terminated.exit_code,
            reason: terminated.reason.clone().unwrap_or_default(),
            message: terminated.message.clone().unwrap_or_default(),
            started_at: terminated.started_at.as_ref().map(|t| t.0),
            finished_at: terminated.finished_at.as_ref().map(|t| t.0),
            image: status.image.clone(),
            image_id: status.image_id.clone(),
        }
    }
}

impl Running {
    /// From what the runtime says. An adopted container is as started and as ready as the API knew it.
    pub fn from_status(
        status: &ContainerStatus,
        container: Option<&Container>,
        now: Timestamp,
        adopted: Adopted,
    ) -> Self {
        let started_at = time(status.started_at).unwrap_or(now);
        let probes = [Kind::Startup, Kind::Readiness, Kind::Liveness].into_iter();
        let probes = probes.filter_map(|kind| {
            let probe = kind.of(container?)?;
            let passed = match kind {
                Kind::Startup => adopted.started,
                Kind::Readiness => adopted.ready,
                Kind::Liveness => false,
            };
            Some(ProbeState::new(kind, probe, started_at, now, passed))
        });
        Self {
            id: status.id.clone(),
            started_at,
            image: spec_image(status),
            image_id: status.image_id.clone(),
            probes: probes.collect(),
            hooking: false,
        }
    }

    fn passes(&self, kind: Kind) -> bool {
        self.probes.iter().filter(|p| p.kind() == kind).all(ProbeState::passed)
    }

    /// Whether its startup probe passed, if it has one.
    pub fn started(&self) -> bool {
        !self.hooking && self.passes(Kind::Startup)
    }

    /// Whether it is ready.
    pub fn ready(&self) -> bool {
        self.started() && self.passes(Kind::Readiness)
    }

    /// Probes that may run now: only the startup probe until it passes, and not any more afterwards.
    pub fn active_probes(&mut self) -> impl Iterator<Item = &mut ProbeState> {
        let started = self.passes(Kind::Startup);
        self.probes.iter_mut().filter(move |p| (p.kind() == Kind::Startup) != started)
    }
}

impl Slot {
    /// A container that has not run.
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            role,
            next: 0,
            last: None,
            replaced: None,
            backoff: BackOff::default(),
            pulled: false,
            given: None,
            state: State::Waiting,
        }
    }

    /// The id of the current container, if there is one.
    pub fn current_id(&self) -> Option<&str> {
        match &self.state {
            State::Running(running) | State::Stopping { running, .. } => Some(&running.id),
            State::Ended { ended, .. } => {
                Some(&ended.id).filter(|id| !id.is_empty()).map(|id| id.as_str())
            }
            _ => None,
        }
    }

    /// What runs.
    pub fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Running(running) | State::Stopping { running, .. } => Some(running),
            _ => None,
        }
    }

    /// Whether something of it may run.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting { .. } | State::Running(_) | State::Stopping { .. })
    }

    /// How it ended, if it will not start again.
    pub fn done(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended { ended, again: Again::Never } => Some(ended),
            _ => None,
        }
    }

    /// Whether it is over and well.
    pub fn succeeded(&self) -> bool {
        self.done().is_some_and(|ended| !ended.failed())
    }

    /// `status.restartCount`.
    pub fn restarts(&self) -> u32 {
        self.next.saturating_sub(1)
    }

    /// When something is due without any event, in a pod that is up; `startable` says that its volumes are there.
    pub fn due(&self, startable: bool) -> Option<Timestamp> {
        match &self.state {
            State::Blocked { again, .. } if startable => Some(*again),
            State::Ended { again: Again::At(at, _), .. } if startable => Some(*at),
            State::Running(running) => {
                let mut running = running.clone();
                running.active_probes().filter_map(|p| p.due()).min()
            }
            _ => self.stop_due(),
        }
    }

    /// When a stop that failed is to be repeated.
    pub fn stop_due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Stopping { again, .. } => *again,
            _ => None,
        }
    }
}
