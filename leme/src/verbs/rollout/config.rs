//! What `oc rollout` does of DeploymentConfigs alone: roll out once more, stop what rolls out, try again what failed.
//!
//! Knows: upstream's annotations and words. Refuses to know: how a rollout goes on.

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use jiff::Timestamp;
use leme_meta::Object;
use serde_json::{Value, json};

use super::Workload;
use super::history::{self, CONFIG_PHASE, CONFIG_REASON, Revision};
use crate::api::{Api, JSON, MERGE_PATCH, query};
use crate::choose::Chosen;
use crate::say;

const CANCELLED: &str = "openshift.io/deployment.cancelled";
/// The label of a rollout's own pods: the name of its ReplicationController.
const POD_OF: &str = "openshift.io/deployer-pod-for.name";

/// Starts another rollout, with the images of today unless it shall be the same `again`.
pub async fn latest(api: &Api, one: &Chosen, again: bool) -> Result<()> {
    let config = config(api, one, "deploy").await?;
    ensure!(!super::is_paused(&config.0), "cannot deploy a paused deployment config");
    let all = rollouts(api, one, &config).await?;
    if let Some(running) = all.iter().find(|rollout| rollout.number == version(&config))
        && !matches!(phase(running), "Complete" | "Failed")
    {
        bail!("#{} is already in progress ({}).", running.number, phase(running));
    }
    let request = json!({
        "kind": "DeploymentRequest", "apiVersion": "apps.openshift.io/v1",
        "name": one.name, "latest": !again, "force": true,
    });
    api.call(Method::POST, &one.path(Some("instantiate")), JSON, Some(&request)).await?;
    say::line(format_args!("{} rolled out", one.shown()))
}

/// Stops what rolls out, as far as that still can be done.
pub async fn cancel(api: &Api, one: &Chosen) -> Result<()> {
    let config = config(api, one, "cancel").await?;
    if super::is_paused(&config.0) {
        bail!("unable to cancel paused deployment {}/{}", one.namespace, one.name);
    }
    let all = rollouts(api, one, &config).await?;
    let Some(last) = all.first() else {
        bail!("there have been no replication controllers for {}/{}", one.namespace, one.name);
    };
    let mut any = false;
    for rollout in all.iter().filter(|all| matches!(phase(all), "New" | "Pending" | "Running")) {
        if rollout.annotation(CANCELLED) == Some("true") {
            say::line(format_args!("{} already cancelled", one.shown()))?;
            continue;
        }
        let why = json!({ CANCELLED: "true", CONFIG_REASON: "cancelled by the user" });
        annotate(api, one, rollout, why).await?;
        say::line(format_args!("{} cancelling", one.shown()))?;
        any = true;
    }
    if any {
        return Ok(());
    }
    let ends =
        last.annotation(CANCELLED) == Some("true") && !matches!(phase(last), "Complete" | "Failed");
    let made = last.object.text(&["metadata", "creationTimestamp"]).parse::<Timestamp>();
    let age = made.map_or(0, |made| Timestamp::now().duration_since(made).as_secs());
    say::line(format_args!(
        "No rollout is in progress (latest rollout #{} {}{} {} ago)",
        last.number,
        phase(last).to_lowercase(),
        if ends { " (cancelling)" } else { "" },
        about(age)
    ))
}

/// Tries the last rollout again, which has failed.
pub async fn retry(api: &Api, one: &Chosen) -> Result<()> {
    let config = config(api, one, "retry").await?;
    if super::is_paused(&config.0) {
        bail!("unable to retry paused deployment config {:?}", one.name);
    }
    let number = version(&config);
    ensure!(number > 0, "no rollouts found for {:?}", one.name);
    let all = rollouts(api, one, &config).await?;
    let start = format!("with 'leme rollout latest dc/{}'", one.name);
    let last = all.iter().find(|rollout| rollout.number == number).with_context(|| {
        format!(
            "unable to find the latest rollout (#{number}).\nYou can start a new rollout {start}."
        )
    })?;
    match phase(last) {
        "Failed" => {}
        other => {
            let word = other.to_lowercase();
            let next = if other == "Complete" {
                format!("You can start a new deployment {start}.")
            } else {
                format!(
                    "Optionally, you can cancel this deployment with 'leme rollout cancel dc/{}'.",
                    one.name
                )
            };
            bail!("rollout #{number} is {word}; only failed deployments can be retried.\n{next}");
        }
    }
    let pods = api.served().await?.by_resource("", "pods").context("the server has no pods")?;
    let name = last.object.name();
    let selector = query(&[("labelSelector", Some(&format!("{POD_OF}={name}")))]);
    for pod in api.list(pods, Some(&one.namespace), &selector).await?.0.into_iter().map(Object) {
        let path = pods.object(&one.namespace, pod.name(), "");
        let now = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0 });
        let deleted = api.call(Method::DELETE, &path, JSON, Some(&now)).await;
        deleted.with_context(|| {
            format!("failed to delete deployer/hook pod {} for deployment #{number}", pod.name())
        })?;
    }
    let again = json!({ CONFIG_PHASE: "New", CONFIG_REASON: null, CANCELLED: null });
    annotate(api, one, last, again).await?;
    say::line(format_args!("{} retried rollout #{number}", one.shown()))
}

async fn config(api: &Api, one: &Chosen, word: &str) -> Result<Object> {
    if Workload::of(&one.kind.group, &one.kind.kind) != Some(Workload::DeploymentConfig) {
        bail!(
            "cannot {word} {}: expected deployment configuration, got {}",
            one.shown(),
            one.kind.plural
        );
    }
    Ok(Object(one.get(api).await?))
}

/// The rollouts of a config, the newest first.
async fn rollouts(api: &Api, one: &Chosen, config: &Object) -> Result<Vec<Revision>> {
    let mut all = history::revisions(api, one, Workload::DeploymentConfig, config).await?;
    all.reverse();
    Ok(all)
}

fn version(config: &Object) -> i64 {
    config.at(&["status", "latestVersion"]).and_then(Value::as_i64).unwrap_or(0)
}

fn phase(rollout: &Revision) -> &str {
    rollout.annotation(CONFIG_PHASE).unwrap_or_default()
}

async fn annotate(api: &Api, one: &Chosen, rollout: &Revision, what: Value) -> Result<()> {
    let kind = api.served().await?.by_resource("", "replicationcontrollers");
    let kind = kind.context("the server has no ReplicationControllers")?;
    let path = kind.object(&one.namespace, rollout.object.name(), "");
    let patch = json!({ "metadata": { "annotations": what } });
    api.call(Method::PATCH, &path, MERGE_PATCH, Some(&patch)).await?;
    Ok(())
}

/// A time in words, as Docker has them.
fn about(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1_800) / 3_600);
    match (seconds, minutes, hours) {
        (..=0, ..) => "less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..=59, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "about a minute".to_owned(),
        (_, ..=59, _) => format!("{minutes} minutes"),
        (_, _, 1) => "about an hour".to_owned(),
        (_, _, ..=47) => format!("{hours} hours"),
        (_, _, ..=335) => format!("{} days", hours / 24),
        (_, _, ..=1439) => format!("{} weeks", hours / 24 / 7),
        (_, _, ..=17519) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn times_are_told_in_words() {
        for (seconds, words) in [
            (0, "less than a second"),
            (59, "59 seconds"),
            (61, "about a minute"),
            (3_599, "59 minutes"),
            (3_600, "about an hour"),
            (86_400 * 3, "3 days"),
        ] {
            assert_eq!(about(seconds), words);
        }
    }
}
