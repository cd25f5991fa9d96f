//! config.openshift.io: how a cluster is set up, an object for each part. Most are called `cluster`.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::Status;
use crate::columns::openshift::config;

const V1: Row = Row {
    scope: Cluster,
    subresources: &[Status],
    columns: config::PLAIN,
    ..Row::of("config.openshift.io", "v1", "com.github.openshift.api.config.v1")
};

pub(super) const ROWS: &[Row] = &[
    Row { kind: "APIServer", plural: "apiservers", ..V1 },
    Row { kind: "Authentication", plural: "authentications", ..V1 },
    Row { kind: "Build", plural: "builds", ..V1 },
    Row {
        kind: "ClusterOperator",
        plural: "clusteroperators",
        short_names: &["co"],
        columns: config::CLUSTER_OPERATOR,
        ..V1
    },
    Row {
        kind: "ClusterVersion",
        plural: "clusterversions",
        columns: config::CLUSTER_VERSION,
        ..V1
    },
    Row { kind: "Console", plural: "consoles", ..V1 },
    Row { kind: "DNS", plural: "dnses", ..V1 },
    Row { kind: "FeatureGate", plural: "featuregates", ..V1 },
    Row { kind: "Image", plural: "images", ..V1 },
    Row { kind: "ImageContentPolicy", plural: "imagecontentpolicies", ..V1 },
    Row {
        kind: "ImageDigestMirrorSet",
        plural: "imagedigestmirrorsets",
        short_names: &["idms"],
        ..V1
    },
    Row { kind: "ImageTagMirrorSet", plural: "imagetagmirrorsets", short_names: &["itms"], ..V1 },
    Row { kind: "Infrastructure", plural: "infrastructures", ..V1 },
    Row { kind: "Ingress", plural: "ingresses", ..V1 },
    Row { kind: "Network", plural: "networks", subresources: &[], ..V1 },
    Row { kind: "Node", plural: "nodes", ..V1 },
    Row { kind: "OAuth", plural: "oauths", ..V1 },
    Row { kind: "OperatorHub", plural: "operatorhubs", ..V1 },
    Row { kind: "Project", plural: "projects", ..V1 },
    Row { kind: "Proxy", plural: "proxies", ..V1 },
    Row { kind: "Scheduler", plural: "schedulers", ..V1 },
];
