//! Objects in large numbers: how many a second are created, applied, read and changed, what each costs the server, and how
//! fast they are listed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::bench::client::{Ask, Target};
use crate::bench::cluster::Cluster;
use crate::bench::figures::{Figure, Spread};
use crate::bench::process;
use crate::bench::{Setting, documents};

/// Where the objects are.
pub const PATH: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const APPLY_PATCH: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Requests under way at the same time, each on a connection of its own.
const IN_FLIGHT: usize = 32;
/// Requests before the clock starts.
const WARM_UP: usize = 1_000;
const CREATES: usize = 30_000;
const GETS: usize = 60_000;
const PATCHES: usize = 30_000;
const PODS_CREATED: usize = 10_000;
const APPLIES: usize = 20_000;
/// Objects that are read and changed.
const OBJECTS: usize = 1_000;
const LISTED: usize = 10_000;
const LISTS: usize = 20;
/// No measurement goes on for longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Bench `create`.
pub async fn create(setting: Setting) -> Result<Vec<Figure>> {
    let told = ["creates", ">= 5,000 /s (design: 10,000 /s, p99 10 ms)", "<= 90 us"];
    let before = |index| created(&format!("warm-up-{index}"));
    rate(setting, told, (WARM_UP, before), (CREATES, |index| created(&format!("bench-{index}"))))
        .await
}

/// Bench `pod`.
pub async fn pod(setting: Setting) -> Result<Vec<Figure>> {
    let told = ["creates of pods", "", "<= 140 us"];
    let before = |index| pod_created(&format!("warm-up-{index}"));
    let ask = |index| pod_created(&format!("bench-{index}"));
    rate(setting, told, (WARM_UP, before), (PODS_CREATED, ask)).await
}

/// Bench `apply`.
pub async fn apply(setting: Setting) -> Result<Vec<Figure>> {
    let told = ["server-side applies of Deployments", ">= 8,000 /s", ""];
    let before = |index| applied(&name(index), 0);
    rate(setting, told, (OBJECTS, before), (APPLIES, |index| applied(&name(index), index))).await
}

/// Bench `get`.
pub async fn get(setting: Setting) -> Result<Vec<Figure>> {
    let told = ["gets", ">= 26,000 /s (design)", "<= 25 us"];
    let before = |index| created(&name(index));
    let ask = |index| Ask::get(format!("{PATH}/{}", name(index)));
    rate(setting, told, (OBJECTS, before), (GETS, ask)).await
}

