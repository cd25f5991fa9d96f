//! A whole cluster with a node: how fast it serves the sample, what it takes, how fast it makes more pods and comes back.
//!
//! All of it in a network namespace of its own, so that a cluster that runs on this machine is not in the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use leme_meta::Object;
use serde_json::json;

use crate::api::{Api, JSON};
use crate::bench::cluster::{self, Cluster, Said};
use crate::bench::figures::Figure;
use crate::bench::{Setting, netns, process};
use crate::connect;
use crate::discovery::Served;
use crate::documents::{self, Document};
use crate::follow::Lister;
use crate::progress::{self, View};
use crate::verbs::apply;

/// The sample, as the README starts it.
const SAMPLE: &str = include_str!("../../../manifests/hello.yaml");
/// The image archive beside `target/release/leme`.
const IMAGE: &str = "../images/sample.tar";
/// A second controller of the sample's pods; the replicas it begins with, and how many more it gets.
const NAME: &str = "bench";
const REPLICAS: u32 = 1;
const MORE: u32 = 30;
/// How long pods may take to become Ready, or to go.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is still settling when pods become Ready is over by then.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
const SHIM: &str = "leme-shim";
const HELPER: &str = "leme-helper";

/// Bench `up`.
pub async fn run(setting: Setting) -> Result<Vec<Figure>> {
    ensure!(nix::unistd::geteuid().is_root(), "it runs containers and needs root: use sudo");
    let image = image(setting.image)?;
    let data = setting.folder.join("data");
    netns::within(move || async move {
        let measured = measure(&setting.folder, &data, &image).await;
        // Whether or not it went well: no container, mount or cgroup stays.
        let down = cluster::leme(&["down", "--purge"], &data).await;
        let figures = measured?;
        down?;
        Ok(figures)
    })
    .await
}

fn image(named: Option<PathBuf>) -> Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    let beside = program.parent().context("this program has no directory")?.join(IMAGE);
    let path = named.unwrap_or(beside);
    ensure!(
        path.exists(),
        "the sample's image {} is not there: build it with `make build`, or name it with --image",
        path.display()
    );
    Ok(path)
}

async fn measure(folder: &Path, data: &Path, image: &Path) -> Result<Vec<Figure>> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let sample = folder.join("hello.yaml");
    std::fs::write(&sample, SAMPLE).with_context(|| format!("write {}", sample.display()))?;
    let (sample, image) = (text(&sample)?, text(image)?);
    cluster::leme(&["image", "load", image], data).await?;

    let (mut cluster, said) = Cluster::start(data, &["-f", sample]).await?;
    let mut figures = vec![
        Figure::time("leme up: node Ready after", ready(&said)?, "<= 1,000 ms"),
        Figure::time("leme up: sample served after", served(&said)?, "<= 2,000 ms"),
    ];
    tokio::time::sleep(SETTLE).await;
    let few = memory(&cluster, &mut figures)?;
    let api = connect::connect_with(&cluster.kubeconfig()).await?;
    cluster.during(pods(&api, &mut figures)).await?;
    tokio::time::sleep(SETTLE).await;
    let many = memory_of(&cluster)?;
    let growth = many.total.saturating_sub(few.total) as f64 / f64::from(REPLICAS + MORE);
    figures.push(Figure::new(
        "memory for each further pod",
        growth / 1024.0,
        "MiB",
        "<= 2 MiB (design)",
    ));
    idle(&cluster, &mut figures).await?;
    cluster.during(no_pods(&api)).await?;
    drop(api);
    cluster.stop().await?;

    let (cluster, said) = Cluster::start(data, &["-f", sample]).await?;
    figures.push(Figure::time(
        "leme up after leme down: sample served after",
        served(&said)?,
        "<= 1,000 ms",
    ));
    cluster.stop().await?;
    Ok(figures)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn ready(said: &[Said]) -> Result<Duration> {
    let found = said.iter().find(|said| said.what.starts_with("node/") && said.state == "is Ready");
    Ok(found.context("leme up did not say that the node is Ready")?.after)
}

fn served(said: &[Said]) -> Result<Duration> {
    let found = said.iter().find(|said| said.state == "url");
    Ok(found.context("leme up did not say where the sample is served")?.after)
}

/// Memory of the processes of a cluster, KiB.
struct Used {
    /// RSS of the cluster's own process.
    process: u64,
    /// PSS of the helper, RSS and PSS of all shims.
    helper: u64,
    shims: process::Memory,
    count: usize,
    /// What all take together, shared pages counted once.
    total: u64,
}

