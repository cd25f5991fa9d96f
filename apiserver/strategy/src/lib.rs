//! What each kind adds to the one write path: defaults, preparation, validation, warnings.
//!
//! Knows: every kind, a file per kind or pair of kinds. Refuses to know: HTTP, storage, time, who asks.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::LazyLock;

use leme_kinds::Kind;
use leme_meta::{FieldError, Path};
use leme_registry::{Strategy, json};
use serde_json::Value;
pub use template::process::process as process_template;

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
pub mod authorization;
pub mod autoscaling;
mod batch;
pub mod build;
mod certificates;
mod check;
mod cluster_quota;
mod component_status;
mod conditions;
mod config;
mod config_map;
pub mod deployment_config;
mod endpoint_slice_beta;
mod endpoints;
mod event;
mod flowcontrol;
mod image;
mod image_reference;
mod image_stream;
pub mod image_tag;
mod int_or_percent;
mod internal;
mod ip;
mod limit_range;
mod namespace;
mod networking;
mod node;
mod oauth;
mod pod;
mod pod_disruption_budget;
mod pod_spec;
mod pod_template;
mod priority_class;
pub mod project;
mod rbac;
mod replication_controller;
mod resource;
mod resource_quota;
mod route;
mod runtime_class;
mod security;
mod service;
mod storage;
mod template;
#[cfg(test)]
mod tests;
mod url;
mod user;
mod view;
mod volume;

const CONFIG: &str = "config.openshift.io";
/// The older name of rbac.
const OLDER_RBAC: &str = "authorization.openshift.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

pub use apiextensions::conformant;
pub use image_stream::INTERNAL as IMAGE_STREAM_INTERNAL;
pub use view::{Seen, View, view};

