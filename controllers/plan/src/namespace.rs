//! The end of namespaces: pods first, then everything else, then the finalizer.
//!
//! Alone writes: the conditions of namespaces being deleted, and their `kubernetes` finalizer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::Plan;
use crate::action::{Action, ObjectRef, to_object};
use crate::common::time_text;
use crate::report::{Report, Shown, Waiting};

/// What is left of one kind in the namespace, asked at the API itself.
#[derive(Debug)]
pub struct Content {
    /// `apiVersion` of the kind.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// `<plural>.<group>`, as the conditions name it.
    pub resource: String,
    /// The objects' metadata, or why they could not be listed.
    pub objects: Result<Vec<ObjectMeta>, String>,
}

/// What is seen.
#[derive(Debug)]
pub struct Observed {
    /// The namespace; `None` once it is gone.
    pub namespace: Option<Arc<Namespace>>,
    /// What it holds; only looked at when it is being deleted.
    pub content: Vec<Content>,
    /// The groups and versions of which it is not known what they hold, and why.
    pub unread: BTreeMap<String, String>,
}

const FINALIZER: &str = "kubernetes";

/// Whether the content matters: the namespace is being deleted and still has the finalizer.
pub fn needs_content(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
        && finalizers(namespace).any(|one| one == FINALIZER)
}

/// Whether it is on its way out: nothing is made in it any more.
pub(crate) fn is_ending(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &str> {
    let spec = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    spec.into_iter().flatten().map(String::as_str)
}

/// What to do for one namespace.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan {
    let Some(namespace) = &seen.namespace else { return Plan::default() };
    if !needs_content(namespace) {
        return Plan::default();
    }
    let about = ObjectRef::to(namespace.as_ref());
    let mut plan = Plan { report: Report::about(about.clone()), ..Plan::default() };
    if let Some(conditions) = conditions(namespace, seen, now) {
        let status = json!({ "phase": "Terminating", "conditions": conditions });
        plan.act(Action::status(about.clone().any_version(), status));
    }
    let pods_left = deletes(&seen.content, true, &mut plan);
    let others_left =
        if pods_left { count(seen, false) > 0 } else { deletes(&seen.content, false, &mut plan) };
    if plan.actions.iter().any(|action| matches!(action, Action::Delete { .. })) {
        // Kinds that no cache follows wake nobody when they are gone.
        plan.again_in(Duration::from_millis(100));
    } else if pods_left || others_left {
        plan.again_in(Duration::from_secs(15));
    }
    let unknown = seen.content.iter().any(|content| content.objects.is_err());
    if unknown || !seen.unread.is_empty() {
        plan.again_in(Duration::from_secs(5));
    } else if !pods_left && !others_left {
        let mut last = namespace.as_ref().clone();
        if let Some(spec) = &mut last.spec {
            spec.finalizers.get_or_insert_default().retain(|one| one != FINALIZER);
        }
        plan.act(Action::Finalize { namespace: to_object(&last) });
    }
    plan
}

fn count(seen: &Observed, pods: bool) -> usize {
    let of_kind = seen.content.iter().filter(|content| is_pods(content) == pods);
    of_kind.map(|content| content.objects.as_ref().map_or(0, Vec::len)).sum()
}

fn is_pods(content: &Content) -> bool {
    content.kind == "Pod" && content.api_version == "v1"
}

/// Deletes what is not being deleted yet; whether anything is left at all.
fn deletes(content: &[Content], pods: bool, plan: &mut Plan) -> bool {
    let mut left = false;
    for content in content.iter().filter(|content| is_pods(content) == pods) {
        for meta in content.objects.iter().flatten() {
            left = true;
            let target = ObjectRef::of_meta(&content.api_version, &content.kind, meta);
            plan.wait(
                Waiting::new(
                    "ContentRemaining",
                    format!("{} {} still exists", content.kind, target.name),
                    Shown::Status,
                )
                .on(target.clone()),
            );
            if meta.deletion_timestamp.is_none() {
                plan.act(Action::delete(target.any_version()));
            }
        }
    }
    left
}

/// The conditions of a namespace that is going: type, and reason and message while there is nothing to complain of.
const CONDITIONS: [(&str, &str, &str); 5] = [
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
];

