//! `leme server`, `leme controllers`, `leme scheduler`, `leme agent`: the parts of a cluster, each in a process of its own.
//!
//! Knows: where each finds its kubeconfig, and what it says. Refuses to know: what the parts do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::args::{AgentArgs, ManagerArgs, RemoteArgs, SchedulerArgs, ServerArgs};
use crate::cluster::access::{Access, Remote};
use crate::cluster::data::{DataDir, Lock, Seat};
use crate::cluster::fresh::Fresh;
use crate::cluster::log;
use crate::cluster::plan::Plan;
use crate::cluster::running::Running;
use crate::cluster::signals::Stop;
use crate::cluster::table::Part;
use crate::progress::View;

/// What a kubeconfig's name ends in.
const KUBECONFIG: &str = ".kubeconfig";

/// Runs the API server until it is told to stop.
///
/// # Errors
/// When it cannot start, or has ended by itself.
pub async fn server(args: &ServerArgs) -> Result<()> {
    let plan = Plan::of_server(args)?;
    let (data, fresh) = DataDir::begin(&args.data_dir)?;
    let _lock = data.lock(Seat::Server)?;
    let mut stop = begin()?;
    let running = match Running::start(plan, None, Some(data)).await {
        Ok(running) => running,
        // Of a cluster that has never been nothing stays.
        Err(error) => return Err(Fresh::given_up(fresh, error)),
    };
    for (of, path) in &running.kubeconfigs {
        View::Plain.tell(of, "is", &path.display().to_string());
    }
    View::Plain.tell("server", "is up", "Ctrl-C stops it");
    until_told(running, &mut stop).await
}

/// Runs controllers until told to stop.
///
/// # Errors
/// When they cannot start, or have ended by themselves.
pub async fn controllers(args: &ManagerArgs) -> Result<()> {
    manager(Part::Controllers, args, None).await
}

/// Runs the scheduler until told to stop.
///
/// # Errors
/// When it cannot start, or has ended by itself.
pub async fn scheduler(args: &SchedulerArgs) -> Result<()> {
    manager(Part::Scheduler, &args.manager, args.config.as_deref()).await
}

async fn manager(part: Part, args: &ManagerArgs, config: Option<&Path>) -> Result<()> {
    let plan = Plan::of_manager(part, args, config)?;
    let path = match &args.remote.kubeconfig {
        Some(path) => path.clone(),
        None => own(&args.remote, part.name())?,
    };
    let remote = Remote::read(&path).await?;
    let _lock = client_of(&path, part)?;
    let mut stop = begin()?;
    View::Plain.tell(part.name(), "work for", remote.shown());
    let running = Running::start(plan, Some(Access::Apart(Box::new(remote))), None).await?;
    until_told(running, &mut stop).await
}

/// Runs a node until told to stop; its pods go on unless a `leme down` ends it.
///
/// # Errors
/// When it cannot start, or has ended by itself.
pub async fn agent(args: &AgentArgs) -> Result<()> {
    let path = match (&args.remote.kubeconfig, &args.node_name) {
        (Some(path), _) => path.clone(),
        (None, Some(name)) => own(&args.remote, &format!("node-{name}"))?,
        (None, None) => only_node(&args.remote.data_dir)?,
    };
    let remote = Remote::read(&path).await?;
    let plan = Plan::of_agent(args, remote.node())?;
    let (data, fresh) = DataDir::begin(&args.remote.data_dir)?;
    let _lock = data.lock(Seat::Nodes)?;
    let mut stop = begin()?;
    let shown = remote.shown().to_owned();
    let running =
        match Running::start(plan, Some(Access::Apart(Box::new(remote))), Some(data.clone())).await
        {
            Ok(running) => running,
            Err(error) => return Err(Fresh::given_up(fresh, error)),
        };
    let name = running.nodes.first().map_or("", |node| &node.name).to_owned();
    View::Plain.tell(&format!("node {name}"), "works for", &shown);
    tokio::select! {
        caught_up = running.caught_up() => caught_up?,
        failed = running.failed() => return ended(running, &mut stop, Err(failed)).await,
        () = stop.told() => return ended(running, &mut stop, Ok(())).await,
    }
    let hint =
        format!("its pods outlive it; `leme down --data-dir {}` ends them", data.root().display());
    View::Plain.tell(&format!("node {name}"), "is known to the API server", &hint);
    until_told(running, &mut stop).await
}

/// From here on what is logged is seen, and a signal leaves no half of anything behind.
fn begin() -> Result<Stop> {
    log::to(std::io::stderr())?;
    Stop::listen()
}

async fn until_told(running: Running, stop: &mut Stop) -> Result<()> {
    let outcome = tokio::select! {
        failed = running.failed() => Err(failed),
        () = stop.told() => Ok(()),
    };
    ended(running, stop, outcome).await
}

async fn ended(running: Running, stop: &mut Stop, outcome: Result<()>) -> Result<()> {
    let stopped = running.stop(stop.told()).await;
    outcome.and(stopped)
}

/// A part's own kubeconfig.
fn own(remote: &RemoteArgs, part: &str) -> Result<PathBuf> {
    let path = remote.data_dir.join(format!("{part}{KUBECONFIG}"));
    if !path.exists() {
        bail!(
            "there is no {}: start a server that leaves this to others (`leme server`, `leme up --without`), or name a kubeconfig with --kubeconfig",
            path.display()
        );
    }
    Ok(path)
}

/// The kubeconfig of the only node that there is one of.
fn only_node(data_dir: &Path) -> Result<PathBuf> {
    let shown = data_dir.display();
    let entries = std::fs::read_dir(data_dir).with_context(|| format!("look into {shown}"))?;
    let of_node = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with("node-") && name.ends_with(KUBECONFIG)
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|one| one.path()).filter(of_node).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => bail!("there is no kubeconfig of a node in {shown}: name one with --kubeconfig"),
        _ => bail!("there are kubeconfigs of several nodes in {shown}: say --node-name"),
    }
}

/// Lets a `leme down` find this process, if the kubeconfig lies in a data directory.
fn client_of(kubeconfig: &Path, part: Part) -> Result<Option<Lock>> {
    let path = std::path::absolute(kubeconfig).context("find the kubeconfig's directory")?;
    let Some(folder) = path.parent() else { return Ok(None) };
    match DataDir::look(folder) {
        Ok(Some(data)) => data.lock(Seat::Client(part.name())).map(Some),
        Ok(None) | Err(_) => Ok(None),
    }
}
