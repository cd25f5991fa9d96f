//! The claims of a stateful set: one for each template and ordinal, and who takes them along when it goes.
//!
//! Knows: names, retention policies, ownerReferences. Refuses to know: volumes, and when pods come and go.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::Round;
use super::identity::ordinal_of;
use crate::Plan;
use crate::action::{Action, ObjectRef, OutcomeEvents, to_object};
use crate::report::Waiting;

/// The names of the claim templates.
pub(super) fn templates(spec: &StatefulSetSpec) -> impl Iterator<Item = &str> {
    let all = spec.volume_claim_templates.iter().flatten();
    all.map(|template| template.metadata.name.as_deref().unwrap_or(""))
}

/// The name of the claim of a template for an ordinal.
pub(super) fn claim_name(template: &str, set: &str, ordinal: i32) -> String {
    format!("{template}-{set}-{ordinal}")
}

/// Whether a claim has the name of one of a stateful set's.
pub fn uses(set: &StatefulSet, claim: &str) -> bool {
    let Some(spec) = &set.spec else { return false };
    templates(spec).any(|template| {
        let rest = claim.strip_prefix(template).and_then(|rest| rest.strip_prefix('-'));
        let name = rest.map(str::to_owned);
        ordinal_of(set, &ObjectMeta { name, ..ObjectMeta::default() }).is_some()
    })
}

/// Who should be the owner of a claim.
#[derive(Clone, Copy)]
struct Heirs {
    set: bool,
    pod: bool,
}

