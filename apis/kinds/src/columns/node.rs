//! Columns of nodes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AGE, NONE, list, shown, text, text_or, wide};
use crate::Column;

const UNKNOWN: &str = "<unknown>";

pub(crate) const NODE: &[Column] = &[
    shown("Status", |node, _| status(node).into()),
    shown("Roles", |node, _| roles(node).into()),
    AGE,
    shown("Version", |node, _| text(node, "/status/nodeInfo/kubeletVersion").into()),
    wide("Internal-IP", |node, _| address(node, "InternalIP").into()),
    wide("External-IP", |node, _| address(node, "ExternalIP").into()),
    wide("OS-Image", |node, _| text_or(node, "/status/nodeInfo/osImage", UNKNOWN).into()),
    wide("Kernel-Version", |node, _| {
        text_or(node, "/status/nodeInfo/kernelVersion", UNKNOWN).into()
    }),
    wide("Container-Runtime", |node, _| {
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN).into()
    }),
];

fn status(node: &Value) -> String {
    let ready = list(node, "/status/conditions").iter().rfind(|one| text(one, "/type") == "Ready");
    let mut shown = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        shown.push_str(",SchedulingDisabled");
    }
    shown
}

fn roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() {
        return NONE.to_owned();
    }
    roles.into_iter().collect::<Vec<_>>().join(",")
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    list(node, "/status/addresses")
        .iter()
        .find(|address| text(address, "/type") == kind)
        .map_or(NONE, |address| text(address, "/address"))
}
