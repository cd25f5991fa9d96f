//! One build, from New to its end: it waits for its turn and for its images, has a pod, and follows that pod.
//!
//! Alone writes: `status` of builds but for what the pod reports through `details`; creates and deletes their pods.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

pub use super::resolve::streams_of;
use super::resolve::{Unresolved, resolved};
use super::{Build, POD_NAME, end, pod, policy};
use crate::action::{Action, ObjectRef, OutcomeEvents};
use crate::common::{annotation, controller_of, time_text};
use crate::image_stream::ImageStream;
use crate::report::{Report, Shown, Waiting};
use crate::{Failure, Plan, pods};

/// What is seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// The build; `None` once it is gone.
    pub build: Option<Arc<Build>>,
    /// The other builds of its configuration.
    pub others: Vec<Arc<Build>>,
    /// Whatever has the name of its pod.
    pub pod: Option<Arc<Pod>>,
    /// The uid of its namespace.
    pub namespace: String,
    /// The names of the Secrets that its account has.
    pub secrets: Vec<String>,
    /// The streams that it names.
    pub streams: Vec<Arc<ImageStream>>,
    /// How the last round failed.
    pub failure: Option<Failure>,
}

/// The phase, reason and message that a build is to have.
type Wanted = (&'static str, &'static str, String);

const DELETED: &str = "The pod for this build was deleted before the build completed.";
type Refused = (&'static str, fn(&Value) -> bool, &'static str);

/// What a build may ask for that is not carried out here: where, whether it does, and why not.
const REFUSED: [Refused; 3] = [
    (
        "/spec/strategy/customStrategy/exposeDockerSocket",
        |asked| *asked == true,
        "exposeDockerSocket: there is no Docker socket on the nodes of this cluster",
    ),
    (
        "/spec/strategy/dockerStrategy/imageOptimizationPolicy",
        |asked| asked.as_str().is_some_and(|policy| policy.starts_with("SkipLayers")),
        "imageOptimizationPolicy: each step has a layer of its own here",
    ),
    (
        "/spec/mountTrustedCA",
        |asked| *asked == true,
        "mountTrustedCA: this cluster has no bundle of certificates",
    ),
];

/// What a build asks for that is not carried out here.
fn refused(build: &Build) -> Option<String> {
    let asked =
        REFUSED.iter().find(|(pointer, asks, _)| build.whole.pointer(pointer).is_some_and(asks));
    asked.map(|(.., why)| format!("Failed to create pod spec: {why}"))
}

/// What to do for one build.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(build) = &seen.build else { return plan };
    plan.report = Report::about(ObjectRef::to(build.as_ref()));
    if build.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    if build.strategy().is_none() {
        if !build.is_over() {
            let why = "a build of the strategy JenkinsPipeline is run by a Jenkins outside of this cluster, which reports here";
            plan.wait(Waiting::new("NotRunHere", why, Shown::Event));
        }
        return plan;
    }
    let own = seen.pod.as_deref().filter(|pod| is_own(build, pod));
    let mut to = Telling { plan: &mut plan, build, pod: own, now };
    if build.is_over() {
        if out_of_memory(own) && build.phase() == "Failed" && build.reason() != OUT_OF_MEMORY {
            to.tell(killed(), Map::new());
        } else if end::lacks(build, own) {
            to.finish();
        }
    } else if build.whole.pointer("/status/cancelled").and_then(Value::as_bool) == Some(true) {
        if let Some(pod) = own.filter(|pod| !pods::is_deleting(pod)) {
            to.plan.act(Action::delete(ObjectRef::to(pod).any_version()));
        }
        let why = "The build was cancelled by the user.".to_owned();
        to.tell(("Cancelled", "CancelledBuild", why), Map::new());
    } else if build.phase() != "New" || own.is_some() {
        to.follow();
    } else if seen.pod.is_some() {
        let why = "The pod for this build already exists and is older than the build.".to_owned();
        to.tell(("Error", "BuildPodExists", why), Map::new());
    } else if let Some(why) = refused(build) {
        to.tell(("Error", "CannotCreateBuildPodSpec", why), Map::new());
    } else {
        begin(seen, to);
    }
    plan
}

fn is_own(build: &Build, pod: &Pod) -> bool {
    controller_of(&pod.metadata).map(|owner| &owner.uid) == build.metadata.uid.as_ref()
}

