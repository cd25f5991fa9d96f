//! Columns of namespaces, replication controllers, pod templates, configuration and leases.

use serde_json::Value;

use super::{AGE, entries, int, labels, list, number, of_containers, shown, text, wide};
use crate::Column;

pub(crate) const NAMESPACE: &[Column] =
    &[shown("Status", |object, _| text(object, "/status/phase").into()), AGE];

pub(crate) const REPLICATION_CONTROLLER: &[Column] = &[
    number("Desired", |object, _| int(object, "/spec/replicas").into()),
    number("Current", |object, _| int(object, "/status/replicas").into()),
    number("Ready", |object, _| int(object, "/status/readyReplicas").into()),
    AGE,
    wide("Containers", |object, _| {
        of_containers(object, "/spec/template/spec/containers", "name").into()
    }),
    wide("Images", |object, _| {
        of_containers(object, "/spec/template/spec/containers", "image").into()
    }),
    wide("Selector", |object, _| labels(object.pointer("/spec/selector")).into()),
];

/// Of a Scale, whatever it is the scale of.
pub(crate) static SCALE: &[Column] = &[
    number("Desired", |object, _| int(object, "/spec/replicas").into()),
    number("Available", |object, _| int(object, "/status/replicas").into()),
    AGE,
];

pub(crate) const POD_TEMPLATE: &[Column] = &[
    shown("Containers", |object, _| {
        of_containers(object, "/template/spec/containers", "name").into()
    }),
    shown("Images", |object, _| of_containers(object, "/template/spec/containers", "image").into()),
    shown("Pod Labels", |object, _| labels(object.pointer("/template/metadata/labels")).into()),
];

pub(crate) const COMPONENT_STATUS: &[Column] = &[
    shown("Status", |component, _| {
        match healthy(component).map(|condition| text(condition, "/status")) {
            None => "Unknown".into(),
            Some("True") => "Healthy".into(),
            Some(_) => "Unhealthy".into(),
        }
    }),
    shown("Message", |component, _| said(component, "/message")),
    shown("Error", |component, _| said(component, "/error")),
];

/// The one condition that a component has.
fn healthy(component: &Value) -> Option<&Value> {
    list(component, "/conditions").iter().find(|condition| text(condition, "/type") == "Healthy")
}

fn said(component: &Value, pointer: &str) -> Value {
    healthy(component).map_or("", |condition| text(condition, pointer)).into()
}

pub(crate) const CONFIG_MAP: &[Column] = &[
    shown("Data", |object, _| (entries(object, "/data") + entries(object, "/binaryData")).into()),
    AGE,
];

pub(crate) const SECRET: &[Column] = &[
    shown("Type", |object, _| text(object, "/type").into()),
    shown("Data", |object, _| entries(object, "/data").into()),
    AGE,
];

pub(crate) const SERVICE_ACCOUNT: &[Column] =
    &[shown("Secrets", |object, _| list(object, "/secrets").len().into()), AGE];

pub(crate) const LEASE: &[Column] =
    &[shown("Holder", |object, _| text(object, "/spec/holderIdentity").into()), AGE];
