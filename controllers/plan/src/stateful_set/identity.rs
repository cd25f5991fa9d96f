//! Who a pod of a stateful set is: its ordinal, its name, its host name, its labels and its volumes.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::Round;
use super::claims::{claim_name, templates};
use crate::action::{Action, ObjectRef};
use crate::history::HASH;
use crate::{Plan, pod_control};

const NAME: &str = "statefulset.kubernetes.io/pod-name";
const INDEX: &str = "apps.kubernetes.io/pod-index";

/// The ordinal of a pod that has the name of one of the set's.
pub(super) fn ordinal_of(set: &StatefulSet, pod: &ObjectMeta) -> Option<i32> {
    let (owner, digits) = pod.name.as_deref()?.rsplit_once('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    let is_one = Some(owner) == set.metadata.name.as_deref() && ordinal.to_string() == digits;
    (is_one && ordinal >= 0).then_some(ordinal)
}

impl Round<'_> {
    /// The name of the pod of an ordinal.
    pub(super) fn pod_name(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.about.name)
    }

    /// Whether a pod that is made now comes from the old template.
    fn is_of_old(&self, ordinal: i32) -> bool {
        let strategy = self.spec.update_strategy.as_ref();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let index = ordinal - self.wanted.start;
        match rolling {
            Some(rolling) => index < rolling.partition.unwrap_or(0),
            None => {
                let rolls = strategy.and_then(|one| one.type_.as_deref()) == Some("RollingUpdate");
                let counted = self.set.status.as_ref().and_then(|status| status.current_replicas);
                rolls && index < counted.unwrap_or(0)
            }
        }
    }

    /// The pod of an ordinal.
    pub(super) fn pod(&self, ordinal: i32) -> Pod {
        let name = self.pod_name(ordinal);
        let (template, revision) = match self.is_of_old(ordinal) {
            true => (&self.current_template, &self.current),
            false => (&self.spec.template, &self.updated),
        };
        let mut pod = pod_control::pod_of(template, &self.about);
        pod.metadata.name = Some(name.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(NAME.to_owned(), name.clone());
        labels.insert(INDEX.to_owned(), ordinal.to_string());
        labels.insert(HASH.to_owned(), revision.clone());
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(name);
        spec.subdomain = self.spec.service_name.clone().filter(|name| !name.is_empty());
        let mut volumes: Vec<Volume> =
            templates(self.spec).map(|template| self.volume(template, ordinal)).collect();
        let own = spec.volumes.take().unwrap_or_default();
        let claimed = |name: &str| templates(self.spec).any(|template| template == name);
        volumes.extend(own.into_iter().filter(|volume| !claimed(&volume.name)));
        spec.volumes = Some(volumes).filter(|volumes| !volumes.is_empty());
        pod
    }

    fn volume(&self, template: &str, ordinal: i32) -> Volume {
        Volume {
            name: template.to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(template, &self.about.name, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        }
    }

    /// Gives a pod that was adopted the labels it should have, and its claims the owners they should have.
    pub(super) fn put_right(&self, pod: &Pod, ordinal: i32, plan: &mut Plan) {
        let name = self.pod_name(ordinal);
        let known = pod.metadata.labels.as_ref().and_then(|labels| labels.get(NAME));
        if known != Some(&name) {
            let labels = json!({ NAME: name, INDEX: ordinal.to_string() });
            let patch = json!({ "metadata": { "labels": labels } });
            plan.act(Action::patch(ObjectRef::to(pod), patch));
            let message =
                format!("update Pod {name} in StatefulSet {} successful", self.about.name);
            plan.act(Action::normal(self.about.clone(), "SuccessfulUpdate", message));
        }
        self.hand_over(ordinal, Some(pod), plan);
    }
}
