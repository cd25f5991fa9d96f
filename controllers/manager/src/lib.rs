//! The controllers, wired: which changes wake which plan, and what each plan gets to see.
//!
//! Knows: the kinds and their caches, one per kind and shared. Refuses to know: how plans decide (plan, sched) and how
//! actions are carried out (runtime).

mod autoscalers;
mod cache;
mod configs;
mod daemons;
mod deployments;
mod disruption;
mod garbage;
mod indices;
mod kinds;
mod namespaces;
mod nodes;
mod replication;
mod scheduler;
mod services;
mod stateful;
mod volumes;
mod wake;
mod workloads;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use leme_controller_runtime::leader::Candidate;
use leme_controller_runtime::{
    Brake, Client, Controller, Executor, Key, Queue, Recorder, Resource,
};
use leme_plan::{Failure, Plan};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cache::Cache;

/// The programs whose work is done here, by the client of each. What has none is left to another process.
#[derive(Clone, Default)]
pub struct Programs {
    /// What the controllers ask and write through.
    pub controllers: Option<Client>,
    /// What the scheduler does.
    pub scheduler: Option<Client>,
}

/// How they run.
#[derive(Clone, Debug, Default)]
pub struct ManagerConfig {
    /// Who this process is, for leadership.
    pub identity: String,
    /// Whether to lead before acting: needed when there may be another process that does the same.
    pub leader_elect: bool,
    /// The authority's certificate as PEM, published to every namespace as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
    /// Nodes of which it is known that nobody runs them: they are Unknown at once, not after the grace of silence.
    pub absent: BTreeSet<String>,
}

/// How many Events are written side by side.
const EVENTS_AT_ONCE: usize = 16;
/// Under which names servers note what is written, and of the leases: those of the programs that do this work elsewhere, so
/// that one of those and this one never do it at the same time.
const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
const LEASES_IN: &str = "kube-system";

/// What every controller is given.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) cache: Arc<Cache>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) config: Arc<ManagerConfig>,
}

/// Does the work of the programs until cancelled, or until a controller ends, which is an error. Without election they
/// share their caches; with it each leads by itself.
pub async fn run(
    programs: Programs,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let named = |client: Option<Client>, name| client.map(|client| client.named(name));
    let controllers = named(programs.controllers, CONTROLLERS);
    let scheduler = named(programs.scheduler, SCHEDULER);
    if !config.leader_elect {
        return lead(Programs { controllers, scheduler }, config, token).await;
    }
    let alone = Programs { controllers, ..Programs::default() };
    let other = Programs { scheduler, ..Programs::default() };
    let first = elected(CONTROLLERS, alone.controllers.clone(), alone, config.clone(), &token);
    let second = elected(SCHEDULER, other.scheduler.clone(), other, config, &token);
    tokio::try_join!(first, second).map(|_| ())
}

/// Does a program's work whenever this process leads; nothing where it has no client for it.
async fn elected(
    lease: &str,
    client: Option<Client>,
    program: Programs,
    config: ManagerConfig,
    token: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(client) = client else { return Ok(()) };
    let candidate = Candidate {
        namespace: LEASES_IN.to_owned(),
        name: lease.to_owned(),
        identity: config.identity.clone(),
    };
    while candidate.acquire(&client, token).await {
        let term = token.child_token();
        let mut work = std::pin::pin!(lead(program.clone(), config.clone(), term.clone()));
        let ended = tokio::select! {
            ended = &mut work => Some(ended),
            () = candidate.hold(&client, token) => None,
        };
        term.cancel();
        match ended {
            Some(ended) => ended?,
            None => work.await?,
        }
        if token.is_cancelled() {
            // Now nothing is written any more: the next one may begin.
            candidate.release(&client).await;
            break;
        }
    }
    Ok(())
}

async fn lead(
    programs: Programs,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let (cache, config) = (Arc::new(Cache::new()), Arc::new(config));
    let mut wiring = |client: &Client| Wiring {
        cache: Arc::clone(&cache),
        executor: executor(&cache, client.clone(), &token, &mut tasks),
        config: Arc::clone(&config),
    };
    // Handlers first, so that nothing that a first list brings is missed; then the caches; then the work.
    let mut starts: Vec<Start> = Vec::new();
    if let Some(client) = &programs.scheduler {
        starts.push(scheduler::start(&wiring(client)));
    }
    if let Some(client) = &programs.controllers {
        starts.extend(controllers(&wiring(client)));
    }
    if let Some(client) = &programs.controllers {
        let follow = cache.kinds.clone().follow(cache.clone(), client.clone(), token.clone());
        tasks.spawn(follow);
    }
    let kept =
        if programs.controllers.is_some() { |_: &Resource| true } else { scheduler::lookup::reads };
    let Some(reader) = programs.controllers.or(programs.scheduler) else { return Ok(()) };
    cache.spawn(kept, &reader, &token, &mut tasks);
    cache.synced(kept, &token).await;
    info!(controllers = starts.len(), "caches are filled, controllers start");
    for start in starts {
        start(token.clone(), &mut tasks);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a controller failed")?;
        if !token.is_cancelled() {
            anyhow::bail!("a controller ended by itself");
        }
    }
    Ok(())
}

/// All but the scheduler.
fn controllers(context: &Wiring) -> Vec<Start> {
    vec![
        replication::controllers(context),
        replication::sets(context),
        deployments::start(context),
        configs::start(context),
        daemons::start(context),
        stateful::start(context),
        autoscalers::start(context),
        disruption::start(context),
        workloads::jobs(context),
        workloads::cron_jobs(context),
        services::endpoints(context),
        services::slices(context),
        services::mirroring(context),
        nodes::life_cycle(context),
        nodes::pod_gc(context),
        volumes::claims(context),
        volumes::volumes(context),
        namespaces::accounts(context),
        namespaces::projects(context),
        namespaces::life_cycle(context),
        garbage::start(context),
    ]
}

/// What writes through a client, and its Events in a task of their own.
fn executor(
    cache: &Arc<Cache>,
    client: Client,
    token: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Arc<Executor> {
    let (recorder, record) = Recorder::new(client.clone(), EVENTS_AT_ONCE, token.clone());
    tasks.spawn(record);
    let resolver = cache.clone();
    let resolve = move |api_version: &str, kind: &str| resolver.resolve(api_version, kind);
    Arc::new(Executor::new(client, Box::new(resolve), recorder, cache.caches()))
}

/// Starts a controller's tasks.
pub(crate) type Start = Box<dyn FnOnce(CancellationToken, &mut JoinSet<()>) + Send>;

/// A controller by name and plan.
pub(crate) fn controller<F, Fut>(
    context: &Wiring,
    name: &'static str,
    queue: Arc<Queue>,
    brake: Option<Brake>,
    reconcile: F,
) -> Start
where
    F: Fn(Wiring, Key, Option<Failure>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Plan, String>> + Send + 'static,
{
    const WORKERS: usize = 16;
    let context = context.clone();
    Box::new(move |token, tasks| {
        let controller = Controller { name, queue, workers: WORKERS, brake };
        let executor = context.executor.clone();
        let each = move |key, failure| reconcile(context.clone(), key, failure);
        tasks.spawn(controller.run(executor, each, token));
    })
}
