//! The OpenShift groups.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::{Scale, Status};
use crate::columns::{AGE, openshift};
use crate::selectable;

const APPS: Row = Row::of("apps.openshift.io", "v1", "com.github.openshift.api.apps.v1");
const AUTHORIZATION: Row =
    Row::of("authorization.openshift.io", "v1", "com.github.openshift.api.authorization.v1");
const BUILD: Row = Row::of("build.openshift.io", "v1", "com.github.openshift.api.build.v1");
const IMAGE: Row = Row::of("image.openshift.io", "v1", "com.github.openshift.api.image.v1");
const OAUTH: Row = Row {
    scope: Cluster,
    ..Row::of("oauth.openshift.io", "v1", "com.github.openshift.api.oauth.v1")
};
const QUOTA: Row = Row::of("quota.openshift.io", "v1", "com.github.openshift.api.quota.v1");
const ROUTE: Row = Row::of("route.openshift.io", "v1", "com.github.openshift.api.route.v1");
const SECURITY: Row = Row {
    scope: Cluster,
    ..Row::of("security.openshift.io", "v1", "com.github.openshift.api.security.v1")
};
const TEMPLATE: Row =
    Row::of("template.openshift.io", "v1", "com.github.openshift.api.template.v1");
const USER: Row = Row {
    scope: Cluster,
    ..Row::of("user.openshift.io", "v1", "com.github.openshift.api.user.v1")
};

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "DeploymentConfig",
        plural: "deploymentconfigs",
        short_names: &["dc"],
        categories: &["all"],
        subresources: &[Status, Scale],
        columns: openshift::DEPLOYMENT_CONFIG,
        ..APPS
    },
    Row {
        kind: "RoleBindingRestriction",
        plural: "rolebindingrestrictions",
        columns: &[AGE],
        ..AUTHORIZATION
    },
    Row {
        kind: "BuildConfig",
        plural: "buildconfigs",
        short_names: &["bc"],
        categories: &["all"],
        columns: openshift::BUILD_CONFIG,
        ..BUILD
    },
    Row {
        kind: "Build",
        plural: "builds",
        categories: &["all"],
        columns: openshift::BUILD,
        selectable: selectable::BUILD,
        ..BUILD
    },
    Row { kind: "Image", plural: "images", scope: Cluster, columns: openshift::IMAGE, ..IMAGE },
    Row {
        kind: "ImageStream",
        plural: "imagestreams",
        short_names: &["is"],
        categories: &["all"],
        subresources: &[Status],
        columns: openshift::IMAGE_STREAM,
        selectable: selectable::IMAGE_STREAM,
        ..IMAGE
    },
    Row {
        kind: "OAuthAccessToken",
        plural: "oauthaccesstokens",
        columns: openshift::OAUTH_TOKEN,
        selectable: selectable::OAUTH_ACCESS_TOKEN,
        ..OAUTH
    },
    Row {
        kind: "OAuthAuthorizeToken",
        plural: "oauthauthorizetokens",
        columns: openshift::OAUTH_TOKEN,
        selectable: selectable::OAUTH_GRANT,
        ..OAUTH
    },
    Row {
        kind: "OAuthClientAuthorization",
        plural: "oauthclientauthorizations",
        columns: openshift::OAUTH_AUTHORIZATION,
        selectable: selectable::OAUTH_GRANT,
        ..OAUTH
    },
    Row { kind: "OAuthClient", plural: "oauthclients", columns: openshift::OAUTH_CLIENT, ..OAUTH },
    Row {
        kind: "ClusterResourceQuota",
        plural: "clusterresourcequotas",
        scope: Cluster,
        subresources: &[Status],
        columns: &[AGE],
        ..QUOTA
    },
    Row {
        kind: "Route",
        plural: "routes",
        categories: &["all"],
        subresources: &[Status],
        columns: openshift::ROUTE,
        selectable: selectable::ROUTE,
        ..ROUTE
    },
    Row {
        kind: "RangeAllocation",
        plural: "rangeallocations",
        columns: openshift::RANGE_ALLOCATION,
        ..SECURITY
    },
    Row {
        kind: "SecurityContextConstraints",
        plural: "securitycontextconstraints",
        short_names: &["scc"],
        columns: openshift::SECURITY_CONTEXT_CONSTRAINTS,
        ..SECURITY
    },
    Row {
        kind: "BrokerTemplateInstance",
        plural: "brokertemplateinstances",
        scope: Cluster,
        columns: openshift::BROKER_TEMPLATE_INSTANCE,
        ..TEMPLATE
    },
    Row {
        kind: "TemplateInstance",
        plural: "templateinstances",
        subresources: &[Status],
        columns: openshift::TEMPLATE_INSTANCE,
        ..TEMPLATE
    },
    Row { kind: "Template", plural: "templates", columns: openshift::TEMPLATE, ..TEMPLATE },
    Row { kind: "Group", plural: "groups", columns: openshift::GROUP, ..USER },
    Row {
        kind: "Identity",
        plural: "identities",
        columns: openshift::IDENTITY,
        selectable: selectable::IDENTITY,
        ..USER
    },
    Row { kind: "User", plural: "users", columns: openshift::USER, ..USER },
];
