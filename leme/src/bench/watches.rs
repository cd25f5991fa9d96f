//! Many watchers of few objects: how fast they are opened, what each costs the server, how long a change takes to reach
//! them all.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::Setting;
use crate::bench::client::Target;
use crate::bench::cluster::Cluster;
use crate::bench::figures::{Figure, Spread};
use crate::bench::objects::{PATH, changed, created};
use crate::bench::process;

const CONNECTIONS: usize = 10;
/// As many as a client library puts on one connection without asking.
const PER_CONNECTION: usize = 100;
const WATCHERS: usize = CONNECTIONS * PER_CONNECTION;
/// Writers, the changes each makes, and the time between two of them: 50 changes a second together.
const WRITERS: usize = 5;
const CHANGES: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last changes may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the text of the moment of sending stands behind.
const MARK: &[u8] = br#""sent":""#;

/// Bench `watch`.
pub async fn run(setting: Setting) -> Result<Vec<Figure>> {
    let (cluster, target) = Cluster::server(&setting.folder.join("data")).await?;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mut connection = target.http1().await?;
        connection.count(created(&name(writer))).await?;
        writers.push(connection);
    }
    let before = process::memory(cluster.pid())?;
    let begin = Instant::now();
    let bodies = open(&target).await?;
    let opened = begin.elapsed();
    let idle = process::memory(cluster.pid())?;

    let zero = Instant::now();
    let mut watchers = JoinSet::new();
    for body in bodies {
        watchers.spawn(timeout(PATIENCE, receive(body, zero)));
    }
    let mut tasks = JoinSet::new();
    for (writer, mut connection) in writers.into_iter().enumerate() {
        tasks.spawn(async move {
            let start = zero + PAUSE * writer as u32 / WRITERS as u32;
            let mut ticks = tokio::time::interval_at(start.into(), PAUSE);
            for _ in 0..CHANGES {
                ticks.tick().await;
                let sent = zero.elapsed().as_nanos();
                let patch = format!(r#"{{"metadata":{{"annotations":{{"sent":"{sent}"}}}}}}"#);
                connection.count(changed(&name(writer), &patch)).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.context("a writer panicked")??;
    }
    let mut times = Vec::with_capacity(WATCHERS * WRITERS * CHANGES);
    while let Some(watcher) = watchers.join_next().await {
        let received = watcher.context("a watcher panicked")?;
        times.extend(received.context("changes did not reach a watcher")??);
    }
    let spread = Spread::of(times).context("nothing was measured")?;
    cluster.stop().await?;
    let each = idle.rss.saturating_sub(before.rss) as f64 / WATCHERS as f64;
    Ok(vec![
        Figure::time("1,000 watches opened after", opened, "<= 1,000 ms"),
        Figure::new("server's RSS for each idle watch", each, "KiB", "<= 20 KiB"),
        Figure::time("write sent to event read", spread.p50, "p99 <= 10 ms (design: 5 ms)")
            .spread(spread),
    ])
}

fn name(writer: usize) -> String {
    format!("bench-{writer}")
}

/// Opens all watches, those of a connection side by side.
async fn open(target: &Target) -> Result<Vec<Incoming>> {
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let target = target.clone();
        connections.spawn(async move {
            let connection = target.http2().await?;
            // From now on: what is there already is not sent.
            let from = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
            let path = format!("{PATH}?watch=true&allowWatchBookmarks=true&{from}");
            let watches = (0..PER_CONNECTION).map(|_| {
                let (mut connection, path) = (connection.clone(), &path);
                async move { connection.open(path).await }
            });
            futures::future::try_join_all(watches).await
        });
    }
    let mut bodies = Vec::with_capacity(WATCHERS);
    while let Some(opened) = connections.join_next().await {
        bodies.extend(opened.context("a connection panicked")??);
    }
    Ok(bodies)
}

/// Reads events until every change has come; how old each was.
async fn receive(mut body: Incoming, zero: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(WRITERS * CHANGES);
    let mut rest: Vec<u8> = Vec::new();
    while times.len() < WRITERS * CHANGES {
        let Some(frame) = body.frame().await else { bail!("a watch ended early") };
        let Ok(data) = frame.context("read a watch")?.into_data() else { continue };
        let now = zero.elapsed();
        rest.extend_from_slice(&data);
        let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
        for line in rest[..end].split(|byte| *byte == b'\n') {
            ensure!(!line.starts_with(br#"{"type":"ERROR""#), "{}", String::from_utf8_lossy(line));
            if let Some(sent) = sent(line) {
                times.push(now.saturating_sub(sent));
            }
        }
        rest.drain(..=end);
    }
    Ok(times)
}

/// The moment of sending that an event carries; bookmarks carry none.
fn sent(line: &[u8]) -> Option<Duration> {
    let at = line.windows(MARK.len()).rposition(|window| window == MARK)?;
    let digits = line[at + MARK.len()..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_sending() {
        let line = br#"{"type":"MODIFIED","object":{"metadata":{"annotations":{"sent":"1500"}}}}"#;
        assert_eq!(sent(line), Some(Duration::from_nanos(1500)));
        assert_eq!(sent(br#"{"type":"BOOKMARK","object":{}}"#), None);
    }
}
