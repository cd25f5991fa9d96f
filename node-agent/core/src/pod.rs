//! The pod machine: `step(event, now)` gives effects.
//!
//! Knows: what a pod needs next, level by level, from what is true of its sandbox and containers. Refuses to know: how
//! effects are carried out, what time it is. Effects are answered by events; an answer may be late or missing, and
//! what the runtime shows ([`Event::Observed`]) wins over what was asked.

mod adopt;
mod advance;
mod apply;
mod slot;
mod started;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodCondition};

use crate::cri::{ContainerStatus, SandboxStatus};
use crate::probe::{Kind, Outcome};
use crate::refuse::{Policy, Refusal};

pub use slot::{Again, Ended, Replaced, Running, Slot, State, StopCause};
pub use started::StartError;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The pod as the API has it now.
    Spec(Arc<Pod>),
    /// The API has it no longer.
    Gone,
    /// All that the runtime has of this pod.
    Observed(Observed),
    /// Volumes are set up, or why not.
    Volumes(Result<(), String>),
    /// The sandbox exists: id and address.
    Sandbox(Result<(String, String), String>),
    /// A start ended.
    Started {
        /// Container.
        name: String,
        /// What came of it.
        result: Result<ContainerStatus, StartError>,
    },
    /// What has become so far of getting a container's image.
    Image {
        /// Container.
        name: String,
        /// `Pulling`, or `Pulled` when it is there.
        reason: &'static str,
        /// What is told.
        message: String,
    },
    /// A container ended.
    Exited(ContainerStatus),
    /// A container could not be stopped.
    StopFailed {
        /// Its id.
        id: String,
        /// Why.
        message: String,
    },
    /// `postStart` ended.
    Hooked {
        /// Container.
        name: String,
        /// Its id.
        id: String,
        /// Well, or why not.
        result: Result<(), String>,
    },
    /// A probe was tried.
    Probed {
        /// Container.
        name: String,
        /// Its id.
        id: String,
        /// Which probe.
        kind: Kind,
        /// What came of it.
        outcome: Outcome,
    },
    /// Sandbox and volumes are taken down, or why not.
    TornDown(Result<(), String>),
    /// It uses more of the node than it may: the message says of what.
    Evicted(String),
    /// Something that the pod refers to, or the images of the node, changed.
    Changed,
    /// Time has passed.
    Wake,
}

/// What the runtime has of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its sandboxes.
    pub sandboxes: Vec<SandboxStatus>,
    /// Containers in them.
    pub containers: Vec<ContainerStatus>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Set up volumes; answered by [`Event::Volumes`].
    PrepareVolumes,
    /// Make a sandbox; answered by [`Event::Sandbox`].
    RunSandbox {
        /// How many the pod had before.
        attempt: u32,
    },
    /// Create and start a container; answered by [`Event::Started`].
    StartContainer {
        /// Container.
        name: String,
        /// How many times it has been restarted.
        attempt: u32,
        /// In this sandbox.
        sandbox: String,
    },
    /// Run `preStop`, stop the container within `grace`; answered by [`Event::Exited`] or [`Event::StopFailed`].
    StopContainer {
        /// Container.
        name: String,
        /// Its id.
        id: String,
        /// Time for hook and container together.
        grace: Duration,
        /// Hook.
        pre_stop: Option<LifecycleHandler>,
    },
    /// Remove a container; not answered.
    RemoveContainer {
        /// Its id.
        id: String,
    },
    /// Run `postStart`; answered by [`Event::Hooked`].
    PostStart {
        /// Container.
        name: String,
        /// Its id.
        id: String,
        /// Hook.
        handler: LifecycleHandler,
    },
    /// Try a probe; answered by [`Event::Probed`].
    Probe {
        /// Container.
        name: String,
        /// Its id.
        id: String,
        /// Which.
        kind: Kind,
        /// When to give up.
        timeout: Duration,
    },
    /// Take the sandbox down and remove the volumes: the pod will not come back; answered by [`Event::TornDown`].
    TearDown {
        /// Sandbox, if there was one.
        sandbox: Option<String>,
    },
    /// Stop and remove a sandbox that is not the pod's current one; not answered.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// Write an Event.
    Emit(Notice),
    /// Write the last status, then delete the pod in the API with no grace.
    DeleteFromApi,
    /// Remove everything that is left of the pod on this node, and this machine.
    Forget,
}

/// An Event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Warning, not Normal.
    pub warning: bool,
    /// Reason.
    pub reason: &'static str,
    /// Message.
    pub message: String,
    /// Field path of the container, empty for the pod.
    pub field: String,
}

/// Why a pod stops for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// All containers ended.
    Completed,
    /// It was active longer than it may be.
    Expired,
    /// It used more of the node than it may.
    Evicted,
    /// The API wants it gone.
    Deleted,
    /// The API has it no longer.
    Gone,
    /// It asks for what this node does not carry out.
    Refused,
}

/// Why the pod may not run here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// The Event is written.
    told: bool,
}

/// Volumes of the pod.
#[derive(Clone, Debug, PartialEq)]
enum Volumes {
    Unasked,
    Asked,
    Ready,
    Failed { again: Timestamp, failures: u32 },
}

