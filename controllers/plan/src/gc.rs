//! Garbage collection by ownerReference, and the `foregroundDeletion` and `orphan` finalizers of owners.
//!
//! Rule: nothing is deleted unless every owner was found absent, by uid, in an answer of the API itself. An owner that
//! could not be asked for keeps its dependents.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use crate::Plan;
use crate::action::{Action, ObjectRef, Propagation};
use crate::common::{has_finalizer, without_finalizer};
use crate::report::{Report, Shown, Waiting};

/// Finalizer of an owner whose dependents go first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an owner whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// What is known of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It exists with that uid.
    Present {
        /// It is being deleted and waits for its dependents.
        foreground: bool,
    },
    /// The API answered that no object of that name has that uid.
    Absent,
    /// It cannot be told: the kind is not served, the lookup failed, or a cluster-scoped object names a namespaced owner.
    Unknown(String),
}

/// A dependent of an owner being deleted.
#[derive(Clone, Debug)]
pub struct Dependent {
    /// The dependent.
    pub target: ObjectRef,
    /// Its metadata.
    pub meta: ObjectMeta,
}

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The object in question.
    pub target: ObjectRef,
    /// Its metadata.
    pub meta: ObjectMeta,
    /// Its owners' states, one per ownerReference.
    pub owners: Vec<Owner>,
    /// Its dependents.
    pub dependents: Vec<Dependent>,
    /// It is, through its owners, an owner of itself.
    pub circle: bool,
}

/// Whether the collector has any business with an object of this metadata.
pub fn concerns(meta: &ObjectMeta) -> bool {
    let owned = meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    owned
        || (meta.deletion_timestamp.is_some()
            && (has_finalizer(meta, FOREGROUND) || has_finalizer(meta, ORPHAN)))
}

/// What to do for one object.
pub fn plan(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan { report: Report::about(seen.target.clone()), ..Plan::default() };
    if seen.meta.deletion_timestamp.is_some() {
        if has_finalizer(&seen.meta, ORPHAN) {
            orphan(seen, &mut plan);
        } else if has_finalizer(&seen.meta, FOREGROUND) {
            foreground(seen, &mut plan);
        }
        return plan;
    }
    collect(seen, &mut plan);
    plan
}

