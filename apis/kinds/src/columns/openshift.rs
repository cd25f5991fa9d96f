//! Columns of the OpenShift kinds.

mod build;
pub(crate) mod config;
mod image;
mod oauth;
mod route;
mod security;
mod template;
mod user;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{NONE, int, list, selector, shown, text};
use crate::Column;

pub(crate) use build::{BUILD, BUILD_CONFIG};
pub(crate) use image::{IMAGE, IMAGE_STREAM, IMAGE_STREAM_IMAGE, IMAGE_STREAM_TAG, IMAGE_TAG};
pub(crate) use oauth::{OAUTH_AUTHORIZATION, OAUTH_CLIENT, OAUTH_TOKEN, USER_OAUTH_TOKEN};
pub(crate) use route::ROUTE;
pub(crate) use security::{RANGE_ALLOCATION, SECURITY_CONTEXT_CONSTRAINTS};
pub(crate) use template::{BROKER_TEMPLATE_INSTANCE, TEMPLATE, TEMPLATE_INSTANCE};
pub(crate) use user::{GROUP, IDENTITY, USER};

/// Cells of a namespace, as which projects are kept.
pub(crate) const PROJECT: &[Column] = &[
    shown("Display Name", |namespace, _| {
        text(namespace, "/metadata/annotations/openshift.io~1display-name").into()
    }),
    shown("Status", |namespace, _| text(namespace, "/status/phase").into()),
];

pub(crate) const DEPLOYMENT_CONFIG: &[Column] = &[
    shown("Revision", |config, _| int(config, "/status/latestVersion").into()),
    shown("Desired", |config, _| desired(config).into()),
    shown("Current", |config, _| int(config, "/status/updatedReplicas").into()),
    shown("Triggered By", |config, _| triggers(config).into()),
];

pub(crate) const APPLIED_QUOTA: &[Column] = &[
    shown("Labels Selector", |quota, _| selector(quota.pointer("/spec/selector/labels")).into()),
    shown("Annotations Selector", |quota, _| {
        let annotations = quota.pointer("/spec/selector/annotations").and_then(Value::as_object);
        let pairs = annotations.into_iter().flatten();
        let pairs = pairs.map(|(key, text)| format!("{key}={}", text.as_str().unwrap_or("")));
        match pairs.collect::<Vec<_>>().join(",") {
            none if none.is_empty() => NONE.into(),
            all => all.into(),
        }
    }),
];

/// The texts of a list, joined.
fn joined(object: &Value, pointer: &str, separator: &str) -> String {
    let texts: Vec<&str> = list(object, pointer).iter().filter_map(Value::as_str).collect();
    texts.join(separator)
}

fn desired(config: &Value) -> String {
    let replicas = int(config, "/spec/replicas");
    if config.pointer("/spec/test") == Some(&Value::Bool(true)) {
        format!("{replicas} (during test)")
    } else {
        replicas.to_string()
    }
}

fn triggers(config: &Value) -> String {
    let containers: BTreeSet<&str> = list(config, "/spec/template/spec/containers")
        .iter()
        .map(|container| text(container, "/name"))
        .collect();
    let shown: BTreeSet<String> = list(config, "/spec/triggers")
        .iter()
        .filter_map(|trigger| match text(trigger, "/type") {
            "ConfigChange" => Some("config".to_owned()),
            "ImageChange" => trigger
                .get("imageChangeParams")
                .filter(|params| params.get("automatic") == Some(&Value::Bool(true)))
                .map(|params| image_trigger(params, &containers)),
            other => Some(other.to_owned()),
        })
        .collect();
    shown.into_iter().collect::<Vec<_>>().join(",")
}

fn image_trigger(params: &Value, containers: &BTreeSet<&str>) -> String {
    let mut named: Vec<&str> =
        list(params, "/containerNames").iter().filter_map(Value::as_str).collect();
    named.sort_unstable();
    let known = containers.len() == 1 || named.iter().all(|name| containers.contains(name));
    let prefix = if known { String::new() } else { format!("{}:", named.join(",")) };
    let kind = match text(params, "/from/kind") {
        "ImageStreamTag" => "image",
        other => other,
    };
    format!("{kind}({prefix}{})", text(params, "/from/name"))
}
