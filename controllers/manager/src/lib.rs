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
use leme_controller_runtime::{Brake, Client, Controller, Executor, Key, Queue, Recorder};
use leme_plan::{Failure, Plan};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cache::Cache;

/// How the controllers run.
#[derive(Clone, Debug, Default)]
pub struct ManagerConfig {
    /// Who this process is, for leadership.
    pub identity: String,
    /// Whether to lead before acting: needed when there may be another manager.
    pub leader_elect: bool,
    /// The authority's certificate as PEM, published to every namespace as `kube-root-ca.crt`.
    pub root_ca: Option<String>,
    /// Nodes of which it is known that nobody runs them: they are Unknown at once, not after the grace of silence.
    pub absent: BTreeSet<String>,
}

/// How many Events are written side by side.
const EVENTS_AT_ONCE: usize = 16;
/// Under which names servers note what is written: those of the programs that do this work elsewhere.
const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
const LEASE: (&str, &str) = ("kube-system", "leme-controllers");

/// What every controller is given.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) cache: Arc<Cache>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) config: Arc<ManagerConfig>,
}

/// Runs all controllers until cancelled, or until one of them ends, which is an error.
pub async fn run(
    client: Client,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let client = client.named(CONTROLLERS);
    if !config.leader_elect {
        return lead(client, config, token).await;
    }
    let candidate = Candidate {
        namespace: LEASE.0.to_owned(),
        name: LEASE.1.to_owned(),
        identity: config.identity.clone(),
    };
    while candidate.acquire(&client, &token).await {
        let term = token.child_token();
        let work = lead(client.clone(), config.clone(), term.clone());
        tokio::select! {
            ended = work => ended?,
            () = candidate.hold(&client, &token) => {}
        }
        term.cancel();
    }
    Ok(())
}

async fn lead(
    client: Client,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let cache = Arc::new(Cache::new());
    let mut executor = |client: Client| executor(&cache, client, &token, &mut tasks);
    let (own, scheduler) = (executor(client.clone()), executor(client.clone().named(SCHEDULER)));
    let context = Wiring { cache: cache.clone(), executor: own, config: Arc::new(config) };
    let scheduler = Wiring { executor: scheduler, ..context.clone() };

    // Handlers first, so that nothing that a first list brings is missed; then the caches; then the work.
    let starts: Vec<Start> = vec![
        scheduler::start(&scheduler),
        replication::controllers(&context),
        replication::sets(&context),
        deployments::start(&context),
        configs::start(&context),
        daemons::start(&context),
        stateful::start(&context),
        autoscalers::start(&context),
        disruption::start(&context),
        workloads::jobs(&context),
        workloads::cron_jobs(&context),
        services::endpoints(&context),
        services::slices(&context),
        services::mirroring(&context),
        nodes::life_cycle(&context),
        nodes::pod_gc(&context),
        volumes::claims(&context),
        volumes::volumes(&context),
        namespaces::accounts(&context),
        namespaces::life_cycle(&context),
        garbage::start(&context),
    ];
    cache.spawn(&client, &token, &mut tasks);
    let follow = cache.kinds.clone().follow(cache.clone(), client.clone(), token.clone());
    tasks.spawn(follow);
    cache.synced(&token).await;
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
