//! Pods that belong to a rollout itself: those of its hooks, and the one that carries out a strategy of the user's own.
//!
//! Knows: how they are made of the template. Refuses to know: when there is one, and what follows from its end.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, EnvVar, LocalObjectReference, Pod, PodSpec, ReplicationController, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::config::{CustomParams, DeploymentConfig, ExecNewPod, Strategy};
use super::rollout::{CONFIG, HELPER_OF, NAME, Rollout};
use crate::action::ObjectRef;
use crate::common::annotation;
use crate::hashes::fnv1a;

const TYPE: &str = "openshift.io/deployer-pod.type";
const GRACE: i64 = 10;
/// How long a rollout may take if nobody says so, in seconds.
pub(super) const DEADLINE: i64 = 21_600;
const LONGEST: usize = 253;

/// The name of a pod of a rollout; a long one ends with a number that stands for what was cut.
pub(super) fn name(rollout: &Rollout, suffix: &str) -> String {
    let base = rollout.name();
    if base.len() + 1 + suffix.len() <= LONGEST {
        return format!("{base}-{suffix}");
    }
    let hash = format!("{:08x}", fnv1a(base.bytes()));
    let room = LONGEST.saturating_sub(hash.len() + suffix.len() + 2);
    format!("{}-{hash}-{suffix}", base.get(..room).unwrap_or(base))
}

/// A point of a rollout at which there can be a hook.
pub(super) struct Point {
    /// Its name, by which the step is called when the hook is over.
    pub(super) label: &'static str,
    /// What the name of its pod ends with.
    pub(super) suffix: &'static str,
    /// The step that says that its pod has been made.
    pub(super) begun: &'static str,
}

pub(super) const PRE: &Point = &Point { label: "pre", suffix: "hook-pre", begun: "pre-begun" };
pub(super) const MID: &Point = &Point { label: "mid", suffix: "hook-mid", begun: "mid-begun" };
pub(super) const POST: &Point = &Point { label: "post", suffix: "hook-post", begun: "post-begun" };

/// What the name of the pod that rolls out ends with.
pub(super) const DEPLOY: &str = "deploy";
/// The suffixes of all names of pods that a rollout can have.
pub(super) const SUFFIXES: [&str; 4] = [DEPLOY, PRE.suffix, MID.suffix, POST.suffix];