/// Where a pod is in its life.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// No sandbox: volumes come first.
    Preparing,
    /// The sandbox is being made.
    Creating,
    /// That failed.
    Retrying { at: Timestamp, failures: u32 },
    /// The sandbox is there.
    Up { sandbox: String },
    /// Containers are being stopped for good.
    Stopping { sandbox: String, why: Why, deadline: Timestamp },
    /// Containers have ended, the sandbox is being taken down.
    TearingDown { sandbox: Option<String>, why: Why },
    /// That failed.
    TearingDownAgain { sandbox: Option<String>, why: Why, at: Timestamp },
    /// Nothing is left but the record.
    Finished { why: Why, told: bool },
}

/// A pod on this node.
#[derive(Clone, Debug)]
pub struct PodMachine {
    pub(crate) pod: Arc<Pod>,
    stage: Stage,
    volumes: Volumes,
    gone: bool,
    pub(crate) expired: bool,
    /// Why it is evicted, if it is.
    pub(crate) evicted: Option<String>,
    pub(crate) refused: Option<Refused>,
    /// What decides on containers that are added later.
    policy: Policy,
    sandbox_attempt: u32,
    pub(crate) slots: Vec<Slot>,
    pub(crate) ip: String,
    pub(crate) started: Timestamp,
    pub(crate) conditions: Vec<PodCondition>,
    garbage: Vec<String>,
    /// Failures that led to the call under way.
    creating_failures: u32,
    volume_failures: u32,
    teardown_failures: u32,
    /// Seconds that the stop under way was given.
    stop_grace: i64,
    /// The turn of the ordinary containers has come in this sandbox.
    begun: bool,
}

impl PodMachine {
    /// The pod as the API has it.
    pub fn pod(&self) -> &Arc<Pod> {
        &self.pod
    }

    /// Address of the pod, empty for none.
    pub fn ip(&self) -> &str {
        &self.ip
    }

    /// Containers and where they are.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The newest container of that name, and the one before it.
    pub fn container_ids(&self, name: &str) -> Option<(Option<&str>, Option<&str>)> {
        let slot = self.slots.iter().find(|s| s.name == name)?;
        let last = slot.last.as_ref().map(|e| e.id.as_str());
        Some(match slot.current_id() {
            Some(id) => (Some(id), last),
            None => (last, None),
        })
    }

    /// A container as it is to run: with what of the node it was given at first, if it has run.
    pub fn to_run(&self, name: &str) -> Option<Container> {
        let mut container = crate::spec::container(&self.pod, name)?.0.into_owned();
        let slot = self.slots.iter().find(|s| s.name == name)?;
        container.resources = slot.given.clone().or(container.resources);
        Some(container)
    }

    /// Whether a sandbox with network exists.
    pub fn has_sandbox(&self) -> bool {
        self.sandbox().is_some()
    }

    /// The sandbox with network, if there is one.
    pub fn sandbox(&self) -> Option<&str> {
        match &self.stage {
            Stage::Up { sandbox } | Stage::Stopping { sandbox, .. } => Some(sandbox),
            _ => None,
        }
    }

    /// Whether nothing of the pod runs any more.
    pub fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Finished { .. })
    }

    /// Whether the pod came to its end while it was being deleted.
    pub(crate) fn ended_by_deletion(&self) -> bool {
        match self.stage {
            Stage::TearingDown { why, .. }
            | Stage::TearingDownAgain { why, .. }
            | Stage::Finished { why, .. } => matches!(why, Why::Deleted | Why::Gone),
            _ => false,
        }
    }

    /// Whether it may use the node's disk.
    pub fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up { .. })
    }

    /// Whether volumes are there.
    pub fn volumes_ready(&self) -> bool {
        self.volumes == Volumes::Ready
    }

    /// Takes an event in and says what to do.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut out = Vec::new();
        let alive: Vec<bool> = self.slots.iter().map(Slot::is_alive).collect();
        self.apply(event, now, &mut out);
        for (index, _) in alive.iter().enumerate().filter(|(_, alive)| **alive) {
            self.back_off(index, &mut out);
        }
        self.advance(now, &mut out);
        out
    }

    /// When to call [`Self::step`] with [`Event::Wake`] at the latest.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let mut times: Vec<Timestamp> = Vec::new();
        let volumes = self.volumes == Volumes::Ready;
        match &self.stage {
            Stage::Retrying { at, .. } if volumes => times.push(*at),
            Stage::TearingDownAgain { at, .. } => times.push(*at),
            Stage::Up { .. } => {
                times.extend(self.slots.iter().filter_map(|slot| slot.due(volumes)));
            }
            Stage::Stopping { .. } => {
                times.extend(self.slots.iter().filter_map(Slot::stop_due));
            }
            _ => {}
        }
        let starting =
            matches!(self.stage, Stage::Preparing | Stage::Retrying { .. } | Stage::Up { .. });
        if let (Volumes::Failed { again, .. }, true) = (&self.volumes, starting) {
            times.push(*again);
        }
        times.extend(self.expires());
        times.into_iter().min()
    }

    /// When `activeDeadlineSeconds` is over.
    fn expires(&self) -> Option<Timestamp> {
        let active =
            matches!(self.stage, Stage::Preparing | Stage::Retrying { .. } | Stage::Up { .. });
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let limit = jiff::SignedDuration::from_secs(seconds);
        (active && !self.expired).then(|| crate::backoff::add(self.started, limit))
    }
}

#[cfg(test)]
mod tests;