/// A new build: it waits, or has its pod made.
fn begin(seen: &Observed, mut to: Telling<'_>) {
    let build = to.build;
    for other in policy::overtaken(build, &seen.others) {
        let patch = json!({ "status": { "cancelled": true } });
        to.plan.act(Action::patch(ObjectRef::to(other.as_ref()), patch));
    }
    if !policy::may_start(build, &seen.others) {
        let why = "earlier builds of its configuration are not over";
        to.plan.wait(Waiting::new("WaitsForEarlierBuilds", why, Shown::Late));
        return;
    }
    let whole = match resolved(build, &seen.streams) {
        Ok(whole) => whole,
        Err(why) => return wait_for_image(&why, to),
    };
    let made = pod::made(build, &whole, seen);
    let about = ObjectRef::to(build.as_ref());
    if let Some(failure) = &seen.failure {
        let why = format!("Failed creating build pod: {}", failure.message);
        to.tell(("New", "CannotCreateBuildPod", why), Map::new());
    }
    to.plan.act(Action::Create {
        object: leme_meta::Object(made),
        told: Some(OutcomeEvents {
            about: about.any_version(),
            done: ("", "".into()),
            failed: ("FailedCreate", "Error creating build pod: {error}".into()),
        }),
    });
    if seen.failure.is_some() {
        // What was told of the failure has made this build another: it goes on when that is seen.
        return;
    }
    let mut more = Map::new();
    let output = super::text(&whole, "/spec/output/to/name");
    if !output.is_empty() {
        more.insert("outputDockerImageReference".to_owned(), output.into());
    }
    to.tell(("Pending", "", String::new()), more);
}

fn wait_for_image(why: &Unresolved, mut to: Telling<'_>) {
    let binary = to.build.is_binary();
    let (reason, message) = match why {
        Unresolved::Input => ("InvalidImageReference", "Referenced image could not be resolved."),
        _ => ("InvalidOutputReference", "Output image could not be resolved."),
    };
    if *why == Unresolved::NoRegistry {
        let why = "Error starting build: an image stream cannot be used as build output because the integrated container image \
                   registry is not configured";
        to.plan.wait(Waiting::new("InvalidOutput", why, Shown::Warning));
    } else {
        to.plan.wait(Waiting::new(reason, message, Shown::Status));
    }
    // Whoever sends the input waits for it: it is told at once.
    let phase = if binary && reason != "InvalidImageReference" { "Failed" } else { "New" };
    to.tell((phase, reason, message.to_owned()), Map::new());
}

const OUT_OF_MEMORY: &str = "OutOfMemoryKilled";

fn killed() -> Wanted {
    let why = "The build pod was killed due to an out of memory condition.".to_owned();
    ("Failed", OUT_OF_MEMORY, why)
}

fn out_of_memory(pod: Option<&Pod>) -> bool {
    let Some(pod) = pod else { return false };
    let of_pod = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    of_pod == Some("OOMKilled") || end::ends(pod).any(|(_, reason, _)| reason == "OOMKilled")
}

/// Writes what becomes of a build.
struct Telling<'a> {
    plan: &'a mut Plan,
    build: &'a Arc<Build>,
    pod: Option<&'a Pod>,
    now: Timestamp,
}

