//! `leme up`: starts or resumes a cluster, applies files, waits until they are served, stays until it is told to stop.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leme_meta::gvk::split_api_version;
use leme_meta::{Object, gateway};

use crate::api::Api;
use crate::args::UpArgs;
use crate::cluster::data::{DataDir, Seat};
use crate::cluster::fresh::Fresh;
use crate::cluster::log::{self, Log};
use crate::cluster::node;
use crate::cluster::plan::Plan;
use crate::cluster::reach::{self, Door};
use crate::cluster::running::Running;
use crate::cluster::signals::Stop;
use crate::cluster::table::{PARTS, Part};
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
/// How long kinds may take to be defined.
const DEFINED_TIMEOUT: Duration = Duration::from_secs(20);

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
    let plan = Plan::of_up(args)?;
    let (data, fresh) = DataDir::begin(&args.data_dir)?;
    let _lock = data.lock(Seat::Server)?;
    let _nodes = plan.runs(Part::Node).then(|| data.lock(Seat::Nodes)).transpose()?;
    if !plan.nodes().is_empty() {
        node::remember(plan.nodes().len(), &data)?;
    }
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

async fn start(args: &UpArgs, plan: Plan, data: &DataDir) -> Result<(Running, Stop)> {
    let path = data.log();
    let log = Log::open(&path).with_context(|| format!("open {}", path.display()))?;
    if args.detached {
        log.take_stderr().with_context(|| format!("write to {}", path.display()))?;
    }
    log::to(log)?;
    let stop = Stop::listen()?;
    Ok((Running::start(plan, None, Some(data.clone())).await?, stop))
}

fn stop_hint(args: &UpArgs) -> String {
    if args.detached {
        format!("stop it with `leme down --data-dir {}`", args.data_dir.display())
    } else {
        "Ctrl-C stops it".to_owned()
    }
}

async fn bring_up(
    cluster: &Running,
    args: &UpArgs,
    written: Vec<Written>,
    view: View,
    started: Instant,
) -> Result<()> {
    let api = &cluster.api()?;
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
    if cluster.plan.runs(Part::Controllers) && !nodes.is_empty() {
        defined(api, &written).await?;
    }
    let documents = &mut resolve(api, written).await?;
    if !documents.is_empty() {
        apply::settle_namespaces(api, documents, None)?;
        apply::apply_all(api, documents, false, |_, _| Ok(())).await?;
        match lacking(cluster, &[Part::Controllers, Part::Scheduler, Part::Node]) {
            Some(lacking) => view.tell("files", "applied", lacking),
            None => {
                progress::wait_until_served(api, documents, args.timeout, view).await?;
                if cluster.plan.runs(Part::Proxy) {
                    reach::services(api, documents).await?;
                }
            }
        }
    }
    tell_urls(cluster, api, documents, view).await?;
    for part in cluster.plan.left_to_others() {
        let told = lacking(cluster, &[part]).unwrap_or_default();
        view.tell(part.name(), "left out", told);
    }
    for (of, path) in &cluster.kubeconfigs {
        view.tell(of, "is", &path.display().to_string());
    }
    Ok(())
}

/// What is lacking as the first of some parts is left out, if one is.
fn lacking(cluster: &Running, parts: &[Part]) -> Option<&'static str> {
    let left_out = parts.iter().find(|part| !cluster.plan.runs(**part))?;
    PARTS.iter().find(|row| row.part == *left_out).map(|row| row.lacking)
}

/// Waits for kinds that the files speak of and that controllers define in a new cluster.
async fn defined(api: &Api, written: &[Written]) -> Result<()> {
    let version = |one: &Written| one.object["apiVersion"].as_str().unwrap_or("").to_owned();
    if !written.iter().any(|one| split_api_version(&version(one)).0 == gateway::GROUP) {
        return Ok(());
    }
    let kind = Served::builtin().by_word("customresourcedefinitions")?.clone();
    let documents = gateway::DEFINITIONS.map(|name| Document {
        source: "this program".to_owned(),
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        object: serde_json::Value::Null,
    });
    // Who took one away has another's, or is told below that the kind is not served.
    let _ = progress::wait_until_served(api, &documents, DEFINED_TIMEOUT, View::Silent).await;
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
fn nodes(cluster: &Running) -> Result<Vec<Document>> {
    let served = Served::builtin();
    let kind = served.by_word("nodes")?;
    let document = |name: &str| Document {
        source: "this machine".to_owned(),
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        object: serde_json::Value::Null,
    };
    Ok(cluster.nodes.iter().map(|node| document(&node.name)).collect())
}

async fn tell_urls(cluster: &Running, api: &Api, documents: &[Document], view: View) -> Result<()> {
    let Some(router) = cluster.router else { return Ok(()) };
    let served = lacking(cluster, &[Part::Controllers, Part::Scheduler]).is_none();
    for document in documents.iter().filter(|document| document.kind.kind == "Route") {
        let found = api.find(&document.kind, &document.namespace, &document.name).await?;
        let route = Object(found.with_context(|| format!("{} is gone", document.shown()))?);
        let (host, path) = (route.text(&["spec", "host"]), route.text(&["spec", "path"]));
        let tls = cluster.router_tls.as_ref().filter(|_| route.at(&["spec", "tls"]).is_some());
        // Of a Route that shows another certificate than the router's it is not known whom to trust.
        let own = route.text(&["spec", "tls", "certificate"]).is_empty()
            && route.text(&["spec", "tls", "termination"]) != "passthrough";
        let door = match tls {
            Some((address, authority)) => Door { address: *address, authority: Some(authority) },
            None => Door { address: router, authority: None },
        };
        if served && own {
            reach::route(&door, host, path).await?;
        }
        let (scheme, usual) = if tls.is_some() { ("https", 443) } else { ("http", 80) };
        let port = door.address.port();
        let port = if port == usual { String::new() } else { format!(":{port}") };
        let url = format!("{scheme}://{host}{port}{path}");
        if view == View::Json {
            view.tell(&document.shown(), "url", &url);
        } else {
            say::offer(url);
        }
    }
    Ok(())
}
