//! The table of controllers, run: informers that keep its cache, a queue for each controller, an executor for all.
//!
//! Knows: what has to be filled before work begins, leadership. Refuses to know: what controllers look at (table), how they
//! decide (plan, sched), and how actions are carried out (runtime).

mod kinds;
mod rounds;
mod scheduler;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use leme_controller_runtime::leader::Candidate;
use leme_controller_runtime::{Client, Executor, Informer, Recorder, Resource};
use leme_controllers::{Cache, Settings, table};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use leme_plan::serving_cert::{Authority, Made};

use crate::kinds::Kinds;
use crate::rounds::Runner;

/// The client of an account of `kube-system`.
pub type Accounts = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// What controllers ask and write through.
#[derive(Clone)]
pub struct Controllers {
    /// What all have in common: the cache, the Lease, Events.
    pub client: Client,
    /// What each looks up and writes by itself, by its account.
    pub accounts: Accounts,
}

impl Controllers {
    /// The same with each client changed.
    fn each(self, change: impl Fn(Client) -> Client + Send + Sync + 'static) -> Controllers {
        let Controllers { client, accounts } = self;
        let client = change(client);
        Controllers { client, accounts: Arc::new(move |account| change(accounts(account))) }
    }
}

/// The programs whose work is done here, by the client of each. What has none is left to another process.
#[derive(Clone, Default)]
pub struct Programs {
    /// What the controllers ask and write through.
    pub controllers: Option<Controllers>,
    /// What the scheduler does.
    pub scheduler: Option<Client>,
}

/// Who signs for Services.
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// What others know of it.
    fn known(&self) -> &Authority;

    /// A certificate for these names, which says the uid of their Service.
    ///
    /// # Errors
    /// Why there is none.
    fn issue(&self, names: &[String], uid: &str) -> Result<Made, String>;
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
    /// Who signs for Services, and the domain of their names.
    pub service_authority: Option<(Arc<dyn Signer>, String)>,
    /// The scheduler's profiles.
    pub scheduling: leme_sched::Config,
    /// Nodes of which it is known that nobody runs them: they are Unknown at once, not after the grace of silence.
    pub absent: BTreeSet<String>,
}

/// How many Events are written side by side.
const EVENTS_AT_ONCE: usize = 16;
/// Under which names servers note what is written, and of the leases: those of the programs that do this work elsewhere, so
/// that one of those and this one never do it at the same time.
const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
/// Kinds of which only metadata is kept and all has to be known before work begins, or else what is there is made in vain.
const MADE_UNLESS_SEEN: [&str; 3] = ["ConfigMap", "ServiceAccount", "RoleBinding"];
const LEASES_IN: &str = "kube-system";

/// What the scheduler is given.
pub(crate) struct Wiring {
    pub(crate) cache: Arc<Cache>,
    pub(crate) executor: Arc<Executor>,
}

