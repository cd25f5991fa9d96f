//! ControllerRevisions: the templates that a set has had, numbered, of which the last is the one to be reached.
//!
//! Knows: what a revision holds and how revisions are told apart. Refuses to know: which pods are of which, and the kind
//! that asks.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Value, json};

use crate::action::{Action, ObjectRef, to_object};
use crate::common::Labels;

/// The label of a pod that says of which revision it is.
pub const HASH: &str = "controller-revision-hash";

/// What a revision holds: the patch that brings its template back.
pub fn data(template: &PodTemplateSpec) -> Value {
    let mut template = to_object(template).0;
    template["$patch"] = "replace".into();
    json!({ "spec": { "template": template } })
}

/// The template that a revision brings back; `None` if it holds something else.
pub fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// Oldest first.
pub fn sort(revisions: &mut [Arc<ControllerRevision>]) {
    revisions.sort_by_cached_key(|one| {
        let meta = &one.metadata;
        (one.revision, meta.creation_timestamp.clone(), meta.name.clone())
    });
}

/// The revision of the present template.
#[derive(Debug)]
pub struct Present {
    /// As it is seen, or as it is made.
    pub revision: Arc<ControllerRevision>,
    /// What makes it the last one.
    pub action: Option<Action>,
}

impl Present {
    /// Looks for the revision that holds what `made` does, or takes `made` itself. `own` are those of the set, oldest
    /// first, and `namesake` is the one that has the name of `made`, whoever owns it. `None` if the name is taken.
    pub fn of(
        own: &[Arc<ControllerRevision>],
        mut made: ControllerRevision,
        namesake: Option<&Arc<ControllerRevision>>,
    ) -> Option<Present> {
        let same = |one: &ControllerRevision| one.data == made.data;
        let greatest = own.iter().filter(|one| !same(one)).map(|one| one.revision).max();
        let number = greatest.unwrap_or(0).saturating_add(1);
        if let Some(known) = own.iter().rev().find(|one| same(one)) {
            let late = known.revision < number;
            let action = late.then(|| {
                Action::patch(ObjectRef::to(known.as_ref()), json!({ "revision": number }))
            });
            return Some(Present { revision: known.clone(), action });
        }
        if let Some(namesake) = namesake {
            return same(namesake).then(|| Present { revision: namesake.clone(), action: None });
        }
        made.revision = number;
        let action = Some(Action::create(&made));
        Some(Present { revision: Arc::new(made), action })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        name(&self.revision)
    }
}

/// The name of a revision.
pub fn name(revision: &ControllerRevision) -> &str {
    revision.metadata.name.as_deref().unwrap_or("")
}

/// A revision of a template, yet without a number. `hash` is the label that says what is in it.
pub fn make(
    owner: &ObjectRef,
    annotations: Option<&Labels>,
    template: &PodTemplateSpec,
    name: String,
    hash: (&str, String),
) -> ControllerRevision {
    let mut labels =
        template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    labels.insert(hash.0.to_owned(), hash.1);
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(owner.namespace.clone()),
            labels: Some(labels),
            annotations: annotations.cloned(),
            owner_references: Some(vec![owner.controller_ref()]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data(template))),
        revision: 0,
    }
}

/// Says in the status of an owner that another revision than its own has the name that it wanted for one: the next name is
/// another.
pub fn collided(about: &ObjectRef, collisions: Option<i32>) -> Action {
    let count = collisions.unwrap_or(0).saturating_add(1);
    Action::status(about.clone().any_version(), json!({ "collisionCount": count }))
}

/// Deletes what is beyond the limit of `old`, oldest first, but for what is alive. A negative limit is none.
pub fn surplus<'a>(
    old: &'a [Arc<ControllerRevision>],
    limit: Option<i32>,
    alive: impl Fn(&ControllerRevision) -> bool + 'a,
) -> impl Iterator<Item = Action> + 'a {
    let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(usize::MAX);
    let dead = old.iter().filter(move |one| !alive(one));
    dead.take(old.len().saturating_sub(limit))
        .map(|one| Action::delete(ObjectRef::to(one.as_ref())))
}