fn memory_of(cluster: &Cluster) -> Result<Used> {
    let sum = |name: &str| -> Result<(process::Memory, usize)> {
        let all = process::named(name)?;
        let mut sum = process::Memory::default();
        for pid in &all {
            let memory = process::memory(*pid)?;
            sum.rss += memory.rss;
            sum.pss += memory.pss;
        }
        Ok((sum, all.len()))
    };
    let process = process::memory(cluster.pid())?;
    let ((shims, count), (helper, _)) = (sum(SHIM)?, sum(HELPER)?);
    let total = process.pss + shims.pss + helper.pss;
    Ok(Used { process: process.rss, helper: helper.pss, shims, count, total })
}

fn memory(cluster: &Cluster, figures: &mut Vec<Figure>) -> Result<Used> {
    let used = memory_of(cluster)?;
    ensure!(used.count > 0, "no container runs");
    let mib = |kib: u64| kib as f64 / 1024.0;
    let each = |kib: u64| mib(kib) / used.count as f64;
    figures.extend([
        Figure::new(
            "RSS of the leme process, sample running",
            mib(used.process),
            "MiB",
            "<= 80 MB",
        ),
        Figure::new("PSS of it, its helper and its shims", mib(used.total), "MiB", "<= 80 MB"),
        Figure::new("PSS of the helper", mib(used.helper), "MiB", ""),
        Figure::new("RSS of a shim", each(used.shims.rss), "MiB", ""),
        Figure::new("PSS of a shim", each(used.shims.pss), "MiB", "<= 2 MiB (design)"),
    ]);
    Ok(used)
}

/// Applies a controller, then has it make more pods.
async fn pods(api: &Api, figures: &mut Vec<Figure>) -> Result<()> {
    let documents = [controller()?];
    let begin = Instant::now();
    apply::apply_all(api, &documents, false, |_, _| Ok(())).await?;
    progress::wait_until_served(api, &documents, PATIENCE, View::Silent).await?;
    figures.push(Figure::time(
        "ReplicationController applied: Ready after",
        begin.elapsed(),
        "<= 500 ms (design: 250 ms)",
    ));
    let path = path(&documents[0]);
    let patch = json!({"spec": {"replicas": REPLICAS + MORE}});
    let begin = Instant::now();
    api.call(Method::PATCH, &path, "application/merge-patch+json", Some(&patch)).await?;
    progress::wait_until_served(api, &documents, PATIENCE, View::Silent).await?;
    figures.push(Figure::time(
        "30 more replicas: Ready after",
        begin.elapsed(),
        "<= 1,200 ms (design)",
    ));
    Ok(())
}

/// The sample's controller under another name, with pods of its own.
fn controller() -> Result<Document> {
    let written = documents::parse("the sample", SAMPLE)?;
    let documents = documents::resolve(written, &Served::builtin())?;
    let found =
        documents.into_iter().find(|document| document.kind.kind == "ReplicationController");
    let mut document = found.context("the sample has no ReplicationController")?;
    document.name = NAME.to_owned();
    let object = &mut document.object;
    object["metadata"]["name"] = NAME.into();
    object["spec"]["replicas"] = REPLICAS.into();
    object["spec"]["selector"] = json!({"app": NAME});
    object["spec"]["template"]["metadata"]["labels"] = json!({"app": NAME});
    Ok(document)
}

fn path(document: &Document) -> String {
    document.kind.object(&document.namespace, &document.name, "")
}

/// Deletes the second controller and waits until its pods are gone.
async fn no_pods(api: &Api) -> Result<()> {
    let background = json!({"propagationPolicy": "Background"});
    api.call(Method::DELETE, &path(&controller()?), JSON, Some(&background)).await?;
    let served = Served::builtin();
    let mut lister = Lister::follow(api, &[served.by_word("pods")?.clone()], None);
    let ours = |pod: &Object| pod.0["metadata"]["labels"]["app"] == NAME;
    let gone = async {
        while !lister.complete() || lister.all("", "pods").any(ours) {
            lister.changed().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.context("pods do not go")
}

/// Time on a processor while nothing is asked of the cluster.
async fn idle(cluster: &Cluster, figures: &mut Vec<Figure>) -> Result<()> {
    let mut pids = vec![cluster.pid()];
    pids.extend(process::named(SHIM)?);
    pids.extend(process::named(HELPER)?);
    let used =
        || -> Result<Duration> { pids.iter().map(|pid| process::processor_time(*pid)).sum() };
    let (begin, before) = (Instant::now(), used()?);
    tokio::time::sleep(IDLE).await;
    let share = used()?.saturating_sub(before).as_secs_f64() / begin.elapsed().as_secs_f64();
    figures.push(Figure::new(
        "processor while idle, 34 pods probed every 2 s",
        share * 100.0,
        "% of a core",
        "<= 0.5 % (design)",
    ));
    Ok(())
}
