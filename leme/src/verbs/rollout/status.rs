//! How far a rollout is, in kubectl's and oc's words. Pure: an object goes in, a line comes out.

use anyhow::{Result, bail, ensure};
use leme_meta::Object;
use serde_json::Value;

use super::Workload;

/// How far it is, and whether it is done.
///
/// # Errors
/// When it will not be done.
pub fn of(workload: Workload, object: &Object) -> Result<(String, bool)> {
    match workload {
        Workload::Deployment => deployment(object),
        Workload::DaemonSet => daemon_set(object),
        Workload::StatefulSet => stateful_set(object),
        Workload::DeploymentConfig => deployment_config(object),
    }
}

fn number(object: &Object, path: &[&str]) -> i64 {
    object.at(path).and_then(Value::as_i64).unwrap_or(0)
}

fn counted(object: &Object, field: &str) -> i64 {
    number(object, &["status", field])
}

fn is_seen(object: &Object) -> bool {
    counted(object, "observedGeneration") >= object.generation()
}

/// Reason and message of the condition that tells of progress.
fn progress(object: &Object) -> Option<(&str, &str)> {
    let conditions = object.at(&["status", "conditions"]).and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|found| found["type"] == "Progressing")?;
    Some((found["reason"].as_str().unwrap_or(""), found["message"].as_str().unwrap_or("")))
}

/// What is still missing of new replicas, of old ones that go, and of those that are available.
fn replaced(object: &Object, begin: &str) -> Option<String> {
    let wanted = object.at(&["spec", "replicas"]).and_then(Value::as_i64);
    let [updated, replicas, available] =
        ["updatedReplicas", "replicas", "availableReplicas"].map(|field| counted(object, field));
    match wanted {
        Some(wanted) if updated < wanted => Some(format!(
            "{begin} to finish: {updated} out of {wanted} new replicas have been updated..."
        )),
        _ if replicas > updated => {
            let old = replicas - updated;
            Some(format!("{begin} to finish: {old} old replicas are pending termination..."))
        }
        _ if available < updated => Some(format!(
            "{begin} to finish: {available} of {updated} updated replicas are available..."
        )),
        _ => None,
    }
}

fn deployment(object: &Object) -> Result<(String, bool)> {
    let name = object.name();
    if !is_seen(object) {
        return Ok(("Waiting for deployment spec update to be observed...".to_owned(), false));
    }
    if progress(object).is_some_and(|(reason, _)| reason == "ProgressDeadlineExceeded") {
        bail!("deployment {name:?} exceeded its progress deadline");
    }
    Ok(match replaced(object, &format!("Waiting for deployment {name:?} rollout")) {
        Some(text) => (text, false),
        None => (format!("deployment {name:?} successfully rolled out"), true),
    })
}

/// Only what is replaced by itself is ever done.
fn ensure_rolls(object: &Object) -> Result<()> {
    let type_ = object.text(&["spec", "updateStrategy", "type"]);
    ensure!(
        type_ == "RollingUpdate",
        "rollout status is only available for RollingUpdate strategy type"
    );
    Ok(())
}

fn daemon_set(object: &Object) -> Result<(String, bool)> {
    ensure_rolls(object)?;
    if !is_seen(object) {
        return Ok(("Waiting for daemon set spec update to be observed...".to_owned(), false));
    }
    let name = object.name();
    let [updated, wanted, available] =
        ["updatedNumberScheduled", "desiredNumberScheduled", "numberAvailable"]
            .map(|field| counted(object, field));
    let begin = format!("Waiting for daemon set {name:?} rollout to finish:");
    Ok(if updated < wanted {
        (format!("{begin} {updated} out of {wanted} new pods have been updated..."), false)
    } else if available < wanted {
        (format!("{begin} {available} of {wanted} updated pods are available..."), false)
    } else {
        (format!("daemon set {name:?} successfully rolled out"), true)
    })
}

fn stateful_set(object: &Object) -> Result<(String, bool)> {
    ensure_rolls(object)?;
    if counted(object, "observedGeneration") == 0 || !is_seen(object) {
        return Ok(("Waiting for statefulset spec update to be observed...".to_owned(), false));
    }
    let wanted = object.at(&["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(1);
    let (ready, updated) = (counted(object, "readyReplicas"), counted(object, "updatedReplicas"));
    if ready < wanted {
        return Ok((format!("Waiting for {} pods to be ready...", wanted - ready), false));
    }
    let partition = number(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]);
    if partition > 0 {
        let new = wanted - partition;
        return Ok(if updated < new {
            let text = format!(
                "Waiting for partitioned roll out to finish: {updated} out of {new} new pods have been updated..."
            );
            (text, false)
        } else {
            (
                format!("partitioned roll out complete: {updated} new pods have been updated..."),
                true,
            )
        });
    }
    let (current, update) =
        (object.text(&["status", "currentRevision"]), object.text(&["status", "updateRevision"]));
    Ok(if current == update {
        let count = counted(object, "currentReplicas");
        (format!("statefulset rolling update complete {count} pods at revision {current}..."), true)
    } else {
        let text = format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {update}..."
        );
        (text, false)
    })
}