/// Kinds by group and name.
static TABLE: &[(&str, &str, &Strategy)] = &[
    ("", "ComponentStatus", &component_status::STRATEGY),
    ("", "ConfigMap", &config_map::CONFIG_MAP),
    ("", "Endpoints", &endpoints::ENDPOINTS),
    ("", "Event", &event::STRATEGY),
    ("", "LimitRange", &limit_range::STRATEGY),
    ("", "Namespace", &namespace::NAMESPACE),
    ("", "Node", &node::NODE),
    ("", "PersistentVolume", &volume::VOLUME),
    ("", "PersistentVolumeClaim", &volume::CLAIM),
    ("", "Pod", &pod::STRATEGY),
    ("", "PodTemplate", &pod_template::STRATEGY),
    ("", "ReplicationController", &replication_controller::STRATEGY),
    ("", "ResourceQuota", &resource_quota::STRATEGY),
    ("", "Secret", &config_map::SECRET),
    ("", "Service", &service::STRATEGY),
    ("", "ServiceAccount", &namespace::SERVICE_ACCOUNT),
    (ADMISSION, "MutatingAdmissionPolicy", &admissionregistration::MUTATING_POLICY),
    (ADMISSION, "MutatingAdmissionPolicyBinding", &admissionregistration::MUTATING_BINDING),
    (ADMISSION, "MutatingWebhookConfiguration", &admissionregistration::MUTATING),
    (ADMISSION, "ValidatingAdmissionPolicy", &admissionregistration::POLICY),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", &admissionregistration::BINDING),
    (ADMISSION, "ValidatingWebhookConfiguration", &admissionregistration::VALIDATING),
    ("apiextensions.k8s.io", "CustomResourceDefinition", &apiextensions::STRATEGY),
    ("apiregistration.k8s.io", "APIService", &apiregistration::STRATEGY),
    ("apps", "ControllerRevision", &apps::controller_revision::STRATEGY),
    ("apps", "DaemonSet", &apps::daemon_set::STRATEGY),
    ("apps", "Deployment", &apps::deployment::STRATEGY),
    ("apps", "ReplicaSet", &apps::replica_set::STRATEGY),
    ("apps", "StatefulSet", &apps::stateful_set::STRATEGY),
    ("apps.openshift.io", "DeploymentConfig", &deployment_config::STRATEGY),
    ("autoscaling", "HorizontalPodAutoscaler", &autoscaling::STRATEGY),
    ("batch", "CronJob", &batch::cron_job::STRATEGY),
    ("batch", "Job", &batch::job::STRATEGY),
    (OLDER_RBAC, "ClusterRole", &rbac::CLUSTER_ROLE),
    (OLDER_RBAC, "ClusterRoleBinding", &rbac::CLUSTER_ROLE_BINDING),
    (OLDER_RBAC, "Role", &rbac::ROLE),
    (OLDER_RBAC, "RoleBinding", &rbac::ROLE_BINDING),
    (OLDER_RBAC, "RoleBindingRestriction", &authorization::RESTRICTION),
    ("build.openshift.io", "Build", &build::BUILD),
    ("build.openshift.io", "BuildConfig", &build::CONFIG),
    ("certificates.k8s.io", "CertificateSigningRequest", &certificates::STRATEGY),
    (CONFIG, "APIServer", &config::SINGLE),
    (CONFIG, "Authentication", &config::SINGLE),
    (CONFIG, "Build", &config::PLAIN),
    (CONFIG, "ClusterOperator", &config::PLAIN),
    (CONFIG, "ClusterVersion", &config::PLAIN),
    (CONFIG, "Console", &config::SINGLE),
    (CONFIG, "DNS", &config::SINGLE),
    (CONFIG, "FeatureGate", &config::SINGLE),
    (CONFIG, "Image", &config::SINGLE),
    (CONFIG, "ImageContentPolicy", &config::PLAIN),
    (CONFIG, "ImageDigestMirrorSet", &config::PLAIN),
    (CONFIG, "ImageTagMirrorSet", &config::PLAIN),
    (CONFIG, "Infrastructure", &config::PLAIN),
    (CONFIG, "Ingress", &config::PLAIN),
    (CONFIG, "Network", &config::WHOLE),
    (CONFIG, "Node", &config::SINGLE),
    (CONFIG, "OAuth", &config::SINGLE),
    (CONFIG, "OperatorHub", &config::PLAIN),
    (CONFIG, "Project", &config::SINGLE),
    (CONFIG, "Proxy", &config::PLAIN),
    (CONFIG, "Scheduler", &config::SINGLE),
    ("coordination.k8s.io", "Lease", &node::LEASE),
    ("events.k8s.io", "Event", &event::NEWER),
    ("discovery.k8s.io", "EndpointSlice", &endpoints::SLICE),
    ("image.openshift.io", "Image", &image::STRATEGY),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", &flowcontrol::schema::STRATEGY),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", &flowcontrol::level::STRATEGY),
    ("image.openshift.io", "ImageSignature", &image_tag::SIGNATURE),
    ("image.openshift.io", "ImageStream", &image_stream::SERVED),
    ("image.openshift.io", "ImageStreamImport", &image_tag::IMPORT),
    ("image.openshift.io", "ImageStreamMapping", &image_tag::MAPPING),
    ("image.openshift.io", "ImageStreamTag", &image_tag::STREAM_TAG),
    ("image.openshift.io", "ImageTag", &image_tag::TAG),
    ("networking.k8s.io", "IPAddress", &networking::addresses::ADDRESS),
    ("networking.k8s.io", "Ingress", &networking::ingress::STRATEGY),
    ("networking.k8s.io", "IngressClass", &networking::class::STRATEGY),
    ("networking.k8s.io", "NetworkPolicy", &networking::policy::STRATEGY),
    ("networking.k8s.io", "ServiceCIDR", &networking::addresses::NETWORK),
    ("node.k8s.io", "RuntimeClass", &runtime_class::STRATEGY),
    ("oauth.openshift.io", "OAuthAccessToken", &oauth::ACCESS_TOKEN),
    ("oauth.openshift.io", "OAuthAuthorizeToken", &oauth::AUTHORIZE_TOKEN),
    ("oauth.openshift.io", "OAuthClient", &oauth::CLIENT),
    ("oauth.openshift.io", "OAuthClientAuthorization", &oauth::AUTHORIZATION),
    ("oauth.openshift.io", "UserOAuthAccessToken", &oauth::ACCESS_TOKEN),
    ("quota.openshift.io", "ClusterResourceQuota", &cluster_quota::STRATEGY),
    ("policy", "PodDisruptionBudget", &pod_disruption_budget::STRATEGY),
    ("project.openshift.io", "Project", &namespace::PROJECT),
    ("project.openshift.io", "ProjectRequest", &namespace::PROJECT_REQUEST),
    ("rbac.authorization.k8s.io", "ClusterRole", &rbac::CLUSTER_ROLE),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", &rbac::CLUSTER_ROLE_BINDING),
    ("rbac.authorization.k8s.io", "Role", &rbac::ROLE),
    ("rbac.authorization.k8s.io", "RoleBinding", &rbac::ROLE_BINDING),
    ("resource.k8s.io", "DeviceClass", &resource::claim::CLASS),
    ("resource.k8s.io", "ResourceClaim", &resource::claim::CLAIM),
    ("resource.k8s.io", "ResourceClaimTemplate", &resource::claim::TEMPLATE),
    ("resource.k8s.io", "ResourceSlice", &resource::slice::STRATEGY),
    ("route.openshift.io", "Route", &route::STRATEGY),
    ("scheduling.k8s.io", "PriorityClass", &priority_class::STRATEGY),
    ("storage.k8s.io", "CSIDriver", &storage::driver::DRIVER),
    ("storage.k8s.io", "CSINode", &storage::driver::NODE),
    ("storage.k8s.io", "CSIStorageCapacity", &storage::class::CAPACITY),
    ("storage.k8s.io", "StorageClass", &storage::class::STORAGE),
    ("storage.k8s.io", "VolumeAttachment", &storage::attachment::STRATEGY),
    ("storage.k8s.io", "VolumeAttributesClass", &storage::class::ATTRIBUTES),
    ("security.openshift.io", "RangeAllocation", &security::RANGE_ALLOCATION),
    ("security.openshift.io", "SecurityContextConstraints", &security::CONSTRAINTS),
    ("template.openshift.io", "BrokerTemplateInstance", &template::BROKER_INSTANCE),
    ("template.openshift.io", "Template", &template::TEMPLATE),
    ("template.openshift.io", "TemplateInstance", &template::INSTANCE),
    ("user.openshift.io", "Group", &user::GROUP),
    ("user.openshift.io", "Identity", &user::IDENTITY),
    ("user.openshift.io", "User", &user::USER),
    ("user.openshift.io", "UserIdentityMapping", &user::MAPPING),
];