/// Bench `patch`.
pub async fn patch(setting: Setting) -> Result<Vec<Figure>> {
    let told = ["merge patches", ">= 9,000 /s (design)", "<= 100 us"];
    let before = |index| created(&name(index));
    let ask = |index| changed(&name(index), &format!(r#"{{"data":{{"count":"{index}"}}}}"#));
    rate(setting, told, (OBJECTS, before), (PATCHES, ask)).await
}

/// Requests of one sort to a cluster of their own, after some that do not count: how many a second, and what each costs
/// the server, which is the honest figure where client and server share processors. Told are what it is, and the goals of
/// both figures.
async fn rate(
    setting: Setting,
    [what, goal, each_goal]: [&'static str; 3],
    (made, before): (usize, impl Fn(usize) -> Ask + Send + Sync + 'static),
    (count, ask): (usize, impl Fn(usize) -> Ask + Send + Sync + 'static),
) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::server(&setting.folder.join("data")).await?;
    flood(&target, made, before).await?;
    let idle = process::processor_time(cluster.pid())?;
    let Outcome { took, times } = flood(&target, count, ask).await?;
    let busy = process::processor_time(cluster.pid())?.saturating_sub(idle);
    cluster.stop().await?;
    let answered = times.len() as f64;
    let spread = Spread::of(times).context("nothing was measured")?;
    let each = busy.as_secs_f64() * 1e6 / answered;
    Ok(vec![
        Figure::new(what, answered / took.as_secs_f64(), "/s", goal).spread(spread),
        Figure::new("server's processor time for each", each, "us", each_goal),
    ])
}

/// Bench `list`.
pub async fn list(setting: Setting) -> Result<Vec<Figure>> {
    let make = |index| created(&format!("bench-{index:06}"));
    lists(setting, make, Ask::get(PATH)).await
}

/// Bench `protobuf`: the first one encodes, the others find that done.
pub async fn protobuf(setting: Setting) -> Result<Vec<Figure>> {
    let make = |index| pod_created(&format!("bench-{index:06}"));
    lists(setting, make, Ask { accept: PROTOBUF, ..Ask::get(PODS) }).await
}

async fn lists(
    setting: Setting,
    make: impl Fn(usize) -> Ask + Send + Sync + 'static,
    ask: Ask,
) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::server(&setting.folder.join("data")).await?;
    flood(&target, LISTED, make).await?;
    let mut connection = target.http1().await?;
    let asked = Instant::now();
    let size = connection.count(ask.clone()).await?;
    let first = asked.elapsed();
    let mut times = Vec::with_capacity(LISTS);
    let begin = Instant::now();
    while times.len() < LISTS && begin.elapsed() < LIMIT {
        let asked = Instant::now();
        let again = connection.count(ask.clone()).await?;
        times.push(asked.elapsed());
        ensure!(again == size, "a list had {again} bytes and {size} before");
    }
    let megabytes = size as f64 / 1e6;
    let spread = Spread::of(times).context("nothing was measured")?;
    let rate = |took: Duration| megabytes / took.as_secs_f64();
    let others = rate(spread.p50);
    cluster.stop().await?;
    Ok(vec![
        Figure::new("size of the list", megabytes, "MB", ""),
        Figure::new("the first list", rate(first), "MB/s", ""),
        Figure::new("lists, one after the other", others, "MB/s", ">= 500 MB/s").spread(spread),
    ])
}

fn name(index: usize) -> String {
    format!("bench-{}", index % OBJECTS)
}

/// Creates an object of 1 KiB.
pub fn created(name: &str) -> Ask {
    let text = "0123456789abcdef".repeat(64);
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"text":"{text}"}}}}"#
    );
    Ask {
        method: "POST",
        path: PATH.to_owned(),
        content_type: JSON,
        body: Bytes::from(body),
        ..Ask::default()
    }
}

/// Creates a pod of 1 KiB that no scheduler here looks at, so that what is measured is the write.
fn pod_created(name: &str) -> Ask {
    Ask::post(PODS, &documents::pod(name))
}

/// Applies a Deployment that is paused and has no replicas, so that what is measured is the write.
fn applied(name: &str, count: usize) -> Ask {
    let body = documents::deployment(name, count);
    Ask {
        method: "PATCH",
        path: format!("{DEPLOYMENTS}/{name}?fieldManager=bench&force=true"),
        content_type: APPLY_PATCH,
        body: Bytes::from(body.to_string()),
        ..Ask::default()
    }
}

/// Merges a patch into an object.
pub fn changed(name: &str, patch: &str) -> Ask {
    Ask {
        method: "PATCH",
        path: format!("{PATH}/{name}"),
        content_type: MERGE_PATCH,
        body: Bytes::copy_from_slice(patch.as_bytes()),
        ..Ask::default()
    }
}

/// What came of many requests.
pub struct Outcome {
    took: Duration,
    times: Vec<Duration>,
}

/// Sends `count` requests over connections that are opened first, each as soon as one of them is free.
pub async fn flood(
    target: &Target,
    count: usize,
    ask: impl Fn(usize) -> Ask + Send + Sync + 'static,
) -> Result<Outcome> {
    let mut connections = Vec::with_capacity(IN_FLIGHT);
    for _ in 0..IN_FLIGHT {
        connections.push(target.http1().await?);
    }
    let (next, ask) = (Arc::new(AtomicUsize::new(0)), Arc::new(ask));
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in connections {
        let (next, ask) = (Arc::clone(&next), Arc::clone(&ask));
        workers.spawn(async move {
            let mut times = Vec::with_capacity(count / IN_FLIGHT * 2);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count || begin.elapsed() > LIMIT {
                    return Ok::<_, anyhow::Error>(times);
                }
                let request = ask(index);
                let asked = Instant::now();
                connection.count(request).await?;
                times.push(asked.elapsed());
            }
        });
    }
    let mut times = Vec::with_capacity(count);
    while let Some(worker) = workers.join_next().await {
        times.extend(worker.context("a worker panicked")??);
    }
    Ok(Outcome { took: begin.elapsed(), times })
}
