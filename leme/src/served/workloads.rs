//! When what makes pods works: all that were asked for are ready, and of the newest template.
//!
//! Knows: how each kind of them counts. Refuses to know: pods.

use leme_meta::Object;
use serde_json::Value;

use super::events::last_warning;
use super::pods::is_ready;
use super::{State, condition, found_in, join, number, state};
use crate::follow::Lister;

/// How many pods are asked for.
fn wanted(object: &Object) -> i64 {
    object.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1)
}

/// What was counted, or less: the pods themselves know it first.
fn believed(counted: i64, pods: &[&Object], lister: &Lister) -> i64 {
    let ready = pods.iter().filter(|pod| is_ready(pod, lister)).count();
    match pods.is_empty() {
        true => counted,
        false => counted.min(i64::try_from(ready).unwrap_or(i64::MAX)),
    }
}

fn is_seen(object: &Object) -> bool {
    number(object, &["status", "observedGeneration"]) >= object.generation()
}

pub(super) fn replicated(object: &Object, lister: &Lister) -> State {
    let wanted = wanted(object);
    let pods = lister.owned("", "pods", object.uid());
    let ready = believed(number(object, &["status", "readyReplicas"]), &pods, lister);
    let count = format!("{ready}/{wanted} ready");
    if is_seen(object) && ready >= wanted && number(object, &["status", "replicas"]) == wanted {
        return State::Works(count);
    }
    let failure = condition(object, "ReplicaFailure").map(|(_, message)| message);
    let why = failure
        .or_else(|| waiting(&pods, lister))
        .or_else(|| last_warning(object, lister))
        .unwrap_or_default();
    State::Waits(join(&count, &why))
}

/// The first of the pods that waits, and for what; else of those that have failed.
fn waiting(pods: &[&Object], lister: &Lister) -> Option<String> {
    let states: Vec<State> = pods.iter().map(|pod| state(pod, lister)).collect();
    let first = |is: fn(&State) -> bool| {
        let (pod, state) = pods.iter().zip(&states).find(|(_, state)| is(state))?;
        Some(format!("pod {}: {}", pod.name(), state.trouble()?))
    };
    first(|state| matches!(state, State::Waits(_)))
        .or_else(|| first(|state| matches!(state, State::Failed(_))))
}

/// Works when every pod is of the newest template and available, and none of an older one is left.
pub(super) fn deployment(object: &Object, lister: &Lister) -> State {
    let wanted = wanted(object);
    let sets = lister.owned("apps", "replicasets", object.uid());
    let pods: Vec<&Object> =
        sets.iter().flat_map(|set| lister.owned("", "pods", set.uid())).collect();
    let counted = |field: &str| number(object, &["status", field]);
    let available = believed(counted("availableReplicas"), &pods, lister);
    let count = format!("{available}/{wanted} available");
    let updated = counted("updatedReplicas");
    if is_seen(object) && available >= wanted && updated >= wanted && counted("replicas") == updated
    {
        return State::Works(count);
    }
    let rollout = match updated < wanted || counted("replicas") > updated {
        true => format!("{count}, {updated} up to date"),
        false => count,
    };
    let failure = condition(object, "ReplicaFailure").map(|(_, message)| message);
    let paused = paused(object);
    let late = late(object).filter(|_| paused.is_none());
    let why = paused
        .or(failure)
        .or_else(|| waiting(&pods, lister))
        .or_else(|| late.clone())
        .or_else(|| last_warning(object, lister))
        .unwrap_or_default();
    let why = join(&rollout, &why);
    if late.is_some() { State::Failed(why) } else { State::Waits(why) }
}

