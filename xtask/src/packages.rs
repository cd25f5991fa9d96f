//! The packages whose types are in the tables. Every list that a package has is wanted, and so is what it lists; of other
//! types those that are named here. What they mention comes with them.

/// A package's short name in the tables, its prefix in OpenAPI, and the types wanted of it besides lists.
pub(crate) type Package = (&'static str, &'static str, &'static [&'static str]);

pub(crate) const PACKAGES: &[Package] = &[
    ("c", "io.k8s.api.core.v1.", &["Binding"]),
    ("m", "io.k8s.apimachinery.pkg.apis.meta.v1.", &["DeleteOptions", "LabelSelector", "Status"]),
    ("as", "io.k8s.api.autoscaling.v1.", &["Scale"]),
    ("co", "io.k8s.api.coordination.v1.", &[]),
    ("di", "io.k8s.api.discovery.v1.", &[]),
    ("ap", "io.k8s.api.apps.v1.", &[]),
    ("a2", "io.k8s.api.autoscaling.v2.", &[]),
    ("ar", "io.k8s.api.admissionregistration.v1.", &[]),
    ("an", "io.k8s.api.authentication.v1.", &["SelfSubjectReview", "TokenRequest", "TokenReview"]),
    (
        "az",
        "io.k8s.api.authorization.v1.",
        &[
            "LocalSubjectAccessReview",
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
        ],
    ),
    ("ba", "io.k8s.api.batch.v1.", &[]),
    ("ce", "io.k8s.api.certificates.v1.", &[]),
    ("ev", "io.k8s.api.events.v1.", &[]),
    ("fc", "io.k8s.api.flowcontrol.v1.", &[]),
    ("ne", "io.k8s.api.networking.v1.", &[]),
    ("no", "io.k8s.api.node.v1.", &[]),
    ("po", "io.k8s.api.policy.v1.", &["Eviction"]),
    ("rb", "io.k8s.api.rbac.v1.", &[]),
    ("re", "io.k8s.api.resource.v1.", &[]),
    ("sc", "io.k8s.api.scheduling.v1.", &[]),
    ("st", "io.k8s.api.storage.v1.", &[]),
    ("ax", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.", &[]),
    ("ag", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.", &[]),
    ("me", "io.k8s.metrics.pkg.apis.metrics.v1beta1.", &[]),
    ("og", "com.github.openshift.api.config.v1.", &[]),
    (
        "oa",
        "com.github.openshift.api.apps.v1.",
        &["DeploymentConfigRollback", "DeploymentLog", "DeploymentRequest"],
    ),
    (
        "ob",
        "com.github.openshift.api.build.v1.",
        &["BinaryBuildRequestOptions", "BuildLog", "BuildRequest"],
    ),
    (
        "oi",
        "com.github.openshift.api.image.v1.",
        &[
            "ImageSignature",
            "ImageStreamImage",
            "ImageStreamImport",
            "ImageStreamLayers",
            "ImageStreamMapping",
        ],
    ),
    ("or", "com.github.openshift.api.route.v1.", &[]),
    ("op", "com.github.openshift.api.project.v1.", &["ProjectRequest"]),
    ("ot", "com.github.openshift.api.template.v1.", &[]),
    ("ou", "com.github.openshift.api.user.v1.", &["UserIdentityMapping"]),
    ("oo", "com.github.openshift.api.oauth.v1.", &[]),
    (
        "os",
        "com.github.openshift.api.security.v1.",
        &[
            "PodSecurityPolicyReview",
            "PodSecurityPolicySelfSubjectReview",
            "PodSecurityPolicySubjectReview",
        ],
    ),
    ("oq", "com.github.openshift.api.quota.v1.", &[]),
    (
        "oz",
        "com.github.openshift.api.authorization.v1.",
        &[
            "LocalResourceAccessReview",
            "LocalSubjectAccessReview",
            "ResourceAccessReview",
            "ResourceAccessReviewResponse",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
            "SubjectAccessReviewResponse",
            "SubjectRulesReview",
        ],
    ),
];
