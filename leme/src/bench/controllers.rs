//! What controllers do and cost: how fast a Deployment has its pods, how soon a change is acted on, what many objects of which
//! nothing is asked cost in time and in memory.
//!
//! Knows: which objects make controllers act, and how to see from outside that they have. Refuses to know: controllers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use leme_client::{Client, JSON, kubeconfig};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{Ask, Target};
use super::cluster::{Cluster, make_account};
use super::figures::{Figure, Spread};
use super::objects::flood;
use super::{Setting, documents, process};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// Pods of the Deployment that is timed.
const REPLICAS: usize = 1_000;
/// Changes of which each waits until the one before has been acted on.
const CHANGES: usize = 200;
/// Deployments of which nothing is asked.
const IDLE: usize = 10_000;
/// Pods that no controller acts on.
const WATCHED: usize = 20_000;
/// Long enough for everybody to have done what is to be done.
const QUIET: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(10);
/// No wait goes on for longer.
const PATIENCE: Duration = Duration::from_secs(900);
/// The bench `large`.
const NODES: usize = 1_500;
const LARGE: usize = 150;

/// A Deployment.
fn deployment(name: &str, replicas: usize) -> Value {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "registry.test/app:1",
                "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]}}}})
}

async fn client(cluster: &Cluster) -> Result<Client> {
    Ok(kubeconfig::Context::read(&cluster.kubeconfig()).await?.client()?)
}

/// Bench `controllers`.
pub async fn run(setting: Setting) -> Result<Vec<Figure>> {
    let data = setting.folder.join("data");
    let (mut cluster, target) = Cluster::control_plane(&data).await?;
    let client = client(&cluster).await?;
    let work = async {
        let first = first_write(&client).await?;
        let thousand = thousand(&client).await?;
        Ok((first, thousand))
    };
    let (first, thousand) = cluster.during(work).await?;
    let spread = Spread::of(first).context("nothing was measured")?;
    flood(&target, IDLE, |at| Ask::post(DEPLOYMENTS, &deployment(&format!("idle-{at}"), 0)))
        .await?;
    let pid = cluster.pid();
    let quiet = cluster.during(idle(pid, &client)).await;
    cluster.stop().await?;
    let each = per_object(&setting).await?;
    Ok(vec![
        Figure::time("watch event to first write, idle", spread.p50, "<= 3 ms").spread(spread),
        Figure::time("Deployment of 1,000 replicas until all pods are made", thousand, "<= 1 s"),
        Figure::new("processor with 10,000 idle Deployments", quiet?, "% of a core", "0"),
        Figure::new("controllers' memory for each watched pod", each, "KiB", "<= 3 KiB"),
    ])
}

/// How long after somebody sees a ReplicaSet its first pod is seen: what a controller needs to be told, to decide and to
/// write, all with the same way to whoever watches.
async fn first_write(client: &Client) -> Result<Vec<Duration>> {
    let mut sets = client.watch(SETS, &[], JSON).await?;
    let mut pods = client.watch(PODS, &[], JSON).await?;
    let labels = json!({"app": "first"});
    let mut times = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let labels = json!({"app": format!("first-{number}"), "all": labels["app"]});
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("first-{number}")},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "none"}]}}}});
        sleep(Duration::from_millis(20)).await;
        client.post(SETS, &set).await?;
        let told = until_added(&mut sets, &format!("first-{number}")).await?;
        let made = until_added(&mut pods, &format!("first-{number}-")).await?;
        times.push(made.saturating_duration_since(told));
    }
    Ok(times)
}

