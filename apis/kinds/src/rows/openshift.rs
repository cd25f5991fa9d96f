//! Rows of the OpenShift groups: apps, build, image and route.

use crate::columns::openshift;
use crate::{Kind, Scope, Subresource, VERBS, selectable};

pub(super) const BUILDS: Kind = Kind {
    group: "build.openshift.io",
    version: "v1",
    kind: "Build",
    plural: "builds",
    singular: "build",
    short_names: &[],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: openshift::BUILD,
    selectable: selectable::BUILD,
    schema: "com.github.openshift.api.build.v1.Build",
};

pub(super) const BUILD_CONFIGS: Kind = Kind {
    group: "build.openshift.io",
    version: "v1",
    kind: "BuildConfig",
    plural: "buildconfigs",
    singular: "buildconfig",
    short_names: &["bc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[],
    columns: openshift::BUILD_CONFIG,
    selectable: &[],
    schema: "com.github.openshift.api.build.v1.BuildConfig",
};

pub(super) const DEPLOYMENT_CONFIGS: Kind = Kind {
    group: "apps.openshift.io",
    version: "v1",
    kind: "DeploymentConfig",
    plural: "deploymentconfigs",
    singular: "deploymentconfig",
    short_names: &["dc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status, Subresource::Scale],
    columns: openshift::DEPLOYMENT_CONFIG,
    selectable: &[],
    schema: "com.github.openshift.api.apps.v1.DeploymentConfig",
};

pub(super) const IMAGE_STREAMS: Kind = Kind {
    group: "image.openshift.io",
    version: "v1",
    kind: "ImageStream",
    plural: "imagestreams",
    singular: "imagestream",
    short_names: &["is"],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status],
    columns: openshift::IMAGE_STREAM,
    selectable: selectable::IMAGE_STREAM,
    schema: "com.github.openshift.api.image.v1.ImageStream",
};

pub(super) const ROUTES: Kind = Kind {
    group: "route.openshift.io",
    version: "v1",
    kind: "Route",
    plural: "routes",
    singular: "route",
    short_names: &[],
    categories: &["all"],
    scope: Scope::Namespaced,
    verbs: VERBS,
    subresources: &[Subresource::Status],
    columns: openshift::ROUTE,
    selectable: selectable::ROUTE,
    schema: "com.github.openshift.api.route.v1.Route",
};