/// Goes with its rollout; it is none of the pods that the replication controller counts.
fn owner(rollout: &Rollout) -> OwnerReference {
    let owner = ObjectRef::to::<ReplicationController>(&rollout.seen).controller_ref();
    OwnerReference { controller: None, block_owner_deletion: None, ..owner }
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Whether a pod is of a rollout: a name can be anybody's.
pub(super) fn is_of(pod: &Pod, rollout: &Rollout) -> bool {
    annotation(&pod.metadata, NAME) == Some(rollout.name())
}

fn meta(
    rollout: &Rollout,
    strategy: &Strategy,
    suffix: &str,
    (labels, annotations): (Pairs<'_>, Pairs<'_>),
) -> ObjectMeta {
    let with = |all: &BTreeMap<String, String>, own: Pairs<'_>| {
        let mut all = all.clone();
        all.extend(own.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Some(all)
    };
    ObjectMeta {
        name: Some(name(rollout, suffix)),
        namespace: rollout.seen.metadata.namespace.clone(),
        labels: with(&strategy.labels, labels),
        annotations: with(&strategy.annotations, annotations),
        owner_references: Some(vec![owner(rollout)]),
        ..ObjectMeta::default()
    }
}

fn variables(rollout: &Rollout) -> [EnvVar; 2] {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let namespace = rollout.seen.metadata.namespace.as_deref().unwrap_or("");
    [
        variable("OPENSHIFT_DEPLOYMENT_NAME", rollout.name()),
        variable("OPENSHIFT_DEPLOYMENT_NAMESPACE", namespace),
    ]
}

fn template(rollout: &Rollout) -> PodSpec {
    let template = rollout.seen.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.and_then(|template| template.spec.clone()).unwrap_or_default()
}

/// The image of a container of the template.
pub(super) fn image_of(rollout: &Rollout, container: &str) -> Option<String> {
    template(rollout).containers.into_iter().find(|one| one.name == container)?.image
}

/// The pod of a hook. The error says what the template does not have.
pub(super) fn hook(
    rollout: &Rollout,
    strategy: &Strategy,
    (exec, retries): (&ExecNewPod, bool),
    suffix: &str,
    time_left: i64,
) -> Result<Pod, String> {
    let spec = template(rollout);
    let base = spec.containers.into_iter().find(|one| one.name == exec.container_name);
    let base = base.ok_or_else(|| {
        format!("no container named '{}' found in rc template", exec.container_name)
    })?;
    let mut env = base.env.unwrap_or_default();
    env.retain(|one| !exec.env.iter().any(|other| other.name == one.name));
    env.extend(exec.env.iter().cloned());
    env.extend(variables(rollout));
    let has = |name: &String| exec.volumes.contains(name);
    let mounts = base.volume_mounts.unwrap_or_default().into_iter().filter(|one| has(&one.name));
    let mounts: Vec<VolumeMount> = mounts
        .map(|one| VolumeMount {
            name: one.name,
            read_only: one.read_only,
            mount_path: one.mount_path,
            sub_path: one.sub_path,
            ..VolumeMount::default()
        })
        .collect();
    let volumes = spec.volumes.unwrap_or_default().into_iter().filter(|one| has(&one.name));
    let container = Container {
        name: "lifecycle".to_owned(),
        image: base.image,
        image_pull_policy: base.image_pull_policy,
        command: (!exec.command.is_empty()).then(|| exec.command.clone()),
        working_dir: base.working_dir,
        env: Some(env),
        resources: base.resources,
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        security_context: base.security_context,
        ..Container::default()
    };
    let labels = [(HELPER_OF, rollout.name()), (TYPE, suffix)];
    Ok(Pod {
        metadata: meta(rollout, strategy, suffix, (&labels, &[(NAME, rollout.name())])),
        spec: Some(PodSpec {
            containers: vec![container],
            security_context: spec.security_context,
            volumes: Some(volumes.collect::<Vec<_>>()).filter(|all| !all.is_empty()),
            active_deadline_seconds: Some(time_left.max(1)),
            node_selector: spec.node_selector,
            restart_policy: Some(if retries { "OnFailure" } else { "Never" }.to_owned()),
            image_pull_secrets: pull_secrets(spec.image_pull_secrets),
            termination_grace_period_seconds: Some(GRACE),
            ..PodSpec::default()
        }),
        status: None,
    })
}

fn pull_secrets(secrets: Option<Vec<LocalObjectReference>>) -> Option<Vec<LocalObjectReference>> {
    secrets.filter(|secrets| !secrets.is_empty())
}

/// The pod that carries out a strategy of the user's own.
pub(super) fn deployer(rollout: &Rollout, config: &DeploymentConfig, custom: &CustomParams) -> Pod {
    let (spec, strategy) = (template(rollout), &config.spec.strategy);
    let mut env = custom.environment.clone();
    env.extend(variables(rollout));
    let container = Container {
        name: "deployment".to_owned(),
        image: Some(custom.image.clone()),
        command: (!custom.command.is_empty()).then(|| custom.command.clone()),
        env: Some(env),
        resources: strategy.resources.clone(),
        ..Container::default()
    };
    let annotations = [(NAME, rollout.name()), (CONFIG, config.name())];
    Pod {
        metadata: meta(rollout, strategy, "deploy", (&[(HELPER_OF, rollout.name())], &annotations)),
        spec: Some(PodSpec {
            containers: vec![container],
            active_deadline_seconds: Some(strategy.active_deadline_seconds.unwrap_or(DEADLINE)),
            dns_policy: spec.dns_policy,
            dns_config: spec.dns_config,
            image_pull_secrets: pull_secrets(spec.image_pull_secrets),
            tolerations: spec.tolerations,
            node_selector: spec.node_selector,
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(GRACE),
            ..PodSpec::default()
        }),
        status: None,
    }
}
