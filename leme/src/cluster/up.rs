//! `leme up`: starts or resumes a cluster, applies files, waits until they are served, stays until it is told to stop.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leme_meta::Object;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::api::Api;
use crate::args::UpArgs;
use crate::cluster::data::DataDir;
use crate::cluster::fresh::Fresh;
use crate::cluster::log::Log;
use crate::cluster::parts::Cluster;
use crate::cluster::plan::Plan;
use crate::cluster::reach;
use crate::discovery::Served;
use crate::documents::{self, Document, Written};
use crate::progress::{self, View};
use crate::say;
use crate::verbs::apply;

/// What the last message of a start is about.
pub const UP: &str = "cluster";
/// Its state when there is none.
pub const FAILED: &str = "failed";
/// What several nodes on one machine cannot keep apart.
const SHARED_NETWORK: &str = "all nodes of this machine have one network: on two of them, such pods cannot have the same port";
/// How long nodes may take to become Ready.
const NODE_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the command.
pub async fn run(args: &UpArgs) -> Result<()> {
    let outcome = run_until_told(args).await;
    if let (true, Err(error)) = (args.detached, &outcome) {
        // Whoever waits for the start hears it here: the log may be full.
        View::Json.tell(UP, FAILED, &format!("{error:#}"));
    }
    outcome
}

async fn run_until_told(args: &UpArgs) -> Result<()> {
    if args.detached {
        nix::unistd::setsid().context("leave the terminal's session")?;
    }
    let view = View::of(args.output);
    let written = match args.files.as_slice() {
        [] => Vec::new(),
        files => documents::read(files)?,
    };
    documents::check_own(&written)?;
    let plan = Plan::from_args(args)?;
    let (data, fresh) = DataDir::begin(&args.data_dir)?;
    let _lock = data.lock()?;
    let started = Instant::now();
    let (cluster, mut stop) = match start(args, plan, &data).await {
        Ok(running) => running,
        // Of a cluster that has never been nothing stays.
        Err(error) => return Err(Fresh::given_up(fresh, error)),
    };
    let outcome = tokio::select! {
        outcome = bring_up(&cluster, args, written, view, started) => outcome.map(|()| true),
        failed = cluster.failed() => Err(failed),
        () = stop.told() => Ok(false),
    };
    let outcome = match outcome {
        Ok(true) => {
            view.tell(UP, "is up", &stop_hint(args));
            tokio::select! {
                failed = cluster.failed() => Err(failed),
                () = stop.told() => Ok(()),
            }
        }
        Ok(false) => Ok(()),
        Err(error) => Err(error.context("the cluster was stopped again")),
    };
    if view == View::Live {
        say::note("stopping");
    }
    // A second signal means "at once".
    let stopped = cluster.stop(stop.told()).await;
    outcome.and(stopped)
}

async fn start(args: &UpArgs, plan: Plan, data: &DataDir) -> Result<(Cluster, Stop)> {
    let path = data.log();
    let log = Log::open(&path).with_context(|| format!("open {}", path.display()))?;
    if args.detached {
        log.take_stderr().with_context(|| format!("write to {}", path.display()))?;
    }
    log_to(log)?;
    let stop = Stop::listen()?;
    Ok((Cluster::start(plan, data).await?, stop))
}

