//! When a claim works, and why a volume does not fit one.
//!
//! Knows: what a claim asks of a volume. Refuses to know: who makes volumes.

use leme_meta::{Object, Quantity};
use serde_json::Value;

use super::events::{about, last, last_warning};
use super::{State, join};
use crate::follow::Lister;

/// What is told of a claim whose volume is made where its first pod will be: there is nothing more to wait for.
const FIRST_POD: &str = "waiting for first consumer to be created before binding";

pub(super) fn claim(object: &Object, lister: &Lister) -> State {
    match object.text(&["status", "phase"]) {
        "Bound" => State::Works(format!("bound to {}", object.text(&["spec", "volumeName"]))),
        "Lost" => {
            let volume = object.text(&["spec", "volumeName"]);
            let why = format!("PersistentVolume {volume}, to which it was bound, is gone");
            State::Failed(join("Lost", &last(object, lister).unwrap_or(why)))
        }
        phase => match last(object, lister) {
            Some(told) if told.contains(FIRST_POD) => {
                State::Works("gets its volume with its first pod".to_owned())
            }
            told => {
                let why = told.unwrap_or_else(|| "a PersistentVolume".to_owned());
                State::Waits(join(if phase.is_empty() { "Pending" } else { phase }, &why))
            }
        },
    }
}

/// Why nobody but a person gives a claim a volume, if that is so.
pub(super) fn unmakeable(claim: &Object, lister: &Lister) -> Option<String> {
    let last = *about(claim, lister).last()?;
    let text = |field: &str| last[field].as_str().unwrap_or("");
    let (reason, message) = (text("reason"), text("message"));
    let who = last["source"]["component"].as_str().unwrap_or("");
    let fits = |volume: &Object| misfit(volume, claim).is_none();
    let never = match reason {
        // One that has just come may not have been seen.
        "FailedBinding" => !lister.all("", "persistentvolumes").any(fits),
        "VolumeMismatch" => true,
        // Drivers of others try again as long as they like. A node is chosen again by the scheduler.
        "ProvisioningFailed" => match who {
            "persistentvolume-controller" => {
                let classes = &mut lister.all("storage.k8s.io", "storageclasses");
                !(message.ends_with(" not found") && classes.any(|one| one.name() == class(claim)))
            }
            "local-path-provisioner" => !message.ends_with(" has no room for volumes"),
            _ => false,
        },
        _ => false,
    };
    never.then(|| join(reason, message))
}

/// The storage class of a claim or a volume; empty for none.
pub(super) fn class(object: &Object) -> &str {
    object.text(&["spec", "storageClassName"])
}

/// Why a volume does not fit a claim, if it does not.
pub(super) fn misfit(volume: &Object, claim: &Object) -> Option<String> {
    let taken = volume.at(&["spec", "claimRef"]).filter(|reference| reference.is_object());
    if let Some(reference) = taken
        && (reference["name"] != claim.name() || reference["namespace"] != claim.namespace())
    {
        let text = |field: &str| reference[field].as_str().unwrap_or("");
        return Some(format!("it is for claim {}/{}", text("namespace"), text("name")));
    }
    if class(volume) != class(claim) {
        let shown = |class: &str| match class {
            "" => "none".to_owned(),
            class => format!("{class:?}"),
        };
        let (own, wanted) = (shown(class(volume)), shown(class(claim)));
        return Some(format!("its storage class is {own}, and {wanted} is asked for"));
    }
    let size = |object: &Object, path: &[&str]| {
        let text = object.text(path).to_owned();
        Quantity::parse(&text).ok().map(|size| (size.nanos(), text))
    };
    let own = size(volume, &["spec", "capacity", "storage"]);
    let wanted = size(claim, &["spec", "resources", "requests", "storage"]);
    if let (Some((own, shown)), Some((wanted, asked))) = (own, wanted)
        && own < wanted
    {
        return Some(format!("it has {shown}, and {asked} are asked for"));
    }
    let modes = |object: &Object| -> Vec<String> {
        let list = object.at(&["spec", "accessModes"]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let own = modes(volume);
    if let Some(lacking) = modes(claim).iter().find(|mode| !own.contains(mode)) {
        return Some(format!("it does not offer {lacking}"));
    }
    let phase = volume.text(&["status", "phase"]);
    matches!(phase, "Released" | "Failed").then(|| format!("it is {phase}"))
}

/// A snapshot, or what it is bound to.
pub(super) fn snapshot(object: &Object, lister: &Lister) -> State {
    if object.at(&["status", "readyToUse"]) == Some(&Value::Bool(true)) {
        return State::Works("ready to use".to_owned());
    }
    let error = object.text(&["status", "error", "message"]);
    match (error, last_warning(object, lister)) {
        ("", None) => State::Waits("it is not ready to use".to_owned()),
        ("", Some(warning)) => State::Waits(warning),
        (error, _) => State::Waits(error.to_owned()),
    }
}
