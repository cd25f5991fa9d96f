//! Who belongs to a controller: what it owns and selects, what it may adopt and what it lets go.
//!
//! Knows: controllerRefs. Refuses to know: how selectors are written and which kinds own which.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde_json::json;

use crate::action::{Action, ObjectRef};
use crate::common::controller_of;

/// Objects by what their controller does with them.
#[derive(Debug)]
pub struct Claimed<K> {
    /// Owned and selected.
    pub own: Vec<Arc<K>>,
    /// Selected and nobody's.
    pub adopt: Vec<Arc<K>>,
    /// Owned and no longer selected.
    pub release: Vec<Arc<K>>,
}

/// Sorts out the objects that `owner` controls or could control. What is being deleted is not adopted, and who is being
/// deleted neither adopts nor releases.
pub fn claim<K: Metadata<Ty = ObjectMeta>>(
    owner: &ObjectMeta,
    selects: &dyn Fn(&ObjectMeta) -> bool,
    all: &[Arc<K>],
) -> Claimed<K> {
    let mut claimed = Claimed { own: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let leaving = owner.deletion_timestamp.is_some();
    for object in all {
        let meta = object.metadata();
        let wanted = selects(meta);
        match controller_of(meta) {
            Some(other) if Some(&other.uid) != owner.uid.as_ref() => {}
            Some(_) if wanted => claimed.own.push(object.clone()),
            Some(_) if !leaving => claimed.release.push(object.clone()),
            None if wanted && !leaving && meta.deletion_timestamp.is_none() => {
                claimed.adopt.push(object.clone());
            }
            _ => {}
        }
    }
    claimed
}

impl<K: Resource + Metadata<Ty = ObjectMeta>> Claimed<K> {
    /// Adopts and releases for `owner`.
    pub fn actions(&self, owner: &ObjectRef) -> impl Iterator<Item = Action> {
        let adopted = self.adopt.iter().map(|object| adoption(object.as_ref(), owner));
        adopted.chain(self.release.iter().map(|object| release(object.as_ref(), owner)))
    }

    /// What belongs to the owner once that is done.
    pub fn all(self) -> Vec<Arc<K>> {
        let mut all = self.own;
        all.extend(self.adopt);
        all
    }
}

fn adoption<K: Resource + Metadata<Ty = ObjectMeta>>(object: &K, owner: &ObjectRef) -> Action {
    let mut owners = object.metadata().owner_references.clone().unwrap_or_default();
    owners.push(owner.controller_ref());
    Action::Patch {
        target: ObjectRef::to(object),
        subresource: "",
        patch: json!({ "metadata": { "ownerReferences": owners } }),
        only_if: Some(owner.clone()),
        told: None,
    }
}

fn release<K: Resource + Metadata<Ty = ObjectMeta>>(object: &K, owner: &ObjectRef) -> Action {
    let references = object.metadata().owner_references.iter().flatten();
    let rest: Vec<_> = references.filter(|reference| reference.uid != owner.uid).collect();
    Action::patch(ObjectRef::to(object), json!({ "metadata": { "ownerReferences": rest } }))
}