fn collect(seen: &Observed, plan: &mut Plan) {
    let references: Vec<&OwnerReference> = seen.meta.owner_references.iter().flatten().collect();
    if references.is_empty() || references.len() != seen.owners.len() {
        return;
    }
    let (mut solid, mut waiting) = (Vec::new(), 0);
    for (reference, owner) in references.iter().zip(&seen.owners) {
        match owner {
            Owner::Present { foreground: false } => solid.push(*reference),
            Owner::Present { foreground: true } => waiting += 1,
            Owner::Absent => {}
            Owner::Unknown(why) => {
                let message =
                    format!("owner {} {} is unknown: {why}", reference.kind, reference.name);
                plan.wait(Waiting::new("OwnerUnknown", message, Shown::Late));
                plan.again_in(Duration::from_secs(30));
                return;
            }
        }
    }
    if waiting > 0 && unblock(seen, plan) {
        return;
    }
    if !solid.is_empty() {
        if solid.len() < references.len() {
            let patch = json!({ "metadata": { "ownerReferences": solid } });
            plan.act(Action::patch(seen.target.clone(), patch));
        }
        return;
    }
    let propagation = if waiting > 0 && !seen.dependents.is_empty() {
        Propagation::Foreground
    } else if has_finalizer(&seen.meta, ORPHAN) {
        Propagation::Orphan
    } else if has_finalizer(&seen.meta, FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    plan.act(Action::Delete { target: seen.target.clone(), grace: None, propagation, told: None });
}

fn orphan(seen: &Observed, plan: &mut Plan) {
    for dependent in &seen.dependents {
        let rest: Vec<&OwnerReference> = dependent
            .meta
            .owner_references
            .iter()
            .flatten()
            .filter(|reference| reference.uid != seen.target.uid)
            .collect();
        let patch = json!({ "metadata": { "ownerReferences": rest } });
        plan.act(Action::patch(dependent.target.clone(), patch));
    }
    if seen.dependents.is_empty() {
        plan.act(Action::patch(seen.target.clone(), without_finalizer(&seen.meta, ORPHAN)));
    }
}

/// Lets the owners of an object on a circle go before it: each would wait for the next one for ever. Whether there was
/// anything to do.
fn unblock(seen: &Observed, plan: &mut Plan) -> bool {
    let references: Vec<&OwnerReference> = seen.meta.owner_references.iter().flatten().collect();
    if !seen.circle || !references.iter().any(|one| one.block_owner_deletion == Some(true)) {
        return false;
    }
    let loose: Vec<OwnerReference> = references
        .into_iter()
        .map(|one| OwnerReference { block_owner_deletion: Some(false), ..one.clone() })
        .collect();
    plan.act(Action::patch(
        seen.target.clone(),
        json!({ "metadata": { "ownerReferences": loose } }),
    ));
    true
}

fn foreground(seen: &Observed, plan: &mut Plan) {
    if unblock(seen, plan) {
        return;
    }
    let blocking: Vec<&Dependent> = seen
        .dependents
        .iter()
        .filter(|dependent| {
            dependent.meta.owner_references.iter().flatten().any(|reference| {
                reference.uid == seen.target.uid && reference.block_owner_deletion == Some(true)
            })
        })
        .collect();
    if blocking.is_empty() {
        plan.act(Action::patch(seen.target.clone(), without_finalizer(&seen.meta, FOREGROUND)));
    }
    for dependent in blocking {
        let message = format!("{} {} still exists", dependent.target.kind, dependent.target.name);
        plan.wait(
            Waiting::new("DependentRemaining", message, Shown::Late).on(dependent.target.clone()),
        );
    }
}

/// An object's place: kind index and namespaced name.
pub type Place = (usize, String, String);

/// Who depends on whom: ownerReferences of every kind, kept up object by object.
#[derive(Debug, Default)]
pub struct Graph {
    dependents: HashMap<String, BTreeSet<Place>>,
    owners: BTreeMap<Place, Vec<String>>,
    /// The uid of each object that has an owner.
    owning: HashMap<Place, String>,
    /// Objects that exist and own something, by uid, so that a newcomer with a dead owner is noticed.
    known: HashMap<String, Place>,
    awaited: HashSet<String>,
}

impl Graph {
    /// Takes in an object's metadata, or that it is gone. Gives the places that have to be looked at again.
    pub fn observe(
        &mut self,
        place: Place,
        old: Option<&ObjectMeta>,
        new: Option<&ObjectMeta>,
    ) -> Vec<Place> {
        let mut wake = Vec::new();
        for uid in self.owners.remove(&place).unwrap_or_default() {
            let left = self.dependents.get_mut(&uid).map(|set| {
                set.remove(&place);
                set.is_empty()
            });
            if left == Some(true) {
                self.dependents.remove(&uid);
            }
            // An owner that waits for its dependents may go on now.
            if let Some(owner) = self.known.get(&uid).filter(|_| self.awaited.contains(&uid)) {
                wake.push(owner.clone());
            }
        }
        if let Some(uid) = old.and_then(|meta| meta.uid.as_ref())
            && new.and_then(|meta| meta.uid.as_ref()) != Some(uid)
        {
            self.known.remove(uid);
            self.awaited.remove(uid);
            wake.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        self.owning.remove(&place);
        let Some(meta) = new else { return wake };
        let uids: Vec<String> =
            meta.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect();
        for uid in &uids {
            self.dependents.entry(uid.clone()).or_default().insert(place.clone());
        }
        if !uids.is_empty() {
            self.owning.insert(place.clone(), meta.uid.clone().unwrap_or_default());
            self.owners.insert(place.clone(), uids);
        }
        if let Some(uid) = &meta.uid
            && meta.deletion_timestamp.is_some()
            && concerns(meta)
        {
            self.known.insert(uid.clone(), place.clone());
            self.awaited.insert(uid.clone());
            wake.extend(self.dependents.get(uid).into_iter().flatten().cloned());
        }
        if concerns(meta) {
            wake.push(place);
        }
        wake
    }

    /// Whether the object at `place`, whose uid is `uid`, is among its own owners, directly or through others. Walks
    /// downwards, each object once.
    pub fn on_circle(&self, place: &Place, uid: &str) -> bool {
        let mut seen: HashSet<&Place> = HashSet::new();
        let mut next: Vec<&Place> = self.dependents(uid).collect();
        while let Some(at) = next.pop() {
            if at == place {
                return true;
            }
            if seen.insert(at)
                && let Some(uid) = self.owning.get(at)
            {
                next.extend(self.dependents(uid));
            }
        }
        false
    }

    /// The places of all objects that have an owner.
    pub fn owned(&self) -> impl Iterator<Item = &Place> {
        self.owning.keys()
    }

    /// The dependents of a uid.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Place> {
        self.dependents.get(uid).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(meta: serde_json::Value, owners: Vec<Owner>) -> String {
        let meta: ObjectMeta = serde_json::from_value(meta).unwrap();
        let target = ObjectRef::of_meta("v1", "Pod", &meta);
        let plan = plan(
            &Observed { target, meta, owners, dependents: vec![], circle: false },
            Timestamp::UNIX_EPOCH,
        );
        plan.actions
            .iter()
            .map(|action| match action {
                Action::Delete { propagation, .. } => format!("delete {propagation:?}"),
                Action::Patch { patch, .. } => patch["metadata"].to_string(),
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn owned(uids: &[&str]) -> serde_json::Value {
        let owners: Vec<_> = uids
            .iter()
            .map(|uid| json!({"apiVersion": "v1", "kind": "Owner", "name": uid, "uid": uid}))
            .collect();
        json!({"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "ownerReferences": owners})
    }

    #[test]
    fn deletes_only_when_every_owner_is_verified_absent() {
        let here = Owner::Present { foreground: false };
        let doubt = Owner::Unknown("down".to_owned());
        assert_eq!(check(owned(&["a"]), vec![Owner::Absent]), "delete Background");
        assert_eq!(check(owned(&["a"]), vec![here.clone()]), "");
        assert_eq!(check(owned(&["a", "b"]), vec![Owner::Absent, doubt]), "");
        assert_eq!(check(owned(&[]), vec![]), "");
        assert!(check(owned(&["a", "b"]), vec![Owner::Absent, here]).contains("\"uid\":\"b\""));
    }

    #[test]
    fn the_graph_wakes_dependents_of_what_goes_and_owners_that_wait() {
        let meta = |value| serde_json::from_value::<ObjectMeta>(value).unwrap();
        let mut graph = Graph::default();
        let (owner, child) = ((0, "n".into(), "o".into()), (1, "n".into(), "c".into()));
        let live = meta(json!({"name": "o", "uid": "a"}));
        let dependent = meta(owned(&["a"]));
        assert!(graph.observe(owner.clone(), None, Some(&live)).is_empty());
        assert_eq!(graph.observe(child.clone(), None, Some(&dependent)), vec![child.clone()]);
        let going = meta(json!({"name": "o", "uid": "a", "finalizers": [FOREGROUND],
            "deletionTimestamp": "2026-01-01T00:00:00Z"}));
        assert_eq!(
            graph.observe(owner.clone(), Some(&live), Some(&going)),
            [child.clone(), owner.clone()]
        );
        assert_eq!(graph.observe(child.clone(), Some(&dependent), None), vec![owner.clone()]);
        assert!(graph.observe(owner, Some(&going), None).is_empty());
        assert_eq!(graph.dependents("a").count(), 0);
    }

    /// Three objects that own each other in a ring, all blocking; `first` are being deleted in the foreground. Plans and
    /// carries out until nothing more happens; gives what is left.
    fn ring(first: &[usize]) -> Vec<usize> {
        let mut ring: Vec<Option<ObjectMeta>> = (0..3)
            .map(|number| {
                let owner = format!("u{}", (number + 2) % 3);
                let mut meta = json!({"name": number.to_string(), "namespace": "n", "uid": format!("u{number}"),
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Owner", "name": "o", "uid": owner,
                        "controller": true, "blockOwnerDeletion": true}]});
                if first.contains(&number) {
                    meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    meta["finalizers"] = json!([FOREGROUND]);
                }
                serde_json::from_value(meta).ok()
            })
            .collect();
        for _ in 0..20 {
            let mut graph = Graph::default();
            let place = |number: usize| (0, "n".to_owned(), number.to_string());
            for (number, meta) in ring.iter().enumerate() {
                graph.observe(place(number), None, meta.as_ref());
            }
            for number in 0..3 {
                let Some(meta) = ring[number].clone() else { continue };
                let uid = meta.uid.clone().unwrap();
                let owner = ring[(number + 2) % 3].as_ref();
                let waits = |meta: &ObjectMeta| Owner::Present {
                    foreground: has_finalizer(meta, FOREGROUND),
                };
                let target = |meta: &ObjectMeta| ObjectRef::of_meta("v1", "Owner", meta);
                let child = ring[(number + 1) % 3].as_ref();
                let dependents =
                    child.map(|meta| Dependent { target: target(meta), meta: meta.clone() });
                let seen = Observed {
                    target: target(&meta),
                    owners: if meta.deletion_timestamp.is_none() {
                        vec![owner.map_or(Owner::Absent, waits)]
                    } else {
                        vec![]
                    },
                    dependents: dependents.into_iter().collect(),
                    circle: graph.on_circle(&place(number), &uid),
                    meta,
                };
                for action in plan(&seen, Timestamp::UNIX_EPOCH).actions {
                    let Some(meta) = ring[number].as_mut() else { continue };
                    match action {
                        Action::Patch { patch, .. } => {
                            let mut whole = serde_json::to_value(&*meta).unwrap();
                            whole = leme_meta::patch::merge(&whole, &patch["metadata"]);
                            *meta = serde_json::from_value(whole).unwrap();
                        }
                        Action::Delete { propagation: Propagation::Foreground, .. } => {
                            meta.deletion_timestamp =
                                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                                    Timestamp::UNIX_EPOCH,
                                ));
                            meta.finalizers.get_or_insert_default().push(FOREGROUND.to_owned());
                        }
                        Action::Delete { .. } => ring[number] = None,
                        other => panic!("{other:?}"),
                    }
                    if ring[number].as_ref().is_some_and(|meta| {
                        meta.deletion_timestamp.is_some() && !has_finalizer(meta, FOREGROUND)
                    }) {
                        ring[number] = None;
                    }
                }
            }
        }
        (0..3).filter(|number| ring[*number].is_some()).collect()
    }

    /// Red when `unblock` does nothing: each of the three waits for the next one.
    #[test]
    fn a_circle_of_owners_that_block_goes_whole() {
        assert_eq!(ring(&[0]), [0usize; 0]);
        assert_eq!(ring(&[0, 1, 2]), [0usize; 0], "all asked for at once");
        assert_eq!(ring(&[]), [0, 1, 2], "a circle that nobody deletes stays");
    }
}