/// The table by group and name: every request looks here, some several times.
static INDEX: LazyLock<HashMap<(&str, &str), &Strategy>> = LazyLock::new(|| {
    let lines = TABLE.iter();
    #[cfg(test)]
    let lines = lines.filter(|(group, name, _)| !tests::mutants::is_missing(group, name));
    lines.map(|(group, name, strategy)| ((*group, *name), *strategy)).collect()
});

/// For a kind that adds nothing.
static PLAIN: Strategy = Strategy::PLAIN;

/// What a kind adds to the write path.
pub fn of(kind: &Kind) -> &'static Strategy {
    if kind.custom.is_some() {
        return &apiextensions::custom::STRATEGY;
    }
    let own = INDEX.get(&(&*kind.group, &*kind.kind)).copied().unwrap_or(&PLAIN);
    #[cfg(test)]
    let own = tests::mutants::seen(&kind.group, &kind.kind, own);
    own
}

/// Gives the pod that a question holds in its `template` its defaults. All that is wrong with it.
pub fn pod_in_question(asked: &mut Value, path: &Path) -> Vec<FieldError> {
    pod_spec::defaults::fill_template(asked, "template");
    let part = |of: &[&str]| json::at(asked, of).unwrap_or(&Value::Null);
    let at = path.child("template").child("spec");
    let metadata = part(&["template", "metadata"]);
    pod_spec::validate(part(&["template", "spec"]), &at, Some(metadata))
}

/// What a client is told about an object that it writes; `None` as the second object on create. That nobody enforces what
/// it says is told each time, of every kind alike.
pub fn warnings(strategy: &Strategy, kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut told = (strategy.warn)(new, old);
    let missing = leme_kinds::idle(&kind.group, &kind.kind);
    if let Some(missing) = missing.filter(|missing| *missing == leme_kinds::UNENFORCED) {
        told.push(format!("{} is stored, but {missing}", kind.kind));
    }
    told
}

#[cfg(test)]
mod table {
    use super::*;

    /// A kind whose line is forgotten would be taken without a question.
    #[test]
    fn every_kept_kind_has_a_strategy_and_every_strategy_a_kind() {
        let kept: Vec<&Kind> =
            leme_kinds::builtin().map(|kind| &**kind).filter(|kind| kind.is_kept()).collect();
        for kind in &kept {
            let known = INDEX.contains_key(&(&*kind.group, &*kind.kind));
            assert!(known, "no strategy of {} {}", kind.api_version(), kind.kind);
        }
        for (group, name, _) in TABLE {
            let served =
                leme_kinds::builtin().any(|kind| kind.group == *group && kind.kind == *name);
            assert!(served, "{name} of {group:?} is no kind");
        }
        assert_eq!(INDEX.len(), TABLE.len(), "a kind is there twice");
    }
}
