//! The revisions of a template: what was rolled out before, and the way back.
//!
//! Knows: where each kind keeps its revisions. Refuses to know: how they come about.

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use leme_meta::Object;
use serde_json::{Map, Value, json};

use super::Workload;
use crate::api::{Api, JSON_PATCH, STRATEGIC_PATCH};
use crate::choose::Chosen;
use crate::verbs::describe;

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";
const HASH: &str = "pod-template-hash";
/// What a Deployment keeps of its own annotations when it goes back.
const KEPT: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];
const CONFIG_NAME: &str = "openshift.io/deployment-config.name";
const CONFIG_VERSION: &str = "openshift.io/deployment-config.latest-version";
pub(super) const CONFIG_PHASE: &str = "openshift.io/deployment.phase";
pub(super) const CONFIG_REASON: &str = "openshift.io/deployment.status-reason";

/// One template that was rolled out.
pub(super) struct Revision {
    pub(super) number: i64,
    /// What keeps it.
    pub(super) object: Object,
    template: Value,
}

impl Revision {
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.object.annotations().find(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

/// The revisions, or the template of one, as text.
pub async fn told(api: &Api, one: &Chosen, revision: Option<i64>) -> Result<String> {
    let workload = super::workload(one, "no history viewer has been implemented")?;
    let revisions = revisions(api, one, workload, &Object(one.get(api).await?)).await?;
    if let Some(number) = revision.filter(|number| *number > 0) {
        let found = revisions.iter().find(|found| found.number == number);
        let found = found.context("unable to find the specified revision")?;
        let template = describe::section("podTemplate", &found.template);
        return Ok(format!("{} with revision #{number}\n{template}\n", one.shown()));
    }
    let config = workload == Workload::DeploymentConfig;
    let heads: &[&str] =
        if config { &["REVISION", "STATUS", "CAUSE"] } else { &["REVISION", "CHANGE-CAUSE"] };
    let mut lines = vec![heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()];
    for revision in &revisions {
        let cells: &[&str] = if config { &[CONFIG_PHASE, CONFIG_REASON] } else { &[CAUSE] };
        let cell = |key: &&str| revision.annotation(key).unwrap_or("<none>").to_owned();
        lines.push(
            std::iter::once(revision.number.to_string()).chain(cells.iter().map(cell)).collect(),
        );
    }
    Ok(format!("{} \n{}\n", one.shown(), columns(&lines)))
}

/// Columns two spaces apart, as kubectl prints these.
fn columns(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut text = String::new();
    for line in lines {
        let mut out = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = if column + 1 < line.len() { width(column).unwrap_or(0) + 2 } else { 0 };
            out.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
    text
}

/// The revisions of an object, oldest first.
pub(super) async fn revisions(
    api: &Api,
    one: &Chosen,
    workload: Workload,
    object: &Object,
) -> Result<Vec<Revision>> {
    let (group, plural) = match workload {
        Workload::Deployment => ("apps", "replicasets"),
        Workload::DaemonSet | Workload::StatefulSet => ("apps", "controllerrevisions"),
        Workload::DeploymentConfig => ("", "replicationcontrollers"),
    };
    let kind = api.served().await?.by_resource(group, plural);
    let kind =
        kind.with_context(|| format!("the server doesn't have a resource type {plural:?}"))?;
    let (items, _) = api.list(kind, Some(&one.namespace), "").await?;
    let all = items.into_iter().map(Object);
    let of = |kept: Object| revision(workload, object, kept);
    let mut revisions: Vec<Revision> = all.filter_map(of).collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

/// What an object keeps of a template, if it is the workload's.
fn revision(workload: Workload, of: &Object, kept: Object) -> Option<Revision> {
    let annotation = |key: &str| {
        let found = kept.annotations().find(|(known, _)| *known == key);
        found.and_then(|(_, value)| value.parse::<i64>().ok())
    };
    let owners = kept.at(&["metadata", "ownerReferences"]).and_then(Value::as_array);
    let owned = owners.into_iter().flatten().any(|owner| owner["uid"].as_str() == Some(of.uid()));
    let named = || kept.annotations().any(|pair| pair == (CONFIG_NAME, of.name()));
    let (ours, number, path) = match workload {
        Workload::Deployment => (owned, annotation(REVISION), &["spec", "template"][..]),
        Workload::DaemonSet | Workload::StatefulSet => {
            let number = kept.at(&["revision"]).and_then(Value::as_i64);
            (owned, number, &["data", "spec", "template"][..])
        }
        Workload::DeploymentConfig => {
            (owned || named(), annotation(CONFIG_VERSION), &["spec", "template"][..])
        }
    };
    let template = plain(kept.at(path)?);
    Some(Revision { number: number.filter(|_| ours)?, template, object: kept })
}

/// A template without what only its revision has.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}

/// Goes back to a revision, or to the one before the present; what came of it in a word.
pub async fn undo(api: &Api, one: &Chosen, to: i64) -> Result<String> {
    let workload = super::workload(one, "no rollbacker has been implemented")?;
    ensure!(to >= 0, "revision must be a positive integer: {to}");
    let object = Object(one.get(api).await?);
    if workload.pauses() && super::is_paused(&object.0) {
        bail!(
            "you cannot rollback a paused {}; resume it first with 'leme rollout resume' and try again",
            one.kind.singular
        );
    }
    let mut revisions = revisions(api, one, workload, &object).await?;
    let found = match to {
        0 => revisions.len().checked_sub(2),
        to => revisions.iter().position(|revision| revision.number == to),
    };
    let Some(found) = found else {
        match to {
            0 => bail!("no rollout history found for {} {:?}", one.kind.singular, one.name),
            to => bail!("unable to find specified revision {to} in history"),
        }
    };
    let revision = revisions.swap_remove(found);
    if object.at(&["spec", "template"]).map(plain).as_ref() == Some(&revision.template) {
        return Ok(format!(
            "skipped rollback (current template already matches revision {})",
            revision.number
        ));
    }
    let (media_type, patch) = back(workload, &object, &revision);
    api.call(Method::PATCH, &one.path(None), media_type, Some(&patch)).await?;
    Ok("rolled back".to_owned())
}

/// The patch that leads back to a revision.
fn back(workload: Workload, object: &Object, revision: &Revision) -> (&'static str, Value) {
    let template = json!({"op": "replace", "path": "/spec/template", "value": revision.template});
    match workload {
        Workload::Deployment => {
            let own = object.annotations().filter(|(key, _)| KEPT.contains(key));
            let theirs = revision.object.annotations().filter(|(key, _)| !KEPT.contains(key));
            let all = own.chain(theirs).map(|(key, value)| (key.to_owned(), value.into()));
            let annotations = Value::Object(all.collect::<Map<String, Value>>());
            let annotations =
                json!({"op": "add", "path": "/metadata/annotations", "value": annotations});
            (JSON_PATCH, json!([template, annotations]))
        }
        Workload::DeploymentConfig => (JSON_PATCH, json!([template])),
        Workload::DaemonSet | Workload::StatefulSet => {
            (STRATEGIC_PATCH, revision.object.0["data"].clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Object {
        Object(
            json!({"metadata": {"name": "web", "uid": "d", "annotations": {REVISION: "2", "own": "x"}},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}}}}),
        )
    }

    fn set(owner: &str, number: &str) -> Object {
        Object(
            json!({"metadata": {"ownerReferences": [{"uid": owner}], "annotations": {REVISION: number, CAUSE: "why"}},
            "spec": {"template": {"metadata": {"labels": {"app": "web", HASH: "h"}}}}}),
        )
    }

    #[test]
    fn a_revision_is_what_the_workload_keeps() {
        let found = revision(Workload::Deployment, &deployment(), set("d", "1")).unwrap();
        assert_eq!((found.number, found.annotation(CAUSE)), (1, Some("why")));
        assert_eq!(found.template, deployment().0["spec"]["template"]);
        assert!(revision(Workload::Deployment, &deployment(), set("other", "1")).is_none());
        assert!(revision(Workload::Deployment, &deployment(), set("d", "x")).is_none());
        let data = json!({"spec": {"template": {"$patch": "replace", "a": 1}}});
        let kept =
            json!({"metadata": {"ownerReferences": [{"uid": "d"}]}, "revision": 3, "data": data});
        let found = revision(Workload::DaemonSet, &deployment(), Object(kept)).unwrap();
        assert_eq!((found.number, &found.template), (3, &json!({"a": 1})));
        assert_eq!(back(Workload::DaemonSet, &deployment(), &found), (STRATEGIC_PATCH, data));
    }

    #[test]
    fn going_back_keeps_what_is_the_deployments_own() {
        let found = revision(Workload::Deployment, &deployment(), set("d", "1")).unwrap();
        let (media_type, patch) = back(Workload::Deployment, &deployment(), &found);
        assert_eq!(media_type, JSON_PATCH);
        assert_eq!(patch[1]["value"], json!({REVISION: "2", CAUSE: "why"}));
        assert_eq!(patch[0]["value"]["metadata"]["labels"], json!({"app": "web"}));
    }

    #[test]
    fn columns_line_up() {
        let lines = [["REVISION", "CHANGE-CAUSE"], ["1", "<none>"]];
        let lines: Vec<Vec<String>> =
            lines.iter().map(|line| line.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(columns(&lines), "REVISION  CHANGE-CAUSE\n1         <none>\n");
    }
}