/// Works when the newest rollout is done, which can fail for good; one that is a test leaves no pods.
pub(super) fn config(object: &Object, lister: &Lister) -> State {
    let reason = |wanted: &str| {
        let found =
            object.at(&["status", "conditions"]).and_then(|all| found_in(all, "Progressing"));
        found.is_some_and(|found| found["reason"] == wanted)
    };
    let done = reason("NewReplicationControllerAvailable");
    let test = object.at(&["spec", "test"]).and_then(Value::as_bool) == Some(true);
    let updated = number(object, &["status", "updatedReplicas"]);
    match (replicated(object, lister), late(object)) {
        (State::Waits(count), None) if number(object, &["status", "latestVersion"]) == 0 => {
            State::Waits(join(&count, &not_begun(object)))
        }
        _ if test && done && is_seen(object) => State::Works("the test is over".to_owned()),
        (State::Waits(count), Some(why)) => State::Failed(join(&count, &why)),
        (State::Works(count), Some(why)) => State::Failed(join(&count, &why)),
        (State::Works(count), None) if !done && updated < wanted(object) => {
            let helpers = helpers(object, lister);
            let why = paused(object).or_else(|| waiting(&helpers, lister)).unwrap_or_default();
            State::Waits(join(&format!("{count}, {updated} up to date"), &why))
        }
        (state, _) => state,
    }
}

/// Label of a pod that works for a rollout: the name of the rollout's replication controller.
const HELPER_OF: &str = "openshift.io/deployer-pod-for.name";

/// The pods of hooks and strategies that work for the newest rollout.
pub(super) fn helpers<'a>(config: &Object, lister: &'a Lister) -> Vec<&'a Object> {
    let name = format!("{}-{}", config.name(), number(config, &["status", "latestVersion"]));
    let helps = |pod: &&Object| {
        pod.namespace() == config.namespace()
            && pod.text(&["metadata", "labels", HELPER_OF]) == name
    };
    lister.all("", "pods").filter(helps).collect()
}

/// Why nothing of a configuration has been rolled out yet.
fn not_begun(object: &Object) -> String {
    let triggers = object.at(&["spec", "triggers"]).and_then(Value::as_array);
    let triggers = triggers.map_or(&[][..], Vec::as_slice);
    let waits = |trigger: &Value| {
        let from = &trigger["imageChangeParams"];
        let known = from["lastTriggeredImage"].as_str().is_some_and(|image| !image.is_empty());
        let tag = from["from"]["name"].as_str().filter(|_| !known)?;
        Some(format!("no image has the tag {tag} yet"))
    };
    match triggers.iter().find_map(waits) {
        Some(why) => why,
        None if triggers.is_empty() => {
            "it has no trigger, so that its rollouts have to be asked for (deploymentconfigs/instantiate)".to_owned()
        }
        None => paused(object).unwrap_or_default(),
    }
}

/// Works when every pod is ready, and of the newest template as far as that is to reach.
pub(super) fn stateful(object: &Object, lister: &Lister) -> State {
    let wanted = wanted(object);
    let partition = number(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
    let target = if waits_for_deletes(object) { 0 } else { wanted - partition };
    let updated = number(object, &["status", "updatedReplicas"]);
    match replicated(object, lister) {
        State::Works(count) if updated < target => {
            let pods = lister.owned("", "pods", object.uid());
            let why = waiting(&pods, lister).unwrap_or_default();
            State::Waits(join(&format!("{count}, {updated} up to date"), &why))
        }
        state => state,
    }
}

/// Works when every node that should have a pod has one that is available and of the newest template.
pub(super) fn daemon(object: &Object, lister: &Lister) -> State {
    let counted = |field: &str| number(object, &["status", field]);
    let pods = lister.owned("", "pods", object.uid());
    let (wanted, updated) = (counted("desiredNumberScheduled"), counted("updatedNumberScheduled"));
    let available = believed(counted("numberAvailable"), &pods, lister);
    let count = format!("{available}/{wanted} available");
    let is_new = updated >= wanted || waits_for_deletes(object);
    if is_seen(object) && available >= wanted && is_new {
        return State::Works(count);
    }
    let rollout = if is_new { count } else { format!("{count}, {updated} up to date") };
    let why = waiting(&pods, lister).or_else(|| last_warning(object, lister)).unwrap_or_default();
    State::Waits(join(&rollout, &why))
}

/// Works when it is complete.
pub(super) fn job(object: &Object, lister: &Lister) -> State {
    let succeeded = number(object, &["status", "succeeded"]);
    let done = match object.at(&["spec", "completions"]).and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted} completed"),
        None => format!("{succeeded} completed"),
    };
    let told = |type_| condition(object, type_).filter(|(is, _)| *is).map(|(_, message)| message);
    if told("Complete").is_some() {
        return State::Works(done);
    }
    let pods = lister.owned("", "pods", object.uid());
    if let Some(why) = told("Failed") {
        return State::Failed(join(&why, &waiting(&pods, lister).unwrap_or_default()));
    }
    let suspended = told("Suspended").map(|_| "it is suspended".to_owned());
    let why = suspended
        .or_else(|| waiting(&pods, lister))
        .or_else(|| last_warning(object, lister))
        .unwrap_or_default();
    State::Waits(join(&done, &why))
}

