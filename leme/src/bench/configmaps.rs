//! One kind of object in large numbers: how many a second are created, read and changed, and how fast they are listed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::bench::Setting;
use crate::bench::client::{Ask, Target};
use crate::bench::cluster::Cluster;
use crate::bench::figures::{Figure, Spread};

/// Where the objects are.
pub const PATH: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Requests under way at the same time, each on a connection of its own.
const IN_FLIGHT: usize = 32;
/// Requests before the clock starts.
const WARM_UP: usize = 1_000;
const CREATES: usize = 30_000;
const GETS: usize = 60_000;
const PATCHES: usize = 30_000;
/// Objects that are read and changed.
const OBJECTS: usize = 1_000;
const LISTED: usize = 10_000;
const LISTS: usize = 20;
/// No measurement goes on for longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Bench `create`.
pub async fn create(setting: Setting) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::control_plane(&setting.folder.join("data")).await?;
    flood(&target, WARM_UP, |index| created(&format!("warm-up-{index}"))).await?;
    let outcome = flood(&target, CREATES, |index| created(&format!("bench-{index}"))).await?;
    cluster.stop().await?;
    Ok(vec![outcome.figure("creates", ">= 5,000 /s (design: 10,000 /s, p99 10 ms)")?])
}

/// Bench `get`.
pub async fn get(setting: Setting) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::control_plane(&setting.folder.join("data")).await?;
    flood(&target, OBJECTS, |index| created(&name(index))).await?;
    let outcome = flood(&target, GETS, |index| Ask::get(format!("{PATH}/{}", name(index)))).await?;
    cluster.stop().await?;
    Ok(vec![outcome.figure("gets", ">= 26,000 /s (design)")?])
}

/// Bench `patch`.
pub async fn patch(setting: Setting) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::control_plane(&setting.folder.join("data")).await?;
    flood(&target, OBJECTS, |index| created(&name(index))).await?;
    let outcome = flood(&target, PATCHES, |index| {
        changed(&name(index), &format!(r#"{{"data":{{"count":"{index}"}}}}"#))
    })
    .await?;
    cluster.stop().await?;
    Ok(vec![outcome.figure("merge patches", ">= 9,000 /s (design)")?])
}

/// Bench `list`.
pub async fn list(setting: Setting) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::control_plane(&setting.folder.join("data")).await?;
    flood(&target, LISTED, |index| created(&format!("bench-{index:06}"))).await?;
    let mut connection = target.http1().await?;
    let size = connection.count(Ask::get(PATH)).await?;
    let mut times = Vec::with_capacity(LISTS);
    let begin = Instant::now();
    while times.len() < LISTS && begin.elapsed() < LIMIT {
        let asked = Instant::now();
        let again = connection.count(Ask::get(PATH)).await?;
        times.push(asked.elapsed());
        ensure!(again == size, "a list had {again} bytes and {size} before");
    }
    let megabytes = size as f64 / 1e6;
    let spread = Spread::of(times).context("nothing was measured")?;
    let rate = megabytes / spread.p50.as_secs_f64();
    cluster.stop().await?;
    Ok(vec![
        Figure::new("size of the list", megabytes, "MB", ""),
        Figure::new("lists, one after the other", rate, "MB/s", ">= 500 MB/s").spread(spread),
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
    Ask { method: "POST", path: PATH.to_owned(), content_type: JSON, body: Bytes::from(body) }
}

/// Merges a patch into an object.
pub fn changed(name: &str, patch: &str) -> Ask {
    Ask {
        method: "PATCH",
        path: format!("{PATH}/{name}"),
        content_type: MERGE_PATCH,
        body: Bytes::copy_from_slice(patch.as_bytes()),
    }
}

/// What came of many requests.
struct Outcome {
    took: Duration,
    times: Vec<Duration>,
}

impl Outcome {
    fn figure(self, what: &'static str, goal: &'static str) -> Result<Figure> {
        let rate = self.times.len() as f64 / self.took.as_secs_f64();
        let spread = Spread::of(self.times).context("nothing was measured")?;
        Ok(Figure::new(what, rate, "/s", goal).spread(spread))
    }
}

/// Sends `count` requests over connections that are opened first, each as soon as one of them is free.
async fn flood(
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
