//! The fields that field selectors may name, kind by kind.

use std::borrow::Cow;

use serde_json::Value;

use crate::columns::{flag, int, text};
use crate::{Reading, SelectableField};

macro_rules! texts {
    ($($path:literal => $pointer:literal),* $(,)?) => {
        &[$(field($path, |object| text(object, $pointer).to_owned())),*]
    };
}

pub(crate) const POD: &[SelectableField] = &[
    field("spec.nodeName", |pod| text(pod, "/spec/nodeName").to_owned()),
    field("spec.restartPolicy", |pod| text(pod, "/spec/restartPolicy").to_owned()),
    field("spec.schedulerName", |pod| text(pod, "/spec/schedulerName").to_owned()),
    field("spec.serviceAccountName", |pod| text(pod, "/spec/serviceAccountName").to_owned()),
    field("spec.hostNetwork", |pod| flag(pod, "/spec/hostNetwork").to_string()),
    field("status.phase", |pod| text(pod, "/status/phase").to_owned()),
    field("status.podIP", |pod| match text(pod, "/status/podIPs/0/ip") {
        "" => text(pod, "/status/podIP").to_owned(),
        first => first.to_owned(),
    }),
    field("status.nominatedNodeName", |pod| text(pod, "/status/nominatedNodeName").to_owned()),
];

pub(crate) const EVENT: &[SelectableField] = &[
    field("involvedObject.kind", |event| text(event, "/involvedObject/kind").to_owned()),
    field("involvedObject.namespace", |event| text(event, "/involvedObject/namespace").to_owned()),
    field("involvedObject.name", |event| text(event, "/involvedObject/name").to_owned()),
    field("involvedObject.uid", |event| text(event, "/involvedObject/uid").to_owned()),
    field("involvedObject.apiVersion", |event| {
        text(event, "/involvedObject/apiVersion").to_owned()
    }),
    field("involvedObject.resourceVersion", |event| {
        text(event, "/involvedObject/resourceVersion").to_owned()
    }),
    field("involvedObject.fieldPath", |event| text(event, "/involvedObject/fieldPath").to_owned()),
    field("reason", |event| text(event, "/reason").to_owned()),
    field("reportingComponent", |event| text(event, "/reportingComponent").to_owned()),
    field("source", |event| match text(event, "/source/component") {
        "" => text(event, "/reportingComponent").to_owned(),
        component => component.to_owned(),
    }),
    field("type", |event| text(event, "/type").to_owned()),
];

/// The same fields by the names of `events.k8s.io`.
pub(crate) const EVENTS: &[SelectableField] = texts!(
    "regarding.kind" => "/regarding/kind",
    "regarding.namespace" => "/regarding/namespace",
    "regarding.name" => "/regarding/name",
    "regarding.uid" => "/regarding/uid",
    "regarding.apiVersion" => "/regarding/apiVersion",
    "regarding.resourceVersion" => "/regarding/resourceVersion",
    "regarding.fieldPath" => "/regarding/fieldPath",
    "reason" => "/reason",
    "reportingController" => "/reportingController",
    "type" => "/type",
);

pub(crate) const CERTIFICATE_SIGNING_REQUEST: &[SelectableField] =
    texts!("spec.signerName" => "/spec/signerName");

pub(crate) const NODE: &[SelectableField] =
    &[field("spec.unschedulable", |node| flag(node, "/spec/unschedulable").to_string())];

/// Of those that keep a number of pods running.
pub(crate) const REPLICAS: &[SelectableField] =
    &[field("status.replicas", |object| int(object, "/status/replicas").to_string())];

pub(crate) const JOB: &[SelectableField] =
    &[field("status.successful", |job| int(job, "/status/succeeded").to_string())];

pub(crate) const SECRET: &[SelectableField] = texts!("type" => "/type");

/// `name` is an old spelling of `metadata.name` that these two kinds still take.
pub(crate) const NAMESPACE: &[SelectableField] =
    texts!("status.phase" => "/status/phase", "name" => "/metadata/name");

pub(crate) const PERSISTENT_VOLUME: &[SelectableField] = texts!("name" => "/metadata/name");

pub(crate) const PERSISTENT_VOLUME_CLAIM: &[SelectableField] = texts!("name" => "/metadata/name");

pub(crate) const SERVICE: &[SelectableField] =
    texts!("spec.clusterIP" => "/spec/clusterIP", "spec.type" => "/spec/type");

pub(crate) const VOLUME_ATTACHMENT: &[SelectableField] =
    texts!("spec.nodeName" => "/spec/nodeName");

pub(crate) const RESOURCE_SLICE: &[SelectableField] =
    texts!("spec.nodeName" => "/spec/nodeName", "spec.driver" => "/spec/driver");

pub(crate) const ROUTE: &[SelectableField] = texts!(
    "spec.host" => "/spec/host",
    "spec.path" => "/spec/path",
    "spec.to.name" => "/spec/to/name",
);

pub(crate) const BUILD: &[SelectableField] = &[
    field("status", |build| text(build, "/status/phase").to_owned()),
    field("podName", |build| {
        let annotated = text(build, "/metadata/annotations/openshift.io~1build.pod-name");
        match (annotated, text(build, "/metadata/name")) {
            ("", "") => String::new(),
            ("", name) => format!("{name}-build"),
            (annotated, _) => annotated.to_owned(),
        }
    }),
];

pub(crate) const IMAGE_STREAM: &[SelectableField] = texts!(
    "spec.dockerImageRepository" => "/spec/dockerImageRepository",
    "status.dockerImageRepository" => "/status/dockerImageRepository",
);

pub(crate) const OAUTH_GRANT: &[SelectableField] = texts!(
    "clientName" => "/clientName",
    "userName" => "/userName",
    "userUID" => "/userUID",
);

pub(crate) const OAUTH_OWN: &[SelectableField] = texts!(
    "clientName" => "/clientName",
);

pub(crate) const OAUTH_ACCESS_TOKEN: &[SelectableField] = texts!(
    "clientName" => "/clientName",
    "userName" => "/userName",
    "userUID" => "/userUID",
    "authorizeToken" => "/authorizeToken",
);

pub(crate) const IDENTITY: &[SelectableField] = texts!(
    "providerName" => "/providerName",
    "providerUserName" => "/providerUserName",
    "user.name" => "/user/name",
    "user.uid" => "/user/uid",
);

const fn field(path: &'static str, read: fn(&Value) -> String) -> SelectableField {
    SelectableField { path: Cow::Borrowed(path), read: Reading::Native(read) }
}