/// Does the work of the programs until cancelled, or until a controller ends, which is an error. Without election they
/// share their caches; with it each leads by itself.
pub async fn run(
    programs: Programs,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let named = |client: Client| client.named(CONTROLLERS);
    let controllers = programs.controllers.map(|all| all.each(named));
    let scheduler = programs.scheduler.map(|client| client.named(SCHEDULER));
    if !config.leader_elect {
        return lead(Programs { controllers, scheduler }, config, token).await;
    }
    let alone = Programs { controllers, ..Programs::default() };
    let other = Programs { scheduler, ..Programs::default() };
    let own = alone.controllers.as_ref().map(|all| all.client.clone());
    let first = elected(CONTROLLERS, own, alone, config.clone(), &token);
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
    let (of, holder) = (lease.to_owned(), config.identity.clone());
    let leading = move |client: Client| client.leading(LEASES_IN, &of, &holder);
    let program = Programs {
        scheduler: program.scheduler.map(&leading),
        controllers: program.controllers.map(|all| all.each(leading)),
    };
    while let Some(since) = candidate.acquire(&client, token).await {
        let term = token.child_token();
        let mut work = std::pin::pin!(lead(program.clone(), config.clone(), term.clone()));
        let ended = tokio::select! {
            ended = &mut work => Some(ended),
            () = candidate.hold(&client, token, since) => None,
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

/// What controllers are told.
fn settings(config: &ManagerConfig) -> Settings {
    let known =
        |(signer, domain): &(Arc<dyn Signer>, String)| (signer.known().clone(), domain.clone());
    Settings {
        root_ca: config.root_ca.clone(),
        absent: config.absent.clone(),
        service_authority: config.service_authority.as_ref().map(known),
    }
}

async fn lead(
    programs: Programs,
    config: ManagerConfig,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let cache = Cache::new();
    let reads =
        if programs.controllers.is_some() { |_: &Resource| true } else { scheduler::lookup::reads };
    let read = cache.all().iter().filter(|lister| reads(lister.resource()));
    let informers: Vec<Arc<Informer>> = read.cloned().map(Informer::new).collect();
    let mut executor =
        |client: &Client| executor(&cache, &informers, client.clone(), &token, &mut tasks);
    // Watches first, so that nothing that a first list brings is missed; then the informers; then the work.
    let mut starts: Vec<Start> = Vec::new();
    if let Some(client) = &programs.scheduler {
        let wiring = Wiring { cache: cache.clone(), executor: executor(client) };
        starts.push(scheduler::start(wiring, config.scheduling.clone()));
    }
    if let Some(Controllers { client, accounts }) = &programs.controllers {
        let (kinds, start) = (Arc::new(Kinds::new(client.clone())), Instant::now());
        let (cache, executor) = (cache.clone(), executor(client));
        let accounts = Arc::clone(accounts);
        let signer = config.service_authority.as_ref().map(|(signer, _)| Arc::clone(signer));
        let settings = settings(&config);
        let runner = Runner {
            cache: cache.clone(),
            kinds: kinds.clone(),
            executor,
            accounts,
            start,
            signer,
        };
        starts.extend(table(&settings).into_iter().map(|one| runner.prepare(one)));
        starts.push(Box::new(move |token, tasks| {
            tasks.spawn(kinds.follow(cache, token));
        }));
    }
    let own = programs.controllers.map(|all| all.client);
    let Some(reader) = own.or(programs.scheduler) else { return Ok(()) };
    for informer in &informers {
        tasks.spawn(informer.clone().run(reader.clone(), token.clone()));
    }
    tokio::select! {
        () = token.cancelled() => {}
        () = filled(&cache, &informers) => {}
    }
    info!(parts = starts.len(), "caches are filled, controllers start");
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

/// Waits until all is known that has to be before work begins.
async fn filled(cache: &Cache, informers: &[Arc<Informer>]) {
    let typed = cache.typed();
    let is_awaited = |resource: &Resource| {
        let is_typed = typed.iter().any(|lister| lister.resource() == resource);
        is_typed || MADE_UNLESS_SEEN.contains(&resource.kind.as_str())
    };
    for informer in informers.iter().filter(|one| is_awaited(one.lister().resource())) {
        informer.synced().await;
    }
}

/// What writes through a client, and its Events in a task of their own.
fn executor(
    cache: &Arc<Cache>,
    informers: &[Arc<Informer>],
    client: Client,
    token: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Arc<Executor> {
    let (recorder, record) = Recorder::new(client.clone(), EVENTS_AT_ONCE, token.clone());
    tasks.spawn(record);
    let resolver = cache.clone();
    let resolve = move |api_version: &str, kind: &str| resolver.resolve(api_version, kind);
    let named = |informer: &Arc<Informer>| {
        let resource = informer.lister().resource();
        ((resource.api_version.clone(), resource.kind.clone()), informer.clone())
    };
    let informers: HashMap<_, _> = informers.iter().map(named).collect();
    Arc::new(Executor::new(client, Arc::new(resolve), recorder, informers))
}

/// Starts a part's tasks.
pub(crate) type Start = Box<dyn FnOnce(CancellationToken, &mut JoinSet<()>) + Send>;