struct Verdict {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// What there is to complain of, condition by condition: reason and message.
fn complaints(seen: &Observed) -> [Option<(&'static str, String)>; 5] {
    let mut remaining: BTreeMap<&str, usize> = BTreeMap::new();
    let mut holding: BTreeMap<&str, usize> = BTreeMap::new();
    let mut errors = Vec::new();
    for kind in &seen.content {
        match &kind.objects {
            Err(error) => errors.push(format!("{}: {error}", kind.resource)),
            Ok(objects) if objects.is_empty() => {}
            Ok(objects) => {
                remaining.insert(&kind.resource, objects.len());
                for name in objects.iter().flat_map(|meta| meta.finalizers.iter().flatten()) {
                    *holding.entry(name).or_default() += 1;
                }
            }
        }
    }
    let told = |reason, intro: &str, list: Vec<String>| {
        (!list.is_empty()).then(|| (reason, format!("{intro}: {}", list.join(", "))))
    };
    let counted = |counts: BTreeMap<&str, usize>, verb: &str| {
        counts.iter().map(|(name, n)| format!("{name} {verb} {n} resource instances")).collect()
    };
    let failed = format!("Failed to delete all resource types, {} remaining", errors.len());
    let unread = seen.unread.iter().map(|(version, why)| format!("{version}: {why}")).collect();
    let undiscovered = format!(
        "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs",
        seen.unread.len()
    );
    let held = "Some content in the namespace has finalizers remaining";
    [
        told("DiscoveryFailed", &undiscovered, unread),
        None,
        told("ContentDeletionFailed", &failed, errors),
        told("SomeResourcesRemain", "Some resources are remaining", counted(remaining, "has")),
        told("SomeFinalizersRemain", held, counted(holding, "in")),
    ]
}

fn verdicts(seen: &Observed) -> Vec<Verdict> {
    let complaints = complaints(seen).into_iter();
    let both = CONDITIONS.iter().zip(complaints);
    both.map(|((kind, reason, message), complaint)| match complaint {
        Some((reason, message)) => Verdict { kind, status: "True", reason, message },
        None => Verdict { kind, status: "False", reason, message: (*message).to_owned() },
    })
    .collect()
}

/// The new list of conditions, or `None` if nothing changes.
fn conditions(namespace: &Namespace, seen: &Observed, now: Timestamp) -> Option<Vec<Value>> {
    let old = namespace.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut changed = false;
    let list = verdicts(seen)
        .into_iter()
        .map(|verdict| {
            let known = old.into_iter().flatten().find(|one| one.type_ == verdict.kind);
            let same = known.is_some_and(|one| one.status == verdict.status);
            changed |= !same || known.is_none_or(|one| one.message.as_deref() != Some(&verdict.message));
            let since = known.filter(|_| same).and_then(|one| one.last_transition_time.as_ref());
            json!({
                "type": verdict.kind,
                "status": verdict.status,
                "reason": verdict.reason,
                "message": verdict.message,
                "lastTransitionTime": since.map_or_else(|| time_text(now), |time| time_text(time.0)),
            })
        })
        .collect();
    changed.then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pods: Option<Vec<Value>>, maps: Vec<Value>) -> Vec<String> {
        with_unread(pods, maps, BTreeMap::new(), 3)
    }

    /// What is done, conditions by the reason of the one of that number.
    fn with_unread(
        pods: Option<Vec<Value>>,
        maps: Vec<Value>,
        unread: BTreeMap<String, String>,
        condition: usize,
    ) -> Vec<String> {
        let namespace: Namespace = serde_json::from_value(json!({
            "metadata": {"name": "n", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]},
        }))
        .unwrap();
        let metas = |list: Vec<Value>| {
            list.into_iter().map(|meta| serde_json::from_value(meta).unwrap()).collect::<Vec<_>>()
        };
        let content = |kind: &str, objects| Content {
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            resource: format!("{}s.", kind.to_lowercase()),
            objects,
        };
        let seen = Observed {
            namespace: Some(Arc::new(namespace)),
            content: vec![
                content("ConfigMap", Ok(metas(maps))),
                content("Pod", pods.map(metas).ok_or("down".to_owned())),
            ],
            unread,
        };
        let plan = plan(&seen, Timestamp::UNIX_EPOCH);
        plan.actions
            .iter()
            .map(|action| match action {
                Action::Delete { target, .. } => format!("delete {}", target.name),
                Action::Finalize { .. } => "finalize".to_owned(),
                Action::Patch { patch, .. } => {
                    patch["status"]["conditions"][condition]["reason"].to_string()
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn pods_go_first_then_the_rest_then_the_finalizer() {
        let pod = json!({"name": "p", "uid": "1"});
        let going = json!({"name": "p", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let map = json!({"name": "m", "uid": "2"});
        assert_eq!(
            check(Some(vec![pod]), vec![map.clone()]),
            ["\"SomeResourcesRemain\"", "delete p"]
        );
        assert_eq!(check(Some(vec![going]), vec![map.clone()]), ["\"SomeResourcesRemain\""]);
        assert_eq!(check(Some(vec![]), vec![map]), ["\"SomeResourcesRemain\"", "delete m"]);
        assert_eq!(check(Some(vec![]), vec![]), ["\"ContentRemoved\"", "finalize"]);
    }

    #[test]
    fn what_cannot_be_listed_keeps_the_namespace() {
        assert_eq!(check(None, vec![]), ["\"ContentRemoved\""]);
    }

    /// Red when a group whose server is away counts as empty: its objects would outlive their namespace.
    #[test]
    fn what_is_not_known_keeps_the_namespace() {
        let away = BTreeMap::from([("metrics.k8s.io/v1".to_owned(), "away".to_owned())]);
        let map = json!({"name": "m", "uid": "2"});
        let done = with_unread(Some(vec![]), vec![map], away.clone(), 0);
        assert_eq!(done, ["\"DiscoveryFailed\"", "delete m"]);
        let done = with_unread(Some(vec![]), vec![], away, 0);
        assert_eq!(done, ["\"DiscoveryFailed\""]);
    }
}