/// When an object whose name begins so is seen to be new.
async fn until_added(changes: &mut leme_client::Changes, name: &str) -> Result<Instant> {
    let found = async {
        loop {
            let change = changes.next().await.context("a watch has ended")??;
            let now = Instant::now();
            let head = leme_client::Head::of(&change.object);
            if matches!(change.how, leme_client::How::Added) && head.key.1.starts_with(name) {
                return Ok(now);
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.context("a controller does not act")?
}

/// From before a Deployment is created until all its pods have been seen.
async fn thousand(client: &Client) -> Result<Duration> {
    let mut pods = client.watch(PODS, &[("labelSelector", Some("app=thousand"))], JSON).await?;
    let begun = Instant::now();
    client.post(DEPLOYMENTS, &deployment("thousand", REPLICAS)).await?;
    for _ in 0..REPLICAS {
        until_added(&mut pods, "thousand-").await?;
    }
    Ok(begun.elapsed())
}

/// The share of a processor that is used when nobody asks for anything.
async fn idle(pid: u32, client: &Client) -> Result<f64> {
    let begun = Instant::now();
    // Those of the changes and of the Deployment before.
    let all = CHANGES + 1 + IDLE;
    loop {
        let sets = client.get(&format!("{SETS}?limit=1")).await?;
        let made = 1 + sets["metadata"]["remainingItemCount"].as_u64().unwrap_or(0) as usize;
        if made >= all {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "only {made} of {all} ReplicaSets are made");
        sleep(Duration::from_secs(1)).await;
    }
    sleep(QUIET).await;
    let before = process::processor_time(pid)?;
    sleep(MEASURED).await;
    let used = process::processor_time(pid)?.saturating_sub(before);
    Ok(100.0 * used.as_secs_f64() / MEASURED.as_secs_f64())
}

/// What the same pods cost a process with controllers more than one without.
async fn per_object(setting: &Setting) -> Result<f64> {
    let mut costs = Vec::new();
    for without in ["controllers,scheduler", "scheduler"] {
        let data = setting.folder.join(without);
        let flags = ["--no-node", "--without", without];
        let (cluster, _) = Cluster::start(&data, &flags).await?;
        let target = Target::of(&cluster.kubeconfig()).await?;
        if without.contains("controllers") {
            make_account(&target).await?;
        }
        sleep(QUIET).await;
        let before = process::memory(cluster.pid())?.rss;
        let pod = |at| Ask::post(PODS, &documents::pod(&format!("watched-{at}")));
        flood(&target, WATCHED, pod).await?;
        sleep(QUIET).await;
        let after = process::memory(cluster.pid())?.rss;
        cluster.stop().await?;
        costs.push((after as f64 - before as f64) / WATCHED as f64);
    }
    Ok(costs[1] - costs[0])
}

/// Bench `large`: 150,000 pods of 150 Deployments on 1,500 simulated nodes, in one process.
pub async fn large(setting: Setting) -> Result<Vec<Figure>> {
    let data = setting.folder.join("data");
    let nodes = NODES.to_string();
    let (mut cluster, _) = Cluster::start(&data, &["--simulated-nodes", &nodes]).await?;
    let client = client(&cluster).await?;
    let pid = cluster.pid();
    let work = async {
        let begun = Instant::now();
        for number in 0..LARGE {
            client.post(DEPLOYMENTS, &deployment(&format!("large-{number}"), REPLICAS)).await?;
        }
        while ready(&client).await? < LARGE * REPLICAS {
            ensure!(begun.elapsed() < PATIENCE, "only {} pods are ready", ready(&client).await?);
            sleep(Duration::from_secs(2)).await;
        }
        let took = begun.elapsed();
        let busy = process::memory(pid)?.rss;
        sleep(QUIET * 12).await;
        Ok((took, busy, process::memory(pid)?.rss))
    };
    let (took, busy, quiet) = cluster.during(work).await?;
    cluster.stop().await?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(vec![
        Figure::new("150,000 pods of 150 Deployments until Ready", took.as_secs_f64(), "s", ""),
        Figure::new("RSS then", mib(busy), "MiB", "<= 1.5 GB"),
        Figure::new("RSS a minute later", mib(quiet), "MiB", "<= 1.5 GB"),
    ])
}

async fn ready(client: &Client) -> Result<usize> {
    let all = client.get(DEPLOYMENTS).await?;
    let count = |one: &Value| one["status"]["readyReplicas"].as_u64().unwrap_or(0) as usize;
    Ok(all["items"].as_array().map_or(0, |all| all.iter().map(count).sum()))
}
