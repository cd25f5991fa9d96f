//! What nodes say that they and their pods use. Each is asked when somebody wants to know, and what it said is good for a
//! moment; who does not answer in time is as if it used nothing.
//!
//! Knows: the document that a node's agent answers with. Refuses to know: who asks, and how it is shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use jiff::Timestamp;
use leme_meta::time;
use leme_registry::json;
use serde_json::Value;
use tokio::time::Instant;

use crate::node_proxy::{Endpoint, NodeClient};

const PATH: &str = "/stats/summary?only_cpu_and_memory=true";
/// How long an answer is good, and a failure to get one.
const FRESH: Duration = Duration::from_secs(3);
/// A node that takes longer is left out.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 8 << 20;
/// Over what time a rate is, if the node does not say so: that of upstream's agents.
const USUAL_WINDOW: u64 = 10_000_000_000;

/// What something uses at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// When it was read.
    pub at: Timestamp,
    /// Thousand-millionths of a CPU, and over which time in nanoseconds.
    pub cpu: Option<(u64, u64)>,
    /// Bytes that cannot be had back easily.
    pub memory: Option<u64>,
}

/// What a node says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The node itself.
    pub node: Option<Used>,
    /// Containers by name, by the uid of their pod.
    pub pods: HashMap<String, Vec<(String, Used)>>,
}

/// What a node said last, while one asks it.
type Slot = tokio::sync::Mutex<Option<(Instant, Option<Arc<Told>>)>>;

/// What nodes said last.
#[derive(Default)]
pub(crate) struct Usages(Mutex<HashMap<String, Arc<Slot>>>);

impl Usages {
    /// What a node says, by who asks it at the same time too; `None` if it does not answer.
    pub(super) async fn ask(&self, client: &NodeClient, node: &Endpoint) -> Option<Arc<Told>> {
        let slot = self.lock().entry(node.name().to_owned()).or_default().clone();
        let mut last = slot.lock().await;
        if let Some((at, told)) = &*last
            && at.elapsed() < FRESH
        {
            return told.clone();
        }
        let told = tokio::time::timeout(PATIENCE, fetch(client, node)).await.ok().flatten();
        let told = told.map(Arc::new);
        *last = Some((Instant::now(), told.clone()));
        told
    }

    /// Forgets the nodes that are no more.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_there(name));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(client: &NodeClient, node: &Endpoint) -> Option<Told> {
    let request = Request::get(PATH).body(Empty::<Bytes>::new()).ok()?;
    let answer = client.send(node, request).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.ok()?;
    let document: Value = serde_json::from_slice(&body.to_bytes()).ok()?;
    Some(told(&document))
}

fn told(document: &Value) -> Told {
    let pods = json::list(document, &["pods"]).iter().map(|pod| {
        let containers = json::list(pod, &["containers"]).iter().filter_map(|container| {
            Some((json::text(container, &["name"]).to_owned(), used(container)?))
        });
        (json::text(pod, &["podRef", "uid"]).to_owned(), containers.collect())
    });
    Told { node: json::at(document, &["node"]).and_then(used), pods: pods.collect() }
}

/// What one uses; `None` where nothing is told of either.
fn used(of: &Value) -> Option<Used> {
    let number = |path: &[&str]| json::at(of, path).and_then(Value::as_u64);
    let window = number(&["cpu", "usageWindowNanoSeconds"]).unwrap_or(USUAL_WINDOW);
    let cpu = number(&["cpu", "usageNanoCores"]).map(|rate| (rate, window));
    let memory = number(&["memory", "workingSetBytes"]);
    let at = ["cpu", "memory"]
        .into_iter()
        .find_map(|of_what| time::parse(json::text(of, &[of_what, "time"])))?;
    (cpu.is_some() || memory.is_some()).then_some(Used { at, cpu, memory })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_told_is_left_out() {
        let at = "2026-01-02T03:04:05Z";
        let document = json!({
            "node": { "cpu": { "time": at, "usageNanoCores": 5 }, "memory": { "time": at, "workingSetBytes": 7 } },
            "pods": [
                { "podRef": { "uid": "u" }, "containers": [
                    { "name": "a", "cpu": { "time": at, "usageNanoCores": 3, "usageWindowNanoSeconds": 9 } },
                    { "name": "b", "cpu": { "time": at, "usageCoreNanoSeconds": 3 } },
                    { "name": "c", "memory": { "time": at, "workingSetBytes": 4 } },
                    { "name": "d", "memory": { "time": "soon", "workingSetBytes": 4 } },
                ] },
                { "podRef": { "uid": "v" } },
                7,
            ],
        });
        let at = time::parse(at).unwrap();
        let node = Used { at, cpu: Some((5, USUAL_WINDOW)), memory: Some(7) };
        let a = ("a".to_owned(), Used { at, cpu: Some((3, 9)), memory: None });
        let c = ("c".to_owned(), Used { at, cpu: None, memory: Some(4) });
        let told = told(&document);
        assert_eq!(told.node, Some(node));
        assert_eq!((&told.pods["u"], &told.pods["v"]), (&vec![a, c], &Vec::new()));
        assert_eq!(super::told(&Value::Null), Told::default());
    }
}
