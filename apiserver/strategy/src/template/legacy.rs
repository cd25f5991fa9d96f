//! The group of kinds that once had none.
//!
//! Knows: which group each belongs to. Refuses to know: whether it is served.

/// The group of a kind that was written as `v1`, if it is OpenShift's; of a list as of what it lists.
pub(super) fn group(kind: &str) -> Option<&'static str> {
    let listed = kind.strip_suffix("List").unwrap_or(kind);
    let listable = |kinds: &[&str]| kinds.contains(&listed);
    let single = |kinds: &[&str]| kinds.contains(&kind);
    GROUPS
        .iter()
        .find(|(_, lists, singles)| listable(lists) || single(singles))
        .map(|(group, ..)| *group)
}

/// Groups with the kinds that there are lists of, and with the others.
const GROUPS: &[(&str, &[&str], &[&str])] = &[
    (
        "apps.openshift.io",
        &["DeploymentConfig"],
        &["DeploymentConfigRollback", "DeploymentLog", "DeploymentRequest"],
    ),
    (
        "authorization.openshift.io",
        &["ClusterRoleBinding", "ClusterRole", "RoleBindingRestriction", "RoleBinding", "Role"],
        &[
            "SubjectRulesReview",
            "SelfSubjectRulesReview",
            "ResourceAccessReview",
            "LocalResourceAccessReview",
            "SubjectAccessReview",
            "LocalSubjectAccessReview",
        ],
    ),
    (
        "build.openshift.io",
        &["BuildConfig", "Build"],
        &["BinaryBuildRequestOptions", "BuildLog", "BuildRequest"],
    ),
    (
        "image.openshift.io",
        &["Image", "ImageStream", "ImageStreamTag"],
        &["ImageSignature", "ImageStreamImage", "ImageStreamImport", "ImageStreamMapping"],
    ),
    (
        "network.openshift.io",
        &["ClusterNetwork", "EgressNetworkPolicy", "HostSubnet", "NetNamespace"],
        &[],
    ),
    (
        "oauth.openshift.io",
        &["OAuthAccessToken", "OAuthAuthorizeToken", "OAuthClientAuthorization", "OAuthClient"],
        &[],
    ),
    ("project.openshift.io", &["Project"], &["ProjectRequest"]),
    ("quota.openshift.io", &["ClusterResourceQuota", "AppliedClusterResourceQuota"], &[]),
    ("route.openshift.io", &["Route"], &[]),
    (
        "security.openshift.io",
        &["SecurityContextConstraints"],
        &[
            "PodSecurityPolicySubjectReview",
            "PodSecurityPolicySelfSubjectReview",
            "PodSecurityPolicyReview",
        ],
    ),
    ("template.openshift.io", &["Template"], &[]),
    ("user.openshift.io", &["Group", "Identity", "User"], &["UserIdentityMapping"]),
];
