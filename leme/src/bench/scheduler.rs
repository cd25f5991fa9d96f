//! The scheduler's decision alone: pods on many nodes, one thread, no server. Its rate is for each second of processor time.
//!
//! Knows: what nodes and pods are decided about. Refuses to know: how decisions are carried out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use leme_sched::{Cluster, PodInfo, Selector, VolumeFacts};
use serde_json::{Value, json};

use super::figures::{Figure, Spread};
use super::process;

const NODES: usize = 5000;
const ZONES: usize = 10;
/// Decisions that are not measured, so that there are pods on nodes.
const BEFORE: usize = 10_000;
const MEASURED: usize = 20_000;
/// Pods that are made before they are decided on; what makes them is not measured.
const BATCH: usize = 5000;
/// Pods of a Deployment.
const REPLICAS: usize = 200;

/// Runs the bench.
pub fn run() -> Result<Vec<Figure>> {
    let plain = |number: usize| pod(number, json!({}));
    Ok(vec![
        decide("plain pods of Deployments, decisions", plain, ">= 5,000/s")?,
        decide("with spread and anti-affinity, decisions", particular, ">= 1,000/s")?,
    ])
}

/// A pod that is spread over zones and shares its node with none of its kind.
fn particular(number: usize) -> Value {
    let same = json!({"matchLabels": {"app": app(number)}});
    pod(
        number,
        json!({
            "topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1,
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": same}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": same}]}},
        }),
    )
}

fn app(number: usize) -> String {
    format!("app-{}", number / REPLICAS)
}

fn pod(number: usize, spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": format!("pod-{number}"), "namespace": "bench", "uid": format!("pod-{number}"),
            "labels": {"app": app(number), "pod-template-hash": "5d9c7b8f4c"}},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1",
            "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}}}]},
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn node(number: usize) -> Result<Node> {
    let name = format!("node-{number:05}");
    let node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": format!("zone-{}", number % ZONES)}},
        "status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}},
    });
    serde_json::from_value(node).context("read a node")
}

fn decide(what: &'static str, pod: impl Fn(usize) -> Value, goal: &'static str) -> Result<Figure> {
    let mut cluster = Cluster::default();
    for number in 0..NODES {
        let node = node(number)?;
        cluster.set_node(node.metadata.name.as_deref().unwrap_or(""), Some(&node));
    }
    let (mut times, mut used) = (Vec::with_capacity(MEASURED), Duration::ZERO);
    for first in (0..BEFORE + MEASURED).step_by(BATCH) {
        let pods: Vec<Pod> = (first..first + BATCH)
            .map(|number| serde_json::from_value(pod(number)).context("read a pod"))
            .collect::<Result<_>>()?;
        let before = process::processor_time(std::process::id())?;
        for pod in &pods {
            let labels = pod.metadata.labels.clone().unwrap_or_default();
            let begun = Instant::now();
            let info = PodInfo::read(pod).spread_by_default(&Selector::pairs(&labels));
            let decided = cluster.schedule(&info, &VolumeFacts::default());
            let took = begun.elapsed();
            ensure!(
                decided.is_ok(),
                "{}",
                decided.err().map_or(String::new(), |why| why.to_string())
            );
            if first >= BEFORE {
                times.push(took);
            }
        }
        if first >= BEFORE {
            used += process::processor_time(std::process::id())?.saturating_sub(before);
        }
    }
    let figure = Figure::new(what, MEASURED as f64 / used.as_secs_f64(), "/s", goal);
    Ok(Spread::of(times).map_or(figure.clone(), |spread| figure.spread(spread)))
}
