//! What a DeploymentConfig says of its rollouts: counts and conditions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::config::{Condition, DeploymentConfig, Status};
use super::rollout::{Phase, Rollout};

pub(super) const PROGRESSING: &str = "Progressing";

/// A condition of now.
pub(super) fn condition(
    type_: &str,
    status: &str,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) -> Condition {
    let time = Some(Time(now.round(jiff::Unit::Second).unwrap_or(now)));
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_update_time: time.clone(),
        last_transition_time: time,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

/// Says it unless that is known.
pub(super) fn set(status: &mut Status, mut new: Condition) {
    let known = status.conditions.iter().find(|one| one.type_ == new.type_);
    if let Some(known) = known.filter(|known| known.status == new.status) {
        if known.reason == new.reason {
            return;
        }
        new.last_transition_time = known.last_transition_time.clone();
    }
    status.conditions.retain(|one| one.type_ != new.type_);
    status.conditions.push(new);
}

/// The status that follows from what is seen of the rollouts. `observed`: whether the spec has been acted on.
pub(super) fn of(
    config: &DeploymentConfig,
    rollouts: &[Rollout],
    observed: bool,
    now: Timestamp,
) -> Status {
    let latest = rollouts.iter().find(|one| one.name() == config.name_of_latest());
    let sum =
        |of: fn(&Rollout) -> i32| -> i32 { rollouts.iter().map(of).fold(0, i32::saturating_add) };
    let available = sum(Rollout::available);
    let mut status = config.status.clone();
    if observed {
        status.observed_generation = config.metadata.generation.unwrap_or(0);
    }
    status.replicas = sum(Rollout::actual);
    status.updated_replicas = latest.map_or(0, Rollout::actual);
    status.ready_replicas = sum(Rollout::ready);
    status.available_replicas = available;
    status.unavailable_replicas = sum(Rollout::replicas).saturating_sub(available).max(0);
    let missing = if config.is_rolling() { config.limits(config.spec.replicas).1 } else { 0 };
    let (value, text) =
        match available > 0 && available >= config.spec.replicas.saturating_sub(missing) {
            true => ("True", "Deployment config has minimum availability."),
            false => ("False", "Deployment config does not have minimum availability."),
        };
    set(&mut status, condition("Available", value, "", text, now));
    if let Some(latest) = latest {
        progress(config, latest, &mut status, now);
    }
    status
}

fn progress(config: &DeploymentConfig, latest: &Rollout, status: &mut Status, now: Timestamp) {
    let name = latest.name();
    let told = |value, reason, message: String| condition(PROGRESSING, value, reason, message, now);
    let new = match latest.phase {
        Phase::New => return,
        Phase::Pending => {
            let message = format!(
                "replication controller {name:?} is waiting for pod {:?} to run",
                super::helpers::name(latest, super::helpers::DEPLOY)
            );
            told("Unknown", "", message)
        }
        Phase::Running => {
            let old = |status: &Status| status.replicas - status.updated_replicas;
            let before = &config.status;
            if status.updated_replicas <= before.updated_replicas && old(status) >= old(before) {
                return;
            }
            // It is said anew, for it is the time of the last progress.
            status.conditions.retain(|one| one.type_ != PROGRESSING);
            let message = format!("replication controller {name:?} is progressing");
            told("True", "ReplicationControllerUpdated", message)
        }
        Phase::Failed if latest.is_cancelled() => {
            let message = format!("rollout of replication controller {name:?} was cancelled");
            told("False", "RolloutCancelled", message)
        }
        Phase::Failed => {
            let message = format!("replication controller {name:?} has failed progressing");
            told("False", "ProgressDeadlineExceeded", message)
        }
        Phase::Complete => {
            let message = format!("replication controller {name:?} successfully rolled out");
            told("True", "NewReplicationControllerAvailable", message)
        }
    };
    set(status, new);
}