impl Round<'_> {
    fn retention(&self) -> (bool, bool) {
        let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
        let deletes = |text: Option<&String>| text.map(String::as_str) == Some("Delete");
        (
            deletes(policy.and_then(|policy| policy.when_scaled.as_ref())),
            deletes(policy.and_then(|policy| policy.when_deleted.as_ref())),
        )
    }

    fn heirs(&self, ordinal: i32) -> Heirs {
        let (when_scaled, when_deleted) = self.retention();
        let stays = self.wanted.contains(&ordinal);
        Heirs { set: when_deleted && (stays || !when_scaled), pod: when_scaled && !stays }
    }

    fn claims_of(&self, ordinal: i32) -> impl Iterator<Item = &PersistentVolumeClaim> {
        templates(self.spec).filter_map(move |template| {
            self.claims.get(claim_name(template, &self.about.name, ordinal).as_str()).copied()
        })
    }

    /// Why a pod that is to be made cannot have its claims yet: they go with the pod before it.
    pub(super) fn not_claimable(&self, ordinal: i32) -> Option<Waiting> {
        let pod = self.pod_name(ordinal);
        let with_the_last = |claim: &PersistentVolumeClaim| {
            owners(claim).any(|owner| is_pod(owner, &pod)) && self.retention().0
        };
        let going = self
            .claims_of(ordinal)
            .find(|claim| claim.metadata.deletion_timestamp.is_some() || with_the_last(claim))?;
        let name = going.metadata.name.as_deref().unwrap_or("");
        let message = format!(
            "create Pod {pod} in StatefulSet {} failed error: pvc {name} is being deleted",
            self.about.name
        );
        Some(self.waits("FailedCreate", message).on(ObjectRef::to(going)))
    }

    /// Creates the claims of an ordinal that are missing, and sees to the owners of those that are there.
    pub(super) fn claim_for(&self, ordinal: i32, plan: &mut Plan) {
        for template in self.spec.volume_claim_templates.iter().flatten() {
            let of = template.metadata.name.as_deref().unwrap_or("");
            let name = claim_name(of, &self.about.name, ordinal);
            if !self.claims.contains_key(name.as_str()) {
                plan.act(self.creation(template, name, ordinal));
            }
        }
        self.hand_over(ordinal, self.living.get(&ordinal).map(AsRef::as_ref), plan);
    }

    fn creation(&self, template: &PersistentVolumeClaim, name: String, ordinal: i32) -> Action {
        let mut claim = template.clone();
        let labels = self.spec.selector.match_labels.clone().unwrap_or_default();
        claim.metadata.labels.get_or_insert_default().extend(labels);
        claim.metadata.namespace = Some(self.about.namespace.clone());
        claim.metadata.name = Some(name);
        let owner = self.heirs(ordinal).set.then(|| vec![self.about.controller_ref()]);
        claim.metadata.owner_references = owner;
        claim.status = None;
        let (pod, set) = (self.pod_name(ordinal), &self.about.name);
        Action::Create {
            object: to_object(&claim),
            told: Some(OutcomeEvents {
                about: self.about.clone(),
                done: (
                    "SuccessfulCreate",
                    format!("create Claim {{name}} Pod {pod} in StatefulSet {set} success").into(),
                ),
                failed: (
                    "FailedCreate",
                    format!(
                        "create Claim {{name}} for Pod {pod} in StatefulSet {set} failed error: {{error}}"
                    )
                    .into(),
                ),
            }),
        }
    }

    /// Gives the claims of an ordinal the owners that the retention policy asks for.
    pub(super) fn hand_over(&self, ordinal: i32, pod: Option<&Pod>, plan: &mut Plan) {
        for claim in self.claims_of(ordinal) {
            if claim.metadata.deletion_timestamp.is_none()
                && let Some(owners) = self.owners(claim, ordinal, pod, plan)
            {
                let patch = json!({ "metadata": { "ownerReferences": owners } });
                plan.act(Action::patch(ObjectRef::to(claim), patch));
            }
        }
    }

    /// The owners that a claim should have; `None` if nothing is to be changed.
    fn owners(
        &self,
        claim: &PersistentVolumeClaim,
        ordinal: i32,
        pod: Option<&Pod>,
        plan: &mut Plan,
    ) -> Option<Vec<OwnerReference>> {
        let pod_name = self.pod_name(ordinal);
        let pod_uid = pod.and_then(|pod| pod.metadata.uid.as_deref());
        let is_set = |owner: &OwnerReference| {
            (owner.api_version.as_str(), owner.kind.as_str(), &owner.name)
                == (self.about.api_version.as_str(), self.about.kind.as_str(), &self.about.name)
        };
        let is_stale = |owner: &OwnerReference| {
            (is_set(owner) && owner.uid != self.about.uid)
                || (is_pod(owner, &pod_name) && Some(owner.uid.as_str()) != pod_uid)
        };
        if owners(claim).any(is_stale) {
            // Whoever was called so before takes it along, or the garbage collector frees it.
            return None;
        }
        let ours = |owner: &OwnerReference| is_set(owner) || is_pod(owner, &pod_name);
        let mut rest: Vec<OwnerReference> =
            owners(claim).filter(|owner| !ours(owner)).cloned().collect();
        let is_led = |owner: &OwnerReference| owner.controller == Some(true);
        let mut heirs = self.heirs(ordinal);
        if self.retention() != (false, false) && rest.iter().any(is_led) {
            let message = format!(
                "PersistentVolumeClaim {} has a conflicting OwnerReference that acts as a manging controller, the retention policy is ignored for this claim",
                claim.metadata.name.as_deref().unwrap_or("")
            );
            plan.wait(self.waits("ConflictingController", message).on(ObjectRef::to(claim)));
            heirs = Heirs { set: false, pod: false };
        }
        let heir_set = heirs.set.then(|| self.about.controller_ref());
        let heir_pod = pod.filter(|_| heirs.pod).map(|pod| ObjectRef::to(pod).controller_ref());
        let known: Vec<&OwnerReference> = owners(claim).filter(|owner| ours(owner)).collect();
        let wanted: Vec<OwnerReference> = heir_set.into_iter().chain(heir_pod).collect();
        let same = known.len() == wanted.len()
            && wanted
                .iter()
                .all(|one| known.iter().any(|owner| owner.uid == one.uid && is_led(owner)));
        rest.extend(wanted);
        (!same).then_some(rest)
    }
}

fn owners(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &OwnerReference> {
    claim.metadata.owner_references.iter().flatten()
}

fn is_pod(owner: &OwnerReference, name: &str) -> bool {
    owner.api_version == "v1" && owner.kind == "Pod" && owner.name == name
}