/// Sends what the parts log to the log, warnings and worse unless LEME_LOG says otherwise.
fn log_to(log: Log) -> Result<()> {
    let filter = match std::env::var("LEME_LOG") {
        Ok(text) => EnvFilter::try_new(&text).with_context(|| format!("LEME_LOG={text}"))?,
        Err(_) => EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // It would say so on standard error, which is this very file when detached, and panic.
        .log_internal_errors(false)
        .with_writer(Mutex::new(log))
        .init();
    Ok(())
}

fn stop_hint(args: &UpArgs) -> String {
    if args.detached {
        format!("stop it with `leme down --data-dir {}`", args.data_dir.display())
    } else {
        "Ctrl-C stops it".to_owned()
    }
}

/// The signals that end a cluster, listened for from the beginning: their default would leave half of one behind.
struct Stop(Vec<Signal>);

impl Stop {
    fn listen() -> Result<Stop> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit()];
        // Who was started to outlive the terminal, by nohup, does.
        if !ignores_hangup(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) {
            kinds.push(SignalKind::hangup());
        }
        let listened: std::io::Result<Vec<Signal>> = kinds.into_iter().map(signal).collect();
        listened.map(Stop).context("listen for signals")
    }

    /// Returns at the next of them.
    async fn told(&mut self) {
        let told = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(told).await;
    }
}

/// Whether SIGHUP is ignored, by what `/proc/self/status` says.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

async fn bring_up(
    cluster: &Cluster,
    args: &UpArgs,
    written: Vec<Written>,
    view: View,
    started: Instant,
) -> Result<()> {
    let api = cluster.api();
    let nodes = nodes(cluster)?;
    if !nodes.is_empty() {
        tokio::time::timeout(NODE_TIMEOUT, cluster.caught_up())
            .await
            .context("the node agent has not told the API how its pods are")??;
        progress::wait_until_served(api, &nodes, NODE_TIMEOUT, View::Silent).await?;
        let took = format!("after {} ms", started.elapsed().as_millis());
        for node in &nodes {
            view.tell(&node.shown(), "is Ready", &took);
        }
        if nodes.len() > 1 {
            view.tell("pods with hostNetwork", "share ports", SHARED_NETWORK);
        }
    }
    let documents = &mut resolve(api, written).await?;
    if !documents.is_empty() {
        apply::settle_namespaces(api, documents, None)?;
        apply::apply_all(api, documents, false, |_, _| Ok(())).await?;
        if args.no_node {
            view.tell("files", "applied", "nothing can run without a node");
        } else {
            progress::wait_until_served(api, documents, args.timeout, view).await?;
            reach::services(api, documents).await?;
        }
    }
    tell_urls(cluster, api, documents, args, view).await?;
    view.tell("kubeconfig", "is", &cluster.kubeconfig().display().to_string());
    Ok(())
}

/// What the files describe: as a rule kinds that the program brings along, else kinds that this cluster has besides.
async fn resolve(api: &Api, written: Vec<Written>) -> Result<Vec<Document>> {
    match documents::resolve(written.clone(), api.served().await?) {
        Ok(documents) => Ok(documents),
        Err(_) => documents::resolve(written, &Served::ask(&api.client).await?),
    }
}

/// The cluster's nodes as documents, to wait for.
fn nodes(cluster: &Cluster) -> Result<Vec<Document>> {
    let served = Served::builtin();
    let kind = served.by_word("nodes")?;
    let document = |name: &str| Document {
        source: "this machine".to_owned(),
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        object: serde_json::Value::Null,
    };
    Ok(cluster.node_names().map(document).collect())
}

async fn tell_urls(
    cluster: &Cluster,
    api: &Api,
    documents: &[Document],
    args: &UpArgs,
    view: View,
) -> Result<()> {
    let Some(router) = cluster.router() else { return Ok(()) };
    for document in documents.iter().filter(|document| document.kind.kind == "Route") {
        let found = api.find(&document.kind, &document.namespace, &document.name).await?;
        let route = Object(found.with_context(|| format!("{} is gone", document.shown()))?);
        let (host, path) = (route.text(&["spec", "host"]), route.text(&["spec", "path"]));
        if !args.no_node {
            reach::route(router, host, path).await?;
        }
        let port = if router.port() == 80 { String::new() } else { format!(":{}", router.port()) };
        let url = format!("http://{host}{port}{path}");
        if view == View::Json {
            view.tell(&document.shown(), "url", &url);
        } else {
            say::offer(url);
        }
    }
    Ok(())
}