impl Telling<'_> {
    /// Follows the pod.
    fn follow(&mut self) {
        let Some(pod) = self.pod else {
            return self.tell(("Error", "BuildPodDeleted", DELETED.to_owned()), Map::new());
        };
        let status = pod.status.as_ref();
        let begun = status
            .and_then(|status| status.init_container_statuses.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|one| one.state.as_ref())
            .any(|state| state.running.is_some() || state.terminated.is_some());
        match pods::phase(pod) {
            "Succeeded" => self.succeeded(pod),
            "Failed" => self.failed(pod),
            "Running" => self.running(pod),
            _ if begun => self.running(pod),
            _ if self.build.phase() == "New" => {
                self.tell(("Pending", "", String::new()), Map::new());
            }
            _ => {}
        }
        if !self.plan.actions.is_empty() {
            return;
        }
        if pods::phase(pod) == "Pending" && self.build.phase() == "Pending" {
            let pod = ObjectRef::to(pod).any_version();
            self.plan.wait(Waiting::new("Pending", "its pod has not begun", Shown::Late).on(pod));
        }
    }

    fn running(&mut self, pod: &Pod) {
        if self.build.phase() == "Running" {
            return;
        }
        let mut more = Map::new();
        let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
        if let Some(start) = start {
            more.insert("startTimestamp".to_owned(), time_text(start.0).into());
        }
        self.tell(("Running", "", String::new()), more);
    }

    fn succeeded(&mut self, pod: &Pod) {
        let said = |phase, reason, why: &str| (phase, reason, why.to_owned());
        let statuses =
            pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()).map(Vec::len);
        let wanted = match statuses.unwrap_or(0) {
            0 => {
                let why = "The pod for this build has no container statuses indicating success or failure.";
                said("Error", "NoBuildContainerStatus", why)
            }
            _ if end::ends(pod).any(|(code, ..)| code != 0) => {
                let why = "The pod for this build has at least one container with a non-zero exit status.";
                said("Error", "FailedContainer", why)
            }
            _ => said("Complete", "", ""),
        };
        self.tell(wanted, Map::new());
    }

    fn failed(&mut self, pod: &Pod) {
        let status = pod.status.as_ref();
        let reason = status.and_then(|status| status.reason.as_deref()).unwrap_or("");
        let wanted = if out_of_memory(Some(pod)) {
            killed()
        } else if reason == "Evicted" {
            let why = status.and_then(|status| status.message.clone()).unwrap_or_default();
            ("Failed", "BuildPodEvicted", why)
        } else if pods::is_deleting(pod) {
            ("Error", "BuildPodDeleted", DELETED.to_owned())
        } else {
            let why = "Generic Build failure - check logs for details.".to_owned();
            ("Failed", "GenericBuildFailed", why)
        };
        self.tell(wanted, Map::new());
    }

    /// Adds what a build that its own pod has ended does not say of itself, and tells of that end.
    fn finish(&mut self) {
        let mut status = Map::new();
        let phase = self.build.phase().to_owned();
        end::complete(self.build, self.pod, &phase, self.now, &mut status);
        let told = status.contains_key("completionTimestamp").then(|| self.events(&phase));
        self.patch(json!({ "status": status }), told.flatten());
    }

    /// Gives the build a phase, if it or its reason is another one than it has, and tells of the change.
    fn tell(&mut self, (phase, reason, message): Wanted, mut status: Map<String, Value>) {
        let build = self.build;
        if (build.phase(), build.reason(), build.message()) == (phase, reason, message.as_str()) {
            return;
        }
        let or_none = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        status.insert("phase".to_owned(), phase.into());
        status.insert("reason".to_owned(), or_none(reason));
        status.insert("message".to_owned(), or_none(&message));
        if !matches!(phase, "New" | "Pending" | "Running") {
            end::complete(build, self.pod, phase, self.now, &mut status);
        }
        let mut patch = json!({ "status": status });
        if phase != "New" && annotation(&build.metadata, POD_NAME).is_none() {
            let has_pod = self.pod.is_some() || phase == "Pending";
            if has_pod {
                patch["metadata"] = json!({ "annotations": { POD_NAME: build.pod_name() } });
            }
        }
        let told = if phase == build.phase() { None } else { self.events(phase) };
        self.patch(patch, told);
    }

    fn events(&self, phase: &str) -> Option<OutcomeEvents> {
        let place = format!("{}/{}", self.build.namespace(), self.build.name());
        let (reason, message) = match phase {
            "Running" => ("BuildStarted", format!("Build {place} is now running")),
            "Complete" => ("BuildCompleted", format!("Build {place} completed successfully")),
            "Failed" | "Error" => ("BuildFailed", format!("Build {place} failed")),
            "Cancelled" => ("BuildCancelled", format!("Build {place} has been cancelled")),
            _ => return None,
        };
        Some(OutcomeEvents {
            about: ObjectRef::to(self.build.as_ref()).any_version(),
            done: (reason, message.into()),
            failed: ("", "".into()),
        })
    }

    /// Its own pod reports beside this: what is written is written to the build that was looked at.
    fn patch(&mut self, patch: Value, told: Option<OutcomeEvents>) {
        self.plan.act(Action::Patch {
            target: ObjectRef::to(self.build.as_ref()),
            subresource: "",
            patch,
            only_if: None,
            told,
        });
    }
}
