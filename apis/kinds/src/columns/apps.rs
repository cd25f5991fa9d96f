//! Columns of deployments and of what else keeps pods running.

use serde_json::Value;

use super::{AGE, NONE, int, labels, list, number, of_containers, selector, shown, text, wide};
use crate::Column;

const CONTAINERS: Column = wide("Containers", |object, _| {
    of_containers(object, "/spec/template/spec/containers", "name").into()
});
const IMAGES: Column = wide("Images", |object, _| {
    of_containers(object, "/spec/template/spec/containers", "image").into()
});
const SELECTOR: Column =
    wide("Selector", |object, _| selector(object.pointer("/spec/selector")).into());

/// How many of the pods wanted are ready.
const READY: Column = shown("Ready", |object, _| {
    let (ready, wanted) = (int(object, "/status/readyReplicas"), int(object, "/spec/replicas"));
    format!("{ready}/{wanted}").into()
});

pub(crate) const DEPLOYMENT: &[Column] = &[
    READY,
    shown("Up-to-date", |object, _| int(object, "/status/updatedReplicas").into()),
    shown("Available", |object, _| int(object, "/status/availableReplicas").into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const REPLICA_SET: &[Column] = &[
    number("Desired", |object, _| int(object, "/spec/replicas").into()),
    number("Current", |object, _| int(object, "/status/replicas").into()),
    number("Ready", |object, _| int(object, "/status/readyReplicas").into()),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const STATEFUL_SET: &[Column] = &[READY, AGE, CONTAINERS, IMAGES];

pub(crate) const DAEMON_SET: &[Column] = &[
    number("Desired", |object, _| int(object, "/status/desiredNumberScheduled").into()),
    number("Current", |object, _| int(object, "/status/currentNumberScheduled").into()),
    number("Ready", |object, _| int(object, "/status/numberReady").into()),
    number("Up-to-date", |object, _| int(object, "/status/updatedNumberScheduled").into()),
    number("Available", |object, _| int(object, "/status/numberAvailable").into()),
    shown("Node Selector", |object, _| {
        labels(object.pointer("/spec/template/spec/nodeSelector")).into()
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const CONTROLLER_REVISION: &[Column] = &[
    shown("Controller", |object, _| controller(object).into()),
    shown("Revision", |object, _| int(object, "/revision").into()),
    AGE,
];

/// The owner that manages an object, such as `statefulset.apps/web`.
fn controller(object: &Value) -> String {
    let owners = list(object, "/metadata/ownerReferences");
    let manages = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    let Some(owner) = owners.iter().find(manages) else { return NONE.to_owned() };
    let kind = text(owner, "/kind").to_lowercase();
    let name = text(owner, "/name");
    match text(owner, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}