/// Works when it is complete.
pub(super) fn build(object: &Object, _: &Lister) -> State {
    match object.text(&["status", "phase"]) {
        "Complete" => State::Works(String::new()),
        phase @ ("Failed" | "Error" | "Cancelled") => {
            State::Failed(join(phase, object.text(&["status", "message"])))
        }
        "" => State::Waits("New".to_owned()),
        phase => State::Waits(join(phase, object.text(&["status", "message"]))),
    }
}

/// A configuration works as its newest build does; one that has none waits for nobody.
pub(super) fn builds(object: &Object, lister: &Lister) -> State {
    let number = |build: &&&Object| {
        let text = build.at(&["metadata", "annotations", "openshift.io/build.number"]);
        text.and_then(Value::as_str).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0)
    };
    let all = lister.owned("build.openshift.io", "builds", object.uid());
    let Some(newest) = all.iter().max_by_key(number) else { return State::Works(String::new()) };
    let name = format!("build {}", newest.name());
    match build(newest, lister) {
        State::Works(_) => State::Works(format!("{name} is complete")),
        State::Waits(why) => State::Waits(join(&name, &why)),
        State::Failed(why) => State::Failed(join(&name, &why)),
        stored @ State::Stored(_) => stored,
    }
}

/// Whether pods get a new template only when somebody deletes them.
fn waits_for_deletes(object: &Object) -> bool {
    object.text(&["spec", "updateStrategy", "type"]) == "OnDelete"
}

fn paused(object: &Object) -> Option<String> {
    let paused = object.at(&["spec", "paused"]).and_then(Value::as_bool) == Some(true);
    paused.then(|| "it is paused".to_owned())
}

/// What is said of a rollout of what is wanted now that was given up.
fn late(object: &Object) -> Option<String> {
    let found = found_in(object.at(&["status", "conditions"])?, "Progressing")?;
    let is_late = found["status"] == "False" && found["reason"] == "ProgressDeadlineExceeded";
    let message = found["message"].as_str().unwrap_or("");
    (is_late && is_seen(object)).then(|| join("ProgressDeadlineExceeded", message))
}

/// Works when it can scale its target; one that cannot tell how many pods there should be leaves the target as it is.
pub(super) fn autoscaler(object: &Object, _: &Lister) -> State {
    match (condition(object, "AbleToScale"), condition(object, "ScalingActive")) {
        (None, _) => State::Waits("not looked at yet".to_owned()),
        (Some((false, why)), _) => State::Waits(why),
        (_, Some((false, why))) => State::Works(join("but does not scale", &why)),
        _ => {
            let of = |field| number(object, &["status", field]);
            let (now, wanted) = (of("currentReplicas"), of("desiredReplicas"));
            State::Works(format!("{now} replicas, {wanted} wanted"))
        }
    }
}
