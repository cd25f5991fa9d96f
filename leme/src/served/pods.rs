//! When a pod works: its containers run, are ready, and have proved that they go on.
//!
//! Knows: that a container which nobody probes counts as ready in the instant in which it starts, however soon it ends.
//! Refuses to know: why pods are made.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use leme_meta::Object;
use serde_json::Value;

use super::events::last_warning;
use super::{State, condition, join};
use crate::follow::Lister;

/// How long a container must run that nobody probes before it counts. Its start is told in whole seconds.
const PROOF: SignedDuration = SignedDuration::from_secs(2);
/// A container that ran for no longer than this before it was started again must outlive that.
const SHORT: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn pod(object: &Object, lister: &Lister) -> State {
    match object.text(&["status", "phase"]) {
        "Succeeded" => State::Works(object.text(&["status", "podIP"]).to_owned()),
        "Failed" => State::Failed(failure(object)),
        "Running" if says_ready(object) => match unproved(object, lister.now()) {
            Some((why, _)) => State::Waits(why),
            None => {
                let address = object.text(&["status", "podIP"]);
                State::Works(with_restarts(address.to_owned(), object))
            }
        },
        phase => State::Waits(with_restarts(missing(object, phase, lister), object)),
    }
}

/// What a pod waits for that is not ready.
fn missing(object: &Object, phase: &str, lister: &Lister) -> String {
    for container in statuses(object, &["initContainerStatuses", "containerStatuses"]) {
        let waiting = &container["state"]["waiting"];
        let text = |key: &str| waiting[key].as_str().unwrap_or("");
        if !text("reason").is_empty() && text("reason") != "PodInitializing" {
            let what = format!("container {}: {}", name(container), text("reason"));
            return join(&what, text("message"));
        }
    }
    if let Some(event) = last_warning(object, lister) {
        return event;
    }
    for name in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
        if let Some((false, message)) = condition(object, name)
            && !message.is_empty()
        {
            return message;
        }
    }
    if let Some(other) = left_to_another(object) {
        return format!("scheduler {other}, to which it is left, has not given it a node");
    }
    if phase.is_empty() { "a node".to_owned() } else { phase.to_owned() }
}

/// The scheduler of a pod without a node, if it is not the one that every cluster has.
fn left_to_another(object: &Object) -> Option<&str> {
    let scheduler = object.text(&["spec", "schedulerName"]);
    let waits = object.text(&["spec", "nodeName"]).is_empty();
    (waits && !matches!(scheduler, "" | "default-scheduler")).then_some(scheduler)
}

/// What a pod waits for that comes by somebody's hand alone: an image that its node does not have.
pub(super) fn absent_image(pod: &Object) -> Option<String> {
    statuses(pod, &["initContainerStatuses", "containerStatuses"]).find_map(|container| {
        let waiting = &container["state"]["waiting"];
        let (reason, message) = (waiting["reason"].as_str()?, waiting["message"].as_str()?);
        let absent = matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull");
        // Other nodes fetch images, sooner or later.
        let by_hand = message.contains("leme image load") || reason == "ErrImageNeverPull";
        (absent && by_hand).then(|| format!("container {}: {message}", name(container)))
    })
}

/// Why a pod has failed.
fn failure(object: &Object) -> String {
    let told = join(object.text(&["status", "reason"]), object.text(&["status", "message"]));
    if !told.is_empty() {
        return told;
    }
    let mut ended = statuses(object, &["initContainerStatuses", "containerStatuses"])
        .filter_map(|container| Some((container, ending(&container["state"]["terminated"])?)));
    let failed = ended.find(|(container, _)| container["state"]["terminated"]["exitCode"] != 0);
    failed.map_or_else(String::new, |(container, how)| {
        format!("container {} ended with {how}", name(container))
    })
}

/// How a container ended: `exit code 1`, `exit code 137 (OOMKilled)`.
fn ending(terminated: &Value) -> Option<String> {
    let code = terminated["exitCode"].as_i64()?;
    let reason = terminated["reason"].as_str().unwrap_or("");
    match reason {
        "" | "Error" | "Completed" => Some(format!("exit code {code}")),
        reason => Some(format!("exit code {code} ({reason})")),
    }
}

/// A word with what is to be told of the container that was started again most often.
fn with_restarts(word: String, object: &Object) -> String {
    let count = |container: &&Value| container["restartCount"].as_i64().unwrap_or(0);
    let most = statuses(object, &["initContainerStatuses", "containerStatuses"]).max_by_key(count);
    let Some(container) = most.filter(|container| count(container) > 0) else { return word };
    let times = match count(&container) {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let how = ending(&container["lastState"]["terminated"])
        .map(|how| format!(", the last time after {how}"))
        .unwrap_or_default();
    let told = format!("container {} has been restarted {times}{how}", name(container));
    if word.is_empty() { told } else { format!("{word}; {told}") }
}

fn statuses<'a>(object: &'a Object, lists: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    lists.iter().flat_map(|list| object.at(&["status", list]).and_then(Value::as_array)).flatten()
}

fn name(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("")
}

fn says_ready(pod: &Object) -> bool {
    condition(pod, "Ready").is_some_and(|(ready, _)| ready)
}

/// Whether a pod is ready, and will be in a moment too.
pub(super) fn is_ready(pod: &Object, lister: &Lister) -> bool {
    says_ready(pod) && unproved(pod, lister.now()).is_none()
}

/// How long until a pod that is ready may count without a change; `None` where none is on its way there.
pub fn again(lister: &Lister) -> Option<Duration> {
    let ready = lister.all("", "pods").filter(|pod| says_ready(pod));
    let left = ready.filter_map(|pod| unproved(pod, lister.now()));
    left.map(|(_, left)| left.unsigned_abs()).min()
}

/// What a pod still has to prove that calls itself ready, and for how long.
fn unproved(pod: &Object, now: Timestamp) -> Option<(String, SignedDuration)> {
    let probed = |name: &str| {
        let containers = pod.at(&["spec", "containers"]).and_then(Value::as_array);
        let mut all = containers.into_iter().flatten();
        all.any(|one| one["name"] == name && one["readinessProbe"].is_object())
    };
    statuses(pod, &["containerStatuses"])
        .filter(|container| !probed(name(container)))
        .filter_map(|container| unproved_of(container, now))
        .max_by_key(|(_, left)| *left)
}

fn unproved_of(container: &Value, now: Timestamp) -> Option<(String, SignedDuration)> {
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let ran = now.duration_since(time(&container["state"]["running"]["startedAt"])?);
    let last = &container["lastState"]["terminated"];
    let before = time(&last["finishedAt"])
        .zip(time(&last["startedAt"]))
        .map(|(end, start)| end.duration_since(start))
        .filter(|before| (SignedDuration::ZERO..=SHORT).contains(before));
    let wanted = before.unwrap_or_default() + PROOF;
    // A clock that is behind says nothing.
    if ran.is_negative() || ran >= wanted {
        return None;
    }
    let name = name(container);
    let why = match (before, ending(last)) {
        (Some(before), Some(how)) => format!(
            "container {name} has just been restarted: it ended with {how} after {}s",
            before.as_secs()
        ),
        _ => format!("container {name} has just been started, and has no readiness probe"),
    };
    Some((why, wanted - ran))
}