fn deployment_config(object: &Object) -> Result<(String, bool)> {
    let name = object.name();
    let triggers = object.at(&["spec", "triggers"]).and_then(Value::as_array);
    let triggers = triggers.map_or(&[][..], Vec::as_slice);
    if counted(object, "latestVersion") == 0 {
        if triggers.iter().any(|trigger| trigger["type"] == "ImageChange") {
            return Ok((format!("Deployment config {name:?} waiting on image update"), false));
        }
        ensure!(
            !triggers.is_empty(),
            "Deployment config {name:?} waiting on manual update (use 'oc rollout latest {name}')"
        );
    }
    if is_seen(object) {
        match progress(object) {
            Some(("NewReplicationControllerAvailable", message)) => {
                return Ok((message.to_owned(), true));
            }
            Some(("ProgressDeadlineExceeded", message)) => bail!("{message}"),
            Some(("DeploymentConfigPaused", _)) => bail!(
                "Deployment config {name:?} is paused. Resume to continue watching the status of the rollout."
            ),
            _ => {}
        }
        if let Some(text) = replaced(object, "Waiting for rollout") {
            return Ok((text, false));
        }
    }
    let text = "Waiting for latest deployment config spec to be observed by the controller loop...";
    Ok((text.to_owned(), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(workload: Workload, spec: Value, mut status: Value) -> String {
        if status.get("observedGeneration").is_none() {
            status["observedGeneration"] = 2.into();
        }
        let metadata = json!({"name": "web", "generation": 2});
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        match of(workload, &Object(object)) {
            Ok((text, true)) => format!("done: {text}"),
            Ok((text, false)) => text,
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn deployments() {
        let check = |status| check(Workload::Deployment, json!({"replicas": 3}), status);
        let counts = |updated, replicas, available| json!({"updatedReplicas": updated, "replicas": replicas, "availableReplicas": available});
        let waits =
            |text: &str| format!("Waiting for deployment \"web\" rollout to finish: {text}...");
        assert_eq!(check(counts(1, 3, 3)), waits("1 out of 3 new replicas have been updated"));
        assert_eq!(check(counts(3, 4, 3)), waits("1 old replicas are pending termination"));
        assert_eq!(check(counts(3, 3, 2)), waits("2 of 3 updated replicas are available"));
        assert_eq!(check(counts(3, 3, 3)), "done: deployment \"web\" successfully rolled out");
        assert_eq!(
            check(json!({"observedGeneration": 1})),
            "Waiting for deployment spec update to be observed..."
        );
        let late =
            json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]});
        assert_eq!(check(late), "error: deployment \"web\" exceeded its progress deadline");
    }

    #[test]
    fn daemon_sets() {
        let rolling = || json!({"updateStrategy": {"type": "RollingUpdate"}});
        let check = |status| check(Workload::DaemonSet, rolling(), status);
        let counts = |updated, available| json!({"updatedNumberScheduled": updated, "desiredNumberScheduled": 2, "numberAvailable": available});
        let waits =
            |text: &str| format!("Waiting for daemon set \"web\" rollout to finish: {text}...");
        assert_eq!(check(counts(1, 2)), waits("1 out of 2 new pods have been updated"));
        assert_eq!(check(counts(2, 1)), waits("1 of 2 updated pods are available"));
        assert_eq!(check(counts(2, 2)), "done: daemon set \"web\" successfully rolled out");
        let by_hand = json!({"updateStrategy": {"type": "OnDelete"}});
        assert!(
            super::tests::check(Workload::DaemonSet, by_hand, json!({}))
                .starts_with("error: rollout status is only")
        );
    }

    #[test]
    fn stateful_sets() {
        let check = |partition: i64, status| {
            let strategy =
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
            check(Workload::StatefulSet, json!({"replicas": 3, "updateStrategy": strategy}), status)
        };
        let status = |ready, updated, current: &str| {
            json!({"readyReplicas": ready, "updatedReplicas": updated, "currentReplicas": 3,
                "currentRevision": current, "updateRevision": "b"})
        };
        assert_eq!(check(0, status(1, 0, "a")), "Waiting for 2 pods to be ready...");
        assert_eq!(
            check(0, status(3, 1, "a")),
            "waiting for statefulset rolling update to complete 1 pods at revision b..."
        );
        assert_eq!(
            check(0, status(3, 3, "b")),
            "done: statefulset rolling update complete 3 pods at revision b..."
        );
        assert_eq!(
            check(2, status(3, 0, "a")),
            "Waiting for partitioned roll out to finish: 0 out of 1 new pods have been updated..."
        );
        assert_eq!(
            check(2, status(3, 1, "a")),
            "done: partitioned roll out complete: 1 new pods have been updated..."
        );
    }

    #[test]
    fn deployment_configs() {
        let check = |triggers: Value, status| {
            check(Workload::DeploymentConfig, json!({"replicas": 1, "triggers": triggers}), status)
        };
        let changed = || json!([{"type": "ConfigChange"}]);
        assert!(
            check(json!([]), json!({}))
                .starts_with("error: Deployment config \"web\" waiting on manual update")
        );
        assert_eq!(
            check(json!([{"type": "ImageChange"}]), json!({})),
            "Deployment config \"web\" waiting on image update"
        );
        assert_eq!(
            check(changed(), json!({"latestVersion": 1})),
            "Waiting for rollout to finish: 0 out of 1 new replicas have been updated..."
        );
        let done = json!({"latestVersion": 1, "conditions": [{"type": "Progressing",
            "reason": "NewReplicationControllerAvailable", "message": "replication controller \"web-1\" successfully rolled out"}]});
        assert_eq!(
            check(changed(), done),
            "done: replication controller \"web-1\" successfully rolled out"
        );
    }
}
