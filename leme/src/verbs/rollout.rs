//! `leme rollout`: follows, repeats, stops and takes back the rollouts of templates of pods.
//!
//! Knows: the four kinds that roll templates out. What they do meanwhile is their controllers' business.

mod config;
mod history;
mod status;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use jiff::Timestamp;
use leme_meta::Object;
use serde_json::{Value, json};

use crate::api::{Api, MERGE_PATCH};
use crate::args::{ChosenArgs, FilterArgs, RolloutArgs, RolloutCommand};
use crate::choose::{self, Alone, Chosen};
use crate::{connect, follow, say};

/// Said of a template that is to be rolled out again.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The kinds that roll templates out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Keeps ReplicaSets.
    Deployment,
    /// Keeps ControllerRevisions.
    DaemonSet,
    /// Keeps ControllerRevisions.
    StatefulSet,
    /// Keeps ReplicationControllers.
    DeploymentConfig,
}

impl Workload {
    fn of(group: &str, kind: &str) -> Option<Workload> {
        match (group, kind) {
            ("apps", "Deployment") => Some(Workload::Deployment),
            ("apps", "DaemonSet") => Some(Workload::DaemonSet),
            ("apps", "StatefulSet") => Some(Workload::StatefulSet),
            ("apps.openshift.io", "DeploymentConfig") => Some(Workload::DeploymentConfig),
            _ => None,
        }
    }

    /// Whether its rollouts can be stopped.
    fn pauses(self) -> bool {
        matches!(self, Workload::Deployment | Workload::DeploymentConfig)
    }
}

/// Runs the command.
pub async fn run(args: &RolloutArgs) -> Result<()> {
    let api = connect::connect(&args.connect).await?;
    let chosen = async |chosen: &ChosenArgs| {
        let flag = args.connect.namespace.as_deref();
        let found = choose::objects(&api, chosen, flag, Alone::All).await?;
        ensure!(!found.is_empty(), "no resources found");
        Ok(found)
    };
    let found = match &args.command {
        RolloutCommand::Latest { config, .. } => {
            let word = if config.contains('/') { "" } else { "deploymentconfigs/" };
            let (words, flag) = ([format!("{word}{config}")], args.connect.namespace.as_deref());
            choose::of_words(&api, &words, &FilterArgs::default(), flag, Alone::Refused).await?
        }
        RolloutCommand::Status { chosen: named, .. }
        | RolloutCommand::History { chosen: named, .. }
        | RolloutCommand::Undo { chosen: named, .. }
        | RolloutCommand::Restart { chosen: named }
        | RolloutCommand::Cancel { chosen: named }
        | RolloutCommand::Retry { chosen: named }
        | RolloutCommand::Pause { chosen: named }
        | RolloutCommand::Resume { chosen: named } => chosen(named).await?,
    };
    choose::each(&found, async |one: &Chosen| do_to(&api, one, &args.command).await).await
}

async fn do_to(api: &Api, one: &Chosen, command: &RolloutCommand) -> Result<()> {
    match command {
        RolloutCommand::Status { watch, timeout, .. } => progress(api, one, *watch, *timeout).await,
        RolloutCommand::History { revision, .. } => {
            say::result(history::told(api, one, *revision).await?)
        }
        RolloutCommand::Undo { to_revision, .. } => {
            let word = history::undo(api, one, *to_revision).await?;
            say::line(format_args!("{} {word}", one.shown()))
        }
        RolloutCommand::Restart { .. } => restart(api, one).await,
        RolloutCommand::Latest { again, .. } => config::latest(api, one, *again).await,
        RolloutCommand::Cancel { .. } => config::cancel(api, one).await,
        RolloutCommand::Retry { .. } => config::retry(api, one).await,
        RolloutCommand::Pause { .. } => pause(api, one, true).await,
        RolloutCommand::Resume { .. } => pause(api, one, false).await,
    }
}

fn workload(one: &Chosen, lacks: &str) -> Result<Workload> {
    match Workload::of(&one.kind.group, &one.kind.kind) {
        Some(workload) => Ok(workload),
        None => bail!("{lacks} for {}", one.kind.word()),
    }
}

async fn progress(api: &Api, one: &Chosen, watch: bool, timeout: Option<Duration>) -> Result<()> {
    let workload = workload(one, "no status viewer has been implemented")?;
    let following = async {
        let mut told = String::new();
        let object = Object(one.get(api).await?);
        if tell(workload, &object, &mut told)? || !watch {
            return Ok(());
        }
        follow::until(api, one, |object| {
            let object = object.context("object has been deleted")?;
            Ok(tell(workload, object, &mut told)?.then_some(()))
        })
        .await
    };
    match timeout {
        None => following.await,
        Some(timeout) => match tokio::time::timeout(timeout, following).await {
            Ok(ended) => ended,
            Err(_) => bail!("timed out waiting for the condition on {}", one.shown()),
        },
    }
}

/// Says how far it is, if that is new; whether it is done.
fn tell(workload: Workload, object: &Object, told: &mut String) -> Result<bool> {
    let (text, done) = status::of(workload, object)?;
    if text != *told {
        say::line(&text)?;
        *told = text;
    }
    Ok(done)
}

async fn restart(api: &Api, one: &Chosen) -> Result<()> {
    let Some(workload) = Workload::of(&one.kind.group, &one.kind.kind) else {
        bail!("{} {:?} restarting is not supported", one.kind.qualified(), one.name);
    };
    if workload.pauses() && is_paused(&one.get(api).await?) {
        bail!(
            "{} {:?} can't restart paused {} (run rollout resume first)",
            one.kind.qualified(),
            one.name,
            one.kind.singular
        );
    }
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let template = json!({"metadata": {"annotations": {RESTARTED: now}}});
    patch(api, one, &json!({"spec": {"template": template}})).await?;
    say::line(format_args!("{} restarted", one.shown()))
}

fn is_paused(object: &Value) -> bool {
    object["spec"]["paused"] == true
}

async fn pause(api: &Api, one: &Chosen, paused: bool) -> Result<()> {
    let (doing, done) = if paused { ("pausing", "paused") } else { ("resuming", "resumed") };
    let named = || format!("{} {:?}", one.kind.qualified(), one.name);
    if !Workload::of(&one.kind.group, &one.kind.kind).is_some_and(Workload::pauses) {
        bail!("{} {doing} is not supported", named());
    }
    if is_paused(&one.get(api).await?) == paused {
        bail!("{} is {} paused", named(), if paused { "already" } else { "not" });
    }
    patch(api, one, &json!({"spec": {"paused": paused}})).await?;
    say::line(format_args!("{} {done}", one.shown()))
}

async fn patch(api: &Api, one: &Chosen, patch: &Value) -> Result<()> {
    api.call(Method::PATCH, &one.path(None), MERGE_PATCH, Some(patch)).await?;
    Ok(())
}
