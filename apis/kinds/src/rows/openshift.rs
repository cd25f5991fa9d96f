//! The OpenShift groups.

use super::Row;
use crate::Scope::Cluster;
use crate::Subresource::{
    Clone, Details, Instantiate, InstantiateBinary, Layers, Log, Rollback, Scale, Secrets, Status,
    Webhooks,
};
use crate::columns::{AGE, openshift, rbac};
use crate::Storage::{As, Virtual};
use crate::{SINGLY, selectable};

const APPS: Row = Row::of("apps.openshift.io", "v1", "com.github.openshift.api.apps.v1");
const AUTHORIZATION: Row =
    Row::of("authorization.openshift.io", "v1", "com.github.openshift.api.authorization.v1");
const BUILD: Row = Row::of("build.openshift.io", "v1", "com.github.openshift.api.build.v1");
const IMAGE: Row = Row::of("image.openshift.io", "v1", "com.github.openshift.api.image.v1");
const OAUTH: Row = Row {
    scope: Cluster,
    ..Row::of("oauth.openshift.io", "v1", "com.github.openshift.api.oauth.v1")
};
const PROJECT: Row = Row {
    scope: Cluster,
    ..Row::of("project.openshift.io", "v1", "com.github.openshift.api.project.v1")
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

/// A question that is answered at once.
const ASKED: Row = Row { storage: Virtual, verbs: &["create"], ..AUTHORIZATION };

/// The same about a pod.
const REVIEWED: Row = Row {
    storage: Virtual,
    verbs: &["create"],
    ..Row::of("security.openshift.io", "v1", "com.github.openshift.api.security.v1")
};

/// What can be done with the tags of streams: they are not watched.
const TAG_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update"];

/// An older name of a kind of rbac.
const fn rbac_view(plural: &'static str) -> Row {
    Row { storage: As("rbac.authorization.k8s.io", "v1", plural), ..AUTHORIZATION }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        kind: "DeploymentConfig",
        plural: "deploymentconfigs",
        short_names: &["dc"],
        categories: &["all"],
        subresources: &[Instantiate, Log, Rollback, Scale, Status],
        columns: openshift::DEPLOYMENT_CONFIG,
        ..APPS
    },
    Row {
        kind: "ClusterRoleBinding",
        plural: "clusterrolebindings",
        scope: Cluster,
        columns: rbac::BINDING,
        ..rbac_view("clusterrolebindings")
    },
    Row {
        kind: "ClusterRole",
        plural: "clusterroles",
        scope: Cluster,
        columns: rbac::ROLE,
        ..rbac_view("clusterroles")
    },
    Row {
        kind: "RoleBinding",
        plural: "rolebindings",
        columns: rbac::BINDING,
        ..rbac_view("rolebindings")
    },
    Row {
        kind: "LocalResourceAccessReview",
        plural: "localresourceaccessreviews",
        ..ASKED
    },
    Row { kind: "LocalSubjectAccessReview", plural: "localsubjectaccessreviews", ..ASKED },
    Row {
        kind: "ResourceAccessReview",
        plural: "resourceaccessreviews",
        scope: Cluster,
        ..ASKED
    },
    Row { kind: "Role", plural: "roles", columns: rbac::ROLE, ..rbac_view("roles") },
    Row {
        kind: "RoleBindingRestriction",
        plural: "rolebindingrestrictions",
        columns: &[AGE],
        ..AUTHORIZATION
    },
    Row { kind: "SelfSubjectRulesReview", plural: "selfsubjectrulesreviews", ..ASKED },
    Row {
        kind: "SubjectAccessReview",
        plural: "subjectaccessreviews",
        scope: Cluster,
        ..ASKED
    },
    Row { kind: "SubjectRulesReview", plural: "subjectrulesreviews", ..ASKED },
    Row {
        kind: "BuildConfig",
        plural: "buildconfigs",
        short_names: &["bc"],
        categories: &["all"],
        subresources: &[Instantiate, InstantiateBinary, Webhooks],
        columns: openshift::BUILD_CONFIG,
        ..BUILD
    },
    Row {
        kind: "Build",
        plural: "builds",
        categories: &["all"],
        subresources: &[Clone, Details, Log],
        columns: openshift::BUILD,
        selectable: selectable::BUILD,
        ..BUILD
    },
    Row { kind: "Image", plural: "images", scope: Cluster, columns: openshift::IMAGE, ..IMAGE },
    Row {
        kind: "ImageSignature",
        plural: "imagesignatures",
        scope: Cluster,
        storage: Virtual,
        verbs: &["create", "delete"],
        ..IMAGE
    },
    Row {
        kind: "ImageStreamImage",
        plural: "imagestreamimages",
        short_names: &["isimage"],
        storage: Virtual,
        verbs: &["get"],
        columns: openshift::IMAGE_STREAM_IMAGE,
        ..IMAGE
    },
    Row {
        kind: "ImageStreamImport",
        plural: "imagestreamimports",
        storage: Virtual,
        verbs: &["create"],
        ..IMAGE
    },
    Row {
        kind: "ImageStreamMapping",
        plural: "imagestreammappings",
        storage: Virtual,
        verbs: &["create"],
        ..IMAGE
    },
    Row {
        kind: "ImageStream",
        plural: "imagestreams",
        short_names: &["is"],
        categories: &["all"],
        subresources: &[Layers, Secrets, Status],
        columns: openshift::IMAGE_STREAM,
        selectable: selectable::IMAGE_STREAM,
        ..IMAGE
    },
    Row {
        kind: "ImageStreamTag",
        plural: "imagestreamtags",
        short_names: &["istag"],
        storage: Virtual,
        verbs: TAG_VERBS,
        columns: openshift::IMAGE_STREAM_TAG,
        ..IMAGE
    },
    Row {
        kind: "ImageTag",
        plural: "imagetags",
        short_names: &["itag"],
        storage: Virtual,
        verbs: TAG_VERBS,
        columns: openshift::IMAGE_TAG,
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
        kind: "UserOAuthAccessToken",
        plural: "useroauthaccesstokens",
        storage: As("oauth.openshift.io", "v1", "oauthaccesstokens"),
        verbs: &["delete", "get", "list", "watch"],
        columns: openshift::USER_OAUTH_TOKEN,
        selectable: selectable::OAUTH_OWN,
        ..OAUTH
    },
    Row {
        kind: "AppliedClusterResourceQuota",
        plural: "appliedclusterresourcequotas",
        storage: Virtual,
        verbs: &["get", "list"],
        columns: openshift::APPLIED_QUOTA,
        ..QUOTA
    },
    Row {
        kind: "ClusterResourceQuota",
        plural: "clusterresourcequotas",
        scope: Cluster,
        subresources: &[Status],
        columns: &[AGE],
        ..QUOTA
    },
    Row {
        kind: "ProjectRequest",
        plural: "projectrequests",
        storage: Virtual,
        verbs: &["create", "list"],
        ..PROJECT
    },
    Row {
        kind: "Project",
        plural: "projects",
        storage: As("", "v1", "namespaces"),
        verbs: SINGLY,
        columns: openshift::PROJECT,
        selectable: selectable::NAMESPACE,
        ..PROJECT
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
        kind: "PodSecurityPolicyReview",
        plural: "podsecuritypolicyreviews",
        ..REVIEWED
    },
    Row {
        kind: "PodSecurityPolicySelfSubjectReview",
        plural: "podsecuritypolicyselfsubjectreviews",
        ..REVIEWED
    },
    Row {
        kind: "PodSecurityPolicySubjectReview",
        plural: "podsecuritypolicysubjectreviews",
        ..REVIEWED
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
        kind: "Template",
        plural: "processedtemplates",
        storage: Virtual,
        verbs: &["create"],
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
    Row {
        kind: "UserIdentityMapping",
        plural: "useridentitymappings",
        storage: Virtual,
        verbs: &["create", "delete", "get", "patch", "update"],
        ..USER
    },
    Row { kind: "User", plural: "users", columns: openshift::USER, ..USER },
];
